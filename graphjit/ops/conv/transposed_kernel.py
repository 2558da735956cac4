"""Transposed convolutions without the zeros between the inputs.

As XLA has it, a transposed convolution is one over an image with ``stride - 1`` zeros
between its elements: most products are with zeros, and the gradients are naive loops.
Elements of the result at the same distance modulo the stride see the same taps
(sub-pixel convolution, arXiv:1609.05158), so there are three forms without zeros:

- blocks: one product or convolution gives ``stride`` results a row as channels;
- columns: one product gives what every input adds at every tap, added where it belongs;
- phases: a dense convolution with a slice of the kernel for each phase.

The gradient to x is a plain strided convolution.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from graphjit.ops.base import Array, Kernel, Rule
from graphjit.ops.bias import with_bias
from graphjit.ops.conv.image_gradient import image_gradient
from graphjit.ops.conv.kernel_gradient import kernel_gradient
from graphjit.ops.conv.one_axis import as_rows
from graphjit.ops.conv.sliding import NHWC, Sliding, fitted, widened
from graphjit.ops.windows import span
from graphjit.types import TensorType

__all__ = ["TRANSPOSED_PHASES"]

#: Up to so many filters the products of phases are too thin: columns are better.
_FEW_FILTERS = 8

#: Filters of a last layer; with 8 the forward pass gains nothing.
_COLOURS = 4

#: With more phases than this the convolutions take long to compile: blocks are better.
_MANY_PHASES = 16

#: The most taps that columns are added up for, one by one.
_MOST_COLUMNS = 128

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class _Windows:
    """The convolution of which this is the transpose; hashable, for custom_vjp.

    It reads y at ``i * stride + t * rate - before`` for its result i and tap t.

    Attributes:
        strides: Per spatial axis.
        before: What is cut before y.
        rates: Dilation.
        lengths: The spatial lengths of y.
    """

    strides: tuple[int, ...]
    before: tuple[int, ...]
    rates: tuple[int, ...]
    lengths: tuple[int, ...]

    def sliding(self) -> Sliding:
        """The same, of two spatial axes."""
        strides, before, rates = (
            (item[0], item[1]) for item in (self.strides, self.before, self.rates)
        )
        return Sliding(strides, before, rates)

    def pads(self, inputs: Sequence[int], taps: Sequence[int]) -> Pairs:
        """What y is padded with, negative: cropped, to be what the windows cover."""
        return tuple(
            (before, (count - 1) * stride + span(tap, rate) - before - length)
            for count, stride, tap, rate, before, length in zip(
                inputs,
                self.strides,
                taps,
                self.rates,
                self.before,
                self.lengths,
                strict=True,
            )
        )


def _can(op: Any, types: Sequence[TensorType | None]) -> bool:
    kernel = types[1]
    if kernel is None or op.rank > 3:
        return False
    taps = [dim for dim in kernel.shape[:-2] if isinstance(dim, int)]
    if len(taps) != op.rank:
        return False
    if op.rank < 3:
        # With stride 1 it is a convolution like any other.
        return max(op.strides) > 1
    return _fits(op, taps) or math.prod(taps) <= _MOST_COLUMNS


def _image(op: Any, types: Sequence[TensorType | None]) -> bool:
    del types
    return op.rank == 2


def _image_of_colours(op: Any, types: Sequence[TensorType | None]) -> bool:
    """Whether an image with few channels comes out: plain products are too thin."""
    kernel = types[1]
    assert kernel is not None
    filters = kernel.shape[-2]
    return op.rank == 2 and isinstance(filters, int) and filters <= _COLOURS


def _fits(op: Any, taps: Sequence[int]) -> bool:
    """Whether every element of the result sees at most one of x."""
    undilated = all(rate == 1 for rate in op.rates())
    inside = all(tap <= s for tap, s in zip(taps, op.strides, strict=True))
    return undilated and inside


def _lower(op: Any, x: Array, kernel: Array, bias: Array | None = None) -> Array:
    """The form that suits the shapes, summed in at least float32.

    Shapes:
        x: (n, h, w, c)   kernel: (kh, kw, k, c)  ->  (n, h', w', k)
        Likewise for 1 and 3 spatial axes.
    """
    if op.rank == 1:
        return as_rows(_lower, op, x, kernel, bias)
    taps = kernel.shape[:-2]
    rates = op.rates()
    windows = _Windows(
        op.strides,
        tuple(before for before, _ in op.crops),
        rates,
        tuple(
            stride * (length - 1) + span(tap, rate) - sum(crop)
            for stride, length, tap, rate, crop in zip(
                op.strides, x.shape[1:-1], taps, rates, op.crops, strict=True
            )
        ),
    )
    wide, wide_kernel = widened(x, kernel)
    form: Any = _by_blocks if _fits(op, taps) else _transposed
    y: Array = form(windows, wide, wide_kernel).astype(x.dtype)
    return with_bias(y, bias)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _transposed(windows: _Windows, x: Array, kernel: Array) -> Array:
    if _by_products(windows, kernel):
        return _by_columns(windows, x, kernel)
    many = math.prod(windows.strides) > _MANY_PHASES
    if many and windows.rates == (1, 1):
        return _by_blocks(windows, x, kernel)
    return image_gradient(windows.sliding(), x, kernel, _pair(windows.lengths))


def _forward(
    windows: _Windows, x: Array, kernel: Array
) -> tuple[Array, tuple[Array, Array]]:
    return _transposed(windows, x, kernel), (x, kernel)


def _backward(
    windows: _Windows, kept: tuple[Array, Array], slope: Array
) -> tuple[Array, Array]:
    x, kernel = kept
    if _by_products(windows, kernel):
        return _backward_by_columns(windows, x, kernel, slope)
    taps = _pair(kernel.shape[:-2])
    pads = windows.pads(x.shape[1:-1], taps)
    # A convolution takes pads, not crops.
    crops = [(min(a, 0), min(b, 0)) for a, b in pads]
    to_x = jax.lax.conv_general_dilated(
        fitted(slope, *crops),
        kernel,
        windows.strides,
        [(max(a, 0), max(b, 0)) for a, b in pads],
        rhs_dilation=windows.rates,
        dimension_numbers=NHWC,
    )
    return to_x, kernel_gradient(windows.sliding(), slope, x, taps)


_transposed.defvjp(_forward, _backward)


def _by_products(windows: _Windows, kernel: Array) -> bool:
    """Whether columns are the form to take."""
    few = kernel.shape[-2] <= _FEW_FILTERS
    return len(windows.strides) == 3 or (
        few and math.prod(kernel.shape[:-2]) <= _MOST_COLUMNS
    )


def _pair(items: Sequence[int]) -> tuple[int, int]:
    first, second = items
    return first, second


# --- blocks -------------------------------------------------------------------------


def _by_blocks(windows: _Windows, x: Array, kernel: Array) -> Array:
    """Every input gives all results up to the next one's, as channels; no dilation.

    With more taps than that, so does a convolution that sees some inputs before.
    """
    strides, filters = windows.strides, kernel.shape[-2]
    rank = len(strides)
    seen = [-(-tap // s) for tap, s in zip(kernel.shape, strides, strict=False)]
    dense = _block_kernel(kernel, seen, strides)
    if all(count == 1 for count in seen):
        blocks = jax.lax.dot_general(
            x, dense.reshape(dense.shape[-2:]), (((rank + 1,), (0,)), ((), ()))
        )
    else:
        blocks = jax.lax.conv_general_dilated(
            x,
            dense,
            (1,) * rank,
            [(count - 1, count - 1) for count in seen],
            dimension_numbers=NHWC,
        )
    lengths = blocks.shape[1:-1]
    apart = blocks.reshape(x.shape[0], *lengths, *strides, filters)
    order = [axis for at in range(rank) for axis in (1 + at, 1 + rank + at)]
    whole = jnp.transpose(apart, (0, *order, 2 * rank + 1))
    sizes = [length * s for length, s in zip(lengths, strides, strict=True)]
    config = [
        (-before, wanted + before - size, 0)
        for before, wanted, size in zip(
            windows.before, windows.lengths, sizes, strict=True
        )
    ]
    return _padded(whole.reshape(x.shape[0], *sizes, filters), config)


def _block_kernel(kernel: Array, seen: Sequence[int], strides: Sequence[int]) -> Array:
    """The kernel of the convolution that gives blocks.

    Shapes:
        kernel: (kh, kw, k, c)  ->  (u, v, c, sh * sw * k) for (u, v) inputs seen
    """
    rank = len(strides)
    ends = [
        (0, count * s - tap)
        for count, s, tap in zip(seen, strides, kernel.shape, strict=False)
    ]
    full = jnp.pad(kernel, (*ends, (0, 0), (0, 0)))
    split = [size for pair in zip(seen, strides, strict=True) for size in pair]
    full = full.reshape(*split, *kernel.shape[-2:])
    outer, inner = range(0, 2 * rank, 2), range(1, 2 * rank, 2)
    full = jnp.transpose(full, (*outer, 2 * rank + 1, *inner, 2 * rank))
    # The first taps belong to the input that lies last.
    full = jnp.flip(full, tuple(range(rank)))
    return full.reshape(*seen, kernel.shape[-1], -1)


def _padded(x: Array, config: Sequence[tuple[int, int, int]]) -> Array:
    """Zeros along the spatial axes: before, after, between; negative: crop."""
    none = (0, 0, 0)
    return jax.lax.pad(x, jnp.zeros((), x.dtype), (none, *config, none))


# --- columns ------------------------------------------------------------------------


def _by_columns(windows: _Windows, x: Array, kernel: Array) -> Array:
    """What each input adds at each tap, from one product; added up phase by phase."""
    channels = x.shape[-1]
    columns = jax.lax.dot_general(
        x.reshape(-1, channels), kernel.reshape(-1, channels), (((1,), (1,)), ((), ()))
    )
    columns = columns.reshape(*x.shape[:-1], *kernel.shape[:-1])
    phases = itertools.product(*(range(stride) for stride in windows.strides))
    parts = [_summed_phase(windows, columns, phase) for phase in phases]
    return _woven(parts, windows)


def _summed_phase(windows: _Windows, columns: Array, phase: Sequence[int]) -> Array:
    """Every stride-th element of the result, from element `phase` on.

    Tap t of input i lies at ``stride * i + rate * t - before``: in phase a where that
    is ``stride * (i + moved) + a``.

    Shapes:
        columns: (n, h, w, kh, kw, k)  ->  (n, ceil(h' / sh), ceil(w' / sw), k)
    """
    rank = len(phase)
    inputs, taps = columns.shape[1 : rank + 1], columns.shape[rank + 1 : -1]
    counts = [
        -(-length // s)
        for length, s in zip(windows.lengths, windows.strides, strict=True)
    ]
    found: list[list[tuple[int, int]]] = []
    for axis in range(rank):
        stride, rate = windows.strides[axis], windows.rates[axis]
        moves = [
            divmod(rate * tap - windows.before[axis] - phase[axis], stride)
            for tap in range(taps[axis])
        ]
        found.append([(t, moved) for t, (moved, rest) in enumerate(moves) if not rest])
    terms: list[Array] = []
    for chosen in itertools.product(*found):
        index = (slice(None),) * (rank + 1) + tuple(tap for tap, _ in chosen)
        config = [
            (moved, count - length - moved, 0)
            for (_, moved), count, length in zip(chosen, counts, inputs, strict=True)
        ]
        terms.append(_padded(columns[index], config))
    if not terms:
        shape = (columns.shape[0], *counts, columns.shape[-1])
        return jnp.zeros(shape, columns.dtype)
    return functools.reduce(jnp.add, terms)


def _woven(parts: list[Array], windows: _Windows) -> Array:
    """The phases, last axis fastest, as one image."""
    for axis in reversed(range(len(windows.strides))):
        stride = windows.strides[axis]
        shape = list(parts[0].shape)
        shape[axis + 1] *= stride
        parts = [
            jnp.stack(parts[at : at + stride], axis + 2).reshape(shape)
            for at in range(0, len(parts), stride)
        ]
    inside = tuple(slice(length) for length in windows.lengths)
    return parts[0][(slice(None), *inside)]


def _backward_by_columns(
    windows: _Windows, x: Array, kernel: Array, slope: Array
) -> tuple[Array, Array]:
    """The slopes at every tap of every input side by side, and two products."""
    taps, channels = kernel.shape[:-2], x.shape[-1]
    config = [(*pair, 0) for pair in windows.pads(x.shape[1:-1], taps)]
    padded = _padded(slope, config)
    pieces: list[Array] = []
    for tap in itertools.product(*(range(count) for count in taps)):
        first = [t * rate for t, rate in zip(tap, windows.rates, strict=True)]
        last = [
            start + (length - 1) * stride + 1
            for start, length, stride in zip(
                first, x.shape[1:-1], windows.strides, strict=True
            )
        ]
        stop = (x.shape[0], *last, slope.shape[-1])
        pieces.append(
            jax.lax.slice(padded, (0, *first, 0), stop, (1, *windows.strides, 1))
        )
    columns = jnp.concatenate(pieces, -1).reshape(-1, len(pieces) * slope.shape[-1])
    to_x = columns @ kernel.reshape(-1, channels)
    to_kernel = jax.lax.dot_general(
        columns, x.reshape(-1, channels), (((0,), (0,)), ((), ()))
    )
    return to_x.reshape(x.shape), to_kernel.reshape(kernel.shape)


TRANSPOSED_PHASES = Kernel(
    name="transposed_phases",
    can=_can,
    lower=_lower,
    rules=(
        Rule(
            "cpu",
            "16 shapes, 2x2 to 5x5, b1 and b8, with gradients: 1.6-58x; "
            "16x16 s8: 27x; prototype, 6 shapes: 4.6-22x",
            when=_image,
            training=True,
        ),
        Rule(
            "cpu",
            "4x4 s2, 64->3, forward: b1 1.8x, b8 4.3x; prototype, 32->3, b8: 1.8x",
            when=_image_of_colours,
            training=False,
        ),
    ),
)
