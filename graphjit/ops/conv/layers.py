"""Conv1D, Conv2D and Conv3D."""

from __future__ import annotations

from typing import ClassVar

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
    op_padding,
    padding,
    windows_of,
)
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.ops.image import channels_last, data_format
from graphjit.ops.windows import Padding
from graphjit.regularizers import Regularizer

__all__ = ["Conv1D", "Conv2D", "Conv3D"]


class _Conv(Layer):
    """A convolution. What depends on the rank is here as Conv2D has it."""

    casts_integers = True
    renamed = RENAMED
    rank: ClassVar[int] = 2

    filters: int = arg(converter=size)
    kernel_size: tuple[int, ...] = arg(converter=ints(2))
    strides: tuple[int, ...] = arg(default=(1, 1), converter=ints(2))
    padding: Padding = arg(default="valid", converter=padding(2, "full"))
    data_format: str = arg(default=None, converter=data_format)
    dilation_rate: tuple[int, ...] = arg(default=(1, 1), converter=ints(2))
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
    groups: int = arg(default=1, converter=size, kw_only=True)
    strided_dilation: bool = arg(
        default=False, converter=boolean, kw_only=True, ours=True
    )

    def check(self) -> None:
        if not self.strided_dilation:
            check_strides(self, self.strides, self.dilation_rate)
        if self.filters % self.groups:
            self.refuse("groups", f"a divisor of {self.filters} filters", self.groups)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        emitter.check_rank(x, self.rank + 2)
        axis = channel_axis(self.data_format)
        channels = emitter.known_dim(x, axis, "the channel axis")
        if channels % self.groups:
            self.refuse("groups", f"a divisor of {channels} channels", self.groups)
        shape = (*self.kernel_size, channels // self.groups, self.filters)
        kernel = weights.kernel_of(emitter, self, shape)
        bias = weights.bias_of(emitter, self, self.filters)
        windows = windows_of(self.kernel_size, self.dilation_rate)
        op = ConvOp(
            self.strides,
            op_padding(self.padding, windows),
            op_dilation(self.dilation_rate),
            self.groups,
        )
        y = channels_last(
            emitter, x, self.data_format, lambda image: emitter(op, image, kernel, bias)
        )
        return self.activation.emit(emitter, y)


@LAYERS.register("Conv1D", "Convolution1D")
class Conv1D(_Conv):
    """Convolution (cross-correlation) along one axis, such as time.

    Shapes:
        x: (n, t, c), or (n, c, t) for channels_first
        kernel: (k, c / groups, filters)   bias: (filters,)
        ->  (n, t', filters), or (n, filters, t')
        t' = ceil(t / stride) for "same" and "causal"; with d = dilation * (k - 1) + 1,
        t' = floor((t - d) / stride) + 1 for "valid".

    Args:
        filters: Number of output channels.
        kernel_size: An int; so are strides and dilation_rate.
        strides: How far apart windows are.
        padding: "valid", "same", "causal" (zeros in front only: output t sees inputs
            up to t), "full" (Keras 1's: every window that touches x), or the zeros
            before and after, ((before, after),).
        data_format: "channels_last" or "channels_first"; the configured one is for
            images, and asked for only by None.
        dilation_rate: How far apart the taps of a window are; not with strides.
        activation: Name or function; None for none.
        use_bias: Whether a bias is added.
        groups: Into how many independent groups the channels are split.
        strided_dilation: Whether strides and dilation may both be other than 1, as in
            Keras 1's AtrousConvolution1D.
    """

    rank = 1

    kernel_size: tuple[int, ...] = arg(converter=ints(1))
    strides: tuple[int, ...] = arg(default=1, converter=ints(1))
    padding: Padding = arg(default="valid", converter=padding(1, "causal", "full"))
    data_format: str = arg(default="channels_last", converter=data_format, kw_only=True)
    dilation_rate: tuple[int, ...] = arg(default=1, converter=ints(1))


@LAYERS.register("Conv2D", "Convolution2D")
class Conv2D(_Conv):
    """Two-dimensional convolution (cross-correlation).

    Shapes:
        x: (n, h, w, c), or (n, c, h, w) for channels_first
        kernel: (kh, kw, c / groups, filters)   bias: (filters,)
        ->  (n, h', w', filters), or (n, filters, h', w')
        h' = ceil(h / stride) for "same";
        h' = floor((h - dilation * (kh - 1) - 1) / stride) + 1 for "valid".

    Args:
        filters: Number of output channels.
        kernel_size: An int, or (kh, kw).
        strides: An int, or one per spatial axis.
        padding: "valid", "same", "full" (Keras 1's: every window that touches x), or
            the zeros before and after, ((top, bottom), (left, right)).
        data_format: "channels_last", "channels_first", None for the configured one.
        dilation_rate: An int, or one per spatial axis; not with strides.
        activation: Name or function; None for none.
        use_bias: Whether a bias is added.
        groups: Into how many independent groups the channels are split.
        strided_dilation: Whether strides and dilation may both be other than 1, as in
            Keras 1's AtrousConvolution2D.
    """


@LAYERS.register("Conv3D", "Convolution3D")
class Conv3D(_Conv):
    """Three-dimensional convolution (cross-correlation), over volumes.

    Shapes:
        x: (n, d, h, w, c), or (n, c, d, h, w) for channels_first
        kernel: (kd, kh, kw, c / groups, filters)   bias: (filters,)
        ->  (n, d', h', w', filters), or (n, filters, d', h', w'), lengths as for Conv2D

    Args:
        filters: Number of output channels.
        kernel_size: An int, or one per spatial axis.
        strides: An int, or one per spatial axis.
        padding: "valid", "same", "full" (Keras 1's: every window that touches x), or
            the zeros before and after, a pair per spatial axis.
        data_format: "channels_last", "channels_first", None for the configured one.
        dilation_rate: An int, or one per spatial axis; not with strides.
        activation: Name or function; None for none.
        use_bias: Whether a bias is added.
        groups: Into how many independent groups the channels are split.
        strided_dilation: Whether strides and dilation may both be other than 1.
    """

    rank = 3

    kernel_size: tuple[int, ...] = arg(converter=ints(3))
    strides: tuple[int, ...] = arg(default=(1, 1, 1), converter=ints(3))
    padding: Padding = arg(default="valid", converter=padding(3, "full"))
    dilation_rate: tuple[int, ...] = arg(default=(1, 1, 1), converter=ints(3))
