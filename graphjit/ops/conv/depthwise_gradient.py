"""The gradients of a depthwise convolution, as sums of shifted images too."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from graphjit.ops.base import Array
from graphjit.ops.conv.shifted_sum import MOST_TAPS, shifted_sum
from graphjit.ops.wide_sums import sum_dtype
from graphjit.ops.window_steps import Steps, interleaved, padded, window

__all__ = ["image_slopes", "kernel_slopes"]

#: Products in all the sums of the gradient to the kernel, about: what is left for a
#: reduction shrinks with their number, compiling takes longer.
_PRODUCTS = 72
_LEAST_BLOCKS = 4


# --- to the image ---------------------------------------------------------------------


def image_slopes(
    slopes: Array,
    kernel: Array | None,
    axes: Sequence[Steps],
    sizes: Sequence[int],
) -> Array:
    """The gradient to x: for every phase of the strides a sum of shifted slopes.

    Args:
        slopes: The gradient to the result.
        kernel: The weights; None: all are 1.
        axes: The windows of the convolution.
        sizes: The spatial sizes of x.

    Shapes:
        slopes: (n, h', w', c)   kernel: (kh, kw, c)  ->  (n, h, w, c)
    """

    def part(steps: tuple[Steps, ...], taps: tuple[tuple[int, ...], ...]) -> Array:
        chosen = kernel
        for axis, fitting in enumerate(taps):
            if chosen is not None:
                chosen = jnp.take(chosen, np.asarray(fitting, int), axis)
        return shifted_sum(slopes, chosen, steps)

    return interleaved(axes, sizes, part)


# --- to the kernel --------------------------------------------------------------------


def kernel_slopes(x: Array, slopes: Array, axes: Sequence[Steps]) -> Array:
    """The gradient to the kernel: for each tap the sum of what it read times slopes.

    XLA:CPU adds up along the leading axes one number at a time. So the rows are cut
    into a few blocks, which are added up first, element by element, in one vectorised
    loop; only what is left goes to a reduction.

    Shapes:
        x: (n, h, w, c)   slopes: (n, h', w', c)  ->  (kh, kw, c)
    """
    count = math.prod(steps.taps for steps in axes)
    dtype = sum_dtype(x.dtype)
    taps = [steps.taps for steps in axes]
    if 0 in slopes.shape or 0 in x.shape:
        return jnp.zeros((*taps, x.shape[-1]), dtype)
    if count > MOST_TAPS:
        return _tap_by_tap(x, slopes, axes)
    length = axes[0].length
    blocks = min(length, max(_LEAST_BLOCKS, _PRODUCTS // count))
    rows = -(-length // blocks)
    positions = tuple(range(len(axes) + 1))
    found: list[Array] = []
    for outer in itertools.product(*(range(tap) for tap in taps[:-1])):
        sums = [
            _block_sum(x, slopes, axes, (*outer, tap), rows) for tap in range(taps[-1])
        ]
        # Stacked they are one array, made before it is reduced. By themselves XLA:CPU
        # gives sum and reduction to YNNPACK together, which copies every window first.
        found.append(jnp.sum(jnp.stack(sums, -2), positions))
    return jnp.reshape(jnp.stack(found), (*taps, x.shape[-1]))


def _block_sum(
    x: Array, slopes: Array, axes: Sequence[Steps], tap: tuple[int, ...], rows: int
) -> Array:
    """What a tap read times the slopes, summed over blocks of `rows` output rows.

    Outputs at which the tap lies outside x are left out, rows when blocks are added,
    the others from the whole sum.

    Shapes:
        x: (n, h, w, c)   slopes: (n, h', w', c)  ->  (n, rows, w', c)
    """
    ranges = [
        steps.valid(at, size)
        for steps, at, size in zip(axes, tap, x.shape[1:-1], strict=True)
    ]
    dtype = sum_dtype(x.dtype)
    zero = jnp.zeros((), dtype)
    whole = (x.shape[0], rows, *(steps.length for steps in axes[1:]), x.shape[-1])
    total: Array | None = None
    for block in range(0, axes[0].length, rows):
        first, stop = max(block, ranges[0][0]), min(block + rows, ranges[0][1])
        here = [(first, stop), *ranges[1:]]
        if any(a >= b for a, b in here):
            continue
        seen = window(x, axes, tap, here).astype(dtype)
        begin, end = (0, *(a for a, _ in here), 0), (*(b for _, b in here),)
        by = jax.lax.slice(slopes, begin, (x.shape[0], *end, x.shape[-1]))
        term = seen * by.astype(dtype)
        if (first, stop) != (block, block + rows):
            edge = (first - block, block + rows - stop, 0)
            none = [(0, 0, 0)] * len(axes)
            term = jax.lax.pad(term, zero, [(0, 0, 0), edge, *none])
        total = term if total is None else total + term
    if total is None:
        return jnp.zeros(whole, dtype)
    around = [
        (a, steps.length - b, 0)
        for steps, (a, b) in zip(axes[1:], ranges[1:], strict=True)
    ]
    return jax.lax.pad(total, zero, [(0, 0, 0), (0, 0, 0), *around, (0, 0, 0)])


def _tap_by_tap(x: Array, slopes: Array, axes: Sequence[Steps]) -> Array:
    """The same in a loop over the taps, for kernels of very many."""
    dtype = sum_dtype(x.dtype)
    wider, inner = padded(x, axes)
    sizes = [(steps.length - 1) * steps.stride + 1 for steps in inner]
    strides = (1, *(steps.stride for steps in inner), 1)
    taps = [steps.taps for steps in inner]

    def one(index: Array) -> Array:
        starts: list[Array | int] = []
        for steps in reversed(inner):
            starts.insert(0, index % steps.taps * steps.rate)
            index = index // steps.taps
        shape = (x.shape[0], *sizes, x.shape[-1])
        seen = jax.lax.dynamic_slice(wider, (0, *starts, 0), shape)
        seen = jax.lax.slice(seen, (0,) * seen.ndim, seen.shape, strides)
        products = seen.astype(dtype) * slopes.astype(dtype)
        return jnp.sum(products, tuple(range(x.ndim - 1)))

    run: Any = jax.lax.map  # pyright: ignore[reportUnknownVariableType]
    sums = run(one, jnp.arange(math.prod(taps)))
    return jnp.reshape(sums, (*taps, x.shape[-1]))
