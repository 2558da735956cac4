"""Conv1DTranspose, Conv2DTranspose and Conv3DTranspose."""

from __future__ import annotations

from typing import ClassVar

from graphjit import activations
from graphjit.activations import Activation
from graphjit.capture.arguments import arg, boolean, ints, optional, size
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
    windows_of,
)
from graphjit.ops.conv.transpose_op import ConvTransposeOp
from graphjit.ops.image import channels_last, data_format, spatial_axes
from graphjit.ops.windows import Padding
from graphjit.regularizers import Regularizer

__all__ = ["Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"]

#: Padding along one axis: a name, or what is cut before and after.
AxisPadding = str | tuple[int, int]


def default_cut(given: AxisPadding, window: int, stride: int, extra: int | None) -> int:
    """How much shorter the result is than stride * (length - 1) + window.

    Source: Keras's `deconv_output_length`. `extra` is the output padding: None makes
    "same" and "valid" as long as Keras does.
    """
    if given == "same":
        return window - stride if extra is None else window - window % 2 - extra
    if given == "valid":
        return min(window - stride, 0) if extra is None else -extra
    both = 2 * (window - 1) if isinstance(given, str) else sum(given)
    return both - (extra or 0)


def crop_of(given: AxisPadding, window: int, cut: int) -> tuple[int, int]:
    """What is cut before and after, of `cut` in all; below 0 is added."""
    if given == "same":
        before = max(cut, 0) // 2
    elif isinstance(given, str):
        before = window - 1 if given == "full" else 0
    else:
        before = given[0]
    return before, cut - before


def reachable(
    given: AxisPadding, length: int, window: int, stride: int
) -> tuple[int, ...]:
    """The lengths a transposed convolution can have (Keras 1's Deconvolution2D).

    o = stride * (i - 1) + a + window - 2 * p with a in 0 … stride - 1, and for "same"
    every o with ceil(o / stride) = i.
    """
    least = stride * (length - 1) + 1
    if given != "same":
        least += window - 1 - default_cut(given, window, stride, 0)
    return tuple(o for o in range(least, least + stride) if o > 0)


class _ConvTranspose(Layer):
    """A transposed convolution. What depends on the rank is here as in two axes."""

    casts_integers = True
    renamed = RENAMED
    rank: ClassVar[int] = 2

    filters: int = arg(converter=size)
    kernel_size: tuple[int, ...] = arg(converter=ints(2))
    strides: tuple[int, ...] = arg(default=(1, 1), converter=ints(2))
    padding: Padding = arg(default="valid", converter=padding(2, "full"))
    data_format: str = arg(default=None, converter=data_format)
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
    output_padding: tuple[int, ...] | None = arg(
        default=None, converter=optional(ints(2, least=0)), kw_only=True
    )
    dilation_rate: tuple[int, ...] = arg(
        default=(1, 1), converter=ints(2), kw_only=True
    )
    output_size: tuple[int, ...] | None = arg(
        default=None, converter=optional(ints(2)), kw_only=True, ours=True
    )

    def check(self) -> None:
        check_strides(self, self.strides, self.dilation_rate)
        extra = self.output_padding
        if extra is None:
            return
        if any(
            more >= stride for more, stride in zip(extra, self.strides, strict=True)
        ):
            self.refuse("output_padding", f"less than strides {self.strides}", extra)
        if self.output_size is not None:
            self.refuse("output_padding", "None where output_size is given", extra)

    def crops(self, emitter: Emitter, x: Value) -> tuple[tuple[int, int], ...]:
        """What is cut before and after along every spatial axis."""
        found: list[tuple[int, int]] = []
        windows = windows_of(self.kernel_size, self.dilation_rate)
        for at, axis in enumerate(spatial_axes(self.rank + 2, self.data_format)):
            given = self.padding if isinstance(self.padding, str) else self.padding[at]
            window, stride = windows[at], self.strides[at]
            if self.output_size is None:
                extra = None if self.output_padding is None else self.output_padding[at]
                cut = default_cut(given, window, stride, extra)
            else:
                length = emitter.known_dim(x, axis, "with output_size a length")
                wanted = self.output_size[at]
                sizes = reachable(given, length, window, stride)
                if wanted not in sizes:
                    listed = " or ".join(map(str, sizes))
                    expected = f"{listed} for a length of {length} (axis {axis})"
                    self.refuse("output_size", expected, wanted)
                cut = stride * (length - 1) + window - wanted
            found.append(crop_of(given, window, cut))
        return tuple(found)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        emitter.check_rank(x, self.rank + 2)
        axis = channel_axis(self.data_format)
        channels = emitter.known_dim(x, axis, "the channel axis")
        shape = (*self.kernel_size, self.filters, channels)
        kernel = weights.kernel_of(emitter, self, shape)
        bias = weights.bias_of(emitter, self, self.filters)
        op = ConvTransposeOp(
            self.strides, self.crops(emitter, x), op_dilation(self.dilation_rate)
        )
        y = channels_last(
            emitter, x, self.data_format, lambda image: emitter(op, image, kernel, bias)
        )
        return self.activation.emit(emitter, y)


