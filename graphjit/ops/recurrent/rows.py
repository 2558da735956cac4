"""Ops on the rows of a batch and its steps: fill, select, drop, reverse, fold time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax.numpy as jnp

from graphjit.errors import ShapeError
from graphjit.layout import Layout
from graphjit.ops.base import (
    Array,
    Becomes,
    KeepsElements,
    Op,
    Permuted,
    Same,
    added,
    register_op,
)
from graphjit.types import DTYPE_BYTES, Dim, Shape, TensorType, unify_dim, unify_shapes

__all__ = ["Drop", "FillRows", "FoldTime", "Reverse", "SelectRows", "UnfoldTime"]


@register_op("fill_rows")
class FillRows(Op):
    """A constant with as many rows as x, such as a first state; x is not read.

    Shapes:
        x: (n, …)  ->  (n, *shape); (n, t, *shape) with keep 2
    """

    shape: tuple[int, ...]
    value: float = 0.0
    dtype: str = "float32"
    keep: int = 1

    def infer(self, x: TensorType) -> TensorType:
        if self.keep < 0 or x.rank < self.keep:
            raise ShapeError(f"expected rank >= {self.keep}, received {x}")
        if self.dtype not in DTYPE_BYTES:
            raise ShapeError(f"expected a dtype, received {self.dtype!r}")
        if any(dim < 0 for dim in self.shape):
            raise ShapeError(f"expected dims >= 0, received {self.shape}")
        return TensorType((*x.shape[: self.keep], *self.shape), self.dtype)

    def lower(self, x: Array) -> Array:
        return jnp.full((*x.shape[: self.keep], *self.shape), self.value, self.dtype)

    def flops(self, operands: object, results: object) -> int:
        return 0

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        kept = range(self.keep)
        if layout.perm[: self.keep] != tuple(kept):
            return None
        if layout.inner and any(layout.inner[axis] is not None for axis in kept):
            return None
        return Permuted(self, (layout,), (Layout.plain(self.keep + len(self.shape)),))


@register_op("select_rows", roles=("x", "y", "mask"))
class SelectRows(Op):
    """The rows of x where the mask is True, the rows of y elsewhere.

    Shapes:
        x, y: (n, …)   mask: bool (n,)  ->  (n, …)
    """

    def infer(self, x: TensorType, y: TensorType, mask: TensorType) -> TensorType:
        if mask.rank != 1 or mask.dtype != "bool":
            raise ShapeError(f"mask: expected bool (n,), received {mask}")
        if x.rank < 1 or x.dtype != y.dtype:
            raise ShapeError(f"x is {x}, y is {y}")
        shape = unify_shapes(x.shape, y.shape)
        return x.with_shape((unify_dim(shape[0], mask.shape[0]), *shape[1:]))

    def lower(self, x: Array, y: Array, mask: Array) -> Array:
        rows = jnp.reshape(mask, mask.shape + (1,) * (x.ndim - 1))
        return jnp.where(rows, x, y)

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        if layout.perm[0] != 0 or layout.inner:
            return None
        return Permuted(self, (layout, layout, Layout((0,))), (layout,))


@register_op("drop", roles=("x", "mask"))
class Drop(Op):
    """x * mask in training, x in inference: a dropout whose draw several steps share.

    With `always` it is x * mask in both.

    Shapes:
        x, mask: (n, …)  ->  (n, …)
    """

    always: bool = added(default=False)

    def infer(self, x: TensorType, mask: TensorType) -> TensorType:
        if x.dtype != mask.dtype:
            raise ShapeError(f"x is {x.dtype}, mask is {mask.dtype}")
        return x.with_shape(unify_shapes(x.shape, mask.shape))

    def lower(self, x: Array, mask: Array) -> Array:
        return x * mask

    def to_inference(self) -> Becomes | None:
        return None if self.always else Becomes(None, (0,), (Same(0),))

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        if layout.inner:
            return None
        return Permuted(self, (layout, layout), (layout,))


@register_op("reverse")
class Reverse(Op, KeepsElements):
    """The elements in the opposite order along `axis`.

    Shapes:
        x: (…)  ->  (…)
    """

    axis: int = 1

    def infer(self, x: TensorType) -> TensorType:
        if not 0 <= self.axis < x.rank:
            raise ShapeError(f"axis {self.axis} does not fit rank {x.rank}")
        return x

    def lower(self, x: Array) -> Array:
        return jnp.flip(x, self.axis)

    def flops(self, operands: object, results: object) -> int:
        return 0

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        if layout.inner:
            return None
        op = Reverse(layout.physical_axis(self.axis))
        return Permuted(op, (layout,), (layout,))


@register_op("fold_time")
class FoldTime(Op, KeepsElements):
    """Every step of every row as a row of its own.

    Shapes:
        x: (n, t, …)  ->  (n * t, …); unknown rows unless both are numbers
    """

    def infer(self, x: TensorType) -> TensorType:
        if x.rank < 2:
            raise ShapeError(f"expected rank >= 2 (n, t, …), received {x}")
        return x.with_shape((_product(x.shape[:2]), *x.shape[2:]))

    def lower(self, x: Array) -> Array:
        # Not -1, which says nothing where another dim is 0.
        return jnp.reshape(x, (x.shape[0] * x.shape[1], *x.shape[2:]))

    def flops(self, operands: object, results: object) -> int:
        return 0

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        if layout.perm[:2] != (0, 1) or layout.inner:
            return None
        folded = Layout((0, *(axis - 1 for axis in layout.perm[2:])))
        return Permuted(self, (layout,), (folded,))


@register_op("unfold_time", roles=("x", "like"))
class UnfoldTime(Op):
    """What `fold_time` made of rows and steps, apart again.

    The numbers of rows and steps are those of `like`, whose elements are not read.

    Shapes:
        x: (n * t, …)   like: (n, t, …)  ->  (n, t, …)
    """

    def infer(self, x: TensorType, like: TensorType) -> TensorType:
        if x.rank < 1 or like.rank < 2:
            raise ShapeError(f"expected (n * t, …) and (n, t, …): {x} and {like}")
        rows = _product(like.shape[:2])
        if isinstance(rows, int) and x.shape[0] not in (rows, None):
            raise ShapeError(f"x has {x.shape[0]} rows, like has {rows} steps")
        return x.with_shape((*like.shape[:2], *x.shape[1:]))

    def lower(self, x: Array, like: Array) -> Array:
        return jnp.reshape(x, (*like.shape[:2], *x.shape[1:]))

    def flops(self, operands: object, results: object) -> int:
        return 0

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        like = types[1]
        if layout.perm[0] != 0 or layout.inner or like is None:
            return None
        apart = Layout((0, 1, *(axis + 1 for axis in layout.perm[1:])))
        return Permuted(self, (layout, Layout.plain(like.rank)), (apart,))


def _product(dims: Shape) -> Dim:
    """The number of elements; unknown unless every dim is a number."""
    known = [dim for dim in dims if isinstance(dim, int)]
    return math.prod(known) if len(known) == len(dims) else None
