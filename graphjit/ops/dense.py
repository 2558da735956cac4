"""Dense: a matrix product over the last axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from graphjit import activations
from graphjit.activations import Activation
from graphjit.capture.arguments import arg, boolean, size
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.constraints import Constraint
from graphjit.errors import ShapeError
from graphjit.initializers import Initializer
from graphjit.ir import Value
from graphjit.layout import Layout
from graphjit.ops import weights
from graphjit.ops.base import Array, Emit, Op, Permuted, ScalesOutput, register_op
from graphjit.ops.bias import with_bias
from graphjit.ops.elementwise import Add, Multiply
from graphjit.ops.joining import JoinsOutputs, Joint
from graphjit.ops.shape import Reshape
from graphjit.regularizers import Regularizer
from graphjit.types import TensorType, known_size

__all__ = ["Dense", "DenseOp", "affine_bias"]


@register_op("dense", roles=("x", "kernel", "bias"))
class DenseOp(Op, ScalesOutput, JoinsOutputs):
    """x @ kernel + bias over the last axis of x.

    Shapes:
        x: (n, …, c_in)   kernel: (c_in, c_out)   bias: (c_out,)  ->  (n, …, c_out)
    """

    def infer(
        self, x: TensorType, kernel: TensorType, bias: TensorType | None = None
    ) -> TensorType:
        if x.rank < 1 or kernel.rank != 2:
            raise ShapeError(f"expected a matrix as kernel, received {kernel}")
        channels, units = kernel.shape
        if x.shape[-1] != channels:
            found = "an unknown number" if x.shape[-1] is None else x.shape[-1]
            message = f"kernel wants {channels} input channels, x has {found}"
            raise ShapeError(message, notes={"x": f"channels = axis {x.rank - 1}"})
        if x.dtype != kernel.dtype:
            raise ShapeError(f"x is {x.dtype}, kernel is {kernel.dtype}")
        if bias is not None and bias.shape != (units,):
            raise ShapeError(f"bias: expected shape ({units},), received {bias.shape}")
        return x.with_shape((*x.shape[:-1], units))

    def lower(self, x: Array, kernel: Array, bias: Array | None = None) -> Array:
        y = jnp.matmul(x, kernel)
        return with_bias(y, bias)

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        kernel = operands[1]
        rows = known_size(
            [d if isinstance(d, int) else 1 for d in results[0].shape[:-1]]
        )
        size = known_size(kernel.shape) if kernel is not None else 0
        return 2 * (rows or 1) * (size or 0)

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        rank = len(layout.perm)
        if layout.perm[-1] != rank - 1:
            return None
        rows = layout.of_axis(rank - 1)
        kernel = Layout((0, 1), (rows.inner[0], None) if rows.inner else ())
        if any(order is not None for order in layout.inner[:-1]):
            return None
        operands = (layout, kernel, Layout((0,)))[: len(types)]
        return Permuted(self, operands, (Layout(layout.perm),))

    def joint(self, types: Sequence[TensorType | None]) -> Joint | None:
        x = types[0]
        return None if x is None else Joint((1, 0), x.rank - 1)

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
        channels = emit.type_of(kernel).shape[0]
        assert isinstance(channels, int)
        moved = emit(DenseOp(), shift, kernel)
        column = emit(Reshape((channels, 1), keep=0), scale)
        bias = moved if bias is None else emit(Add(), moved, bias)
        return x, emit(Multiply(), kernel, column), bias


def affine_bias(emit: Emit, bias: Any, scale: Any, shift: Any) -> Any:
    """bias * scale + shift, where a missing bias is zero."""
    if bias is None:
        return shift
    return emit(Add(), emit(Multiply(), bias, scale), shift)


@LAYERS.register("Dense")
class Dense(Layer):
    """activation(x @ kernel + bias) over the last axis.

    Shapes:
        x: (n, …, c_in)   kernel: (c_in, units)   bias: (units,)  ->  (n, …, units)

    Args:
        units: Size of the output's last axis.
        activation: Name or function; None for none.
        use_bias: Whether a bias is added.
        kernel_initializer: Of the kernel.
        bias_initializer: Of the bias.
        kernel_regularizer: Penalty on the kernel.
        bias_regularizer: Penalty on the bias.
        activity_regularizer: Penalty on the output.
        kernel_constraint: Projection of the kernel after each update.
        bias_constraint: Projection of the bias after each update.
    """

    carries_mask = True
    casts_integers = True
    renamed = {
        "output_dim": "units",
        "init": "kernel_initializer",
        "bias": "use_bias",
        "W_regularizer": "kernel_regularizer",
        "b_regularizer": "bias_regularizer",
        "W_constraint": "kernel_constraint",
        "b_constraint": "bias_constraint",
    }

    units: int = arg(converter=size)
    activation: Activation = arg(default=None, converter=activations.get)
    use_bias: bool = arg(default=True, converter=boolean)
    kernel_initializer: Initializer = arg(
        default="glorot_uniform", converter=weights.initializer
    )
    bias_initializer: Initializer = arg(default="zeros", converter=weights.initializer)
    kernel_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    bias_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    activity_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    kernel_constraint: Constraint | None = arg(
        default=None, converter=weights.constraint
    )
    bias_constraint: Constraint | None = arg(default=None, converter=weights.constraint)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        emitter.check_least_rank(x, 2)
        channels = emitter.known_dim(x, -1, "the last axis")
        kernel = weights.kernel_of(emitter, self, (channels, self.units))
        bias = weights.bias_of(emitter, self, self.units)
        return self.activation.emit(emitter, emitter(DenseOp(), x, kernel, bias))
