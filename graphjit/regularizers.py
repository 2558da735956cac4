"""Regularizers: scalar penalties on weights and activities, added to the loss.

Every penalty sums over the elements. Names are those of Keras 1, 2 and 3; one given by
a bare name has the factor 0.01.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Self

import jax
import jax.numpy as jnp

from graphjit.configurable import (
    CallableSettings,
    Configurable,
    Family,
    is_plain_callable,
    resolve,
)
from graphjit.errors import ShapeError, expected

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "REGULARIZERS",
    "FromCallable",
    "OrthogonalRegularizer",
    "Regularizer",
    "get",
    "l1",
    "l1_l2",
    "l1l2",
    "l2",
    "orthogonal_regularizer",
]

_DEFAULT_FACTOR: Final = 0.01
# The least norm that a vector is divided by, as in Keras 3.
_EPSILON: Final = 1e-7


@dataclass(frozen=True, slots=True)
class Regularizer(Configurable, ABC):
    """Base of the regularizers."""

    @abstractmethod
    def penalty(self, w: jax.Array) -> jax.Array:
        """The penalty on `w`; works under jit and grad.

        Shapes:
            w: any  ->  (), in float32 at least: a sum over many elements, and a part
            of the loss
        """


@dataclass(frozen=True, slots=True)
class L1(Regularizer):
    """l1 · Σ|w|.

    Example:
        >>> float(L1(0.5).penalty(jnp.array([1.0, -2.0])))
        1.5
    """

    # tf.keras took Keras 1's name for the factor too.
    config_aliases: ClassVar[Mapping[str, str]] = {"l": "l1"}

    l1: float = _DEFAULT_FACTOR

    def check(self) -> None:
        _check_factor(self, "l1", self.l1)

    def penalty(self, w: jax.Array) -> jax.Array:
        return self.l1 * jnp.sum(jnp.abs(_widened(w)))


@dataclass(frozen=True, slots=True)
class L2(Regularizer):
    """l2 · Σw².

    Example:
        >>> float(L2(0.5).penalty(jnp.array([1.0, -2.0])))
        2.5
    """

    config_aliases: ClassVar[Mapping[str, str]] = {"l": "l2"}

    l2: float = _DEFAULT_FACTOR

    def check(self) -> None:
        _check_factor(self, "l2", self.l2)

    def penalty(self, w: jax.Array) -> jax.Array:
        return self.l2 * jnp.sum(jnp.square(_widened(w)))


@dataclass(frozen=True, slots=True)
class L1L2(Regularizer):
    """l1 · Σ|w| + l2 · Σw². The class's factors are 0 unless given; by name, 0.01."""

    l1: float = 0.0
    l2: float = 0.0

    def check(self) -> None:
        _check_factor(self, "l1", self.l1)
        _check_factor(self, "l2", self.l2)

    @classmethod
    def named(cls) -> Self:
        return cls(_DEFAULT_FACTOR, _DEFAULT_FACTOR)

    def penalty(self, w: jax.Array) -> jax.Array:
        wide = _widened(w)
        total = jax.lax.full((), 0.0, wide.dtype)
        # A term with factor 0 is left out, so that 0 · inf cannot make it NaN.
        if self.l1:
            total += self.l1 * jnp.sum(jnp.abs(wide))
        if self.l2:
            total += self.l2 * jnp.sum(jnp.square(wide))
        return total


