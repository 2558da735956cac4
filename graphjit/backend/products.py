"""Products of matrices and of batches."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from graphjit.backend.arrays import array
from graphjit.errors import ShapeError
from graphjit.narrow import sequence_of

__all__ = ["batch_dot", "dot"]


def dot(x: Any, y: Any) -> jax.Array:
    """The sum over the last axis of x and the second last of y (the only one of 1-D).

    Shapes:
        x: (…, k)   y: (…, k, m)  ->  (…, …, m)

    >>> dot([[1.0, 2.0]], [[3.0], [4.0]]).tolist()
    [[11.0]]
    """
    return jnp.dot(array(x), array(y))


def batch_dot(x: Any, y: Any, axes: Any = None) -> jax.Array:
    """For each row of the batch the sum over one axis of x and one of y.

    Shapes:
        x: (n, a…, k, b…)   y: (n, c…, k, d…)  ->  (n, a…, b…, c…, d…); (n, 1) for 2-D

    Args:
        x: At least 2-D.
        y: At least 2-D.
        axes: An axis, or one of x and one of y; None for the last of x, and the last
            of y where it is 2-D, else its second last.

    Raises:
        ShapeError: Axis 0 is summed, or the two axes have different sizes.

    >>> batch_dot([[1.0, 2.0], [3.0, 4.0]], [[1.0, 1.0], [2.0, 0.0]]).tolist()
    [[3.0], [6.0]]
    """
    a, b = array(x), array(y)
    if a.ndim < 2 or b.ndim < 2:
        raise ShapeError(
            f"batch_dot: expected arrays of rank >= 2, received shapes {a.shape} and "
            f"{b.shape}"
        )
    if axes is None:
        axes = [a.ndim - 1, b.ndim - 1 if b.ndim == 2 else b.ndim - 2]
    pair = sequence_of(axes) or [axes, axes]
    if len(pair) != 2:
        raise ShapeError(f"batch_dot: axes: expected an axis or two, received {axes}")
    first, second = pair[0] % a.ndim, pair[1] % b.ndim
    if first == 0 or second == 0:
        message = "axes: expected axes other than the batch (axis 0), received"
        raise ShapeError(f"batch_dot: {message} {axes}")
    if a.shape[first] != b.shape[second]:
        raise ShapeError(
            f"batch_dot: expected axes of one size, received {a.shape[first]} (axis "
            f"{first} of {a.shape}) and {b.shape[second]} (axis {second} of {b.shape})"
        )
    summed = (((first,), (second,)), ((0,), (0,)))
    result = jax.lax.dot_general(a, b, summed)
    return result[:, None] if result.ndim == 1 else result
