"""Reductions over axes, and softmax along one."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from graphjit.errors import ShapeError
from graphjit.layout import Layout
from graphjit.ops.base import Array, MixesRows, Op, Permuted, register_op
from graphjit.ops.precision import KeepsPrecision
from graphjit.types import TensorType

__all__ = ["ReduceMax", "ReduceMean", "ReduceSum", "Softmax"]


class ReduceOp(Op):
    """Reduce over `axes`.

    Shapes:
        x: (d0, d1, …)  ->  the dims off `axes`, those on it 1 (keepdims) or gone.
    """

    __slots__ = ()

    axes: tuple[int, ...]
    keepdims: bool

    def infer(self, x: TensorType) -> TensorType:
        if any(not 0 <= axis < x.rank for axis in self.axes):
            raise ShapeError(f"axes {self.axes} do not fit rank {x.rank}")
        if self.keepdims:
            return x.with_shape(
                1 if axis in self.axes else dim for axis, dim in enumerate(x.shape)
            )
        return x.with_shape(
            dim for axis, dim in enumerate(x.shape) if axis not in self.axes
        )

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        if layout.inner:
            return None
        axes = tuple(sorted(layout.physical_axis(axis) for axis in self.axes))
        op = type(self)(axes=axes, keepdims=self.keepdims)  # pyright: ignore[reportCallIssue]
        if self.keepdims:
            return Permuted(op, (layout,), (layout,))
        left = [axis for axis in layout.perm if axis not in self.axes]
        ranks = {axis: rank for rank, axis in enumerate(sorted(left))}
        result = Layout(tuple(ranks[axis] for axis in left))
        return Permuted(op, (layout,), (result,))


@register_op("reduce_mean")
class ReduceMean(ReduceOp):
    """The mean over `axes`."""

    axes: tuple[int, ...]
    keepdims: bool = False

    def lower(self, x: Array) -> Array:
        return jnp.mean(x, axis=self.axes, keepdims=self.keepdims)


@register_op("reduce_max")
class ReduceMax(ReduceOp):
    """The largest element over `axes`."""

    axes: tuple[int, ...]
    keepdims: bool = False

    def lower(self, x: Array) -> Array:
        return jnp.max(x, axis=self.axes, keepdims=self.keepdims)


@register_op("reduce_sum")
class ReduceSum(ReduceOp):
    """The sum over `axes`."""

    axes: tuple[int, ...]
    keepdims: bool = False

    def lower(self, x: Array) -> Array:
        return jnp.sum(x, axis=self.axes, keepdims=self.keepdims)


class AlongAxis(Op, MixesRows, KeepsPrecision):
    """An op that normalizes along one axis; the shape stays.

    Along axis 0 it mixes rows and cannot leave any out.

    Shapes:
        x: (…)  ->  (…)
    """

    __slots__ = ()

    axis: int

    def masks_rows(self) -> bool:
        return self.axis != 0

    def infer(self, x: TensorType) -> TensorType:
        if not 0 <= self.axis < x.rank:
            raise ShapeError(f"axis {self.axis} does not fit rank {x.rank}")
        return x

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        # The order of the elements along the axis does not matter, so a merged
        # axis may lie in any order.
        op = type(self)(axis=layout.physical_axis(self.axis))  # pyright: ignore[reportCallIssue]
        return Permuted(op, (layout,), (layout,))


@register_op("softmax")
class Softmax(AlongAxis):
    """exp(x) / sum(exp(x)) along `axis`, without overflow."""

    axis: int

    def lower(self, x: Array) -> Array:
        return jax.nn.softmax(x, axis=self.axis)


@register_op("log_softmax")
class LogSoftmax(AlongAxis):
    """x - log(sum(exp(x))) along `axis`, without overflow."""

    axis: int

    def lower(self, x: Array) -> Array:
        return jax.nn.log_softmax(x, axis=self.axis)
