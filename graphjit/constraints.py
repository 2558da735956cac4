"""Constraints: projections applied to a weight after every training step.

A norm is taken over `axis`, which is summed out: axis 0 of a Dense kernel gives one
norm per unit, axes (0, 1, 2) of a 2-D convolution kernel one per filter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

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
    "CONSTRAINTS",
    "Constraint",
    "FromCallable",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "UnitNorm",
    "get",
    "max_norm",
    "maxnorm",
    "min_max_norm",
    "non_neg",
    "nonneg",
    "unit_norm",
    "unitnorm",
]

_Axes: TypeAlias = int | tuple[int, ...]

# Keras's epsilon: a weight of norm 0 stays 0.
_EPSILON: Final = 1e-7


@dataclass(frozen=True, slots=True)
class Constraint(Configurable, ABC):
    """Base of the constraints."""

    @abstractmethod
    def project(self, w: jax.Array) -> jax.Array:
        """The allowed weight that takes the place of `w`; works under jit.

        Shapes:
            w: any  ->  the same

        Raises:
            ShapeError: `w` lacks an axis that the constraint names.
        """


@dataclass(frozen=True, slots=True)
class MaxNorm(Constraint):
    """w · clip(n, 0, max_value) / (n + 1e-7), n the norm over `axis`.

    Example:
        >>> MaxNorm(1.0).project(jnp.array([[3.0], [4.0]])).round(3).tolist()
        [[0.6000000238418579], [0.800000011920929]]
    """

    config_aliases: ClassVar[Mapping[str, str]] = {"m": "max_value"}

    max_value: float = 2.0
    axis: _Axes = 0

    def check(self) -> None:
        if self.max_value < 0:
            self.refuse("max_value", "a number >= 0")
        _check_axes(self, self.axis)

    def project(self, w: jax.Array) -> jax.Array:
        wide = _widened(w)
        n = _norm(self, wide, self.axis)
        scale = jnp.clip(n, 0, self.max_value) / (n + _EPSILON)
        return (wide * scale).astype(w.dtype)


@dataclass(frozen=True, slots=True)
class NonNeg(Constraint):
    """max(w, 0)."""

    def project(self, w: jax.Array) -> jax.Array:
        return jnp.maximum(w, 0)


@dataclass(frozen=True, slots=True)
class UnitNorm(Constraint):
    """w / (n + 1e-7), n the norm over `axis`."""

    axis: _Axes = 0

    def check(self) -> None:
        _check_axes(self, self.axis)

    def project(self, w: jax.Array) -> jax.Array:
        wide = _widened(w)
        return (wide / (_norm(self, wide, self.axis) + _EPSILON)).astype(w.dtype)


@dataclass(frozen=True, slots=True)
class MinMaxNorm(Constraint):
    """w · (rate · clip(n, min_value, max_value) + (1 - rate) · n) / (n + 1e-7).

    Args:
        min_value: The least norm.
        max_value: The greatest norm.
        rate: 1 enforces the bounds at once, less moves towards them at each step.
        axis: The axes of the norm n.
    """

    config_aliases: ClassVar[Mapping[str, str]] = {
        "low": "min_value",
        "high": "max_value",
    }

    min_value: float = 0.0
    max_value: float = 1.0
    rate: float = 1.0
    axis: _Axes = 0

    def check(self) -> None:
        if self.min_value < 0:
            self.refuse("min_value", "a number >= 0")
        if self.max_value < self.min_value:
            self.refuse("max_value", f"at least min_value = {self.min_value}")
        _check_axes(self, self.axis)

    def project(self, w: jax.Array) -> jax.Array:
        wide = _widened(w)
        n = _norm(self, wide, self.axis)
        clipped = jnp.clip(n, self.min_value, self.max_value)
        wanted = self.rate * clipped + (1 - self.rate) * n
        return (wide * (wanted / (n + _EPSILON))).astype(w.dtype)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FromCallable(CallableSettings, Constraint):
    """A user's function from a weight to a weight of the same shape."""

    saving_hint: ClassVar[str] = (
        "use a named constraint, or enter a subclass of Constraint in CONSTRAINTS"
    )

    def project(self, w: jax.Array) -> jax.Array:
        value = jnp.asarray(self.fn(w), w.dtype)
        if value.shape != w.shape:
            wanted = f"an array of shape {w.shape}"
            expected(ShapeError, repr(self), wanted, value.shape)
        return value


def _check_axes(owner: Constraint, axis: _Axes) -> None:
    axes = (axis,) if isinstance(axis, int) else axis
    if not axes or len(set(axes)) != len(axes):
        owner.refuse("axis", "one or more different axes")


def _widened(w: jax.Array) -> jax.Array:
    # float16 has neither an epsilon of 1e-7 nor room for squares.
    return w.astype(jnp.float32) if w.dtype.itemsize < 4 else w


def _norm(owner: Constraint, w: jax.Array, axis: _Axes) -> jax.Array:
    """The Euclidean norm over `axis`, which stays with size 1."""
    for each in (axis,) if isinstance(axis, int) else axis:
        if not -w.ndim <= each < w.ndim:
            where = f"{type(owner).__name__}: axis"
            expected(ShapeError, where, f"an axis of a weight {w.shape}", each)
    return jnp.sqrt(jnp.sum(jnp.square(w), axis=axis, keepdims=True))


CONSTRAINTS: Final[Family[Constraint]] = Family("constraint", Constraint)
CONSTRAINTS.add("MaxNorm", MaxNorm, "max_norm", "maxnorm")
CONSTRAINTS.add("NonNeg", NonNeg, "non_neg", "nonneg")
CONSTRAINTS.add("UnitNorm", UnitNorm, "unit_norm", "unitnorm")
CONSTRAINTS.add("MinMaxNorm", MinMaxNorm, "min_max_norm")

max_norm = maxnorm = MaxNorm
non_neg = nonneg = NonNeg
unit_norm = unitnorm = UnitNorm
min_max_norm = MinMaxNorm


def get(identifier: object, where: str = "constraint") -> Constraint | None:
    """The constraint that `identifier` means; None stays None.

    Args:
        identifier: What `graphjit.configurable.resolve` accepts, or a function.
        where: What it was given for, for errors.

    Example:
        >>> get("non_neg"), get({"name": "MaxNorm", "m": 3, "axis": [0, 1]})
        (NonNeg(), MaxNorm(max_value=3.0, axis=(0, 1)))

    Raises:
        CaptureError: The identifier means no constraint.
    """
    if identifier is None:
        return None
    if is_plain_callable(identifier):
        return FromCallable(identifier)
    return resolve(CONSTRAINTS, identifier, where)
