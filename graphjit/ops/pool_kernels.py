"""Pooling whose gradient XLA:CPU runs fast.

XLA:CPU runs `select_and_scatter`, the gradient of a maximum over windows, and the
gradient of a sum over windows one element at a time.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from graphjit.ops.base import Array, Kernel, Rule
from graphjit.ops.conv.depthwise_gradient import image_slopes
from graphjit.ops.conv.shifted_sum import shifted_sum
from graphjit.ops.wide_sums import sum_dtype
from graphjit.ops.window_steps import Steps, interleaved, padded, steps_of, window
from graphjit.types import TensorType, is_floating

__all__ = ["FIRST_MAXIMUM", "SHIFTED_MEAN"]

#: Larger windows are a sum of too many terms for one loop.
_MOST_TAPS = 64


def _can(op: Any, types: Sequence[TensorType | None]) -> bool:
    x = types[0]
    return x is not None and is_floating(x.dtype) and math.prod(op.size) <= _MOST_TAPS


def _steps(op: Any, sizes: Sequence[int]) -> tuple[Steps, ...]:
    ones = (1,) * len(op.size)
    return steps_of(op.padding, sizes, op.size, op.strides, ones)


# --- the largest element --------------------------------------------------------------


def _lower_max(op: Any, x: Array) -> Array:
    """Max pooling; the gradient goes to the first of the largest elements.

    That is where XLA's `select_and_scatter` sends it; ties are common after a ReLU.

    Shapes:
        x: (n, h, w, c)  ->  (n, h', w', c), likewise for 1 and 3 spatial axes
    """
    y: Any = _pooled(op, x.shape[1:-1], x)
    return y


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _pooled(op: Any, sizes: tuple[int, ...], x: Array) -> Array:
    del sizes
    return op.lower(x)


def _pooled_forward(op: Any, sizes: tuple[int, ...], x: Array) -> tuple[Array, Array]:
    return op.lower(x), _first_maxima(x, _steps(op, sizes))


def _first_maxima(x: Array, axes: Sequence[Steps]) -> Array:
    """Which tap of every window `select_and_scatter` selects, the last axis fastest.

    It goes on to the next element unless the one it has is greater or equal; a NaN is
    neither. Pads count as elements of -inf.

    Shapes:
        x: (n, h, w, c)  ->  int8 (n, h', w', c)
    """
    wider, inner = padded(x, axes, -jnp.inf)
    ranges = [(0, steps.length) for steps in inner]
    best: Array | None = None
    code: Array | None = None
    for at, tap in enumerate(_taps(inner)):
        seen = window(wider, inner, tap, ranges)
        if best is None or code is None:
            best, code = seen, jnp.zeros(seen.shape, jnp.int8)
            continue
        keeps = best >= seen
        best = jnp.where(keeps, best, seen)
        code = jnp.where(keeps, code, jnp.int8(at))
    assert code is not None
    return code


def _taps(axes: Sequence[Steps]) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(steps.taps) for steps in axes)))


def _pooled_backward(
    op: Any, sizes: tuple[int, ...], code: Array, slopes: Array
) -> tuple[Array]:
    axes = _steps(op, sizes)
    strides = np.cumprod([1, *reversed(op.size)])[-2::-1]

    def part(steps: tuple[Steps, ...], taps: tuple[tuple[int, ...], ...]) -> Array:
        """A phase of x: the slopes of the windows that selected its elements."""
        wide, inner = padded(slopes, steps)
        codes, _ = padded(code, steps, -1)
        ranges = [(0, s.length) for s in inner]
        total: Array | None = None
        for tap in _taps(inner):
            number = sum(
                int(stride) * fitting[at]
                for stride, fitting, at in zip(strides, taps, tap, strict=True)
            )
            chosen = window(codes, inner, tap, ranges) == number
            seen = window(wide, inner, tap, ranges).astype(sum_dtype(slopes.dtype))
            term = jnp.where(chosen, seen, 0)
            total = term if total is None else total + term
        if total is None:
            lengths = (s.length for s in inner)
            shape = (slopes.shape[0], *lengths, slopes.shape[-1])
            return jnp.zeros(shape, slopes.dtype)
        return total.astype(slopes.dtype)

    return (interleaved(axes, sizes, part),)


_pooled.defvjp(_pooled_forward, _pooled_backward)

#: Measured once: training 4-16x at 2x2 and 3x3 (1.8x at 8x8x16), forward 0.9-1.1x.
#: A rule needs two runs.
FIRST_MAXIMUM = Kernel(
    name="first_maximum",
    can=_can,
    lower=_lower_max,
    rules=(
        Rule(
            "cpu",
            "12 spots, two runs, with gradients: 2x2 6-16x (8x8x16: 1.4-1.8x), "
            "3x3 3.7-6.1x, 1-D 3.9-4.1x, 3-D 11x; forward it is the plain one",
            training=True,
        ),
    ),
)


# --- the mean -------------------------------------------------------------------------


def _lower_mean(op: Any, x: Array) -> Array:
    """Average pooling as a sum of shifted images over the number of real elements.

    Shapes:
        x: (n, h, w, c)  ->  (n, h', w', c), likewise for 1 and 3 spatial axes
    """
    axes = _steps(op, x.shape[1:-1])
    total: Any = _summed(axes, x.shape[1:-1], x)
    counts = np.ones((1,) * x.ndim)
    for at, (steps, size) in enumerate(zip(axes, x.shape[1:-1], strict=True), start=1):
        reach = [steps.valid(tap, size) for tap in range(steps.taps)]
        inside = [sum(a <= o < b for a, b in reach) for o in range(steps.length)]
        shape = [1] * x.ndim
        shape[at] = steps.length
        counts = counts * np.reshape(inside, shape)
    return total / jnp.asarray(counts, x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _summed(axes: tuple[Steps, ...], sizes: tuple[int, ...], x: Array) -> Array:
    del sizes
    return shifted_sum(x, None, axes)


def _summed_forward(
    axes: tuple[Steps, ...], sizes: tuple[int, ...], x: Array
) -> tuple[Array, None]:
    return _summed(axes, sizes, x), None


def _summed_backward(
    axes: tuple[Steps, ...], sizes: tuple[int, ...], saved: None, slopes: Array
) -> tuple[Array]:
    del saved
    return (image_slopes(slopes, None, axes, sizes),)


_summed.defvjp(_summed_forward, _summed_backward)


#: Measured once: 3x3 s1 on 35x35 and 8x8 maps 6-10x, training 4-6x; 2x2 s2 1.3-1.5x,
#: training 1.1x; 7x7 on 7x7 loses (0.8x, training 0.15x). A rule needs two runs.
def _small_overlapping(op: Any, types: Sequence[TensorType | None]) -> bool:
    del types
    close = all(stride == 1 for stride in op.strides)
    return close and len(op.size) == 2 and 1 < max(op.size) <= 3


def _volume(op: Any, types: Sequence[TensorType | None]) -> bool:
    del types
    return len(op.size) == 3 and max(op.size) <= 2


SHIFTED_MEAN = Kernel(
    name="shifted_mean",
    can=_can,
    lower=_lower_mean,
    rules=(
        Rule(
            "cpu",
            "3x3 at stride 1, 4 spots, two runs: 5.6-10x (8x8x16: 1.1-2.0x), "
            "with gradients 4.2-6.4x (1.1-1.5x)",
            when=_small_overlapping,
        ),
        Rule(
            "cpu",
            "2x2x2 at stride 2, two runs: 1.5-1.6x, with gradients 7.1-7.9x",
            when=_volume,
        ),
    ),
)
