"""What training lowers and what it reports: losses and metrics of every output.

All numbers of a batch are sums that can be added over batches, packed in one vector,
so that a step returns one small array and the means over an epoch are exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from graphjit import losses as loss_table
from graphjit import metrics as metric_table
from graphjit.errors import CaptureError, ShapeError, expected
from graphjit.ir import Graph
from graphjit.losses import Loss
from graphjit.metrics import Metric
from graphjit.narrow import mapping_of, sequence_of
from graphjit.types import TensorType

__all__ = ["Objective", "Term", "accumulate", "objective_of"]

# The first slots of the vector of sums; two more follow for every term.
_ROWS: Final = 0
_FINITE: Final = 1
_LOSS: Final = 2
_PENALTY: Final = 3
_TERMS: Final = 4


@dataclass(frozen=True, slots=True)
class Term:
    """One number of one output: its loss, or a metric.

    Attributes:
        label: How logs call it.
        output: The index of the output.
        values: The loss or metric, giving values per sample.
        weighted: Whether sample weights count.
    """

    label: str
    output: int
    values: Metric | Loss
    weighted: bool


@dataclass(frozen=True, slots=True)
class Objective:
    """The losses and metrics of a model.

    The loss of a batch is the weighted sum of the outputs' losses, plus penalties. An
    output's loss is sum(l · mask · w) / (n · mean(mask) · mean(w ≠ 0)) over the valid
    rows, as in Keras 1 and 2; n counts every value. A metric is sum(m · mask) /
    sum(mask); a weighted one has mask · w in the place of the mask.

    Attributes:
        outputs: The outputs' names.
        types: The outputs' types.
        losses: The losses, at most one per output.
        factors: Their weights in the sum.
        metrics: The metrics.
        dtype: Of the vector of sums.
    """

    outputs: tuple[str, ...]
    types: tuple[TensorType, ...]
    losses: tuple[Term, ...]
    factors: tuple[float, ...]
    metrics: tuple[Term, ...]
    dtype: str = "float32"

    @property
    def names(self) -> tuple[str, ...]:
        """What logs hold, in order: "loss", outputs' losses if several, metrics."""
        parts = [term.label for term in self.losses] if len(self.outputs) > 1 else []
        return ("loss", *parts, *(term.label for term in self.metrics))

    @property
    def size(self) -> int:
        """How long the vector of sums is."""
        return _TERMS + 2 * (len(self.losses) + len(self.metrics))

    @property
    def rowwise(self) -> bool:
        """Whether every loss and metric is known to judge each row by itself."""
        return all(term.values.rowwise for term in (*self.losses, *self.metrics))

    def loss_of(self, output: int) -> Loss | None:
        """The loss of an output."""
        for term in self.losses:
            if term.output == output and isinstance(term.values, Loss):
                return term.values
        return None

    def needs_target(self, output: int) -> bool:
        """Whether an output has a loss or a metric."""
        return any(t.output == output for t in (*self.losses, *self.metrics))

    def measure(
        self,
        outputs: Sequence[jax.Array],
        masks: Sequence[jax.Array | None],
        targets: Sequence[Any],
        weights: Sequence[Any],
        row_mask: Any = None,
        penalty: Any = 0.0,
    ) -> tuple[jax.Array, jax.Array]:
        """The loss of a batch, and the sums from which epochs are reported.

        Args:
            outputs: In output order, as are the next three.
            masks: The outputs' masks.
            targets: None where an output has neither loss nor metric.
            weights: Sample weights; None for 1.
            row_mask: Which rows count; None for all.
            penalty: What regularizers add to the loss.

        Returns:
            The scalar to differentiate, and a vector of `size` sums.
        """
        dtype = jnp.dtype(self.dtype)
        rows: Any = outputs[0].shape[0]
        if row_mask is not None:
            rows = jnp.sum(row_mask, dtype=dtype)
        loss = jnp.asarray(penalty, dtype)
        parts: list[Any] = []
        for at, term in enumerate((*self.losses, *self.metrics)):
            of = term.output
            weight = weights[of] if term.weighted else None
            y, p = _at_least_2d(targets[of], outputs[of])
            values = term.values(y, p).astype(dtype)
            counts = _Counts(term.label, masks[of], weight, row_mask, rows)
            if at < len(self.losses):
                total, share = counts.of_loss(values)
                loss = loss + self.factors[at] * _ratio(total, share)
            else:
                total, share = counts.of_metric(values)
            parts += [total, share]
        head = [rows, jnp.isfinite(loss), loss * rows, penalty * rows]
        packed = [jnp.asarray(part).astype(dtype) for part in (*head, *parts)]
        return loss, jax.lax.stop_gradient(jnp.stack(packed))

    def zeros(self) -> np.ndarray[Any, Any]:
        """The sums before the first batch, as `accumulate` takes them."""
        return np.zeros((2, self.size), self.dtype)

    def read(self, sums: Any) -> dict[str, float]:
        """The means by name, from the sums of a batch or of accumulated ones."""
        total = np.asarray(sums).astype(np.float64)
        if total.ndim == 2:
            total = total[0] + total[1]
        values = [
            float(total[at] / total[at + 1]) if total[at + 1] != 0 else 0.0
            for at in range(_TERMS, self.size, 2)
        ]
        count = len(self.losses)
        loss = float(total[_PENALTY] / total[_ROWS]) if total[_ROWS] else 0.0
        loss += sum(f * v for f, v in zip(self.factors, values, strict=False))
        shown = values if len(self.outputs) > 1 else values[count:]
        return dict(zip(self.names, (loss, *shown), strict=True))

    def batches_until_bad(self, sums: Any) -> int | None:
        """How many batches came before the loss was NaN or infinite; None: it is not.

        `sums` are accumulated ones.
        """
        total = np.asarray(sums)[0]
        return None if np.isfinite(total[_LOSS]) else int(total[_FINITE])


