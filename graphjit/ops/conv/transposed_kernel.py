"""Transposed convolutions without the zeros between the inputs.

As XLA has it, a transposed convolution is one over an image with ``stride - 1`` zeros
between its elements: most products are with zeros, and the gradients are naive loops.
Here one product gives what every input adds at every tap, and that is added where it
belongs. There are two forms of adding:

- blocks, where the taps are a multiple of the stride: all results from one input up to
  the next lie together (sub-pixel convolution, arXiv:1609.05158), so whole blocks are
  added, and spread over the image at the end;
- phases: results at the same distance modulo the stride see the same taps, and are
  added up tap by tap.

The gradients are two products with the slopes that every input sees, side by side.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from graphjit.ops.base import Array, Kernel, Rule
from graphjit.ops.bias import with_bias
from graphjit.ops.wide_sums import widened
from graphjit.ops.windows import span
from graphjit.types import TensorType, known_size

__all__ = ["TRANSPOSED_PRODUCTS"]

#: The most taps, or blocks, that are added up one by one.
_MOST_TERMS = 128

#: With more phases than this blocks are better, filled up with zeros: they compile.
_MANY_PHASES = 16

#: With a stride of 1 plain convolutions are good, but for images up to this size.
_FEW_PLACES = 16

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

    def are_blocks(self, taps: Sequence[int]) -> bool:
        """Whether blocks are the form to take."""
        if any(rate != 1 for rate in self.rates):
            return False
        pairs = list(zip(taps, self.strides, strict=True))
        whole = all(tap % s == 0 or tap < s for tap, s in pairs)
        many = math.prod(self.strides) > _MANY_PHASES
        return whole or many or math.prod(taps) > _MOST_TERMS

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
    if all(rate == 1 for rate in op.rates()):
        taps = [-(-tap // s) for tap, s in zip(taps, op.strides, strict=True)]
    return math.prod(taps) <= _MOST_TERMS


def _strided_image(op: Any, types: Sequence[TensorType | None]) -> bool:
    del types
    return op.rank == 2 and max(op.strides) > 1


def _strided_sequence(op: Any, types: Sequence[TensorType | None]) -> bool:
    del types
    return op.rank == 1 and max(op.strides) > 1


def _strided_volume(op: Any, types: Sequence[TensorType | None]) -> bool:
    del types
    return op.rank == 3 and max(op.strides) > 1


def _few_places(op: Any, types: Sequence[TensorType | None]) -> bool:
    """An image of stride 1 that is known to be small: a generator's first layer."""
    x = types[0]
    assert x is not None
    places = known_size(x.shape[1:-1])
    return op.rank == 2 and places is not None and places <= _FEW_PLACES


def _lower(op: Any, x: Array, kernel: Array, bias: Array | None = None) -> Array:
    """The form that suits the shapes, summed in at least float32.

    Shapes:
        x: (n, h, w, c)   kernel: (kh, kw, k, c)  ->  (n, h', w', k)
        Likewise for 1 and 3 spatial axes.
    """
    inputs, taps, rates = x.shape[1:-1], kernel.shape[:-2], op.rates()
    spans = [span(tap, rate) for tap, rate in zip(taps, rates, strict=True)]
    # A single input has no next one, so it may be as far away as suits.
    strides = tuple(
        max(stride, tap) if length == 1 and set(rates) == {1} else stride
        for stride, length, tap in zip(op.strides, inputs, taps, strict=True)
    )
    windows = _Windows(
        strides,
        tuple(before for before, _ in op.crops),
        rates,
        tuple(
            stride * (length - 1) + reach - sum(crop)
            for stride, length, reach, crop in zip(
                strides, inputs, spans, op.crops, strict=True
            )
        ),
    )
    y: Any = _transposed(windows, *widened(x, kernel))
    return with_bias(y.astype(x.dtype), bias)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _transposed(windows: _Windows, x: Array, kernel: Array) -> Array:
    channels = x.shape[-1]
    blocks = windows.are_blocks(kernel.shape[:-2])
    full = _whole_blocks(windows, kernel) if blocks else kernel
    added: Any = jax.lax.dot_general(
        x.reshape(-1, channels), full.reshape(-1, channels), (((1,), (1,)), ((), ()))
    )
    if blocks:
        *taps, last, filters, _ = full.shape
        apart = added.reshape(*x.shape[:-1], *taps, last * filters)
        return _added_blocks(windows, full, apart)
    columns = added.reshape(*x.shape[:-1], *kernel.shape[:-1])
    phases = itertools.product(*(range(stride) for stride in windows.strides))
    return _woven([_summed_phase(windows, columns, at) for at in phases], windows)


