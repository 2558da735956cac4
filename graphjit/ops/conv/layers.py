"""Conv2D and DepthwiseConv2D."""

from __future__ import annotations

from graphjit import activations
from graphjit.activations import Activation
from graphjit.capture.arguments import arg, boolean, ints, padding_name, size
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.constraints import Constraint
from graphjit.initializers import Initializer
from graphjit.ir import Value
from graphjit.ops import weights
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.ops.image import channels_last, data_format
from graphjit.ops.shape import Reshape
from graphjit.regularizers import Regularizer

__all__ = ["Conv2D", "DepthwiseConv2D"]

_RENAMED = {
    "nb_filter": "filters",
    "nb_row": "kernel_size",
    "nb_col": "kernel_size",
    "init": "kernel_initializer",
    "border_mode": "padding",
    "subsample": "strides",
    "atrous_rate": "dilation_rate",
    "dim_ordering": "data_format",
    "bias": "use_bias",
    "W_regularizer": "kernel_regularizer",
    "b_regularizer": "bias_regularizer",
    "W_constraint": "kernel_constraint",
    "b_constraint": "bias_constraint",
}


def _check_strides(
    layer: Layer, strides: tuple[int, ...], rates: tuple[int, ...]
) -> None:
    if any(step != 1 for step in strides) and any(rate != 1 for rate in rates):
        layer.refuse("dilation_rate", "1 where strides are not 1", rates)


def _rates(rates: tuple[int, ...]) -> tuple[int, ...]:
    """Dilation as the op has it: empty when there is none."""
    return () if all(rate == 1 for rate in rates) else rates


@LAYERS.register("Conv2D", "Convolution2D")
class Conv2D(Layer):
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
        padding: "valid" or "same".
        data_format: "channels_last", "channels_first", None for the configured one.
        dilation_rate: An int, or one per spatial axis; not with strides.
        activation: Name or function; None for none.
        use_bias: Whether a bias is added.
        groups: Into how many independent groups the channels are split.
    """

    casts_integers = True
    renamed = _RENAMED

    filters: int = arg(converter=size)
    kernel_size: tuple[int, ...] = arg(converter=ints(2))
    strides: tuple[int, ...] = arg(default=(1, 1), converter=ints(2))
    padding: str = arg(default="valid", converter=padding_name)
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

    def check(self) -> None:
        _check_strides(self, self.strides, self.dilation_rate)
        if self.filters % self.groups:
            self.refuse("groups", f"a divisor of {self.filters} filters", self.groups)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        emitter.check_rank(x, 4)
        axis = 1 if self.data_format == "channels_first" else 3
        channels = emitter.known_dim(x, axis, "the channel axis")
        if channels % self.groups:
            self.refuse("groups", f"a divisor of {channels} channels", self.groups)
        shape = (*self.kernel_size, channels // self.groups, self.filters)
        kernel = weights.kernel_of(emitter, self, shape)
        bias = weights.bias_of(emitter, self, self.filters)
        op = ConvOp(self.strides, self.padding, _rates(self.dilation_rate), self.groups)
        y = channels_last(
            emitter, x, self.data_format, lambda image: emitter(op, image, kernel, bias)
        )
        return self.activation.emit(emitter, y)


@LAYERS.register("DepthwiseConv2D")
class DepthwiseConv2D(Layer):
    """Convolution of every channel on its own.

    Shapes:
        x: (n, h, w, c), or (n, c, h, w) for channels_first
        kernel: (kh, kw, c, depth_multiplier)   bias: (c * depth_multiplier,)
        ->  (n, h', w', c * depth_multiplier); output channel c * depth_multiplier + j
        reads input channel c. h' as for Conv2D.

    Args:
        kernel_size: An int, or (kh, kw).
        strides: An int, or one per spatial axis.
        padding: "valid" or "same".
        depth_multiplier: Output channels per input channel.
        data_format: "channels_last", "channels_first", None for the configured one.
        dilation_rate: An int, or one per spatial axis; not with strides.
        activation: Name or function; None for none.
        use_bias: Whether a bias is added.
    """

    casts_integers = True
    renamed = _RENAMED

    kernel_size: tuple[int, ...] = arg(converter=ints(2))
    strides: tuple[int, ...] = arg(default=(1, 1), converter=ints(2))
    padding: str = arg(default="valid", converter=padding_name)
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
        _check_strides(self, self.strides, self.dilation_rate)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        emitter.check_rank(x, 4)
        axis = 1 if self.data_format == "channels_first" else 3
        channels = emitter.known_dim(x, axis, "the channel axis")
        filters = channels * self.depth_multiplier
        kernel = emitter.param(
            "kernel",
            (*self.kernel_size, channels, self.depth_multiplier),
            self.depthwise_initializer,
            self.depthwise_regularizer,
            self.depthwise_constraint,
        )
        bias = weights.bias_of(emitter, self, filters)
        # Grouped by channel, (kh, kw, c, m) and (kh, kw, 1, c * m) lie the same.
        grouped = emitter(Reshape((*self.kernel_size, 1, filters), keep=0), kernel)
        op = ConvOp(self.strides, self.padding, _rates(self.dilation_rate), channels)
        y = channels_last(
            emitter,
            x,
            self.data_format,
            lambda image: emitter(op, image, grouped, bias),
        )
        return self.activation.emit(emitter, y)
