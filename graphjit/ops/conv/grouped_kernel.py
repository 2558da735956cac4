"""Grouped convolutions as dense ones over a few groups each.

XLA:CPU sends a grouped convolution, and worse its gradients, to a naive loop. A dense
convolution of few channels is slow as well, so several groups share one, with zeros
between them: at up to 32 channels the extra products cost less than what they save.

All blocks of groups go through one loop: as fast as side by side, in training faster,
and it compiles in a quarter of the time, which is what is short where a net has
sixteen such layers.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import jax
import jax.numpy as jnp

from graphjit.ops.base import Array, Kernel, Rule
from graphjit.ops.conv import image_gradient, kernel_gradient
from graphjit.ops.conv.one_axis import as_rows
from graphjit.ops.conv.sliding import NHWC, Sliding, sliding_of, widened
from graphjit.types import TensorType

__all__ = ["GROUPS_MERGED"]

#: As many groups are merged as leave a dense convolution no more channels than this.
_MOST_CHANNELS = 32

#: With more blocks than this they go through a loop: it compiles once.
_MOST_UNROLLED = 3


@dataclass(frozen=True, slots=True)
class _Blocks:
    """How groups are spread over dense convolutions; hashable, for custom_vjp.

    Attributes:
        sliding: Where the windows lie.
        pads: The zeros around rows and columns.
        count: How many dense convolutions there are.
        merged: How many groups each has.
    """

    sliding: Sliding
    pads: tuple[tuple[int, int], ...]
    count: int
    merged: int


def _can(op: Any, types: Sequence[TensorType | None]) -> bool:
    kernel = types[1]
    if kernel is None or op.rank not in (1, 2) or op.groups == 1:
        return False
    per_group = kernel.shape[-2]
    return isinstance(per_group, int) and per_group > 1


def _lower(op: Any, x: Array, kernel: Array, bias: Array | None = None) -> Array:
    """Dense convolutions of some groups each, side by side.

    Shapes:
        x: (n, h, w, c)   kernel: (kh, kw, c / g, k)  ->  (n, h', w', k)
        Likewise for one spatial axis.
    """
    if op.rank == 1:
        return as_rows(_lower, op, x, kernel, bias)
    sliding, pads = sliding_of(op, x, kernel)
    per_group, filters = kernel.shape[2:]
    merged = _merged(op.groups, max(per_group, filters // op.groups))
    blocks = _Blocks(sliding, pads, op.groups // merged, merged)
    y: Any = _grouped(blocks, x, kernel)
    return y if bias is None else y + bias


def _merged(groups: int, channels: int) -> int:
    """How many groups of so many channels share a dense convolution."""
    divisors = [m for m in range(1, groups + 1) if groups % m == 0]
    return max((m for m in divisors if m * channels <= _MOST_CHANNELS), default=1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _grouped(blocks: _Blocks, x: Array, kernel: Array) -> Array:
    def of_block(given: tuple[Array, Array]) -> Array:
        return jax.lax.conv_general_dilated(
            *given,
            blocks.sliding.strides,
            blocks.pads,
            rhs_dilation=blocks.sliding.rates,
            dimension_numbers=NHWC,
        )

    kernels = _block_kernels(blocks, kernel)
    if blocks.count > _MOST_UNROLLED:
        given = (_stacked(x, blocks.count), kernels)
        return _side_by_side(cast("Array", jax.lax.map(of_block, given)))
    given = zip(jnp.split(x, blocks.count, -1), kernels, strict=True)
    return jnp.concatenate(list(map(of_block, given)), -1)


def _forward(
    blocks: _Blocks, x: Array, kernel: Array
) -> tuple[Array, tuple[Array, Array]]:
    return _grouped(blocks, x, kernel), (x, kernel)


def _backward(
    blocks: _Blocks, kept: tuple[Array, Array], slope: Array
) -> tuple[Array, Array]:
    x, kernel = kept
    image, taps, wide = widened(x, kernel, slope)

    def of_block(given: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        return _slopes_of_block(blocks.sliding, *given)

    kernels, count = _block_kernels(blocks, taps), blocks.count
    if count > _MOST_UNROLLED:
        given = (_stacked(image, count), kernels, _stacked(wide, count))
        images, to_kernels = cast("tuple[Array, Array]", jax.lax.map(of_block, given))
        to_image = _side_by_side(images)
    else:
        images, slopes = (jnp.split(a, count, -1) for a in (image, wide))
        parts = list(map(of_block, zip(images, kernels, slopes, strict=True)))
        to_image = jnp.concatenate([part[0] for part in parts], -1)
        to_kernels = jnp.stack([part[1] for part in parts])
    to_kernel = _diagonal(blocks, to_kernels, kernel.shape)
    return to_image.astype(x.dtype), to_kernel.astype(kernel.dtype)


_grouped.defvjp(_forward, _backward)


def _slopes_of_block(
    sliding: Sliding, image: Array, taps: Array, slope: Array
) -> tuple[Array, Array]:
    """The gradients of one dense convolution.

    With so few channels a convolution is about as fast as what wide ones need, and
    compiles in half the time.
    """
    window = taps.shape[:2]
    narrow = max(taps.shape[2:]) <= _MOST_CHANNELS and window != (1, 1)
    of_image = image_gradient.as_convolution
    if sliding.strides != (1, 1):
        of_image = image_gradient.image_gradient
    of_kernel = kernel_gradient.kernel_gradient
    if narrow:
        of_kernel = kernel_gradient.as_convolution
    return (
        of_image(sliding, slope, taps, image.shape[1:3]),
        of_kernel(sliding, image, slope, window),
    )


def _stacked(x: Array, count: int) -> Array:
    """(n, h, w, count * c) as (count, n, h, w, c)."""
    # Three axes: a transpose of five compiles more slowly.
    split = x.reshape(-1, count, x.shape[-1] // count)
    return jnp.swapaxes(split, 0, 1).reshape(count, *x.shape[:-1], -1)


def _side_by_side(x: Array) -> Array:
    """(count, n, h, w, c) as (n, h, w, count * c)."""
    count, channels = x.shape[0], x.shape[-1]
    flat = jnp.swapaxes(x.reshape(count, -1, channels), 0, 1)
    return flat.reshape(*x.shape[1:-1], count * channels)


def _block_kernels(blocks: _Blocks, kernel: Array) -> Array:
    """A dense kernel for each block, zeros between its groups.

    Shapes:
        kernel: (kh, kw, c, b * m * k)  ->  (b, kh, kw, m * c, m * k)
    """
    high, wide, channels, filters = kernel.shape
    count, merged = blocks.count, blocks.merged
    each = filters // (count * merged)
    split = kernel.reshape(high * wide, channels, count, merged, each)
    rows = jnp.transpose(split, (2, 0, 3, 1, 4))[:, :, :, :, None]
    # One where the group that reads is the group that is read.
    same = jnp.eye(merged, dtype=kernel.dtype)[:, None, :, None]
    return (rows * same).reshape(count, high, wide, merged * channels, merged * each)


def _diagonal(blocks: _Blocks, kernels: Array, shape: Sequence[int]) -> Array:
    """What `_block_kernels` took apart, from gradients of that form.

    Slices, for a masked sum of this rank with an axis of 1 ends jaxlib 0.10.2 with a
    segmentation fault (https://github.com/jax-ml/jax/issues/40412).

    Shapes:
        kernels: (b, kh, kw, m * c, m * k)  ->  (kh, kw, c, b * m * k)
    """
    high, wide, channels, filters = shape
    count, merged = blocks.count, blocks.merged
    each = filters // (count * merged)
    split = kernels.reshape(count, high * wide, merged, channels, merged, each)
    own = jnp.stack([split[:, :, at, :, at] for at in range(merged)], 3)
    return jnp.transpose(own, (1, 2, 0, 3, 4)).reshape(*shape)


def _one_step(op: Any, types: Sequence[TensorType | None]) -> bool:
    """Images whose windows are one element apart."""
    del types
    return op.strides == (1, 1)


GROUPS_MERGED = Kernel(
    name="groups_merged",
    can=_can,
    lower=_lower,
    rules=(
        Rule(
            "cpu",
            "forward and gradients, 15 shapes in two runs: g 32 46-260x, g 8 to 16 "
            "16-118x, g 4 9-34x, g 2 and 3 6.5-9x",
            training=True,
        ),
        Rule(
            "cpu",
            "stride 1, 2-D, 12 shapes in two runs: 1.2-4.7x, at b1 and 14x14x512 "
            "1.2x, 7x7x1024 1.1x; a stride of 2 0.9-1.0x, 1-D 0.9-1.2x",
            when=_one_step,
            training=False,
        ),
    ),
)
