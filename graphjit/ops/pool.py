"""Max and average pooling over windows of a channels-last image of any rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from graphjit.errors import ShapeError
from graphjit.layout import Layout
from graphjit.ops.base import Array, Kernel, Op, Permuted, register_op, with_fields
from graphjit.ops.pool_kernels import FIRST_MAXIMUM, SHIFTED_MEAN
from graphjit.ops.wide_sums import widened
from graphjit.ops.windows import Padding, explicit_pads, output_length
from graphjit.types import Dim, TensorType

__all__ = ["AveragePool", "MaxPool", "PoolOp"]


class PoolOp(Op):
    """Reduce every window of a channels-last image.

    Shapes:
        x: (n, h, w, c)  ->  (n, h', w', c), h' as for a convolution of that size.
    """

    __slots__ = ()

    size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Padding

    def infer(self, x: TensorType) -> TensorType:
        rank = len(self.size)
        if x.rank != rank + 2:
            raise ShapeError(f"expected x of rank {rank + 2}, received rank {x.rank}")
        padded = rank if isinstance(self.padding, str) else len(self.padding)
        if len(self.strides) != rank or padded != rank:
            raise ShapeError(f"size {self.size} wants strides and pads of {rank} axes")
        spatial: list[Dim] = []
        for axis, (window, stride) in enumerate(
            zip(self.size, self.strides, strict=True)
        ):
            pads = self.padding if isinstance(self.padding, str) else self.padding[axis]
            try:
                length = output_length(x.shape[axis + 1], window, stride, pads)
            except ShapeError as error:
                message = f"{error.message} (axis {axis + 1} of channels-last x)"
                raise ShapeError(message) from None
            spatial.append(length)
        return x.with_shape((x.shape[0], *spatial, x.shape[-1]))

    def reduce(self, x: Array, start: float, combine: object) -> Array:
        """Combine the elements of every window, those of pads being `start`."""
        pads = explicit_pads(self.padding, x.shape[1:-1], self.size, self.strides)
        assert pads is not None
        return jax.lax.reduce_window(
            x,
            np.asarray(start, x.dtype),
            combine,  # pyright: ignore[reportArgumentType]
            (1, *self.size, 1),
            (1, *self.strides, 1),
            ((0, 0), *pads, (0, 0)),
        )

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        last = len(self.size) + 1
        if layout.inner or layout.perm[0] != 0 or layout.perm[-1] != last:
            return None
        order = [axis - 1 for axis in layout.perm[1:-1]]
        padding = self.padding
        op = with_fields(
            self,
            size=tuple(self.size[axis] for axis in order),
            strides=tuple(self.strides[axis] for axis in order),
            padding=padding
            if isinstance(padding, str)
            else tuple(padding[axis] for axis in order),
        )
        return Permuted(op, (layout,), (layout,))

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        return math.prod(self.size) * Op.flops(self, operands, results)


@register_op("max_pool")
class MaxPool(PoolOp):
    """The largest element of every window; pads never win."""

    kernels: ClassVar[tuple[Kernel, ...]] = (FIRST_MAXIMUM,)

    size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Padding = "valid"

    def lower(self, x: Array) -> Array:
        lowest = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else None
        start = jnp.iinfo(x.dtype).min if lowest is None else lowest
        return self.reduce(x, start, jax.lax.max)


@register_op("average_pool")
class AveragePool(PoolOp):
    """The mean of every window, over the elements that are not pads."""

    kernels: ClassVar[tuple[Kernel, ...]] = (SHIFTED_MEAN,)

    size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Padding = "valid"

    def lower(self, x: Array) -> Array:
        (wide,) = widened(x)
        total = self.reduce(wide, 0.0, jax.lax.add)
        pads = explicit_pads(self.padding, x.shape[1:-1], self.size, self.strides)
        if pads is None or all(pair == (0, 0) for pair in pads):
            return (total / math.prod(self.size)).astype(x.dtype)
        ones = jnp.ones((1, *x.shape[1:-1], 1), wide.dtype)
        return (total / self.reduce(ones, 0.0, jax.lax.add)).astype(x.dtype)