@dataclass(frozen=True, slots=True)
class OrthogonalRegularizer(Regularizer):
    """factor · the mean |cosine| between two different rows (columns) of a matrix.

    A matrix of one row has no pairs, and no penalty.

    Args:
        factor: A number >= 0.
        mode: "rows" or "columns".

    Shapes:
        w: (rows, columns)  ->  ()
    """

    factor: float = _DEFAULT_FACTOR
    mode: Literal["rows", "columns"] = "rows"

    def check(self) -> None:
        _check_factor(self, "factor", self.factor)

    def penalty(self, w: jax.Array) -> jax.Array:
        if w.ndim != 2:
            expected(ShapeError, "OrthogonalRegularizer", "a 2-D weight", w.shape)
        rows = _widened(w if self.mode == "rows" else w.T)
        squares = jnp.sum(jnp.square(rows), axis=1, keepdims=True)
        # A row of zeros stays zeros, and its gradient is 0 and not NaN.
        inverse = jax.lax.rsqrt(jnp.where(squares > 0, squares, 1.0))
        rows = rows * jnp.minimum(inverse, 1.0 / _EPSILON)
        cosines = jnp.abs(rows @ rows.T)
        size = rows.shape[0]
        index = jax.lax.iota("int32", size)
        others = jnp.where(index[:, None] != index, cosines, 0.0)
        return self.factor * jnp.sum(others) / max(size * (size - 1), 1)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FromCallable(CallableSettings, Regularizer):
    """A user's function from an array to a scalar."""

    saving_hint: ClassVar[str] = (
        "use a named regularizer, or enter a subclass of Regularizer in REGULARIZERS"
    )

    def penalty(self, w: jax.Array) -> jax.Array:
        value = jnp.asarray(self.fn(w))
        if value.shape:
            expected(ShapeError, repr(self), "a scalar", value.shape)
        return value


def _widened(w: jax.Array) -> jax.Array:
    return w.astype(jnp.float32) if w.dtype.itemsize < 4 else w


def _check_factor(owner: Regularizer, field: str, value: float) -> None:
    if value < 0:
        owner.refuse(field, "a number >= 0")


# Keras 1 calls the factor `l`, Keras 3 calls it like the function.
def l1(l: float = _DEFAULT_FACTOR, *, l1: float | None = None) -> L1:  # noqa: E741
    """`L1`, as Keras 1 and 2 (``l1(l=0.1)``) and Keras 3 (``l1(l1=0.1)``) spell it."""
    return L1(l if l1 is None else l1)


def l2(l: float = _DEFAULT_FACTOR, *, l2: float | None = None) -> L2:  # noqa: E741
    """`L2`, as Keras 1 and 2 (``l2(l=0.1)``) and Keras 3 (``l2(l2=0.1)``) spell it."""
    return L2(l if l2 is None else l2)


def l1_l2(l1: float = _DEFAULT_FACTOR, l2: float = _DEFAULT_FACTOR) -> L1L2:
    """`L1L2` with both factors 0.01 unless given."""
    return L1L2(l1, l2)


l1l2 = l1_l2
orthogonal_regularizer = OrthogonalRegularizer

REGULARIZERS: Final[Family[Regularizer]] = Family("regularizer", Regularizer)
REGULARIZERS.add("L1", L1, "l1", "activity_l1")
REGULARIZERS.add("L2", L2, "l2", "activity_l2")
REGULARIZERS.add(
    "L1L2",
    L1L2,
    "l1_l2",
    "l1l2",
    # Keras 1: its functions, and the class names in its configs.
    "activity_l1l2",
    "L1L2Regularizer",
    "WeightRegularizer",
    "ActivityRegularizer",
)
REGULARIZERS.add(
    "OrthogonalRegularizer", OrthogonalRegularizer, "orthogonal_regularizer"
)


def get(identifier: object, where: str = "regularizer") -> Regularizer | None:
    """The regularizer that `identifier` means; None stays None.

    Args:
        identifier: What `graphjit.configurable.resolve` accepts, or a function.
        where: What it was given for, for errors.

    Example:
        >>> get("l2"), get({"name": "L1L2Regularizer", "l1": 0.0, "l2": 0.1})
        (L2(l2=0.01), L1L2(l1=0.0, l2=0.1))

    Raises:
        CaptureError: The identifier means no regularizer.
    """
    if identifier is None:
        return None
    if is_plain_callable(identifier):
        return FromCallable(identifier)
    return resolve(REGULARIZERS, identifier, where)
