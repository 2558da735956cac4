"""Where windows stand along the axes of a channels-last image, and what they read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from graphjit.ops.base import Array
from graphjit.ops.windows import Padding, explicit_pads, output_length, span

__all__ = ["Steps", "interleaved", "padded", "steps_of", "window"]


@dataclass(frozen=True, slots=True)
class Steps:
    """The windows along one axis: output o reads ``x[o * stride + start + t * rate]``.

    Attributes:
        length: How many outputs.
        stride: Elements between windows.
        start: Where tap 0 of window 0 lies; below 0 and beyond the end x is 0.
        rate: Elements between taps.
        taps: How many taps.
    """

    length: int
    stride: int
    start: int
    rate: int
    taps: int

    def valid(self, tap: int, size: int) -> tuple[int, int]:
        """The outputs (from, to) at which a tap lies inside an axis of that size."""
        offset = self.start + tap * self.rate
        first = max(0, -(offset // self.stride))
        last = min(self.length - 1, (size - 1 - offset) // self.stride)
        return first, max(first, last + 1)


def steps_of(
    padding: Padding,
    sizes: Sequence[Any],
    taps: Sequence[Any],
    strides: Sequence[int],
    rates: Sequence[int],
) -> tuple[Steps, ...]:
    """The windows along each axis, of known sizes."""
    windows = [span(tap, rate) for tap, rate in zip(taps, rates, strict=True)]
    pads = explicit_pads(padding, sizes, windows, strides)
    assert pads is not None
    found: list[Steps] = []
    for axis, pair in enumerate(pads):
        length = output_length(sizes[axis], windows[axis], strides[axis], pair)
        assert isinstance(length, int)
        found.append(Steps(length, strides[axis], -pair[0], rates[axis], taps[axis]))
    return tuple(found)


def window(
    x: Array,
    axes: Sequence[Steps],
    taps: Sequence[int],
    ranges: Sequence[Sequence[int]],
) -> Array:
    """What one tap reads at the outputs (from, to) of every axis, all inside x."""
    begin, end = [0], [x.shape[0]]
    for steps, tap, (first, stop) in zip(axes, taps, ranges, strict=True):
        at = steps.start + tap * steps.rate
        begin.append(at + first * steps.stride)
        end.append(at + (stop - 1) * steps.stride + 1)
    strides = (1, *(steps.stride for steps in axes), 1)
    return jax.lax.slice(x, (*begin, 0), (*end, x.shape[-1]), strides)


def padded(
    x: Array, axes: Sequence[Steps], value: float = 0.0
) -> tuple[Array, list[Steps]]:
    """x with the pads that windows reach, without what none reads."""
    config = [(0, 0, 0)]
    inner: list[Steps] = []
    for steps, size in zip(axes, x.shape[1:-1], strict=True):
        reach = (steps.length - 1) * steps.stride + (steps.taps - 1) * steps.rate
        config.append((-steps.start, steps.start + reach + 1 - size, 0))
        inner.append(replace(steps, start=0))
    fill = jnp.asarray(value, x.dtype)
    return jax.lax.pad(x, fill, [*config, (0, 0, 0)]), inner


def interleaved(
    axes: Sequence[Steps],
    sizes: Sequence[int],
    part: Callable[[tuple[Steps, ...], tuple[tuple[int, ...], ...]], Array],
) -> Array:
    """An image, made of the phases of the windows' strides along each axis.

    Element q of x is read by output o through tap t where
    ``q = o * stride + start + t * rate``. So all elements q = a * stride + r, one
    phase, are read through the same taps, by outputs at fixed distances from a.

    Args:
        axes: The windows that read the image.
        sizes: The image's spatial sizes.
        part: (steps, taps) -> a phase: per axis, windows over the *outputs* that read
            its elements, and through which tap each of them does.
    """

    def along(found: tuple[Steps, ...], taps: tuple[tuple[int, ...], ...]) -> Array:
        at = len(found)
        if at == len(axes):
            return part(found, taps)
        stride, size = axes[at].stride, sizes[at]
        phases: list[Array] = []
        for phase in range(stride):
            steps, fitting = _phase(axes[at], phase, -(-size // stride))
            phases.append(along((*found, steps), (*taps, fitting)))
        if stride == 1:
            return phases[0]
        shape = list(phases[0].shape)
        shape[at + 1] *= stride
        whole = jnp.reshape(jnp.stack(phases, at + 2), shape)
        return jax.lax.slice_in_dim(whole, 0, size, axis=at + 1)

    return along((), ())


def _phase(axis: Steps, phase: int, length: int) -> tuple[Steps, tuple[int, ...]]:
    """Where the outputs lie that read a phase, and through which taps they do."""
    step = axis.stride // math.gcd(axis.stride, axis.rate)
    fitting = [
        tap
        for tap in reversed(range(axis.taps))
        if (phase - axis.start - tap * axis.rate) % axis.stride == 0
    ]
    if not fitting:
        return Steps(length, 1, 0, 1, 0), ()
    start = (phase - axis.start - fitting[0] * axis.rate) // axis.stride
    rate = step * axis.rate // axis.stride
    return Steps(length, 1, start, rate, len(fitting)), tuple(fitting)
