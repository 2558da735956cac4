"""Adding a bias, with a gradient that narrow floats do not spoil."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from graphjit.ops.base import Array
from graphjit.ops.conv.sliding import sum_dtype, widened

__all__ = ["with_bias"]


def with_bias(y: Array, bias: Array | None) -> Array:
    """y + bias, where there is one; the gradient to it is summed in float32 at least.

    XLA takes a sum over several axes apart and rounds what lies between to the dtype of
    y: in bfloat16, over the pixels of 8 maps of 56x56, the gradient was a tenth off.

    Shapes:
        y: (n, h, w, c)   bias: (c,), or whatever broadcasts  ->  (n, h, w, c)
    """
    if bias is None:
        return y
    if sum_dtype(y.dtype) == y.dtype:
        return y + bias
    total: Any = _narrow_sum(y, bias)
    return total


@jax.custom_jvp
def _narrow_sum(y: Array, bias: Array) -> Array:
    return y + bias


@_narrow_sum.defjvp
def _narrow_slope(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    y = jnp.add(*primals)
    return y, jnp.add(*widened(*tangents)).astype(y.dtype)