def accumulate(total: jax.Array, sums: jax.Array) -> jax.Array:
    """Add a batch's sums to those so far, with what rounding loses kept beside them.

    float32 alone would count no further than 2^24. The two-sum of Knuth (TAOCP 2,
    section 4.2.2) gives the rounding error of each addition exactly.

    Shapes:
        total: (2, k)   sums: (k,)  ->  (2, k)
    """
    high, low = total[0], total[1]
    # Batches are counted as finite only up to the first that is not.
    counts = jnp.where(jnp.isfinite(high[_LOSS]), sums[_FINITE], 0)
    sums = sums.at[_FINITE].set(counts)
    new = high + sums
    added = new - high
    lost = (high - (new - added)) + (sums - added)
    return jnp.stack([new, low + lost])


@dataclass(frozen=True, slots=True)
class _Counts:
    """How the values of one term are summed."""

    label: str
    mask: Any
    weight: Any
    row_mask: Any
    rows: Any

    def of_loss(self, values: jax.Array) -> tuple[Any, Any]:
        """Sum of the weighed values per value of a row, and what to divide it by."""
        if values.ndim == 0:
            return self._of_scalar(values)
        total, share = values, self.rows
        if self.mask is not None:
            mask = self._fitted(self.mask, values).astype(bool)
            total = jnp.where(mask, total, 0)
            share = share * self._mean(mask.astype(values.dtype))
        if self.weight is not None:
            weight = self._fitted(self.weight, values).astype(values.dtype)
            total = total * weight
            share = share * self._mean((weight != 0).astype(values.dtype))
        return self._per_row(total), share

    def of_metric(self, values: jax.Array) -> tuple[Any, Any]:
        """Sum of the weighed values, and sum of the weights, per value of a row."""
        if values.ndim == 0:
            return self._of_scalar(values)
        if self.mask is None and self.weight is None:
            return self._per_row(values), self.rows
        counts = jnp.ones_like(values)
        if self.weight is not None:
            counts = counts * self._fitted(self.weight, values).astype(values.dtype)
        if self.mask is not None:
            mask = self._fitted(self.mask, values).astype(bool)
            counts = jnp.where(mask, counts, 0)
            values = jnp.where(mask, values, 0)
        return self._per_row(values * counts), self._per_row(counts)

    def _of_scalar(self, value: jax.Array) -> tuple[Any, Any]:
        given = {"a mask": self.mask, "sample weights": self.weight}
        for what, array in given.items():
            if array is not None:
                raise ShapeError(
                    f"{self.label}: expected one value per sample, to be weighed by "
                    f"{what}, received one number for the batch"
                )
        return value * self.rows, self.rows

    def _fitted(self, array: Any, values: jax.Array) -> jax.Array:
        """A mask or weights with axes of 1 added, to broadcast against values."""
        found = jnp.asarray(array)
        if found.ndim == values.ndim + 1 and found.shape[-1] == 1:
            found = found[..., 0]
        if found.shape != values.shape[: found.ndim]:
            raise ShapeError(
                f"{self.label}: a mask or weights of shape {found.shape} do not fit "
                f"values of shape {values.shape}"
            )
        return jnp.reshape(found, found.shape + (1,) * (values.ndim - found.ndim))

    def _per_row(self, array: jax.Array) -> jax.Array:
        """The sum over valid rows of the mean over each row."""
        per_row = array.size // array.shape[0] if array.shape[0] else 1
        if self.row_mask is not None:
            valid = jnp.reshape(self.row_mask, (-1,) + (1,) * (array.ndim - 1))
            array = jnp.where(valid, array, 0)
        return jnp.sum(array) / max(per_row, 1)

    def _mean(self, array: jax.Array) -> jax.Array:
        return self._per_row(array) / self.rows


def _ratio(total: Any, share: Any) -> Any:
    """total / share; 0 where nothing counts, with a gradient of 0."""
    empty = jnp.asarray(share) == 0
    return jnp.where(empty, 0, total / jnp.where(empty, 1, share))


