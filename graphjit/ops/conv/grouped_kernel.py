"""Grouped convolutions as dense ones over a few groups each.

XLA:CPU sends a grouped convolution, and worse its gradients, to a naive loop. A dense
convolution of few channels is slow as well, so several groups share one, with zeros
between them: at about 16 channels the extra products cost less than what they save.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import jax
import jax.numpy as jnp

from graphjit.ops.base import Array, Kernel
from graphjit.ops.conv.image_gradient import image_gradient
from graphjit.ops.conv.kernel_gradient import kernel_gradient
from graphjit.ops.conv.one_axis import as_rows
from graphjit.ops.conv.sliding import NHWC, Sliding, sliding_of, widened
from graphjit.types import TensorType

__all__ = ["GROUPS_MERGED"]

#: Groups are merged until a dense convolution has this many channels,
_ENOUGH_CHANNELS = 16
#: and once more where that leaves it with no more than these: half as many to compile.
_MOST_CHANNELS = 32

#: With more convolutions than this the backward pass is a loop: it compiles once.
_MOST_UNROLLED = 4


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
    enough = (m for m in divisors if m * channels >= _ENOUGH_CHANNELS)
    merged = next(enough, groups)
    twice = 2 * merged
    fits = groups % twice == 0 and twice * channels <= _MOST_CHANNELS
    return twice if fits and merged <= 2 else merged


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _grouped(blocks: _Blocks, x: Array, kernel: Array) -> Array:
    kernels = _block_kernels(blocks, kernel)
    parts = [
        jax.lax.conv_general_dilated(
            image,
            kernels[at],
            blocks.sliding.strides,
            blocks.pads,
            rhs_dilation=blocks.sliding.rates,
            dimension_numbers=NHWC,
        )
        for at, image in enumerate(jnp.split(x, blocks.count, -1))
    ]
    return jnp.concatenate(parts, -1)


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
        image, taps, slope = given
        to_image = image_gradient(blocks.sliding, slope, taps, x.shape[1:3])
        to_kernel = kernel_gradient(blocks.sliding, image, slope, kernel.shape[:2])
        return to_image, to_kernel

    to_image, to_kernels = _for_each_block(
        of_block, blocks.count, image, _block_kernels(blocks, taps), wide
    )
    to_kernel = _diagonal(blocks, to_kernels, kernel.shape)
    return to_image.astype(x.dtype), to_kernel.astype(kernel.dtype)


_grouped.defvjp(_forward, _backward)


def _for_each_block(
    of_block: Callable[[tuple[Array, Array, Array]], tuple[Array, Array]],
    count: int,
    image: Array,
    kernels: Array,
    slope: Array,
) -> tuple[Array, Array]:
    """The image gradients side by side, the kernel gradients stacked."""
    if count <= _MOST_UNROLLED:
        parts = zip(
            jnp.split(image, count, -1),
            kernels,
            jnp.split(slope, count, -1),
            strict=True,
        )
        results = [of_block(part) for part in parts]
        images = jnp.concatenate([image for image, _ in results], -1)
        return images, jnp.stack([kernel for _, kernel in results])
    given = (_stacked(image, count), kernels, _stacked(slope, count))
    found = cast("tuple[Array, Array]", jax.lax.map(of_block, given))
    flat = jnp.transpose(found[0], (1, 2, 3, 0, 4))
    return flat.reshape(image.shape), found[1]


def _stacked(x: Array, count: int) -> Array:
    """(n, h, w, count * c) as (count, n, h, w, c)."""
    split = x.reshape(*x.shape[:-1], count, x.shape[-1] // count)
    return jnp.transpose(split, (3, 0, 1, 2, 4))


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


GROUPS_MERGED = Kernel(
    name="groups_merged",
    can=_can,
    lower=_lower,
)
