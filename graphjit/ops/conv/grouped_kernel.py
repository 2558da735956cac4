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
from typing import Any, Final, cast

import jax
import jax.numpy as jnp
import numpy as np

from graphjit.errors import ShapeError
from graphjit.ops.base import (
    Array,
    Kernel,
    Op,
    PackedForm,
    Rule,
    register_op,
    with_fields,
)
from graphjit.ops.bias import with_bias
from graphjit.ops.conv import image_gradient, kernel_gradient
from graphjit.ops.conv.one_axis import as_rows
from graphjit.ops.conv.sliding import Sliding, plain_convolution, sliding_of
from graphjit.ops.wide_sums import widened
from graphjit.types import TensorType

__all__ = ["GROUPS_MERGED"]

#: As many groups are merged as leave a dense convolution no more channels than this.
_MOST_CHANNELS = 32

#: With more blocks than this they go through a loop: it compiles once.
_MOST_UNROLLED = 3

#: That no index counts from the end is one program less to compile.
_FROM_THE_FRONT: Final[Any] = {"allow_negative_indices": False}


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
    merged = _merged(op.groups, *_widths(op, kernel.shape))
    blocks = _Blocks(sliding, pads, op.groups // merged, merged)
    y: Any = _grouped(blocks, x, kernel)
    return with_bias(y, bias)


def _widths(op: Any, kernel: Sequence[Any]) -> tuple[int, int]:
    """How many channels go into a group, and come out."""
    return kernel[-2], kernel[-1] // op.groups


def _merged(groups: int, *channels: int) -> int:
    """How many groups of so many channels share a dense convolution."""
    most = max(channels)
    divisors = [m for m in range(1, groups + 1) if groups % m == 0]
    return max((m for m in divisors if m * most <= _MOST_CHANNELS), default=1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _grouped(blocks: _Blocks, x: Array, kernel: Array) -> Array:
    dense, count = _dense(blocks, kernel), blocks.count
    convolved = functools.partial(plain_convolution, blocks.sliding, blocks.pads)
    if count <= _MOST_UNROLLED:
        parts = map(convolved, *(jnp.split(a, count, -1) for a in (x, dense)))
        return jnp.concatenate(list(parts), -1)

    def part(at: Array | int, image: Array) -> Array:
        return convolved(_block(image, count, at), _block(dense, count, at))

    # A block of the result takes the place of the block of x, which no other reads.
    empty = _empty(jax.eval_shape(part, 0, x), count)
    in_place = (empty.shape, empty.dtype) == (x.shape, x.dtype)

    def with_part(at: Array, y: Array) -> Array:
        return _with_block(y, count, at, part(at, y if in_place else x))

    return _loop(count, with_part, x if in_place else jnp.zeros_like(empty))


def _forward(
    blocks: _Blocks, x: Array, kernel: Array
) -> tuple[Array, tuple[Array, Array]]:
    return _grouped(blocks, x, kernel), (x, kernel)


def _backward(
    blocks: _Blocks, kept: tuple[Array, Array], slope: Array
) -> tuple[Array, Array]:
    x, kernel = kept
    image, taps, wide = widened(x, kernel, slope)
    dense, count = _dense(blocks, taps), blocks.count
    slopes_of = functools.partial(_slopes_of_block, blocks.sliding)
    operands = (image, dense, wide)
    if count <= _MOST_UNROLLED:
        split = (jnp.split(a, count, -1) for a in operands)
        parts = list(map(slopes_of, *split))
        to_image, to_dense = (
            jnp.concatenate(part, -1) for part in zip(*parts, strict=True)
        )
    else:

        def with_block(at: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
            to_block, to_own = slopes_of(*(_block(a, count, at) for a in operands))
            return (
                _with_block(found[0], count, at, to_block),
                _with_block(found[1], count, at, to_own),
            )

        empty = (jnp.zeros_like(image), jnp.zeros_like(dense))
        to_image, to_dense = _loop(count, with_block, empty)
    to_kernel = _from_dense(blocks, to_dense, kernel.shape)
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


# --- blocks of channels -----------------------------------------------------------

# They are read and written where they lie: copies with the blocks in front take longer
# to make, and to compile.


def _block(x: Array, count: int, at: Array | int) -> Array:
    """One of `count` blocks of the last axis."""
    width = x.shape[-1] // count
    sizes = (*x.shape[:-1], width)
    return jax.lax.dynamic_slice(x, _start(x, width, at), sizes, **_FROM_THE_FRONT)


def _with_block(x: Array, count: int, at: Array, block: Array) -> Array:
    """`x` with one of `count` blocks of the last axis replaced."""
    start = _start(x, x.shape[-1] // count, at)
    return jax.lax.dynamic_update_slice(x, block, start, **_FROM_THE_FRONT)


def _start(x: Array, width: int, at: Array | int) -> tuple[Array | int, ...]:
    return *(0 for _ in x.shape[1:]), at * width


def _empty(block: Any, count: int) -> jax.ShapeDtypeStruct:
    """`count` blocks side by side."""
    shape = (*block.shape[:-1], count * block.shape[-1])
    return jax.ShapeDtypeStruct(shape, block.dtype)


def _loop(count: int, body: Any, start: Any) -> Any:
    run: Any = jax.lax.fori_loop  # pyright: ignore[reportUnknownVariableType]
    return run(0, count, body, start)


# --- kernels ----------------------------------------------------------------------


@register_op("spread_groups", roles=("kernel",))
class SpreadGroups(Op):
    """The kernel of a grouped convolution for fewer groups, zeros in between.

    Shapes:
        kernel: (…, c, g * k)  ->  (…, m * c, g * k)

    Attributes:
        groups: g, how many the kernel has.
        merged: m, how many become one.
    """

    groups: int
    merged: int

    def infer(self, kernel: TensorType) -> TensorType:
        if kernel.rank < 2 or not all(isinstance(dim, int) for dim in kernel.shape):
            raise ShapeError(f"kernel: expected (…, c, k), received {kernel}")
        *taps, channels, filters = (cast("int", dim) for dim in kernel.shape)
        if self.groups % self.merged or filters % self.groups:
            raise ShapeError(
                f"{filters} filters in {self.groups} groups do not merge by "
                f"{self.merged}"
            )
        return kernel.with_shape((*taps, self.merged * channels, filters))

    def lower(self, kernel: Array) -> Array:
        *taps, channels, filters = kernel.shape
        several = kernel.reshape(-1, 1, channels, filters)
        own = _own_group(self.groups, self.merged, filters)[:, None]
        shape = (several.shape[0], self.merged, channels, filters)
        spread = jax.lax.select(
            jnp.broadcast_to(own, shape),
            jnp.broadcast_to(several, shape),
            jnp.zeros(shape, kernel.dtype),
        )
        return spread.reshape(*taps, self.merged * channels, filters)


def _packed(op: Any, types: Sequence[TensorType | None]) -> PackedForm | None:
    """A convolution of fewer, wider groups; None where none are merged."""
    kernel = types[1]
    assert kernel is not None
    merged = _merged(op.groups, *_widths(op, kernel.shape))
    if merged == 1:
        return None
    groups = op.groups // merged
    fewer = with_fields(op, groups=groups)
    name = GROUPS_MERGED.name if groups > 1 else ""
    return PackedForm((SpreadGroups(op.groups, merged),), fewer, name)


def _dense(blocks: _Blocks, kernel: Array) -> Array:
    """The kernels of all blocks side by side, zeros between their groups.

    Shapes:
        kernel: (kh, kw, c, b * m * k)  ->  (kh, kw, m * c, b * m * k)
    """
    if blocks.merged == 1:
        return kernel
    return SpreadGroups(blocks.count * blocks.merged, blocks.merged).lower(kernel)


def _from_dense(blocks: _Blocks, dense: Array, shape: Sequence[int]) -> Array:
    """What `_dense` spread out, from gradients of that form.

    Slices, for a masked sum over an axis of 1 ends jaxlib 0.10.2 with a segmentation
    fault (https://github.com/jax-ml/jax/issues/40412).

    Shapes:
        dense: (kh, kw, m * c, b * m * k)  ->  (kh, kw, c, b * m * k)
    """
    channels = shape[2]
    own = _own_group(blocks.count * blocks.merged, blocks.merged, shape[3])
    zero = jnp.zeros((), dense.dtype)
    parts = (
        jnp.where(row, jax.lax.slice_in_dim(dense, at, at + channels, axis=2), zero)
        for row, at in zip(own, range(0, dense.shape[2], channels), strict=True)
    )
    return functools.reduce(jnp.add, parts)


def _own_group(groups: int, merged: int, filters: int) -> np.ndarray[Any, Any]:
    """Whether a filter belongs to a group among those merged: (m, g * k)."""
    group = np.arange(filters) // (filters // groups) % merged
    return group == np.arange(merged)[:, None]


def _one_step(op: Any, types: Sequence[TensorType | None]) -> bool:
    """Images whose windows are one element apart."""
    del types
    return op.strides == (1, 1)


GROUPS_MERGED = Kernel(
    name="groups_merged",
    can=_can,
    lower=_lower,
    packed=_packed,
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
