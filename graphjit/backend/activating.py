"""Activation functions, by the ops that layers use."""

from __future__ import annotations

from typing import Any

import jax

from graphjit.backend.arrays import array, floating
from graphjit.ops import elementwise as ew
from graphjit.ops.reduce import Softmax

__all__ = [
    "elu",
    "hard_sigmoid",
    "relu",
    "sigmoid",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
]


def relu(
    x: Any,
    alpha: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
) -> jax.Array:
    """max_value where x >= max_value, x from threshold on, alpha·(x − threshold) below.

    >>> relu([-1.0, 0.5, 9.0], max_value=6).tolist()
    [0.0, 0.5, 6.0]
    """
    return ew.Relu(alpha, max_value, threshold).lower(array(x))


def elu(x: Any, alpha: float = 1.0) -> jax.Array:
    """x for x > 0, alpha·(exp(x) − 1) otherwise."""
    return ew.Elu(alpha).lower(floating(x))


def softmax(x: Any, axis: int = -1) -> jax.Array:
    """exp(x) / sum(exp(x)) along `axis`."""
    found = floating(x)
    return Softmax(axis % max(found.ndim, 1)).lower(found)


def softplus(x: Any) -> jax.Array:
    """log(1 + exp(x))."""
    return ew.Softplus().lower(floating(x))


def softsign(x: Any) -> jax.Array:
    """x / (1 + |x|)."""
    return ew.Softsign().lower(floating(x))


def sigmoid(x: Any) -> jax.Array:
    """1 / (1 + exp(−x))."""
    return ew.Sigmoid().lower(floating(x))


def hard_sigmoid(x: Any) -> jax.Array:
    """clip(0.2 x + 0.5, 0, 1).

    >>> hard_sigmoid([-3.0, 0.0, 1.0]).tolist()
    [0.0, 0.5, 0.699999988079071]
    """
    return ew.HardSigmoid().lower(floating(x))


def tanh(x: Any) -> jax.Array:
    """Hyperbolic tangent."""
    return ew.Tanh().lower(floating(x))
