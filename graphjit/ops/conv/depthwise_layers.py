"""DepthwiseConv1D and DepthwiseConv2D, SeparableConv1D and SeparableConv2D."""

from __future__ import annotations

from typing import Any, ClassVar

from graphjit import activations
from graphjit.activations import Activation
from graphjit.capture.arguments import arg, boolean, ints, size
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.constraints import Constraint
from graphjit.initializers import Initializer
from graphjit.ir import Value
from graphjit.ops import weights
from graphjit.ops.conv.arguments import (
    RENAMED,
    channel_axis,
    check_strides,
    op_dilation,
    padding,
)
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.ops.image import channels_last, data_format
from graphjit.ops.shape import Reshape
from graphjit.ops.windows import Padding
from graphjit.regularizers import Regularizer

__all__ = ["DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"]

_RENAMED = {
    old: name if name == "kernel_size" else name.replace("kernel_", "depthwise_")
    for old, name in RENAMED.items()
}


def _depthwise(
    emitter: Emitter, layer: Any, slot: str, channels: int
) -> tuple[ConvOp, Value]:
    """The convolution of every channel on its own, and its kernel."""
    filters = channels * layer.depth_multiplier
    kernel = emitter.param(
        slot,
        (*layer.kernel_size, channels, layer.depth_multiplier),
        layer.depthwise_initializer,
        layer.depthwise_regularizer,
        layer.depthwise_constraint,
    )
    # Grouped by channel, (kh, kw, c, m) and (kh, kw, 1, c * m) lie the same.
    grouped = emitter(Reshape((*layer.kernel_size, 1, filters), keep=0), kernel)
    op = ConvOp(
        layer.strides, layer.padding, op_dilation(layer.dilation_rate), channels
    )
    return op, grouped


class _DepthwiseConv(Layer):
    """A depthwise convolution. What depends on the rank is here as in two axes."""

    casts_integers = True
    renamed = _RENAMED
    rank: ClassVar[int] = 2

    kernel_size: tuple[int, ...] = arg(converter=ints(2))
    strides: tuple[int, ...] = arg(default=(1, 1), converter=ints(2))
    padding: Padding = arg(default="valid", converter=padding(2))
    depth_multiplier: int = arg(default=1, converter=size)
    data_format: str = arg(default=None, converter=data_format)
    dilation_rate: tuple[int, ...] = arg(default=(1, 1), converter=ints(2))
    activation: Activation = arg(default=None, converter=activations.get)
    use_bias: bool = arg(default=True, converter=boolean)
    depthwise_initializer: Initializer = arg(
        default="glorot_uniform", converter=weights.initializer
    )
    bias_initializer: Initializer = arg(default="zeros", converter=weights.initializer)
    depthwise_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    bias_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    activity_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    depthwise_constraint: Constraint | None = arg(
        default=None, converter=weights.constraint
    )
    bias_constraint: Constraint | None = arg(default=None, converter=weights.constraint)

    def check(self) -> None:
        check_strides(self, self.strides, self.dilation_rate)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        emitter.check_rank(x, self.rank + 2)
        axis = channel_axis(self.data_format)
        channels = emitter.known_dim(x, axis, "the channel axis")
        op, kernel = _depthwise(emitter, self, "kernel", channels)
        bias = weights.bias_of(emitter, self, channels * self.depth_multiplier)
        y = channels_last(
            emitter, x, self.data_format, lambda image: emitter(op, image, kernel, bias)
        )
        return self.activation.emit(emitter, y)


@LAYERS.register("DepthwiseConv1D")
class DepthwiseConv1D(_DepthwiseConv):
    """Convolution of every channel on its own, along one axis.

    Shapes:
        x: (n, t, c), or (n, c, t) for channels_first
        kernel: (k, c, depth_multiplier)   bias: (c * depth_multiplier,)
        ->  (n, t', c * depth_multiplier); output channel c * depth_multiplier + j
        reads input channel c. t' as for Conv1D.

    Args:
        kernel_size: An int; so are strides and dilation_rate.
        strides: How far apart windows are.
        padding: "valid", "same", or the zeros before and after, ((before, after),).
        depth_multiplier: Output channels per input channel.
        data_format: "channels_last", "channels_first", None for the configured one.
        dilation_rate: How far apart the taps of a window are; not with strides.
        activation: Name or function; None for none.
        use_bias: Whether a bias is added.
    """

    rank = 1

    kernel_size: tuple[int, ...] = arg(converter=ints(1))
    strides: tuple[int, ...] = arg(default=1, converter=ints(1))
    padding: Padding = arg(default="valid", converter=padding(1))
    dilation_rate: tuple[int, ...] = arg(default=1, converter=ints(1))


@LAYERS.register("DepthwiseConv2D")
class DepthwiseConv2D(_DepthwiseConv):
    """Convolution of every channel on its own.

    Shapes:
        x: (n, h, w, c), or (n, c, h, w) for channels_first
        kernel: (kh, kw, c, depth_multiplier)   bias: (c * depth_multiplier,)
        ->  (n, h', w', c * depth_multiplier); output channel c * depth_multiplier + j
        reads input channel c. h' as for Conv2D.

    Args:
        kernel_size: An int, or (kh, kw).
        strides: An int, or one per spatial axis.
        padding: "valid", "same", or the zeros before and after, a pair per axis.
        depth_multiplier: Output channels per input channel.
        data_format: "channels_last", "channels_first", None for the configured one.
        dilation_rate: An int, or one per spatial axis; not with strides.
        activation: Name or function; None for none.
        use_bias: Whether a bias is added.
    """


