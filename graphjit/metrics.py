"""Metrics, under the names of Keras 1, 2 and 3 (`gj.metrics`).

A metric gives one value per sample, like a loss; what is reported is the exact mean
over all samples seen, whatever the batches were. Every loss is a metric too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import jax
import jax.numpy as jnp

from graphjit import losses
from graphjit.configurable import (
    CallableSettings,
    Configurable,
    Family,
    is_plain_callable,
    resolve,
)
from graphjit.errors import CaptureError, ShapeError, expected
from graphjit.losses import Loss, label_of, paired
from graphjit.narrow import mapping_of

__all__ = [
    "ACCURACY",
    "METRICS",
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "CosineSimilarity",
    "FromCallable",
    "Metric",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "accuracy_for",
    "binary_accuracy",
    "categorical_accuracy",
    "get",
    "name_of",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]

#: The names that mean "the accuracy that goes with the loss".
ACCURACY: Final = ("accuracy", "acc")


# --- the functions ----------------------------------------------------------------


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> jax.Array:
    """mean((p > threshold) == y) over the last axis.

    Shapes:
        y_true, y_pred: (n, …, k)  ->  (n, …)

    >>> binary_accuracy([[1.0, 0.0]], [[0.9, 0.6]]).tolist()
    [0.5]
    """
    y, p = paired(y_true, y_pred, "binary_accuracy")
    return jnp.mean(((p > threshold).astype(y.dtype) == y).astype(jnp.float32), -1)


def categorical_accuracy(y_true: Any, y_pred: Any) -> jax.Array:
    """Whether the largest output is at the largest target; (n, …, c) -> (n, …)."""
    y, p = paired(y_true, y_pred, "categorical_accuracy")
    return (jnp.argmax(y, -1) == jnp.argmax(p, -1)).astype(jnp.float32)


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> jax.Array:
    """Whether the largest output is at index y.

    Shapes:
        y_true: int (n, …) or (n, …, 1)   y_pred: (n, …, c)  ->  (n, …)
    """
    p = jnp.asarray(y_pred)
    y = _indices(y_true, p, "sparse_categorical_accuracy")
    return (y == jnp.argmax(p, -1)).astype(jnp.float32)


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> jax.Array:
    """Whether fewer than k outputs exceed the target's; (n, …, c) -> (n, …)."""
    y, p = paired(y_true, y_pred, "top_k_categorical_accuracy")
    return _in_top_k(jnp.argmax(y, -1), p, k)


def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5
) -> jax.Array:
    """Whether fewer than k outputs exceed the one at index y.

    Shapes:
        y_true: int (n, …) or (n, …, 1)   y_pred: (n, …, c)  ->  (n, …)
    """
    p = jnp.asarray(y_pred)
    y = _indices(y_true, p, "sparse_top_k_categorical_accuracy")
    return _in_top_k(y, p, k)


def _indices(y_true: Any, p: jax.Array, what: str) -> jax.Array:
    y = jnp.asarray(y_true)
    if y.ndim == p.ndim and y.shape[-1] == 1:
        y = y[..., 0]
    if y.shape != p.shape[:-1]:
        raise ShapeError(
            f"{what}: expected class indices of shape {p.shape[:-1]}, received "
            f"{jnp.shape(y_true)}"
        )
    return y.astype(jnp.int32)


def _in_top_k(index: jax.Array, p: jax.Array, k: int) -> jax.Array:
    chosen = jnp.take_along_axis(p, index[..., None], -1)
    # A NaN is never among the largest.
    chosen = jnp.where(jnp.isnan(chosen), -jnp.inf, chosen)
    return (jnp.sum(p > chosen, -1) < k).astype(jnp.float32)


# --- the objects ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Metric(Configurable, ABC):
    """Base of the metrics: called on (y_true, y_pred), gives one value per sample."""

    config_ignored: ClassVar[frozenset[str]] = frozenset({"name", "dtype"})
    #: Whether a sample's value depends on that sample alone.
    rowwise: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, y_true: Any, y_pred: Any) -> jax.Array:
        """The values.

        Shapes:
            y_true, y_pred: (n, …, k)  ->  (n, …)
        """


@dataclass(frozen=True, slots=True)
class BinaryAccuracy(Metric):
    """`binary_accuracy`."""

    threshold: float = 0.5

    def __call__(self, y_true: Any, y_pred: Any) -> jax.Array:
        return binary_accuracy(y_true, y_pred, self.threshold)


@dataclass(frozen=True, slots=True)
class CategoricalAccuracy(Metric):
    """`categorical_accuracy`."""

    def __call__(self, y_true: Any, y_pred: Any) -> jax.Array:
        return categorical_accuracy(y_true, y_pred)


@dataclass(frozen=True, slots=True)
class SparseCategoricalAccuracy(Metric):
    """`sparse_categorical_accuracy`."""

    def __call__(self, y_true: Any, y_pred: Any) -> jax.Array:
        return sparse_categorical_accuracy(y_true, y_pred)


@dataclass(frozen=True, slots=True)
class Accuracy(Metric):
    """The accuracy that the shapes call for.

    `binary_accuracy` of outputs (n, …, 1); `sparse_categorical_accuracy` of targets
    (n, …) or (n, …, 1); else `categorical_accuracy`.
    """

    def __call__(self, y_true: Any, y_pred: Any) -> jax.Array:
        y, p = jnp.shape(y_true), jnp.shape(y_pred)
        if p[-1] == 1:
            return binary_accuracy(y_true, y_pred)
        if len(y) < len(p) or y[-1] == 1:
            return sparse_categorical_accuracy(y_true, y_pred)
        return categorical_accuracy(y_true, y_pred)


