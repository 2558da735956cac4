"""What merging tensors needs: their dot product by sample, and a mask of all True."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from graphjit.errors import ShapeError
from graphjit.layout import AxisOrder, Layout
from graphjit.ops.base import Array, Op, Permuted, register_op
from graphjit.types import TensorType, known_size, unify_dim

__all__ = ["BatchDot", "FullMask"]


@register_op("batch_dot", roles=("x", "y"))
class BatchDot(Op):
    """Sum x * y over axis `x_axis` of x and `y_axis` of y, for each sample.

    Shapes:
        x: (n, …, d, …)   y: (n, …, d, …)
        ->  (n, the other dims of x, the other dims of y)
    """

    x_axis: int
    y_axis: int

    def infer(self, x: TensorType, y: TensorType) -> TensorType:
        for role, axis, type_ in (("x", self.x_axis, x), ("y", self.y_axis, y)):
            if not 0 < axis < type_.rank:
                message = f"{role}: axis {axis} does not fit rank {type_.rank}"
                raise ShapeError(message)
        if x.dtype != y.dtype:
            raise ShapeError(f"x is {x.dtype}, y is {y.dtype}")
        a, b = x.shape[self.x_axis], y.shape[self.y_axis]
        try:
            unify_dim(a, b)
            batch = unify_dim(x.shape[0], y.shape[0])
        except ShapeError as error:
            notes = {"x": f"summed: axis {self.x_axis}"}
            notes["y"] = f"summed: axis {self.y_axis}"
            raise ShapeError(error.message, notes=notes) from None
        left = (d for at, d in enumerate(x.shape) if at not in (0, self.x_axis))
        right = (d for at, d in enumerate(y.shape) if at not in (0, self.y_axis))
        return x.with_shape((batch, *left, *right))

    def lower(self, x: Array, y: Array) -> Array:
        summed = ((self.x_axis,), (self.y_axis,))
        return jax.lax.dot_general(x, y, (summed, ((0,), (0,))))

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        x, y = types
        assert x is not None
        assert y is not None
        rank = len(layout.perm)
        if rank != x.rank or layout.perm[0] != 0:
            return None
        inner: list[AxisOrder | None] = [*layout.inner] or [None] * rank
        # An order inside the summed axis is one that y can have too.
        y_inner: list[AxisOrder | None] = [None] * y.rank
        y_inner[self.y_axis] = inner[self.x_axis]
        left = [axis for axis in range(rank) if axis != self.x_axis]
        count = rank - 1 + y.rank - 2
        moved = [left.index(axis) for axis in layout.perm if axis != self.x_axis]
        rest = [None] * (y.rank - 2)
        result = Layout(
            (*moved, *range(rank - 1, count)),
            (*(inner[axis] for axis in left), *rest),
        )
        op = BatchDot(layout.physical_axis(self.x_axis), self.y_axis)
        y_layout = Layout(tuple(range(y.rank)), tuple(y_inner))
        return Permuted(op, (layout, y_layout), (result,))

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        x = operands[0]
        summed = 1 if x is None else x.shape[self.x_axis]
        dims = [dim if isinstance(dim, int) else 1 for dim in results[0].shape]
        return 2 * (known_size(dims) or 0) * (summed if isinstance(summed, int) else 1)


@register_op("full_mask")
class FullMask(Op):
    """True for each position on the first `rank` axes of x; x itself is not read.

    Shapes:
        x: (d0, d1, …)  ->  bool (d0, …), of `rank` axes
    """

    rank: int

    def infer(self, x: TensorType) -> TensorType:
        if not 0 < self.rank <= x.rank:
            raise ShapeError(f"expected x of rank >= {self.rank}, received {x}")
        return TensorType(x.shape[: self.rank], "bool")

    def lower(self, x: Array) -> Array:
        return jnp.ones(x.shape[: self.rank], bool)

    def flops(self, operands: object, results: object) -> int:
        return 0