class _SeparableConv(Layer):
    """A depthwise convolution, then a pointwise one that mixes the channels.

    What depends on the rank is here as in two axes.
    """

    casts_integers = True
    renamed = _RENAMED
    rank: ClassVar[int] = 2

    filters: int = arg(converter=size)
    kernel_size: tuple[int, ...] = arg(converter=ints(2))
    strides: tuple[int, ...] = arg(default=(1, 1), converter=ints(2))
    padding: Padding = arg(default="valid", converter=padding(2))
    data_format: str = arg(default=None, converter=data_format)
    dilation_rate: tuple[int, ...] = arg(
        default=(1, 1), converter=ints(2), kw_only=True
    )
    depth_multiplier: int = arg(default=1, converter=size)
    activation: Activation = arg(default=None, converter=activations.get)
    use_bias: bool = arg(default=True, converter=boolean)
    depthwise_initializer: Initializer = arg(
        default="glorot_uniform", converter=weights.initializer
    )
    pointwise_initializer: Initializer = arg(
        default="glorot_uniform", converter=weights.initializer
    )
    bias_initializer: Initializer = arg(default="zeros", converter=weights.initializer)
    depthwise_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    pointwise_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    bias_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    activity_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    depthwise_constraint: Constraint | None = arg(
        default=None, converter=weights.constraint
    )
    pointwise_constraint: Constraint | None = arg(
        default=None, converter=weights.constraint
    )
    bias_constraint: Constraint | None = arg(default=None, converter=weights.constraint)

    def check(self) -> None:
        check_strides(self, self.strides, self.dilation_rate)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        emitter.check_rank(x, self.rank + 2)
        axis = channel_axis(self.data_format)
        channels = emitter.known_dim(x, axis, "the channel axis")
        op, kernel = _depthwise(emitter, self, "depthwise_kernel", channels)
        pointwise = emitter.param(
            "pointwise_kernel",
            (*(1,) * self.rank, channels * self.depth_multiplier, self.filters),
            self.pointwise_initializer,
            self.pointwise_regularizer,
            self.pointwise_constraint,
        )
        bias = weights.bias_of(emitter, self, self.filters)

        def convolved(image: Value) -> Value:
            apart = emitter(op, image, kernel, name="depthwise")
            return emitter(ConvOp((1,) * self.rank), apart, pointwise, bias)

        y = channels_last(emitter, x, self.data_format, convolved)
        return self.activation.emit(emitter, y)


@LAYERS.register("SeparableConv1D", "SeparableConvolution1D")
class SeparableConv1D(_SeparableConv):
    """Convolution of every channel along one axis, then a mix of the channels.

    Shapes:
        x: (n, t, c), or (n, c, t) for channels_first
        depthwise_kernel: (k, c, depth_multiplier)
        pointwise_kernel: (1, c * depth_multiplier, filters)   bias: (filters,)
        ->  (n, t', filters), or (n, filters, t'), t' as for Conv1D

    Args:
        filters: Number of output channels.
        kernel_size: An int; so are strides and dilation_rate.
        strides: How far apart windows are.
        padding: "valid", "same", or the zeros before and after, ((before, after),).
        data_format: "channels_last" or "channels_first"; the configured one is for
            images, and asked for only by None.
        dilation_rate: How far apart the taps of a window are; not with strides.
        depth_multiplier: Channels that each input channel is made into in between.
        activation: Name or function; None for none.
        use_bias: Whether a bias is added.
    """

    rank = 1

    kernel_size: tuple[int, ...] = arg(converter=ints(1))
    strides: tuple[int, ...] = arg(default=1, converter=ints(1))
    padding: Padding = arg(default="valid", converter=padding(1))
    data_format: str = arg(default="channels_last", converter=data_format)
    dilation_rate: tuple[int, ...] = arg(default=1, converter=ints(1))


@LAYERS.register("SeparableConv2D", "SeparableConvolution2D")
class SeparableConv2D(_SeparableConv):
    """Convolution of every channel on its own, then a mix of the channels.

    Shapes:
        x: (n, h, w, c), or (n, c, h, w) for channels_first
        depthwise_kernel: (kh, kw, c, depth_multiplier)
        pointwise_kernel: (1, 1, c * depth_multiplier, filters)   bias: (filters,)
        ->  (n, h', w', filters), or (n, filters, h', w'), h' as for Conv2D

    Args:
        filters: Number of output channels.
        kernel_size: An int, or (kh, kw).
        strides: An int, or one per spatial axis.
        padding: "valid", "same", or the zeros before and after, a pair per axis.
        data_format: "channels_last", "channels_first", None for the configured one.
        dilation_rate: An int, or one per spatial axis; not with strides.
        depth_multiplier: Channels that each input channel is made into in between.
        activation: Name or function; None for none.
        use_bias: Whether a bias is added.
    """
