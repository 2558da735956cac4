"""All the data of a `fit` or `evaluate`: matched to the model, checked, on the host."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace as replaced
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from graphjit import losses
from graphjit.data import bind_inputs, free_batch, in_order
from graphjit.errors import DataError, expected
from graphjit.ir import Input
from graphjit.losses import Loss
from graphjit.narrow import mapping_of
from graphjit.training.objective import Objective
from graphjit.types import TensorType

__all__ = ["Table", "table_of", "warn_not_finite"]

Array = np.ndarray[Any, Any]


class Table(NamedTuple):
    """Rows of data, as NumPy arrays.

    Shapes:
        inputs: (rows, …) each, in input order
        targets: (rows, …) each, in output order; None where no target is needed
        weights: (rows,) or (rows, t) each, in output order; None for weights of 1
    """

    inputs: tuple[Array, ...]
    targets: tuple[Array | None, ...]
    weights: tuple[Array | None, ...]

    @property
    def rows(self) -> int:
        return self.inputs[0].shape[0]

    def take(self, rows: Any) -> Table:
        """Some of the rows: a slice gives views, indices give copies."""
        return Table(
            tuple(_rows(array, rows) for array in self.inputs),
            tuple(None if a is None else _rows(a, rows) for a in self.targets),
            tuple(None if a is None else _rows(a, rows) for a in self.weights),
        )

    def stack(self, rows: Array, room: int, size: int) -> Table:
        """Some of the rows in a stack of `room` batches of `size`.

        Shapes:
            rows: (count · size,)  ->  (room, size, …) each, count of them filled
        """
        return Table(
            tuple(_stack(array, rows, room, size) for array in self.inputs),
            tuple(
                None if a is None else _stack(a, rows, room, size) for a in self.targets
            ),
            tuple(
                None if a is None else _stack(a, rows, room, size) for a in self.weights
            ),
        )


def _stack(array: Array, rows: Array, room: int, size: int) -> Array:
    made = np.empty((room * size, *array.shape[1:]), array.dtype)
    # "clip" takes straight into `out`; with "raise" NumPy would copy twice.
    array.take(rows, 0, out=made[: len(rows)], mode="clip")
    return made.reshape(room, size, *array.shape[1:])


def _rows(array: Array, rows: Any) -> Array:
    return array[rows] if isinstance(rows, slice) else array.take(rows, 0)


def table_of(
    inputs: Sequence[Input],
    objective: Objective,
    x: Any,
    y: Any,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | None = None,
    ids: Mapping[str, tuple[int, int]] | None = None,
) -> Table:
    """The data a user gave, checked.

    Args:
        inputs: The model's inputs.
        objective: What the targets are for.
        x: An array; a list or tuple in input order or a dict by name for several.
        y: The same for the outputs.
        sample_weight: (n,), or (n, t) for a weight per time step; a list or dict for
            several outputs.
        class_weight: The weight of every class; for one output.
        ids: For inputs that hold ids, by name: the lowest, and one past the highest.

    Raises:
        DataError: The data does not fit the model; says what, expected and received.
    """
    free = [replaced(entry, type=free_batch(entry.type)) for entry in inputs]
    columns = tuple(np.asarray(array) for array in bind_inputs(free, x, ids or {}))
    rows = columns[0].shape[0]
    names = objective.outputs
    if rows == 0:
        raise DataError("expected at least one row of data, received none")
    targets: list[Array | None] = []
    for at, given in enumerate(_matched(names, y, "targets")):
        if not objective.needs_target(at):
            targets.append(None)
            continue
        where = f"target of output {names[at]!r}"
        if given is None:
            raise DataError(f"{where}: expected an array, received None")
        array = _numeric(where, given)
        _check_rows(where, array, rows)
        loss = objective.loss_of(at)
        targets.append(_fitted(where, array, objective.types[at], loss))
    weights = [
        None if given is None else _weights(names[at], given, objective.types[at], rows)
        for at, given in enumerate(_matched(names, sample_weight, "sample_weight"))
    ]
    if class_weight is not None:
        weights = [_class_weights(objective, targets, class_weight, weights)]
    return Table(columns, tuple(targets), tuple(weights))


def warn_not_finite(table: Table, inputs: Sequence[Input], outputs: Sequence[str]):
    """Warn of NaN and infinities: they make every weight NaN, and are never hidden."""
    named = [
        (f"input {i.name!r}", a) for i, a in zip(inputs, table.inputs, strict=True)
    ]
    for kind, arrays in (("target", table.targets), ("weights", table.weights)):
        for name, array in zip(outputs, arrays, strict=True):
            if array is not None:
                named.append((f"{kind} of output {name!r}", array))
    for where, array in named:
        if _is_finite(array):
            continue
        bad = ~np.isfinite(array)
        count = int(np.count_nonzero(bad))
        first = int(np.flatnonzero(bad.reshape(array.shape[0], -1).any(1))[0])
        warnings.warn(
            f"{where}: {count} of {array.size} values are NaN or infinite, the first "
            f"in row {first}",
            RuntimeWarning,
            stacklevel=4,
        )


def _is_finite(array: Array) -> bool:
    if not jnp.issubdtype(array.dtype, jnp.floating) or array.size == 0:
        return True
    # Two reductions make no temporary array; both pass a NaN on.
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.min(array)) and np.isfinite(np.max(array)))


def _matched(names: Sequence[str], given: Any, what: str) -> list[Any]:
    """What was given for every output; None where nothing was."""
    if given is None:
        return [None] * len(names)
    by_name = mapping_of(given)
    if by_name is not None:
        for key in by_name:
            if key not in names:
                wanted = f"the name of an output ({', '.join(map(repr, names))})"
                expected(DataError, what, wanted, key, known=names)
        return [by_name.get(name) for name in names]
    outputs = f"{len(names)} for the outputs {list(names)}"
    wanted = f"{what}: expected {outputs}, as a list, tuple or dict"
    return in_order(given, len(names), wanted)


def _numeric(where: str, given: Any) -> Array:
    try:
        array = np.asarray(given)
    except (ValueError, TypeError) as error:
        raise DataError(f"{where}: not an array: {error}") from None
    if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == np.bool_):
        raise DataError(f"{where}: expected numbers, received dtype {array.dtype}")
    return array


def _check_rows(where: str, array: Array, rows: int) -> None:
    received = array.shape[0] if array.ndim else "a number"
    if received != rows:
        raise DataError(
            f"{where}: expected {rows} rows, as many as the inputs have, received "
            f"{received}"
        )


# --- targets ----------------------------------------------------------------------


def _fitted(where: str, array: Array, type_: TensorType, loss: Loss | None) -> Array:
    if loss is not None and loss.sparse:
        return _labels(where, array, type_)
    rank = max(type_.rank, 1)
    if array.ndim == rank - 1 and type_.shape[-1] == 1:
        array = array[..., None]
    elif array.ndim == rank + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    if loss is None or isinstance(loss, losses.FromCallable):
        return _narrow(array, type_)
    if not _fits(array.shape, type_.shape):
        hint = None
        indices = array.ndim < rank or (array.shape[-1] == 1 and type_.shape[-1] != 1)
        if indices and isinstance(loss, losses.CategoricalCrossentropy):
            hint = "class indices go with sparse_categorical_crossentropy"
        raise DataError(
            f"{where}: expected {type_}, received shape {array.shape}", hint=hint
        )
    wide = type_.dtype == "float64"
    return array.astype("float64" if wide else "float32", copy=False)


def _labels(where: str, array: Array, type_: TensorType) -> Array:
    """Class indices as int32 of one axis less than the output."""
    shape, classes = type_.shape[:-1], type_.shape[-1]
    one_hot = array.ndim == type_.rank and array.shape[-1] == classes != 1
    if array.ndim == type_.rank and array.shape[-1] == 1:
        array = array[..., 0]
    if not _fits(array.shape, shape):
        wanted = TensorType(shape, "int32")
        raise DataError(
            f"{where}: expected class indices {wanted}, received shape {array.shape}",
            hint="one-hot targets go with categorical_crossentropy"
            if one_hot
            else None,
        )
    if jnp.issubdtype(array.dtype, jnp.floating):
        bad = array != np.floor(array)
        if bad.any():
            label = array[bad].flat[0]
            raise DataError(f"{where}: expected class indices, received {label}")
    if isinstance(classes, int):
        _check_range(where, array, classes)
    return array.astype("int32", copy=False)


def _check_range(where: str, labels: Array, classes: int) -> None:
    for label in (labels.min(), labels.max()):
        if not 0 <= label < classes:
            row = int(np.argwhere(labels == label)[0][0])
            raise DataError(
                f"{where}: expected labels from 0 to {classes - 1} ({classes} "
                f"classes), received {int(label)} in row {row}"
            )


def _fits(shape: tuple[int, ...], wanted: Sequence[Any]) -> bool:
    """Whether the dims after the batch are those wanted, where these are known."""
    if len(shape) != len(wanted):
        return False
    pairs = zip(shape[1:], wanted[1:], strict=True)
    return all(want == dim for dim, want in pairs if isinstance(want, int))


def _narrow(array: Array, type_: TensorType) -> Array:
    """Targets of a user's own loss: their kind stays, 64 bits go to 32."""
    narrow = {"float64": "float32", "int64": "int32", "uint64": "uint32"}
    if type_.dtype == "float64":
        return array
    return array.astype(narrow.get(array.dtype.name, array.dtype), copy=False)