@LAYERS.register("Conv1DTranspose", "Convolution1DTranspose")
class Conv1DTranspose(_ConvTranspose):
    """Transposed convolution along one axis.

    Shapes:
        x: (n, t, c), or (n, c, t) for channels_first
        kernel: (k, filters, c)   bias: (filters,)
        ->  (n, t', filters), or (n, filters, t'), t' as h' for Conv2DTranspose

    Args:
        filters: Number of output channels.
        kernel_size: An int; so are the other sizes.
        strides: How far apart the windows are that inputs add to.
        padding: "valid", "same", "full" (Keras 1's), or what is cut before and after.
        data_format: "channels_last", "channels_first", None for the configured one.
        activation: Name or function; None for none.
        use_bias: Whether a bias is added.
        output_padding: What is added behind, less than strides; None for what gives
            the lengths above.
        dilation_rate: How far apart the taps of a window are; not with strides.
        output_size: t' itself, one of the lengths that strides allow.
    """

    rank = 1

    kernel_size: tuple[int, ...] = arg(converter=ints(1))
    strides: tuple[int, ...] = arg(default=1, converter=ints(1))
    padding: Padding = arg(default="valid", converter=padding(1, "full"))
    output_padding: tuple[int, ...] | None = arg(
        default=None, converter=optional(ints(1, least=0)), kw_only=True
    )
    dilation_rate: tuple[int, ...] = arg(default=1, converter=ints(1), kw_only=True)
    output_size: tuple[int, ...] | None = arg(
        default=None, converter=optional(ints(1)), kw_only=True, ours=True
    )


@LAYERS.register("Conv2DTranspose", "Convolution2DTranspose")
class Conv2DTranspose(_ConvTranspose):
    """Two-dimensional transposed convolution, also called deconvolution.

    Shapes:
        x: (n, h, w, c), or (n, c, h, w) for channels_first
        kernel: (kh, kw, filters, c)   bias: (filters,)
        ->  (n, h', w', filters), or (n, filters, h', w'); with
        d = dilation * (kh - 1) + 1
        h' = h * stride for "same"; h * stride + max(d - stride, 0) for "valid";
        h' = (h - 1) * stride + d - 2 * p + output_padding where that is given,
        p = d // 2 for "same", 0 for "valid", d - 1 for "full".

    Args:
        filters: Number of output channels.
        kernel_size: An int, or (kh, kw).
        strides: How far apart the windows are that inputs add to: an int, or a pair.
        padding: "valid", "same", "full" (Keras 1's), or what is cut before and after,
            a pair per axis.
        data_format: "channels_last", "channels_first", None for the configured one.
        activation: Name or function; None for none.
        use_bias: Whether a bias is added.
        output_padding: What is added behind, less than strides; None for what gives
            the lengths above.
        dilation_rate: An int, or one per spatial axis; not with strides.
        output_size: (h', w') itself, one of the lengths that strides allow, as Keras
            1's Deconvolution2D takes it.
    """


@LAYERS.register("Conv3DTranspose", "Convolution3DTranspose")
class Conv3DTranspose(_ConvTranspose):
    """Three-dimensional transposed convolution.

    Shapes:
        x: (n, d, h, w, c), or (n, c, d, h, w) for channels_first
        kernel: (kd, kh, kw, filters, c)   bias: (filters,)
        ->  (n, d', h', w', filters), or (n, filters, d', h', w'), lengths as for
        Conv2DTranspose

    Args:
        filters: Number of output channels.
        kernel_size: An int, or one per spatial axis.
        strides: How far apart the windows are that inputs add to.
        padding: "valid", "same", "full" (Keras 1's), or what is cut before and after,
            a pair per axis.
        data_format: "channels_last", "channels_first", None for the configured one.
        activation: Name or function; None for none.
        use_bias: Whether a bias is added.
        output_padding: What is added behind, less than strides; None for what gives
            the lengths above.
        dilation_rate: An int, or one per spatial axis; not with strides.
        output_size: (d', h', w') itself, one of the lengths that strides allow.
    """

    rank = 3

    kernel_size: tuple[int, ...] = arg(converter=ints(3))
    strides: tuple[int, ...] = arg(default=(1, 1, 1), converter=ints(3))
    padding: Padding = arg(default="valid", converter=padding(3, "full"))
    output_padding: tuple[int, ...] | None = arg(
        default=None, converter=optional(ints(3, least=0)), kw_only=True
    )
    dilation_rate: tuple[int, ...] = arg(
        default=(1, 1, 1), converter=ints(3), kw_only=True
    )
    output_size: tuple[int, ...] | None = arg(
        default=None, converter=optional(ints(3)), kw_only=True, ours=True
    )
