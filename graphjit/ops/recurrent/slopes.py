"""Derivatives of activation functions from what they give, not from what they took."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import jax.numpy as jnp

from graphjit.ops.base import Array, Op
from graphjit.ops.elementwise import (
    HardSigmoid,
    HardSigmoidRelu6,
    Relu,
    Sigmoid,
    Tanh,
)

__all__ = ["has_slope", "slope_of"]

#: f'(x) in terms of y = f(x).
Slope = Callable[[Array], Any]


def _inside(value: float) -> Slope:
    return lambda y: jnp.where((y > 0) & (y < 1), jnp.asarray(value, y.dtype), 0)


_SLOPES: Final[dict[Op | None, Slope]] = {
    None: lambda y: 1.0,
    Tanh(): lambda y: 1 - y * y,
    Sigmoid(): lambda y: y * (1 - y),
    HardSigmoid(): _inside(0.2),
    HardSigmoidRelu6(): _inside(1 / 6),
    Relu(): lambda y: (y > 0).astype(y.dtype),
}


def has_slope(op: Op | None) -> bool:
    """Whether the derivative of an activation function is known by its result.

    >>> has_slope(Tanh()), has_slope(Relu(max_value=6.0))
    (True, False)
    """
    return op in _SLOPES


def slope_of(op: Op | None) -> Slope:
    """The derivative of an activation function, of its result.

    >>> slope_of(Tanh())(jnp.tanh(jnp.zeros(2))).tolist()
    [1.0, 1.0]
    """
    return _SLOPES[op]