# --- weights ----------------------------------------------------------------------


def _weights(name: str, given: Any, type_: TensorType, rows: int) -> Array:
    where = f"sample_weight of output {name!r}"
    array = _numeric(where, given)
    _check_rows(where, array, rows)
    wanted = type_.shape[: max(type_.rank - 1, 1)]
    if array.ndim == len(wanted) + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    if not _fits(array.shape, wanted[: array.ndim]) or array.ndim > len(wanted):
        raise DataError(
            f"{where}: expected one weight per row or per value of {type_}'s loss, "
            f"received shape {array.shape}"
        )
    dtype = "float64" if type_.dtype == "float64" else "float32"
    return array.astype(dtype, copy=False)


def _class_weights(
    objective: Objective,
    targets: Sequence[Array | None],
    class_weight: Mapping[int, float],
    weights: Sequence[Array | None],
) -> Array:
    """Sample weights times the weight of every sample's class."""
    target = targets[0]
    if len(targets) != 1 or target is None:
        raise DataError("class_weight: expected a model with one output and a target")
    loss = objective.loss_of(0)
    if loss is not None and loss.sparse:
        labels = target
    elif target.ndim > 1 and target.shape[-1] > 1:
        labels = target.argmax(-1)
    else:
        labels = target.reshape(target.shape[0], -1)[:, 0]
    present, places = np.unique(labels, return_inverse=True)
    missing = [int(label) for label in present if int(label) not in class_weight]
    if missing:
        raise DataError(
            f"class_weight: expected a weight for every class in the data, received "
            f"none for {missing}"
        )
    of_class = np.array([class_weight[int(label)] for label in present])
    dtype = "float64" if objective.types[0].dtype == "float64" else "float32"
    found = of_class[places].reshape(labels.shape).astype(dtype)
    given = weights[0]
    if given is None:
        return found
    spread = given.reshape(given.shape + (1,) * (found.ndim - given.ndim))
    return found * spread
