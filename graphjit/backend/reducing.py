"""Reductions over axes, running sums, and normalization by them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from graphjit.backend.arrays import Axis, array, floating

__all__ = [
    "all",
    "any",
    "argmax",
    "argmin",
    "cumprod",
    "cumsum",
    "l2_normalize",
    "logsumexp",
    "max",
    "mean",
    "min",
    "prod",
    "std",
    "sum",
    "var",
]


def _axes(axis: Axis) -> int | tuple[int, ...] | None:
    return tuple(axis) if isinstance(axis, list) else axis


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> jax.Array:
    """The mean over `axis`; booleans and ints become floats.

    >>> mean([[1.0, 3.0], [5.0, 7.0]], axis=1, keepdims=True).tolist()
    [[2.0], [6.0]]
    """
    return jnp.mean(floating(x), _axes(axis), keepdims=keepdims)


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> jax.Array:
    """The sum over `axis`."""
    return jnp.sum(array(x), _axes(axis), keepdims=keepdims)


def prod(x: Any, axis: Axis = None, keepdims: bool = False) -> jax.Array:
    """The product over `axis`."""
    return jnp.prod(array(x), _axes(axis), keepdims=keepdims)


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> jax.Array:
    """The largest element over `axis`."""
    return jnp.max(array(x), _axes(axis), keepdims=keepdims)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> jax.Array:
    """The smallest element over `axis`."""
    return jnp.min(array(x), _axes(axis), keepdims=keepdims)


def var(x: Any, axis: Axis = None, keepdims: bool = False) -> jax.Array:
    """The biased variance over `axis`."""
    return jnp.var(floating(x), _axes(axis), keepdims=keepdims)


def std(x: Any, axis: Axis = None, keepdims: bool = False) -> jax.Array:
    """The square root of the biased variance over `axis`."""
    return jnp.std(floating(x), _axes(axis), keepdims=keepdims)


def any(x: Any, axis: Axis = None, keepdims: bool = False) -> jax.Array:
    """Whether one element over `axis` is not 0."""
    return jnp.any(array(x), _axes(axis), keepdims=keepdims)


def all(x: Any, axis: Axis = None, keepdims: bool = False) -> jax.Array:
    """Whether no element over `axis` is 0."""
    return jnp.all(array(x), _axes(axis), keepdims=keepdims)


def argmax(x: Any, axis: int = -1) -> jax.Array:
    """Where the largest element along `axis` is."""
    return jnp.argmax(array(x), axis)


def argmin(x: Any, axis: int = -1) -> jax.Array:
    """Where the smallest element along `axis` is."""
    return jnp.argmin(array(x), axis)


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> jax.Array:
    """log(sum(exp(x))) over `axis`, without overflow."""
    return jax.nn.logsumexp(floating(x), _axes(axis), keepdims=keepdims)


def cumsum(x: Any, axis: int = 0) -> jax.Array:
    """Running sums along `axis`."""
    return jnp.cumsum(array(x), axis)


def cumprod(x: Any, axis: int = 0) -> jax.Array:
    """Running products along `axis`."""
    return jnp.cumprod(array(x), axis)


def l2_normalize(x: Any, axis: Axis = None) -> jax.Array:
    """x / sqrt(max(sum(x²), 1e-12)) over `axis`, as TensorFlow has it."""
    found = floating(x)
    total = jnp.sum(jnp.square(found), _axes(axis), keepdims=True)
    return found * jax.lax.rsqrt(jnp.maximum(total, 1e-12))