@dataclass(frozen=True, slots=True)
class TopKCategoricalAccuracy(Metric):
    """`top_k_categorical_accuracy`."""

    k: int = 5

    def __call__(self, y_true: Any, y_pred: Any) -> jax.Array:
        return top_k_categorical_accuracy(y_true, y_pred, self.k)


@dataclass(frozen=True, slots=True)
class SparseTopKCategoricalAccuracy(Metric):
    """`sparse_top_k_categorical_accuracy`."""

    k: int = 5

    def __call__(self, y_true: Any, y_pred: Any) -> jax.Array:
        return sparse_top_k_categorical_accuracy(y_true, y_pred, self.k)


@dataclass(frozen=True, slots=True)
class CosineSimilarity(Metric):
    """y·p / (|y| |p|): 1 for the same direction, where the loss is -1."""

    def __call__(self, y_true: Any, y_pred: Any) -> jax.Array:
        return -losses.cosine_similarity(y_true, y_pred)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FromCallable(CallableSettings, Metric):
    """A user's function: one value per sample, or one for the whole batch.

    Since it may look at several samples at once, no batch is ever padded for it.
    """

    saving_hint: ClassVar[str] = (
        "use a named metric, or enter a subclass of Metric in METRICS"
    )
    rowwise: ClassVar[bool] = False

    def __call__(self, y_true: Any, y_pred: Any) -> jax.Array:
        return jnp.asarray(self.fn(y_true, y_pred))


METRICS: Final[Family[Metric]] = Family("metric", Metric)
METRICS.add("accuracy", Accuracy, "acc", "Accuracy")
METRICS.add("binary_accuracy", BinaryAccuracy, "BinaryAccuracy")
METRICS.add("categorical_accuracy", CategoricalAccuracy, "CategoricalAccuracy")
METRICS.add(
    "sparse_categorical_accuracy",
    SparseCategoricalAccuracy,
    "SparseCategoricalAccuracy",
)
METRICS.add(
    "top_k_categorical_accuracy",
    TopKCategoricalAccuracy,
    "TopKCategoricalAccuracy",
    "top_k",
)
METRICS.add(
    "sparse_top_k_categorical_accuracy",
    SparseTopKCategoricalAccuracy,
    "SparseTopKCategoricalAccuracy",
    "sparse_top_k",
)
METRICS.add(
    "cosine_similarity",
    CosineSimilarity,
    "cosine_proximity",
    "CosineSimilarity",
    "CosineProximity",
)

_BY_FUNCTION: Final[dict[Any, type[Metric]]] = {
    binary_accuracy: BinaryAccuracy,
    categorical_accuracy: CategoricalAccuracy,
    sparse_categorical_accuracy: SparseCategoricalAccuracy,
    top_k_categorical_accuracy: TopKCategoricalAccuracy,
    sparse_top_k_categorical_accuracy: SparseTopKCategoricalAccuracy,
}


def get(identifier: object, where: str = "metric") -> Metric | Loss:
    """The metric that `identifier` means.

    Args:
        identifier: The name of a metric or a loss; an object or a class of either;
            one of the functions of this module or of `graphjit.losses`; or a user's
            function of (y_true, y_pred).
        where: What it was given for, for errors.

    >>> get("mse"), get(binary_accuracy)
    (MeanSquaredError(), BinaryAccuracy(threshold=0.5))

    Raises:
        CaptureError: The identifier means no metric.
    """
    if is_plain_callable(identifier):
        known = _BY_FUNCTION.get(identifier)
        if known is not None:
            return known()
        loss = losses.get(identifier, where)
        if loss is None or isinstance(loss, losses.FromCallable):
            return FromCallable(identifier)
        return loss
    if isinstance(identifier, str):
        return _named(identifier, where)
    if _is_loss(identifier):
        return resolve(losses.LOSSES, identifier, where)
    return resolve(METRICS, identifier, where)


def _is_loss(identifier: object) -> bool:
    if isinstance(identifier, type):
        return issubclass(identifier, Loss)
    written = mapping_of(identifier)
    if written is not None:
        name = written.get("class_name")
        return name in losses.LOSSES and name not in METRICS
    return isinstance(identifier, Loss)


def _named(name: str, where: str) -> Metric | Loss:
    if name in METRICS:
        return resolve(METRICS, name, where)
    if name in losses.LOSSES:
        return resolve(losses.LOSSES, name, where)
    known = sorted({*METRICS, *losses.LOSSES})
    expected(CaptureError, where, "the name of a metric or a loss", name, known=known)


def accuracy_for(loss: Loss | None, shape: tuple[int | None, ...]) -> Metric:
    """What "accuracy" means for an output of this shape, trained by this loss.

    Binary for one output or a binary loss (of logits: above 0, which is probability
    one half), by index for a loss of indices, else by the shapes of the data.
    """
    if isinstance(loss, losses.BinaryCrossentropy) or (shape and shape[-1] == 1):
        logits = getattr(loss, "from_logits", False)
        return BinaryAccuracy(0.0 if logits else 0.5)
    if loss is not None and loss.sparse:
        return SparseCategoricalAccuracy()
    return Accuracy()


def name_of(identifier: object, found: Metric | Loss) -> str:
    """How logs call a metric."""
    family: Family[Any] = METRICS if isinstance(found, Metric) else losses.LOSSES
    return label_of(identifier, family, found)