def _forward(
    windows: _Windows, x: Array, kernel: Array
) -> tuple[Array, tuple[Array, Array]]:
    return _transposed(windows, x, kernel), (x, kernel)


def _backward(
    windows: _Windows, kept: tuple[Array, Array], slope: Array
) -> tuple[Array, Array]:
    x, kernel = kept
    channels, full = x.shape[-1], kernel
    if windows.are_blocks(kernel.shape[:-2]):
        full = _whole_blocks(windows, kernel)
        seen = _seen_in_blocks(windows, full, slope, x.shape[1:-1])
    else:
        seen = _seen_at_taps(windows, kernel, slope, x.shape[1:-1])
    columns = seen.reshape(-1, full.size // channels)
    to_x = columns @ full.reshape(-1, channels)
    to_kernel: Any = jax.lax.dot_general(
        columns, x.reshape(-1, channels), (((0,), (0,)), ((), ()))
    )
    inside = tuple(slice(length) for length in kernel.shape)
    return to_x.reshape(x.shape), to_kernel.reshape(full.shape)[inside]


_transposed.defvjp(_forward, _backward)


def _padded(x: Array, config: Sequence[tuple[int, int, int]]) -> Array:
    """Zeros along the spatial axes: before, after, between; negative: crop."""
    none = (0, 0, 0)
    behind = [none] * (x.ndim - 1 - len(config))
    return jax.lax.pad(x, jnp.zeros((), x.dtype), (none, *config, *behind))


# --- blocks -------------------------------------------------------------------------

# For two axes, blocks are (…, u * sh, v * sw * k), as they come from the kernel as it
# lies: input (i, j) adds block (u, v) to the results from (i + u, j + v) on.


def _whole_blocks(windows: _Windows, kernel: Array) -> Array:
    """The kernel with taps of zeros up to a multiple of the strides."""
    ends = [-tap % s for tap, s in zip(kernel.shape, windows.strides, strict=False)]
    if not any(ends):
        return kernel
    return jnp.pad(kernel, (*((0, end) for end in ends), (0, 0), (0, 0)))


def _added_blocks(windows: _Windows, kernel: Array, blocks: Array) -> Array:
    """The sum of all blocks where they belong.

    Shapes:
        blocks: (n, h, w, u * sh, v * sw * k)  ->  (n, h', w', k)
    """
    rank = len(windows.strides)
    inputs = blocks.shape[1 : rank + 1]
    counts, lengths, places, sides = _blocks_of(windows, kernel, inputs)
    terms: list[Array] = []
    for at in itertools.product(*map(range, counts)):
        start = [number * length for number, length in zip(at, lengths, strict=True)]
        stop = [first + length for first, length in zip(start, lengths, strict=True)]
        index = (..., *(slice(*ends) for ends in zip(start, stop, strict=True)))
        config = [
            (number, count - 1 - number, 0)
            for number, count in zip(at, counts, strict=True)
        ]
        # As one axis: pads of more axes take longer to compile.
        block = blocks[index].reshape(*blocks.shape[: rank + 1], -1)
        terms.append(_padded(block, config) if max(counts) > 1 else block)
    total = functools.reduce(jnp.add, terms)
    apart = total.reshape(-1, *places, *lengths)
    order = [axis for at in range(rank) for axis in (1 + at, 1 + rank + at)]
    whole = jnp.transpose(apart, (0, *order)).reshape(blocks.shape[0], *sides, -1)
    return _padded(whole, _cut(windows, sides))


def _seen_in_blocks(
    windows: _Windows, kernel: Array, slope: Array, inputs: Sequence[int]
) -> Array:
    """The slopes at all taps of every input, in the order of the kernel.

    Shapes:
        slope: (n, h', w', k)  ->  (n, h, w, u * sh, v * sw * k)
    """
    rank = len(inputs)
    counts, lengths, places, sides = _blocks_of(windows, kernel, inputs)
    undone = [(-before, -after, 0) for before, after, _ in _cut(windows, sides)]
    pairs = [n for pair in zip(places, lengths, strict=True) for n in pair]
    apart = _padded(slope, undone).reshape(slope.shape[0], *pairs)
    order = (0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2))
    joined = jnp.transpose(apart, order)
    for axis in reversed(range(rank)):
        parts = [
            jax.lax.slice_in_dim(joined, at, at + inputs[axis], axis=1 + axis)
            for at in range(counts[axis])
        ]
        joined = jnp.concatenate(parts, 1 + rank + axis) if len(parts) > 1 else parts[0]
    return joined


