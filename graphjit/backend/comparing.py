"""Comparisons, element by element with broadcasting, and choices by them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from graphjit.backend.arrays import array
from graphjit.errors import ShapeError

__all__ = [
    "equal",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "maximum",
    "minimum",
    "not_equal",
    "switch",
]


def equal(x: Any, y: Any) -> jax.Array:
    """x == y."""
    return jnp.equal(array(x), array(y))


def not_equal(x: Any, y: Any) -> jax.Array:
    """x != y."""
    return jnp.not_equal(array(x), array(y))


def greater(x: Any, y: Any) -> jax.Array:
    """x > y."""
    return jnp.greater(array(x), array(y))


def greater_equal(x: Any, y: Any) -> jax.Array:
    """x >= y."""
    return jnp.greater_equal(array(x), array(y))


def less(x: Any, y: Any) -> jax.Array:
    """x < y."""
    return jnp.less(array(x), array(y))


def less_equal(x: Any, y: Any) -> jax.Array:
    """x <= y."""
    return jnp.less_equal(array(x), array(y))


def maximum(x: Any, y: Any) -> jax.Array:
    """The larger of two elements."""
    return jnp.maximum(array(x), array(y))


def minimum(x: Any, y: Any) -> jax.Array:
    """The smaller of two elements."""
    return jnp.minimum(array(x), array(y))


def switch(condition: Any, then_expression: Any, else_expression: Any) -> jax.Array:
    """The first where the condition is true, else the second.

    Both may be functions of nothing. Both are computed.

    Shapes:
        condition: the first axes of the other two   then, else: (…)  ->  (…)

    >>> switch([True, False], [[1, 2], [3, 4]], [[0, 0], [0, 0]]).tolist()
    [[1, 2], [0, 0]]
    """
    chosen, first, second = (
        array(given() if callable(given) else given)
        for given in (condition, then_expression, else_expression)
    )
    missing = max(first.ndim, second.ndim) - chosen.ndim
    if missing < 0:
        raise ShapeError(
            f"switch: expected a condition of rank <= {chosen.ndim + missing}, "
            f"received shape {chosen.shape}"
        )
    shape = (*chosen.shape, *(1,) * missing)
    return jnp.where(jnp.reshape(chosen.astype(bool), shape), first, second)
