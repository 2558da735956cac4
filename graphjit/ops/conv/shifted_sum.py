"""Sums of shifted, weighted copies of an image: what a depthwise convolution is.

XLA:CPU fuses such a sum into one vectorised loop, where no window reaches beyond the
image: so that is padded first. A sum for every region that reads the same taps would
spare the copy, and by itself is 1.3-2 times as fast; whole networks are not, and their
first call takes twice as long (49 products for 3x3, not 9).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from graphjit.ops.base import Array
from graphjit.ops.wide_sums import sum_dtype
from graphjit.ops.window_steps import Steps, padded, window

__all__ = ["MOST_TAPS", "shifted_sum"]

#: A kernel of more taps than this is gone through in a loop.
MOST_TAPS = 128


def shifted_sum(x: Array, kernel: Array | None, axes: Sequence[Steps]) -> Array:
    """Sum over taps of kernel[tap] times what the tap reads of x, 0 outside x.

    Args:
        x: The image.
        kernel: One weight per tap and channel; None: all are 1.
        axes: The windows along each spatial axis.

    Shapes:
        x: (n, h, w, c)   kernel: (kh, kw, c)  ->  (n, h', w', c), likewise for 1 and 3
        spatial axes
    """
    if 0 in x.shape or any(steps.length == 0 for steps in axes):
        return jnp.zeros((x.shape[0], *(s.length for s in axes), x.shape[-1]), x.dtype)
    wide = None if kernel is None else kernel.astype(sum_dtype(x.dtype))
    wider, inner = padded(x, axes)
    if wide is None or math.prod(wide.shape[:-1]) <= MOST_TAPS:
        total = _summed(wider, wide, inner)
    else:
        total = _looped(wider, wide, inner)
    return total.astype(x.dtype)


def _summed(x: Array, kernel: Array | None, axes: Sequence[Steps]) -> Array:
    """The sum over all taps, where no window reaches beyond x."""
    total: Array | None = None
    dtype = sum_dtype(x.dtype)
    ranges = [(0, steps.length) for steps in axes]
    for tap in itertools.product(*(range(steps.taps) for steps in axes)):
        term = window(x, axes, tap, ranges).astype(dtype)
        if kernel is not None:
            term = term * kernel[tap]
        total = term if total is None else total + term
    if total is None:
        lengths = (steps.length for steps in axes)
        return jnp.zeros((x.shape[0], *lengths, x.shape[-1]), dtype)
    return total


def _looped(x: Array, kernel: Array, axes: Sequence[Steps]) -> Array:
    """The sum in a loop over the taps along the first axis, nothing outside x."""
    first, rest = axes[0], axes[1:]
    size = (first.length - 1) * first.stride + 1
    unrolled = math.prod(steps.taps for steps in rest) <= MOST_TAPS

    def one(index: Array, total: Array) -> Array:
        rows = jax.lax.dynamic_slice_in_dim(x, index * first.rate, size, 1)
        weights = jax.lax.dynamic_slice_in_dim(kernel, index, 1, 0)
        only = (replace(first, taps=1), *rest)
        if not unrolled:
            kept = rows[:, :: first.stride]
            flat = jnp.reshape(kept, (-1, *kept.shape[2:]))
            inner = _looped(flat, weights[0], rest)
            shape = (*kept.shape[:2], *inner.shape[1:])
            return total + jnp.reshape(inner, shape)
        return total + _summed(rows, weights, only)

    lengths = (steps.length for steps in axes)
    start = jnp.zeros((x.shape[0], *lengths, x.shape[-1]), kernel.dtype)
    run: Any = jax.lax.fori_loop  # pyright: ignore[reportUnknownVariableType]
    return run(0, first.taps, one, start)
