"""The locally connected op: a convolution whose kernel differs from place to place."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from graphjit.errors import ShapeError
from graphjit.ops.base import Array, Emit, Kernel, Op, ScalesOutput, register_op
from graphjit.ops.bias import with_bias
from graphjit.ops.conv.local_kernel import PLACES_FIRST
from graphjit.ops.conv.operands import FORMAT_HINT, SPATIAL
from graphjit.ops.dense import affine_bias
from graphjit.ops.elementwise import Add, Multiply
from graphjit.ops.reduce import ReduceSum
from graphjit.ops.shape import Reshape
from graphjit.ops.windows import output_length
from graphjit.types import TensorType, known_size

__all__ = ["LocallyConnectedOp"]


@register_op("locally_connected", roles=("x", "kernel", "bias"))
class LocallyConnectedOp(Op, ScalesOutput):
    """Every window of a channels-last image times a matrix of its own.

    Shapes:
        x: (n, h, w, c)   kernel: (h' * w', kh * kw * c, c_out)
        bias: (h', w', c_out), or (c_out,) for one at all places
        ->  (n, h', w', c_out),  h' = floor((h - kh) / stride) + 1
        A window is flattened in the order (row, column, channel). Likewise for 1 and
        3 spatial axes.
    """

    kernels: ClassVar[tuple[Kernel, ...]] = (PLACES_FIRST,)

    size: tuple[int, ...]
    strides: tuple[int, ...]

    def lengths(self, x: TensorType) -> tuple[int, ...]:
        """The spatial dims of the result: where windows stand."""
        found: list[int] = []
        for axis, (window, stride) in enumerate(
            zip(self.size, self.strides, strict=True), start=1
        ):
            length = output_length(x.shape[axis], window, stride, "valid")
            if not isinstance(length, int):
                message = f"axis {axis} of x must be known, each place has its weights"
                raise ShapeError(message)
            found.append(length)
        return tuple(found)

    def infer(
        self, x: TensorType, kernel: TensorType, bias: TensorType | None = None
    ) -> TensorType:
        rank = len(self.size)
        if len(self.strides) != rank:
            raise ShapeError(f"size {self.size} wants strides of {rank} axes")
        layout = f"N{SPATIAL[3 - rank :]}C"
        if x.rank != rank + 2:
            message = f"expected x of rank {rank + 2} ({layout}), received rank"
            raise ShapeError(f"{message} {x.rank}")
        if kernel.rank != 3:
            raise ShapeError(f"expected a kernel of rank 3, received {kernel}")
        if x.dtype != kernel.dtype:
            raise ShapeError(f"x is {x.dtype}, kernel is {kernel.dtype}")
        lengths = self.lengths(x)
        places, patch, filters = kernel.shape
        if not isinstance(x.shape[-1], int):
            raise ShapeError("the channels of x must be known")
        wanted = math.prod(lengths), math.prod(self.size) * x.shape[-1]
        if (places, patch) != wanted:
            raise ShapeError(
                f"kernel has {places} places and patches of {patch}, x wants "
                f"{wanted[0]} and {wanted[1]}",
                notes={"x": f"read as {layout}"},
                hint=FORMAT_HINT if patch == _patch_of(self.size, x.shape[1]) else None,
            )
        if bias is not None and bias.shape not in ((*lengths, filters), (filters,)):
            message = f"bias: expected shape {(*lengths, filters)} or ({filters},)"
            raise ShapeError(f"{message}, received {bias.shape}")
        return x.with_shape((x.shape[0], *lengths, filters))

    def lower(self, x: Array, kernel: Array, bias: Array | None = None) -> Array:
        rank, (batch, *dims, channels) = len(self.size), x.shape
        lengths = [
            (dim - window) // stride + 1
            for dim, window, stride in zip(dims, self.size, self.strides, strict=True)
        ]
        taps: list[Array] = []
        for offset in itertools.product(*map(range, self.size)):
            stop = [
                at + (length - 1) * stride + 1
                for at, length, stride in zip(
                    offset, lengths, self.strides, strict=True
                )
            ]
            steps = (1, *self.strides, 1)
            start, end = (0, *offset, 0), (batch, *stop, channels)
            taps.append(jax.lax.slice(x, start, end, steps))
        patches = jnp.stack(taps, axis=rank + 1)
        patches = jnp.reshape(patches, (batch, *kernel.shape[:2]))
        y = jnp.einsum("npk,pkf->npf", patches, kernel)
        y = jnp.reshape(y, (batch, *lengths, kernel.shape[2]))
        return with_bias(y, bias)

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        kernel = operands[1]
        assert kernel is not None
        rows = results[0].shape[0]
        return (
            2 * (rows if isinstance(rows, int) else 1) * (known_size(kernel.shape) or 0)
        )

    def scale_output(
        self, emit: Emit, operands: Sequence[Any], scale: Any, shift: Any
    ) -> tuple[Any, ...]:
        x, kernel, bias = (*operands, None)[:3]
        bias = affine_bias(emit, bias, scale, shift)
        return x, emit(Multiply(), kernel, scale), bias

    def scale_input(
        self, emit: Emit, operands: Sequence[Any], scale: Any, shift: Any
    ) -> tuple[Any, ...]:
        x, kernel, bias = (*operands, None)[:3]
        type_ = emit.type_of(kernel)
        taps = math.prod(self.size)
        places, patch, filters = (dim for dim in type_.shape if isinstance(dim, int))
        channels = patch // taps
        # (places, taps, c, c_out): the channel is the last part of a patch's order.
        grid = emit(Reshape((places, taps, channels, filters), keep=0), kernel)
        columns = [emit(Reshape((channels, 1), keep=0), v) for v in (scale, shift)]
        scaled = emit(Multiply(), grid, columns[0])
        scaled = emit(Reshape((places, patch, filters), keep=0), scaled)
        moved = emit(ReduceSum((1, 2)), emit(Multiply(), grid, columns[1]))
        lengths = self.lengths(emit.type_of(x))
        moved = emit(Reshape((*lengths, filters), keep=0), moved)
        return x, scaled, moved if bias is None else emit(Add(), moved, bias)


def _patch_of(size: Sequence[int], channels: object) -> int | None:
    """How long a window of this size is when flattened."""
    return math.prod(size) * channels if isinstance(channels, int) else None
