"""Three-dimensional convolutions as two-dimensional ones with depth in the channels.

XLA:CPU convolves volumes several times slower than images, and their gradients slower
still. The slices that the taps along depth read, side by side as channels, make it one
convolution of images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from graphjit.ops.base import Array, Kernel, Rule, with_fields
from graphjit.ops.bias import with_bias
from graphjit.ops.conv.canonical_backward import CANONICAL_BACKWARD
from graphjit.ops.conv.sliding import widened
from graphjit.ops.windows import explicit_pads, span
from graphjit.types import TensorType

__all__ = ["DEPTH_IN_CHANNELS"]


def _can(op: Any, types: Sequence[TensorType | None]) -> bool:
    return op.rank == 3 and op.groups == 1 and None not in types[:2]


def _lower(op: Any, x: Array, kernel: Array, bias: Array | None = None) -> Array:
    """One 2-D convolution of all slices that come out.

    Shapes:
        x: (n, d, h, w, c)   kernel: (kd, kh, kw, c, k)  ->  (n, d', h', w', k)
    """
    rates = op.rates()
    windows = [span(k, r) for k, r in zip(kernel.shape[:3], rates, strict=True)]
    pads = explicit_pads(op.padding, x.shape[1:4], windows, op.strides)
    assert pads is not None
    flat = with_fields(op, strides=op.strides[1:], padding=pads[1:], dilation=rates[1:])
    # The slopes of a slice are sums over the taps that read it: in float32 at least.
    volume, taps = widened(x, kernel)
    images = _side_by_side(volume, kernel.shape[0], op.strides[0], pads[0], rates[0])
    _, high, wide, channels, filters = kernel.shape
    taps = jnp.transpose(taps, (1, 2, 0, 3, 4))
    y = CANONICAL_BACKWARD.lower(
        flat,
        images.reshape(-1, *images.shape[2:]),
        taps.reshape(high, wide, kernel.shape[0] * channels, filters),
    )
    y = y.reshape(*images.shape[:2], *y.shape[1:]).astype(x.dtype)
    return with_bias(y, bias)


def _side_by_side(
    x: Array, taps: int, stride: int, pads: tuple[int, int], rate: int
) -> Array:
    """What every tap along depth reads, as channels.

    Shapes:
        x: (n, d, h, w, c)  ->  (n, d', h, w, kd * c)
    """
    # Rows and columns as one axis, zeros joined on: pads of five axes take twice as
    # long to compile, and longer to run.
    flat = x.reshape(*x.shape[:2], x.shape[2] * x.shape[3], x.shape[-1])

    def zeros(count: int) -> Array:
        return jnp.zeros((flat.shape[0], count, *flat.shape[2:]), x.dtype)

    if any(pads):
        flat = jnp.concatenate([zeros(pads[0]), flat, zeros(pads[1])], 1)
    windows = (flat.shape[1] - span(taps, rate)) // stride + 1
    slices = [
        jax.lax.slice_in_dim(
            flat, first, first + (windows - 1) * stride + 1, stride, axis=1
        )
        for first in range(0, taps * rate, rate)
    ]
    joined = jnp.concatenate(slices, -1)
    return joined.reshape(*joined.shape[:2], *x.shape[2:4], joined.shape[-1])


DEPTH_IN_CHANNELS = Kernel(
    name="depth_in_channels",
    can=_can,
    lower=_lower,
    rules=(
        Rule(
            "cpu",
            "16 shapes, 1 to 256 ch, b1 to b32: forward 1.5-12x, with gradients "
            "1.8-11x, 50-250x where strided; prototype, 9 shapes: 2.7-22x and 2.9-168x",
        ),
    ),
)
