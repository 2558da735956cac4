"""Sums of shifted, weighted copies of an image: what a depthwise convolution is.

XLA:CPU fuses such a sum into one vectorised loop. Two ways to treat the windows that
reach beyond the image: pad it first, which writes and reads it once more, or give every
region of the result that reads the same taps a sum of its own, which costs code.
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
from graphjit.ops.conv.sliding import sum_dtype
from graphjit.ops.window_steps import Steps, padded, window

__all__ = ["MOST_TAPS", "region_terms", "shifted_sum"]

#: A kernel of more taps than this is gone through in a loop.
MOST_TAPS = 128


def region_terms(axes: Sequence[Steps], sizes: Sequence[int]) -> int:
    """How many products the sums over all regions have."""
    return math.prod(
        sum(len(taps) for _, _, taps in steps.regions(size))
        for steps, size in zip(axes, sizes, strict=True)
    )


def shifted_sum(
    x: Array, kernel: Array | None, axes: Sequence[Steps], most_terms: int
) -> Array:
    """Sum over taps of kernel[tap] times what the tap reads of x, 0 outside x.

    Args:
        x: The image.
        kernel: One weight per tap and channel; None: all are 1.
        axes: The windows along each spatial axis.
        most_terms: Up to so many products regions are summed apart; else x is padded.

    Shapes:
        x: (n, h, w, c)   kernel: (kh, kw, c)  ->  (n, h', w', c), likewise for 1 and 3
        spatial axes
    """
    sizes = x.shape[1:-1]
    if 0 in x.shape or any(steps.length == 0 for steps in axes):
        return jnp.zeros((x.shape[0], *(s.length for s in axes), x.shape[-1]), x.dtype)
    wide = None if kernel is None else kernel.astype(sum_dtype(x.dtype))
    if region_terms(axes, sizes) <= most_terms:
        total = _by_regions(x, wide, axes, ())
    else:
        wider, inner = padded(x, axes)
        if wide is None or math.prod(wide.shape[:-1]) <= MOST_TAPS:
            every = [range(steps.taps) for steps in inner]
            total = _summed(wider, wide, inner, every, [(0, s.length) for s in inner])
        else:
            total = _looped(wider, wide, inner)
    return total.astype(x.dtype)


def _by_regions(
    x: Array,
    kernel: Array | None,
    axes: Sequence[Steps],
    outer: tuple[tuple[int, int, tuple[int, ...]], ...],
) -> Array:
    """The regions of `outer` along the first axes, all along the others."""
    if len(outer) == len(axes):
        taps = [region[2] for region in outer]
        return _summed(x, kernel, axes, taps, [region[:2] for region in outer])
    at = len(outer)
    parts = [
        _by_regions(x, kernel, axes, (*outer, region))
        for region in axes[at].regions(x.shape[at + 1])
    ]
    return parts[0] if len(parts) == 1 else jax.lax.concatenate(parts, at + 1)


def _summed(
    x: Array,
    kernel: Array | None,
    axes: Sequence[Steps],
    taps: Sequence[Sequence[int]],
    ranges: Sequence[Sequence[int]],
) -> Array:
    """The sum over those taps at those outputs, where all lie inside x."""
    total: Array | None = None
    dtype = sum_dtype(x.dtype)
    for tap in itertools.product(*taps):
        term = window(x, axes, tap, ranges).astype(dtype)
        if kernel is not None:
            term = term * kernel[tap]
        total = term if total is None else total + term
    if total is None:
        lengths = (stop - first for first, stop in ranges)
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
        taps = [range(steps.taps) for steps in only]
        ranges = [(0, steps.length) for steps in only]
        return total + _summed(rows, weights, only, taps, ranges)

    lengths = (steps.length for steps in axes)
    start = jnp.zeros((x.shape[0], *lengths, x.shape[-1]), kernel.dtype)
    run: Any = jax.lax.fori_loop  # pyright: ignore[reportUnknownVariableType]
    return run(0, first.taps, one, start)
