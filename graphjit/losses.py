"""Losses, under the names of Keras 1, 2 and 3 (`gj.losses`).

Each is a function of targets and outputs that gives one value per sample, reduced over
the last axis as Keras does, and a small frozen object with the settings filled in::

    binary_crossentropy(y, p, from_logits=True) == BinaryCrossentropy(True)(y, p)

Training weighs the values and takes their mean; nothing here averages over samples.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import jax
import jax.numpy as jnp
import numpy as np

from graphjit import crossentropy
from graphjit.configurable import (
    CallableSettings,
    Configurable,
    Family,
    is_plain_callable,
    resolve,
)
from graphjit.crossentropy import EPSILON
from graphjit.errors import ShapeError

__all__ = [
    "LOSSES",
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "FromCallable",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "binary_crossentropy",
    "categorical_crossentropy",
    "categorical_hinge",
    "cosine_proximity",
    "cosine_similarity",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "kullback_leibler_divergence",
    "label_of",
    "log_cosh",
    "logcosh",
    "mae",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "mse",
    "paired",
    "poisson",
    "sparse_categorical_crossentropy",
    "squared_hinge",
]


def paired(y_true: Any, y_pred: Any, what: str) -> tuple[jax.Array, jax.Array]:
    """Targets and outputs in one dtype, float32 at least, and in one shape.

    Shapes:
        y_pred: (n, …, k)   y_true: the same; an axis k = 1 may be there or not

    Raises:
        ShapeError: The shapes differ; they are never broadcast.
    """
    outputs = jnp.asarray(y_pred)
    if not jnp.issubdtype(outputs.dtype, jnp.floating) or outputs.dtype.itemsize < 4:
        outputs = outputs.astype(jnp.float32)
    targets = jnp.asarray(y_true).astype(outputs.dtype)
    if targets.ndim == outputs.ndim - 1 and outputs.shape[-1] == 1:
        targets = targets[..., None]
    elif targets.ndim == outputs.ndim + 1 and targets.shape[-1] == 1:
        targets = targets[..., 0]
    if targets.shape != outputs.shape:
        raise ShapeError(
            f"{what}: expected targets of shape {outputs.shape}, received "
            f"{jnp.shape(y_true)}"
        )
    return targets, outputs


# --- the functions ----------------------------------------------------------------


def mean_squared_error(y_true: Any, y_pred: Any) -> jax.Array:
    """mean((p - y)²) over the last axis.

    Shapes:
        y_true, y_pred: (n, …, k)  ->  (n, …)

    >>> mean_squared_error([[1.0, 2.0]], [[1.0, 4.0]]).tolist()
    [2.0]
    """
    y, p = paired(y_true, y_pred, "mean_squared_error")
    return jnp.mean(jnp.square(p - y), -1)


def mean_absolute_error(y_true: Any, y_pred: Any) -> jax.Array:
    """mean(|p - y|) over the last axis; (n, …, k) -> (n, …)."""
    y, p = paired(y_true, y_pred, "mean_absolute_error")
    return jnp.mean(jnp.abs(p - y), -1)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> jax.Array:
    """100 · mean(|p - y| / max(|y|, 1e-7)); (n, …, k) -> (n, …)."""
    y, p = paired(y_true, y_pred, "mean_absolute_percentage_error")
    return 100 * jnp.mean(jnp.abs(p - y) / jnp.maximum(jnp.abs(y), EPSILON), -1)


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> jax.Array:
    """mean((log(max(p, 1e-7) + 1) - log(max(y, 1e-7) + 1))²); (n, …, k) -> (n, …)."""
    y, p = paired(y_true, y_pred, "mean_squared_logarithmic_error")
    difference = _log_plus_one(p) - _log_plus_one(y)
    return jnp.mean(jnp.square(difference), -1)


def binary_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
) -> jax.Array:
    """-mean(y log p + (1 - y) log(1 - p)) over the last axis.

    Probabilities are clipped to [1e-7, 1 - 1e-7]. Logits x never become
    probabilities: max(x, 0) - x y + log(1 + exp(-|x|)).

    Shapes:
        y_true, y_pred: (n, …, k)  ->  (n, …)

    Args:
        y_true: Probabilities of class 1.
        y_pred: The same, or logits.
        from_logits: Whether `y_pred` holds logits.
        label_smoothing: The targets' part s: y (1 - s) + s / 2.
    """
    y, p = paired(y_true, y_pred, "binary_crossentropy")
    if label_smoothing:
        y = y * (1 - label_smoothing) + label_smoothing / 2
    if from_logits:
        values = jnp.maximum(p, 0) - p * y + jnp.log1p(jnp.exp(-jnp.abs(p)))
    else:
        p = jnp.clip(p, EPSILON, 1 - EPSILON)
        values = -(y * jnp.log(p) + (1 - y) * jnp.log(1 - p))
    return jnp.mean(values, -1)


def categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
) -> jax.Array:
    """-sum(y log p) over the last axis, of one-hot targets or distributions.

    Probabilities are first divided by their sum and clipped to [1e-7, 1 - 1e-7].

    Shapes:
        y_true, y_pred: (n, …, c)  ->  (n, …)

    Args:
        y_true: A distribution over the c classes.
        y_pred: The same, or logits.
        from_logits: Whether `y_pred` holds logits.
        label_smoothing: The targets' part s: y (1 - s) + s / c.
    """
    y, p = paired(y_true, y_pred, "categorical_crossentropy")
    if label_smoothing:
        y = y * (1 - label_smoothing) + label_smoothing / y.shape[-1]
    if not from_logits:
        return crossentropy.of_distributions(y, p)
    return -jnp.sum(y * jax.nn.log_softmax(p, -1), -1)


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False
) -> jax.Array:
    """-log p[y], of class indices y.

    Shapes:
        y_true: int (n, …) or (n, …, 1)   y_pred: (n, …, c)  ->  (n, …)

    Args:
        y_true: Indices from 0 to c - 1; another one gives 0, and is refused by `fit`.
        y_pred: Probabilities, treated as by `categorical_crossentropy`, or logits.
        from_logits: Whether `y_pred` holds logits.
    """
    outputs = jnp.asarray(y_pred)
    if outputs.dtype.itemsize < 4:
        outputs = outputs.astype(jnp.float32)
    labels = jnp.asarray(y_true)
    if labels.ndim == outputs.ndim and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if labels.shape != outputs.shape[:-1]:
        raise ShapeError(
            "sparse_categorical_crossentropy: expected class indices of shape "
            f"{outputs.shape[:-1]}, received {labels.shape}"
        )
    labels = labels.astype(jnp.int32)
    if not from_logits:
        return crossentropy.of_classes(labels, outputs)
    # A comparison rather than a gather: its gradient is a select, not a scatter.
    chosen = labels[..., None] == jnp.arange(outputs.shape[-1], dtype=jnp.int32)
    logs = jax.nn.log_softmax(outputs, -1)
    return -jnp.sum(jnp.where(chosen, logs, 0), -1)


def hinge(y_true: Any, y_pred: Any) -> jax.Array:
    """mean(max(1 - y p, 0)); labels 0 and 1 are read as -1 and 1; (n, …, k) -> (n, …).

    >>> hinge([[0.0, 1.0]], [[0.5, 0.5]]).tolist()
    [1.0]
    """
    y, p = paired(y_true, y_pred, "hinge")
    return jnp.mean(jnp.maximum(1 - _signs(y) * p, 0), -1)


def squared_hinge(y_true: Any, y_pred: Any) -> jax.Array:
    """mean(max(1 - y p, 0)²), labels as for `hinge`; (n, …, k) -> (n, …)."""
    y, p = paired(y_true, y_pred, "squared_hinge")
    return jnp.mean(jnp.square(jnp.maximum(1 - _signs(y) * p, 0)), -1)


def categorical_hinge(y_true: Any, y_pred: Any) -> jax.Array:
    """max(max((1 - y) p) - sum(y p) + 1, 0); (n, …, c) -> (n, …)."""
    y, p = paired(y_true, y_pred, "categorical_hinge")
    return jnp.maximum(jnp.max((1 - y) * p, -1) - jnp.sum(y * p, -1) + 1, 0)


def kullback_leibler_divergence(y_true: Any, y_pred: Any) -> jax.Array:
    """sum(y log(y / p)), both clipped to [1e-7, 1]; (n, …, k) -> (n, …)."""
    y, p = paired(y_true, y_pred, "kullback_leibler_divergence")
    y, p = jnp.clip(y, EPSILON, 1), jnp.clip(p, EPSILON, 1)
    return jnp.sum(y * jnp.log(y / p), -1)


def poisson(y_true: Any, y_pred: Any) -> jax.Array:
    """mean(p - y log(p + 1e-7)); (n, …, k) -> (n, …)."""
    y, p = paired(y_true, y_pred, "poisson")
    return jnp.mean(p - y * jnp.log(p + EPSILON), -1)


def cosine_similarity(y_true: Any, y_pred: Any) -> jax.Array:
    """-y·p / (|y| |p|): -1 for the same direction; (n, …, k) -> (n, …).

    As a metric the name means the positive cosine, as in Keras.
    """
    y, p = paired(y_true, y_pred, "cosine_similarity")
    return -jnp.sum(_unit(y) * _unit(p), -1)


def log_cosh(y_true: Any, y_pred: Any) -> jax.Array:
    """mean(log(cosh(p - y))), without overflow; (n, …, k) -> (n, …)."""
    y, p = paired(y_true, y_pred, "log_cosh")
    difference = p - y
    values = difference + jax.nn.softplus(-2 * difference) - np.log(2.0)
    return jnp.mean(values, -1)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> jax.Array:
    """mean(e²/2 where |e| ≤ δ, else δ|e| - δ²/2), e = p - y; (n, …, k) -> (n, …)."""
    y, p = paired(y_true, y_pred, "huber")
    size = jnp.abs(p - y)
    values = jnp.where(
        size <= delta, jnp.square(size) / 2, delta * size - delta * delta / 2
    )
    return jnp.mean(values, -1)


def _log_plus_one(x: jax.Array) -> jax.Array:
    return jnp.log1p(jnp.maximum(x, EPSILON))


def _signs(y: jax.Array) -> jax.Array:
    binary = jnp.all((y == 0) | (y == 1))
    return jnp.where(binary, 2 * y - 1, y)


def _unit(x: jax.Array) -> jax.Array:
    # Keras's l2_normalize: a vector of norm 0 stays 0.
    square = jnp.sum(jnp.square(x), -1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(square, 1e-12))


mse = mean_squared_error
mae = mean_absolute_error
kl_divergence = kullback_leibler_divergence
cosine_proximity = cosine_similarity
logcosh = log_cosh


# --- the objects ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Loss(Configurable, ABC):
    """Base of the losses: called on (y_true, y_pred), gives one value per sample."""

    config_ignored: ClassVar[frozenset[str]] = frozenset({"name", "reduction", "dtype"})
    #: Whether targets are class indices, with one axis less than the outputs.
    sparse: ClassVar[bool] = False
    #: Whether a sample's value depends on that sample alone.
    rowwise: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, y_true: Any, y_pred: Any) -> jax.Array:
        """The values.

        Shapes:
            y_true, y_pred: (n, …, k)  ->  (n, …)
        """


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FromCallable(CallableSettings, Loss):
    """A user's function of targets and outputs.

    It gives one value per sample, or one number for the whole batch; and since it may
    look at several samples at once, no batch is ever padded for it.
    """

    saving_hint: ClassVar[str] = (
        "use a named loss, or enter a subclass of Loss in LOSSES"
    )
    rowwise: ClassVar[bool] = False

    def __call__(self, y_true: Any, y_pred: Any) -> jax.Array:
        return jnp.asarray(self.fn(y_true, y_pred))


LOSSES: Final[Family[Loss]] = Family("loss", Loss)
#: The class that stands for each of the functions above.
_BY_FUNCTION: Final[dict[Any, type[Loss]]] = {}


def _enter(
    function: Callable[..., jax.Array], cls: type[Loss], *aliases: str
) -> type[Loss]:
    LOSSES.add(function.__name__, cls, cls.__name__, *aliases)
    _BY_FUNCTION[function] = cls
    return cls


def _plain(
    name: str, function: Callable[[Any, Any], jax.Array], *aliases: str
) -> type[Loss]:
    """The class of a loss without settings, entered in `LOSSES`."""

    def call(self: Loss, y_true: Any, y_pred: Any) -> jax.Array:
        del self
        return function(y_true, y_pred)

    body = {"__call__": call, "__doc__": f"`{function.__name__}`."}
    cls = dataclasses.make_dataclass(
        name, (), bases=(Loss,), namespace=body, frozen=True, slots=True
    )
    cls.__module__ = __name__
    return _enter(function, cls, *aliases)


@dataclass(frozen=True, slots=True)
class BinaryCrossentropy(Loss):
    """`binary_crossentropy`."""

    from_logits: bool = False
    label_smoothing: float = 0.0

    def __call__(self, y_true: Any, y_pred: Any) -> jax.Array:
        return binary_crossentropy(
            y_true, y_pred, self.from_logits, self.label_smoothing
        )


@dataclass(frozen=True, slots=True)
class CategoricalCrossentropy(Loss):
    """`categorical_crossentropy`."""

    from_logits: bool = False
    label_smoothing: float = 0.0

    def __call__(self, y_true: Any, y_pred: Any) -> jax.Array:
        return categorical_crossentropy(
            y_true, y_pred, self.from_logits, self.label_smoothing
        )


@dataclass(frozen=True, slots=True)
class SparseCategoricalCrossentropy(Loss):
    """`sparse_categorical_crossentropy`."""

    sparse: ClassVar[bool] = True

    from_logits: bool = False

    def __call__(self, y_true: Any, y_pred: Any) -> jax.Array:
        return sparse_categorical_crossentropy(y_true, y_pred, self.from_logits)


@dataclass(frozen=True, slots=True)
class Huber(Loss):
    """`huber`."""

    delta: float = 1.0

    def check(self) -> None:
        if self.delta <= 0:
            self.refuse("delta", "a number > 0")

    def __call__(self, y_true: Any, y_pred: Any) -> jax.Array:
        return huber(y_true, y_pred, self.delta)


_enter(binary_crossentropy, BinaryCrossentropy)
_enter(categorical_crossentropy, CategoricalCrossentropy)
_enter(sparse_categorical_crossentropy, SparseCategoricalCrossentropy)
_enter(huber, Huber, "huber_loss")
MeanSquaredError = _plain("MeanSquaredError", mse, "mse", "MSE")
MeanAbsoluteError = _plain("MeanAbsoluteError", mae, "mae", "MAE")
MeanAbsolutePercentageError = _plain(
    "MeanAbsolutePercentageError", mean_absolute_percentage_error, "mape", "MAPE"
)
MeanSquaredLogarithmicError = _plain(
    "MeanSquaredLogarithmicError", mean_squared_logarithmic_error, "msle", "MSLE"
)
Hinge = _plain("Hinge", hinge)
SquaredHinge = _plain("SquaredHinge", squared_hinge)
CategoricalHinge = _plain("CategoricalHinge", categorical_hinge)
KLDivergence = _plain("KLDivergence", kl_divergence, "kld", "KLD", "kl_divergence")
Poisson = _plain("Poisson", poisson)
CosineSimilarity = _plain(
    "CosineSimilarity", cosine_similarity, "cosine_proximity", "CosineProximity"
)
LogCosh = _plain("LogCosh", log_cosh, "logcosh", "Logcosh")


def get(identifier: object, where: str = "loss") -> Loss | None:
    """The loss that `identifier` means; None stays None.

    Args:
        identifier: What `graphjit.configurable.resolve` accepts; one of the functions
            of this module; or a user's function of (y_true, y_pred).
        where: What it was given for, for errors.

    >>> get("mse"), get(binary_crossentropy)
    (MeanSquaredError(), BinaryCrossentropy(from_logits=False, label_smoothing=0.0))

    Raises:
        CaptureError: The identifier means no loss.
    """
    if identifier is None:
        return None
    if is_plain_callable(identifier):
        known = _BY_FUNCTION.get(identifier)
        return FromCallable(identifier) if known is None else known()
    return resolve(LOSSES, identifier, where)


def label_of(identifier: object, family: Family[Any], found: Configurable) -> str:
    """How logs call what `identifier` means: the name given, or the one registered."""
    if isinstance(identifier, str):
        return identifier
    if isinstance(found, CallableSettings):
        return getattr(found.fn, "__name__", type(found.fn).__name__)
    for name, cls in family.items():
        if cls is type(found):
            return name
    return type(found).__name__
