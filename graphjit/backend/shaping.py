"""Moving, joining and repeating elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from graphjit.backend.arrays import array, arrays
from graphjit.errors import ShapeError

__all__ = [
    "batch_flatten",
    "concatenate",
    "expand_dims",
    "flatten",
    "gather",
    "permute_dimensions",
    "repeat",
    "repeat_elements",
    "reshape",
    "reverse",
    "squeeze",
    "stack",
    "tile",
    "transpose",
]


def transpose(x: Any) -> jax.Array:
    """All axes in the opposite order."""
    return jnp.transpose(array(x))


def permute_dimensions(x: Any, pattern: Sequence[int]) -> jax.Array:
    """New axis i is old axis pattern[i]."""
    return jnp.transpose(array(x), tuple(pattern))


def reshape(x: Any, shape: Sequence[int]) -> jax.Array:
    """Another shape of the same size; one -1 takes what is left."""
    return jnp.reshape(array(x), tuple(shape))


def flatten(x: Any) -> jax.Array:
    """One axis, the batch merged too."""
    return jnp.ravel(array(x))


def batch_flatten(x: Any) -> jax.Array:
    """(n, …)  ->  (n, d), all axes but the batch merged."""
    found = array(x)
    return jnp.reshape(found, (found.shape[0], -1))


def expand_dims(x: Any, axis: int = -1) -> jax.Array:
    """A new axis of size 1."""
    return jnp.expand_dims(array(x), axis)


def squeeze(x: Any, axis: int) -> jax.Array:
    """Without an axis of size 1."""
    return jnp.squeeze(array(x), axis)


def concatenate(tensors: Sequence[Any], axis: int = -1) -> jax.Array:
    """Joined along an axis."""
    return jnp.concatenate(arrays(tensors), axis)


def stack(x: Sequence[Any], axis: int = 0) -> jax.Array:
    """Joined along a new axis."""
    return jnp.stack(arrays(x), axis)


def repeat(x: Any, n: int) -> jax.Array:
    """(samples, d)  ->  (samples, n, d)."""
    found = array(x)
    if found.ndim != 2:
        message = f"expected an array of rank 2, received shape {found.shape}"
        raise ShapeError(f"repeat: {message}")
    return jnp.repeat(found[:, None], n, 1)


def repeat_elements(x: Any, rep: int, axis: int) -> jax.Array:
    """Every element `rep` times along `axis`.

    >>> repeat_elements([[1, 2]], 2, axis=1).tolist()
    [[1, 1, 2, 2]]
    """
    return jnp.repeat(array(x), rep, axis)


def tile(x: Any, n: int | Sequence[int]) -> jax.Array:
    """The whole array n times, along each axis as often as `n` says."""
    return jnp.tile(array(x), n if isinstance(n, int) else tuple(n))


def reverse(x: Any, axes: int | Sequence[int]) -> jax.Array:
    """The elements along `axes` in the opposite order."""
    return jnp.flip(array(x), axes if isinstance(axes, int) else tuple(axes))


def gather(reference: Any, indices: Any) -> jax.Array:
    """Rows of `reference`; of floats an index out of range gives NaN.

    Shapes:
        reference: (k, …)   indices: int (i, …)  ->  (i, …, …)
    """
    return jnp.take(array(reference), array(indices), axis=0)
