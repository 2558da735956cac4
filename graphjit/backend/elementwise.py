"""Functions of each element of one array."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from graphjit.backend.arrays import array, floating
from graphjit.narrow import sequence_of

__all__ = [
    "abs",
    "clip",
    "cos",
    "exp",
    "log",
    "pow",
    "round",
    "sign",
    "sin",
    "sqrt",
    "square",
    "stop_gradient",
]


def square(x: Any) -> jax.Array:
    """x²."""
    return jnp.square(array(x))


def abs(x: Any) -> jax.Array:
    """|x|."""
    return jnp.abs(array(x))


def sqrt(x: Any) -> jax.Array:
    """The square root, 0 for what is negative."""
    return jnp.sqrt(jnp.maximum(floating(x), 0))


def exp(x: Any) -> jax.Array:
    """e to the x."""
    return jnp.exp(floating(x))


def log(x: Any) -> jax.Array:
    """The natural logarithm."""
    return jnp.log(floating(x))


def sin(x: Any) -> jax.Array:
    """The sine."""
    return jnp.sin(floating(x))


def cos(x: Any) -> jax.Array:
    """The cosine."""
    return jnp.cos(floating(x))


def pow(x: Any, a: Any) -> jax.Array:
    """x to the a."""
    return jnp.power(array(x), a)


def round(x: Any) -> jax.Array:
    """The nearest whole number, the even one from the middle."""
    return jnp.round(array(x))


def sign(x: Any) -> jax.Array:
    """−1, 0 or 1."""
    return jnp.sign(array(x))


def clip(
    x: Any, min_value: float | None = None, max_value: float | None = None
) -> jax.Array:
    """x between two numbers; None is no bound, and the lower one goes first.

    >>> clip([-2, 0, 5], 0, 3).tolist()
    [0, 0, 3]
    """
    if min_value is not None and max_value is not None and max_value < min_value:
        max_value = min_value
    return jnp.clip(array(x), min_value, max_value)


def stop_gradient(variables: Any) -> Any:
    """The same array, or list of them, which gradients do not pass."""
    items = sequence_of(variables)
    if items is None or not any(hasattr(item, "dtype") for item in items):
        return jax.lax.stop_gradient(array(variables))
    return [jax.lax.stop_gradient(array(item)) for item in items]
