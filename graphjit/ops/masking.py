"""Masks over steps: the layer that makes one, and the mean that knows one."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp

from graphjit.capture.arguments import arg, number
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.errors import ShapeError
from graphjit.ir import Value
from graphjit.layout import Layout
from graphjit.ops.base import Array, Op, Permuted, register_op
from graphjit.ops.precision import KeepsPrecision
from graphjit.types import TensorType, unify_shapes

__all__ = ["MaskSteps", "MaskedMean", "Masking"]


@register_op("mask_steps")
class MaskSteps(Op, KeepsPrecision):
    """Find the steps that hold nothing but `value`, and set them to zero.

    Result 1 is the mask: any(x != value) along `axis`. Source: Keras 2, Masking.

    Shapes:
        x: (n, t, c)  ->  (n, t, c), bool (n, t); the axis may be another than the last.
    """

    value: float
    axis: int

    def infer(self, x: TensorType) -> tuple[TensorType, TensorType]:
        if not 0 <= self.axis < x.rank:
            raise ShapeError(f"axis {self.axis} does not fit rank {x.rank}")
        rest = (dim for at, dim in enumerate(x.shape) if at != self.axis)
        return x, TensorType(tuple(rest), "bool")

    def lower(self, x: Array) -> tuple[Array, Array]:
        mask = jnp.any(x != self.value, self.axis)
        y = jnp.where(jnp.expand_dims(mask, self.axis), x, jnp.zeros((), x.dtype))
        return y, mask

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        if any(o is not None and at != self.axis for at, o in enumerate(layout.inner)):
            return None
        left = [axis for axis in layout.perm if axis != self.axis]
        ranks = {axis: rank for rank, axis in enumerate(sorted(left))}
        mask = Layout(tuple(ranks[axis] for axis in left))
        op = MaskSteps(self.value, layout.physical_axis(self.axis))
        return Permuted(op, (layout,), (layout, mask))


@register_op("masked_mean", roles=("x", "mask"))
class MaskedMean(Op, KeepsPrecision):
    """The mean along `axis` over the steps whose mask is true; NaN where none is.

    Source: Keras 2.2.3, GlobalAveragePooling1D.

    Shapes:
        x: (n, …, t, …)   mask: bool (n, t)  ->  (n, …, …), or (n, …, 1, …) with
        keepdims
    """

    axis: int
    keepdims: bool = False

    def infer(self, x: TensorType, mask: TensorType) -> TensorType:
        if not 0 < self.axis < x.rank:
            raise ShapeError(f"axis {self.axis} does not fit rank {x.rank}")
        if mask.dtype != "bool" or mask.rank != 2:
            raise ShapeError(f"mask: expected bool[n, t], received {mask}")
        try:
            unify_shapes((x.shape[0], x.shape[self.axis]), mask.shape)
        except ShapeError as error:
            raise ShapeError(f"mask: {error.message}") from None
        kept = (1,) if self.keepdims else ()
        return x.with_shape(x.shape[: self.axis] + kept + x.shape[self.axis + 1 :])

    def lower(self, x: Array, mask: Array) -> Array:
        shape = [1] * x.ndim
        shape[0], shape[self.axis] = mask.shape
        valid = jnp.reshape(mask, shape)
        # Not a product: a masked step may hold anything, infinities among it.
        total = jnp.sum(jnp.where(valid, x, 0), self.axis, keepdims=self.keepdims)
        count = jnp.sum(valid.astype(x.dtype), self.axis, keepdims=self.keepdims)
        return total / count

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        if layout.inner or layout.perm[0] != 0:
            return None
        op = MaskedMean(layout.physical_axis(self.axis), self.keepdims)
        result = layout
        if not self.keepdims:
            left = [axis for axis in layout.perm if axis != self.axis]
            ranks = {axis: rank for rank, axis in enumerate(sorted(left))}
            result = Layout(tuple(ranks[axis] for axis in left))
        return Permuted(op, (layout, Layout.plain(2)), (result,))

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        (x, *_) = operands
        return 0 if x is None else Op.flops(self, operands, [x])


@LAYERS.register("Masking")
class Masking(Layer):
    """Mask the steps whose features all equal a value, and set them to zero.

    The layers that follow leave those steps out, or refuse a mask that they do not
    know. A mask on the input is replaced.

    Shapes:
        x: (n, t, c)  ->  (n, t, c), masked by any(x != mask_value) over the last axis

    Args:
        mask_value: What the features of a masked step equal.
    """

    mask_value: float = arg(default=0.0, converter=number)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        emitter.check_least_rank(x, 2)
        last = emitter.type_of(x).rank - 1
        return emitter(MaskSteps(self.mask_value, last), x)

    def emit_masks(
        self,
        emitter: Emitter,
        inputs: Sequence[Value],
        masks: Sequence[Value | None],
        outputs: Sequence[Value],
    ) -> Sequence[Value | None]:
        return [Value(outputs[0].node, 1)]