class _Blocks(NamedTuple):
    """How blocks lie, per spatial axis.

    Attributes:
        counts: How many an input adds: (u, v).
        lengths: Of one: (sh, sw * k).
        places: Where there are any, from the first input's on.
        sides: Of the image that they make.
    """

    counts: list[int]
    lengths: list[int]
    places: list[int]
    sides: list[int]


def _blocks_of(windows: _Windows, kernel: Array, inputs: Sequence[int]) -> _Blocks:
    """How the blocks of so many inputs lie; the kernel has whole ones."""
    strides = windows.strides
    counts = [tap // s for tap, s in zip(kernel.shape, strides, strict=False)]
    places = [length + count - 1 for length, count in zip(inputs, counts, strict=True)]
    return _Blocks(
        counts,
        [*strides[:-1], strides[-1] * kernel.shape[-2]],
        places,
        [count * s for count, s in zip(places, strides, strict=True)],
    )


def _cut(windows: _Windows, sides: Sequence[int]) -> list[tuple[int, int, int]]:
    """What makes an image of those sides the result: `_padded` takes it."""
    return [
        (-before, wanted + before - side, 0)
        for before, wanted, side in zip(
            windows.before, windows.lengths, sides, strict=True
        )
    ]


# --- phases -------------------------------------------------------------------------


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


def _seen_at_taps(
    windows: _Windows, kernel: Array, slope: Array, inputs: Sequence[int]
) -> Array:
    """The slopes at every tap of every input, side by side.

    Shapes:
        slope: (n, h', w', k)  ->  (n, h, w, kh * kw * k)
    """
    taps = kernel.shape[:-2]
    config = [(*pair, 0) for pair in windows.pads(inputs, taps)]
    padded = _padded(slope, config)
    pieces: list[Array] = []
    for tap in itertools.product(*(range(count) for count in taps)):
        first = [t * rate for t, rate in zip(tap, windows.rates, strict=True)]
        last = [
            start + (length - 1) * stride + 1
            for start, length, stride in zip(
                first, inputs, windows.strides, strict=True
            )
        ]
        stop = (slope.shape[0], *last, slope.shape[-1])
        pieces.append(
            jax.lax.slice(padded, (0, *first, 0), stop, (1, *windows.strides, 1))
        )
    return jnp.concatenate(pieces, -1)


TRANSPOSED_PRODUCTS = Kernel(
    name="transposed_products",
    can=_can,
    lower=_lower,
    rules=(
        Rule(
            "cpu",
            "2-D, 21 shapes, 2x2 to 16x16, b1 and b8, in two runs: forward 0.9-3.2x, "
            "16x16 s8 31x; with gradients 1.3-46x",
            when=_strided_image,
        ),
        Rule(
            "cpu",
            "1x1x100->256 4x4 s1, two runs: b1 2.8-5.1x, b8 2.3-3.0x; with gradients "
            "2.8-3.6x",
            when=_few_places,
        ),
        Rule(
            "cpu",
            "3-D, 2x2 to 4x4 s2, 3 shapes in two runs: forward 15-126x, with "
            "gradients 8-46x",
            when=_strided_volume,
        ),
        Rule(
            "cpu",
            "1-D, 25 taps s4, b1 and b8, two runs: forward 1.1-1.3x, with gradients "
            "8-11x",
            when=_strided_sequence,
            training=True,
        ),
    ),
)
