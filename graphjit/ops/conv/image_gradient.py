"""The gradient of a dense 2-D convolution to its image, in forms XLA:CPU runs fast.

Autodiff asks for a convolution with a reversed kernel whose channels are swapped and,
after a strided one, zeros between the slopes: canonical for XLA:CPU only outside of
loops. Here it is canonical as it stands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from graphjit.ops.base import Array
from graphjit.ops.conv.sliding import NHWC, Sliding, fitted, with_pads
from graphjit.ops.windows import span

__all__ = ["as_convolution", "image_gradient"]

#: Up to this many taps, a strided gradient is a product for each of them.
_FEW_TAPS = 9

#: Products with fewer channels than this are too thin to pay.
_FEW_CHANNELS = 16

#: Up to this many windows, turning the kernel round takes longer than the products.
_FEW_WINDOWS = 512


def image_gradient(
    sliding: Sliding, slope: Array, kernel: Array, lengths: Sequence[int]
) -> Array:
    """What each element of the image adds to the result, times the slope.

    Shapes:
        slope: (n, h', w', k)   kernel: (kh, kw, c, k)  ->  (n, h, w, c)

    Args:
        sliding: Where the windows lie.
        slope: The gradient to the convolution's result, in the dtype to sum in.
        kernel: The kernel, in that dtype.
        lengths: (h, w).
    """
    few_taps = kernel.shape[0] * kernel.shape[1] <= _FEW_TAPS
    few_windows = math.prod(slope.shape[:3]) <= _FEW_WINDOWS
    if sliding.strides == (1, 1):
        if few_taps and few_windows:
            return _by_taps(sliding, slope, kernel, lengths)
        return as_convolution(sliding, slope, kernel, lengths)
    if kernel.shape[2] < _FEW_CHANNELS:
        return as_convolution(sliding, slope, kernel, lengths)
    if few_taps or sliding.rates != (1, 1):
        return _by_taps(sliding, slope, kernel, lengths)
    return _by_phases(sliding, slope, kernel, lengths)


def _turned(kernel: Array) -> Array:
    """Last tap first, input and output channels swapped."""
    return jnp.swapaxes(kernel[::-1, ::-1], 2, 3)


def as_convolution(
    sliding: Sliding, slope: Array, kernel: Array, lengths: Sequence[int]
) -> Array:
    """A convolution of the slopes, moved apart, with the kernel turned round."""
    strides = sliding.strides
    rows, columns = (
        (span(tap, rate) - 1 - before, length - (out - 1) * stride - 1 + before)
        for tap, rate, before, length, out, stride in zip(
            kernel.shape[:2],
            sliding.rates,
            sliding.before,
            lengths,
            slope.shape[1:3],
            strides,
            strict=True,
        )
    )
    apart, pads = with_pads(slope, rows, columns, strides)
    return jax.lax.conv_general_dilated(
        apart,
        _turned(kernel),
        (1, 1),
        pads,
        rhs_dilation=sliding.rates,
        dimension_numbers=NHWC,
    )


def _by_taps(
    sliding: Sliding, slope: Array, kernel: Array, lengths: Sequence[int]
) -> Array:
    """Any stride: for each tap a product, its rows moved apart to where it read."""
    batch, rows, columns, filters = slope.shape
    flat = slope.reshape(-1, filters)
    down, right = sliding.strides
    total: Array | None = None
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            # g @ k.T without the transpose.
            product = jax.lax.dot_general(flat, kernel[i, j], (((1,), (1,)), ((), ())))
            product = product.reshape(batch, rows, columns, -1)
            top = i * sliding.rates[0] - sliding.before[0]
            left = j * sliding.rates[1] - sliding.before[1]
            term = fitted(
                product,
                (top, lengths[0] - top - (rows - 1) * down - 1),
                (left, lengths[1] - left - (columns - 1) * right - 1),
                sliding.strides,
            )
            total = term if total is None else total + term
    assert total is not None
    return total


def _by_phases(
    sliding: Sliding, slope: Array, kernel: Array, lengths: Sequence[int]
) -> Array:
    """Sub-pixel phases: rows u with the same ``u mod stride`` see the same taps.

    One convolution of stride 1 with every stride-th tap for each phase, and the phases
    woven into one image (arXiv:1609.05158).
    """
    down, right = sliding.strides
    counts = (-(-lengths[0] // down), -(-lengths[1] // right))
    grid: list[Array] = []
    for a in range(down):
        line = [_phase(sliding, slope, kernel, (a, b), counts) for b in range(right)]
        grid.append(jnp.stack(line, 3))
    woven = jnp.stack(grid, 2)
    batch, channels = slope.shape[0], kernel.shape[2]
    whole = woven.reshape(batch, counts[0] * down, counts[1] * right, channels)
    return whole[:, : lengths[0], : lengths[1]]


def _phase(
    sliding: Sliding,
    slope: Array,
    kernel: Array,
    phase: tuple[int, int],
    counts: tuple[int, int],
) -> Array:
    """Rows ``phase + stride * q`` of the gradient, for q below `counts`.

    ``u + before = stride * y + i``: with ``u + before = stride * (q + first) + tap``
    for the smallest tap, row q is the sum over t of ``slope[q + first - t]`` times
    ``kernel[tap + stride * t]``.
    """
    pads: list[tuple[int, int]] = []
    starts: list[int] = []
    for axis in (0, 1):
        stride = sliding.strides[axis]
        first, tap = divmod(phase[axis] + sliding.before[axis], stride)
        seen = len(range(tap, kernel.shape[axis], stride))
        starts.append(tap)
        last = counts[axis] - 1 + first
        pads.append((seen - 1 - first, last - (slope.shape[axis + 1] - 1)))
    taps = kernel[starts[0] :: sliding.strides[0], starts[1] :: sliding.strides[1]]
    if not taps.shape[0] or not taps.shape[1]:
        return jnp.zeros((slope.shape[0], *counts, kernel.shape[2]), slope.dtype)
    return jax.lax.conv_general_dilated(
        fitted(slope, pads[0], pads[1]),
        _turned(taps),
        (1, 1),
        "VALID",
        dimension_numbers=NHWC,
    )
