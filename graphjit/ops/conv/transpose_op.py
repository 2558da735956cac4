"""The transposed convolution op, of any spatial rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from graphjit.errors import ShapeError
from graphjit.ops.base import (
    Array,
    Emit,
    Kernel,
    Op,
    Refusal,
    ScalesOutput,
    register_op,
)
from graphjit.ops.bias import with_bias
from graphjit.ops.conv.operands import SPATIAL, check_operands, check_ranks
from graphjit.ops.conv.transposed_kernel import TRANSPOSED_PRODUCTS
from graphjit.ops.dense import DenseOp, affine_bias
from graphjit.ops.elementwise import Add, Multiply
from graphjit.ops.reduce import ReduceSum
from graphjit.ops.shape import Reshape, Transpose
from graphjit.ops.windows import span
from graphjit.types import Dim, TensorType, known_size

__all__ = ["ConvTransposeOp"]


@register_op("conv_transpose", roles=("x", "kernel", "bias"))
class ConvTransposeOp(Op, ScalesOutput):
    """Each element of x adds the kernel times itself to the window it stands for.

    y[stride * i + dilation * t - before] += kernel[t] @ x[i] along every spatial axis:
    what a convolution does to gradients (Dumoulin & Visin, 2016, section 4).

    Shapes:
        x: (n, h, w, c_in)   kernel: (kh, kw, c_out, c_in)  ->  (n, h', w', c_out)
        h' = stride * (h - 1) + d - before - after, with d = dilation * (kh - 1) + 1 and
        (before, after) of `crops`: what is cut off, or below 0 rows that get the bias
        alone. Likewise for 1 and 3 spatial axes.
    """

    kernels: ClassVar[tuple[Kernel, ...]] = (TRANSPOSED_PRODUCTS,)

    strides: tuple[int, ...]
    crops: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...] = ()

    @property
    def rank(self) -> int:
        return len(self.strides)

    def rates(self) -> tuple[int, ...]:
        return self.dilation or (1,) * self.rank

    def windows(self, taps: Sequence[Dim]) -> list[int]:
        """How many elements the kernel covers along each spatial axis."""
        pairs = zip(taps, self.rates(), strict=True)
        return [span(tap, rate) for tap, rate in pairs if isinstance(tap, int)]

    def infer(
        self, x: TensorType, kernel: TensorType, bias: TensorType | None = None
    ) -> TensorType:
        rank = self.rank
        if len(self.rates()) != rank or len(self.crops) != rank:
            message = f"strides {self.strides} want dilation and crops of {rank} axes"
            raise ShapeError(message)
        check_ranks(x, kernel, rank)
        filters, channels = kernel.shape[-2:]
        axes = f"{SPATIAL[3 - rank :]}OI"
        check_operands(x, kernel, bias, axes=axes, channels=channels, filters=filters)
        lengths: list[Dim] = []
        for axis, (stride, crop, window) in enumerate(
            zip(self.strides, self.crops, self.windows(kernel.shape[:-2]), strict=True),
            start=1,
        ):
            length = _length(x.shape[axis], stride, window - sum(crop))
            if isinstance(length, int) and length < 1:
                given = f"a length of {x.shape[axis]} (axis {axis})"
                raise ShapeError(f"crops {crop} leave nothing of {given}")
            lengths.append(length)
        return x.with_shape((x.shape[0], *lengths, filters))

    def lower(self, x: Array, kernel: Array, bias: Array | None = None) -> Array:
        spatial = SPATIAL[3 - self.rank :]
        layout = f"N{spatial}C"
        windows = self.windows(kernel.shape[:-2])
        pads = [
            (window - 1 - before, window - 1 - after)
            for window, (before, after) in zip(windows, self.crops, strict=True)
        ]
        y = jax.lax.conv_general_dilated(
            x,
            jnp.flip(kernel, tuple(range(self.rank))),
            (1,) * self.rank,
            pads,
            lhs_dilation=self.strides,
            rhs_dilation=self.rates(),
            dimension_numbers=(layout, f"{spatial}OI", layout),
        )
        return with_bias(y, bias)

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        x, kernel = operands[:2]
        assert x is not None
        assert kernel is not None
        positions = [dim if isinstance(dim, int) else 1 for dim in x.shape[:-1]]
        return 2 * (known_size(positions) or 0) * (known_size(kernel.shape) or 0)

    def padded(
        self,
        pads: tuple[tuple[int, int], ...],
        value: float,
        types: Sequence[TensorType | None],
    ) -> Op | Refusal:
        if value != 0:
            return Refusal(f"the convolution pads with 0, not with {value}")
        if pads[0] != (0, 0) or pads[-1] != (0, 0):
            return Refusal("the batch or the channels are padded")
        # A zero in front moves what follows by one stride, and adds nothing itself.
        crops = tuple(
            (before - stride * front, after - stride * back)
            for stride, (front, back), (before, after) in zip(
                self.strides, pads[1:-1], self.crops, strict=True
            )
        )
        return ConvTransposeOp(self.strides, crops, self.dilation)

    def scale_output(
        self, emit: Emit, operands: Sequence[Any], scale: Any, shift: Any
    ) -> tuple[Any, ...]:
        x, kernel, bias = (*operands, None)[:3]
        filters = emit.type_of(kernel).shape[-2]
        assert isinstance(filters, int)
        column = emit(Reshape((filters, 1), keep=0), scale)
        bias = affine_bias(emit, bias, scale, shift)
        return x, emit(Multiply(), kernel, column), bias

    def scale_input(
        self, emit: Emit, operands: Sequence[Any], scale: Any, shift: Any
    ) -> tuple[Any, ...] | Refusal:
        x, kernel, bias = (*operands, None)[:3]
        windows = self.windows(emit.type_of(kernel).shape[:-2])
        inside = all(
            min(crop) >= window - 1
            for crop, window in zip(self.crops, windows, strict=True)
        )
        if not inside or any(stride != 1 for stride in self.strides):
            # Elsewhere the shift would come once per tap that is seen.
            return Refusal("not every element of the result sees the whole kernel")
        taps = emit(ReduceSum(tuple(range(self.rank))), kernel)
        moved = emit(DenseOp(), shift, emit(Transpose((1, 0)), taps))
        scaled = emit(Multiply(), kernel, scale)
        return x, scaled, moved if bias is None else emit(Add(), moved, bias)


def _length(length: Dim, stride: int, added: int) -> Dim:
    """stride * (length - 1) + added; a named dim keeps its name where it stays."""
    if isinstance(length, int):
        return stride * (length - 1) + added
    return length if stride == added == 1 else None
