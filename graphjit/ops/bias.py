"""Adding a bias, with a gradient that narrow floats do not spoil."""

from __future__ import annotations

from graphjit.ops.base import Array
from graphjit.ops.wide_sums import spread

__all__ = ["with_bias"]


def with_bias(y: Array, bias: Array | None) -> Array:
    """y + bias, where there is one; the gradient to it is summed in float32 at least.

    In bfloat16, over the pixels of 8 maps of 56x56, it was a tenth off.

    Shapes:
        y: (n, h, w, c)   bias: (c,), or whatever broadcasts  ->  (n, h, w, c)
    """
    return y if bias is None else y + spread(bias, y.shape)
