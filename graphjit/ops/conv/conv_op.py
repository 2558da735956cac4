"""The convolution op, of any spatial rank, with groups; depthwise is groups = c_in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import jax

from graphjit.errors import ShapeError
from graphjit.ops.base import (
    Array,
    Emit,
    Kernel,
    Op,
    PackedForm,
    Refusal,
    ScalesOutput,
    register_op,
)
from graphjit.ops.bias import with_bias
from graphjit.ops.conv.canonical_backward import CANONICAL_BACKWARD
from graphjit.ops.conv.depth_conv import DEPTH_IN_CHANNELS
from graphjit.ops.conv.depthwise_kernel import DEPTHWISE_SHIFTED
from graphjit.ops.conv.few_channels_kernel import FILLED_CHANNELS, SHIFTED_SUM
from graphjit.ops.conv.grouped_kernel import GROUPS_MERGED
from graphjit.ops.conv.operands import (
    FORMAT_HINT,
    SPATIAL,
    check_operands,
    check_ranks,
    convolution_flops,
)
from graphjit.ops.conv.pointwise_kernel import POINTWISE_DOT
from graphjit.ops.conv.time_kernel import TIME_AS_ROWS, TIME_COLUMNS
from graphjit.ops.conv.winograd import (
    FiltersMinimally,
    WinogradConv,
    WinogradKernel,
)
from graphjit.ops.dense import DenseOp, affine_bias
from graphjit.ops.elementwise import Add, Multiply
from graphjit.ops.joining import JoinsOutputs, Joint
from graphjit.ops.reduce import ReduceSum
from graphjit.ops.shape import Reshape, Transpose
from graphjit.ops.windows import Padding, explicit_pads, output_length, span
from graphjit.types import Dim, TensorType

__all__ = ["ConvOp"]

_IMAGE_CHANNELS = (1, 3, 4)


@register_op("conv", roles=("x", "kernel", "bias"))
class ConvOp(Op, ScalesOutput, JoinsOutputs, FiltersMinimally):
    """Cross-correlation of a channels-last image with a kernel.

    Shapes:
        x: (n, h, w, c_in)   kernel: (kh, kw, c_in / g, c_out)  ->  (n, h', w', c_out)
        h' = ceil(h / stride) for "same"; floor((h + pads - d) / stride) + 1 otherwise,
        with d = dilation * (kh - 1) + 1. Likewise for 1 and 3 spatial axes.
    """

    kernels: ClassVar[tuple[Kernel, ...]] = (
        DEPTHWISE_SHIFTED,
        POINTWISE_DOT,
        SHIFTED_SUM,
        FILLED_CHANNELS,
        CANONICAL_BACKWARD,
        GROUPS_MERGED,
        DEPTH_IN_CHANNELS,
        TIME_COLUMNS,
        TIME_AS_ROWS,
    )

    strides: tuple[int, ...]
    padding: Padding = "valid"
    dilation: tuple[int, ...] = ()
    groups: int = 1

    @property
    def rank(self) -> int:
        return len(self.strides)

    def rates(self) -> tuple[int, ...]:
        return self.dilation or (1,) * self.rank

    def infer(
        self, x: TensorType, kernel: TensorType, bias: TensorType | None = None
    ) -> TensorType:
        rank = self.rank
        axes = f"{SPATIAL[3 - rank :]}IO"
        pads = () if isinstance(self.padding, str) else self.padding
        if len(self.rates()) != rank or (pads and len(pads) != rank):
            message = f"strides {self.strides} want dilation and padding of {rank} axes"
            raise ShapeError(message)
        if isinstance(self.padding, str) and self.padding not in ("valid", "same"):
            wanted = "'valid', 'same' or a pair of ints per axis"
            raise ShapeError(f"padding: expected {wanted}, received {self.padding!r}")
        check_ranks(x, kernel, rank)
        per_group, filters = kernel.shape[-2:]
        channels = per_group * self.groups if isinstance(per_group, int) else None
        if not isinstance(filters, int) or filters % self.groups:
            raise ShapeError(f"{filters} filters do not divide by {self.groups} groups")
        check_operands(x, kernel, bias, axes=axes, channels=channels, filters=filters)
        return x.with_shape((x.shape[0], *self._lengths(x, kernel), filters))

    def _lengths(self, x: TensorType, kernel: TensorType) -> list[Dim]:
        """The spatial dims of the result."""
        lengths: list[Dim] = []
        for axis, (tap, stride, rate) in enumerate(
            zip(kernel.shape[:-2], self.strides, self.rates(), strict=True)
        ):
            assert isinstance(tap, int)
            padding = self.padding
            pads = padding if isinstance(padding, str) else padding[axis]
            try:
                length = output_length(x.shape[axis + 1], span(tap, rate), stride, pads)
            except ShapeError as error:
                few = x.shape[1] in _IMAGE_CHANNELS and axis == 0
                raise ShapeError(
                    f"{error.message} (axis {axis + 1})",
                    notes={"x": f"read as N{SPATIAL[3 - self.rank :]}C"},
                    hint=FORMAT_HINT if few else None,
                ) from None
            lengths.append(length)
        return lengths

    def lower(self, x: Array, kernel: Array, bias: Array | None = None) -> Array:
        spatial = SPATIAL[3 - self.rank :]
        layout = f"N{spatial}C"
        y = jax.lax.conv_general_dilated(
            x,
            kernel,
            self.strides,
            self.padding if isinstance(self.padding, tuple) else self.padding.upper(),
            rhs_dilation=self.rates(),
            dimension_numbers=(layout, f"{spatial}IO", layout),
            feature_group_count=self.groups,
        )
        return with_bias(y, bias)

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        return convolution_flops(operands[1], results[0])

    def pads(
        self, x: TensorType, kernel: TensorType
    ) -> tuple[tuple[int, int], ...] | None:
        """The zeros around each spatial axis; None where a length decides them."""
        taps = [dim for dim in kernel.shape[:-2] if isinstance(dim, int)]
        windows = [span(k, rate) for k, rate in zip(taps, self.rates(), strict=True)]
        return explicit_pads(self.padding, x.shape[1:-1], windows, self.strides)

    def padded(
        self,
        pads: tuple[tuple[int, int], ...],
        value: float,
        types: Sequence[TensorType | None],
    ) -> Op | Refusal:
        x, kernel = types[0], types[1]
        assert x is not None
        assert kernel is not None
        if value != 0:
            return Refusal(f"the convolution pads with 0, not with {value}")
        if pads[0] != (0, 0) or pads[-1] != (0, 0):
            return Refusal("the batch or the channels are padded")
        larger = x.with_shape(
            dim + before + after if isinstance(dim, int) else None
            for dim, (before, after) in zip(x.shape, pads, strict=True)
        )
        own = self.pads(larger, kernel)
        if own is None:
            return Refusal("its own padding depends on an unknown length")
        both = tuple(
            (a + c, b + d) for (a, b), (c, d) in zip(pads[1:-1], own, strict=True)
        )
        return ConvOp(self.strides, both, self.dilation, self.groups)

    def joint(self, types: Sequence[TensorType | None]) -> Joint | None:
        if self.groups != 1:
            return None  # joined, the groups would read other channels
        return Joint((self.rank + 1, 0), self.rank + 1)

    def minimal(self, types: Sequence[TensorType | None]) -> PackedForm | Refusal:
        kernel = types[1]
        assert kernel is not None
        if kernel.shape[:-2] != (3, 3) or self.groups != 1:
            return Refusal(f"its kernel is {kernel} in {self.groups} groups")
        if (*self.strides, *self.rates()) != (1, 1, 1, 1):
            return Refusal(f"its strides are {self.strides}, dilation {self.rates()}")
        return PackedForm((WinogradKernel(),), WinogradConv(self.padding))

    def scale_output(
        self, emit: Emit, operands: Sequence[Any], scale: Any, shift: Any
    ) -> tuple[Any, ...]:
        x, kernel, bias = (*operands, None)[:3]
        bias = affine_bias(emit, bias, scale, shift)
        return x, emit(Multiply(), kernel, scale), bias

    def scale_input(
        self, emit: Emit, operands: Sequence[Any], scale: Any, shift: Any
    ) -> tuple[Any, ...] | Refusal:
        x, kernel, bias = (*operands, None)[:3]
        type_ = emit.type_of(kernel)
        pads = self.pads(emit.type_of(x), type_)
        if pads is None or any(pair != (0, 0) for pair in pads):
            # A zero of the pad is not the shift: near the edge the fold would be off.
            return Refusal("the convolution pads with zeros, the norm shifts them")
        taps = tuple(dim for dim in type_.shape[:-2] if isinstance(dim, int))
        per_group, filters = type_.shape[-2:]
        assert isinstance(per_group, int)
        assert isinstance(filters, int)
        if self.groups == 1:
            column = emit(Reshape((per_group, 1), keep=0), scale)
            moved = emit(
                DenseOp(), shift, emit(ReduceSum(tuple(range(len(taps)))), kernel)
            )
            scaled = emit(Multiply(), kernel, column)
        else:
            # (…, c/g, c_out) as (…, c/g, g, c_out/g): input channel j of group i is
            # channel i * c/g + j of x.
            split = (per_group, self.groups, filters // self.groups)
            grid = emit(Reshape((*taps, *split), keep=0), kernel)
            scaled = self._per_group(emit, grid, scale, split)
            scaled = emit(Reshape(type_.shape, keep=0), scaled)  # pyright: ignore[reportArgumentType]
            moved = self._per_group(emit, grid, shift, split)
            moved = emit(ReduceSum(tuple(range(len(taps) + 1))), moved)
            moved = emit(Reshape((filters,), keep=0), moved)
        return x, scaled, moved if bias is None else emit(Add(), moved, bias)

    def _per_group(
        self, emit: Emit, grid: Any, vector: Any, split: tuple[int, int, int]
    ) -> Any:
        """Multiply a kernel (…, c/g, g, c_out/g) by a vector over input channels."""
        per_group, groups, _ = split
        table = emit(Reshape((groups, per_group), keep=0), vector)
        table = emit(Transpose((1, 0)), table)
        table = emit(Reshape((per_group, groups, 1), keep=0), table)
        return emit(Multiply(), grid, table)