def _at_least_2d(y: Any, p: jax.Array) -> tuple[Any, jax.Array]:
    """An output of one number per row as a column: values are per row then."""
    if p.ndim != 1:
        return y, p
    y = jnp.asarray(y)
    return (y[:, None] if y.ndim == 1 else y), p[:, None]


# --- from what a user writes ------------------------------------------------------


def objective_of(
    graph: Graph,
    loss: Any,
    metrics: Any = None,
    loss_weights: Any = None,
    weighted_metrics: Any = None,
) -> Objective:
    """The objective that the arguments of `Model.compile` mean.

    Args:
        graph: The graph whose outputs are judged.
        loss: One loss for every output, a list in output order, or a dict by output
            name; None for an output without one.
        metrics: A metric or a list of them for every output; a list of lists in
            output order; or a dict by output name.
        loss_weights: A list or dict of numbers; 1 by default.
        weighted_metrics: Like `metrics`, counted with the sample weights.

    Raises:
        CaptureError: A loss or metric is unknown, or one too few or too many.
    """
    names = [output.name for output in graph.outputs]
    table = graph.types()
    types = [table[output.value] for output in graph.outputs]
    found = [loss_table.get(given) for given in _per_output(names, loss, "loss")]
    given_factors = _per_output(names, loss_weights, "loss_weights")
    factors = [_factor(name, f) for name, f in zip(names, given_factors, strict=True)]
    several = len(names) > 1
    loss_terms = [
        Term(f"{name}_loss" if several else "loss", at, one, True)
        for at, (name, one) in enumerate(zip(names, found, strict=True))
        if one is not None
    ]
    metric_terms: list[Term] = []
    taken = {"loss", *(term.label for term in loss_terms)}
    for given, what in ((metrics, "metrics"), (weighted_metrics, "weighted_metrics")):
        for at, items in enumerate(_metric_lists(names, given, what)):
            for item in items:
                metric, label = _metric(item, found[at], types[at])
                label = f"{names[at]}_{label}" if several else label
                label = _free(label, taken, what == "weighted_metrics")
                weighted = what == "weighted_metrics"
                metric_terms.append(Term(label, at, metric, weighted))
    wide = any(type_.dtype == "float64" for type_ in types)
    return Objective(
        outputs=tuple(names),
        types=tuple(types),
        losses=tuple(loss_terms),
        factors=tuple(factors[term.output] for term in loss_terms),
        metrics=tuple(metric_terms),
        dtype="float64" if wide else "float32",
    )


def _per_output(names: Sequence[str], given: Any, what: str) -> list[Any]:
    """What was given for every output."""
    by_name = mapping_of(given)
    if by_name is not None and not _is_config(by_name):
        for key in by_name:
            if key not in names:
                wanted = f"the name of an output ({', '.join(map(repr, names))})"
                expected(CaptureError, what, wanted, key, known=names)
        return [by_name.get(name) for name in names]
    items = sequence_of(given)
    if items is None:
        return [given] * len(names)
    if len(items) != len(names):
        raise CaptureError(
            f"{what}: expected {len(names)} for the outputs {list(names)}, received "
            f"{len(items)}"
        )
    return items


def _is_config(given: Mapping[str, Any]) -> bool:
    """Whether a dict describes one object rather than several by output name."""
    return "class_name" in given and "config" in given


def _metric_lists(names: Sequence[str], given: Any, what: str) -> list[list[Any]]:
    items = sequence_of(given)
    if items is not None and not any(isinstance(i, (list, tuple)) for i in items):
        return [items] * len(names)
    return [_as_list(entry) for entry in _per_output(names, given, what)]


def _as_list(entry: Any) -> list[Any]:
    if entry is None:
        return []
    items = sequence_of(entry)
    return [entry] if items is None else items


def _metric(
    item: Any, loss: Loss | None, type_: TensorType
) -> tuple[Metric | Loss, str]:
    if isinstance(item, str) and item in metric_table.ACCURACY:
        shape = (None, 1) if type_.rank == 1 else type_.user_shape()
        return metric_table.accuracy_for(loss, shape), item
    if isinstance(item, str) and item in ("crossentropy", "ce") and loss is not None:
        return loss, item
    found = metric_table.get(item)
    return found, metric_table.name_of(item, found)


def _free(label: str, taken: set[str], weighted: bool) -> str:
    """A label nobody has: prefixed where it is weighted, else numbered."""
    if label in taken and weighted:
        label = f"weighted_{label}"
    found, count = label, 0
    while found in taken:
        count += 1
        found = f"{label}_{count}"
    taken.add(found)
    return found


def _factor(name: str, given: Any) -> float:
    if given is None:
        return 1.0
    try:
        return float(given)
    except (TypeError, ValueError):
        expected(CaptureError, f"loss_weights: output {name!r}", "a number", given)
