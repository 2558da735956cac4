"""LocallyConnected1D and LocallyConnected2D."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from graphjit import activations
from graphjit.activations import Activation
from graphjit.capture.arguments import Unfit, arg, boolean, ints, padding_name, size
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer, layer_name
from graphjit.constraints import Constraint
from graphjit.errors import ShapeError
from graphjit.initializers import Initializer
from graphjit.ir import Value
from graphjit.ops import weights
from graphjit.ops.conv.arguments import RENAMED, channel_axis
from graphjit.ops.conv.local_op import LocallyConnectedOp
from graphjit.ops.image import channels_last, data_format, spatial_axes
from graphjit.ops.shape import Reshape, Transpose
from graphjit.ops.windows import output_length
from graphjit.regularizers import Regularizer

__all__ = ["LocallyConnected1D", "LocallyConnected2D"]


def _implementation(value: Any) -> int:
    """Reader of `implementation`: Keras's ways to compute the same, 1, 2 or 3."""
    if type(value) is int and value in (1, 2, 3):
        return value
    raise Unfit("1, 2 or 3")


class _LocallyConnected(Layer):
    """A convolution with weights of its own at every place.

    What depends on the rank is here as in two axes.
    """

    casts_integers = True
    renamed = RENAMED
    rank: ClassVar[int] = 2

    filters: int = arg(converter=size)
    kernel_size: tuple[int, ...] = arg(converter=ints(2))
    strides: tuple[int, ...] = arg(default=(1, 1), converter=ints(2))
    padding: str = arg(default="valid", converter=padding_name)
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
    implementation: int = arg(default=1, converter=_implementation, kw_only=True)

    def check(self) -> None:
        if self.padding != "valid":
            wanted = f"'valid' (put a ZeroPadding{self.rank}D before the layer)"
            self.refuse("padding", wanted, self.padding)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        emitter.check_rank(x, self.rank + 2)
        axis = channel_axis(self.data_format)
        channels = emitter.known_dim(x, axis, "the channel axis")
        lengths = self._lengths(emitter, x)
        kernel = weights.kernel_of(
            emitter,
            self,
            (
                math.prod(lengths),
                math.prod(self.kernel_size) * channels,
                self.filters,
            ),
        )
        bias = self._bias(emitter, lengths)
        if self.data_format == "channels_first":
            kernel = self._channels_last_patches(emitter, kernel, channels)
        op = LocallyConnectedOp(self.kernel_size, self.strides)
        y = channels_last(
            emitter, x, self.data_format, lambda image: emitter(op, image, kernel, bias)
        )
        return self.activation.emit(emitter, y)

    def _lengths(self, emitter: Emitter, x: Value) -> list[int]:
        """The spatial dims of the result."""
        found: list[int] = []
        for axis, window, stride in zip(
            spatial_axes(self.rank + 2, self.data_format),
            self.kernel_size,
            self.strides,
            strict=True,
        ):
            length = emitter.known_dim(x, axis, "every dim")
            try:
                places = output_length(length, window, stride, "valid")
            except ShapeError as error:
                message = f"{layer_name(self)}: {error.message} (axis {axis})"
                raise ShapeError(message) from None
            assert isinstance(places, int)
            found.append(places)
        return found

    def _channels_last_patches(
        self, emitter: Emitter, kernel: Value, channels: int
    ) -> Value:
        """The kernel for windows flattened as the op does it.

        Channels-first windows are flattened in the order (channel, row, column).
        """
        places, patch, filters = (
            dim for dim in emitter.type_of(kernel).shape if isinstance(dim, int)
        )
        taps = patch // channels
        grid = emitter(Reshape((places, channels, taps, filters), keep=0), kernel)
        moved = emitter(Transpose((0, 2, 1, 3)), grid)
        return emitter(Reshape((places, patch, filters), keep=0), moved)

    def _bias(self, emitter: Emitter, lengths: Sequence[int]) -> Value | None:
        """One number per place and filter, as the op adds it to its result.

        For channels_first Keras reshapes the bias to (filters, rows, columns), and
        does not transpose it: weights from its files mean that.
        """
        if not self.use_bias:
            return None
        bias = emitter.param(
            "bias",
            (*lengths, self.filters),
            self.bias_initializer,
            self.bias_regularizer,
            self.bias_constraint,
        )
        if self.data_format == "channels_last":
            return bias
        reshaped = emitter(Reshape((self.filters, *lengths), keep=0), bias)
        return emitter(Transpose((*range(1, self.rank + 1), 0)), reshaped)


@LAYERS.register("LocallyConnected1D")
class LocallyConnected1D(_LocallyConnected):
    """Conv1D with weights of its own at every place.

    Shapes:
        x: (n, t, c), or (n, c, t) for channels_first; t and c known
        kernel: (t', k * c, filters), a window flattened as (time, channel), for
        channels_first as (channel, time)   bias: (t', filters)
        ->  (n, t', filters), or (n, filters, t');  t' = floor((t - k) / stride) + 1

    Args:
        filters: Number of output channels.
        kernel_size: An int; so is strides.
        strides: How far apart windows are.
        padding: "valid" alone.
        data_format: "channels_last" or "channels_first"; the configured one is for
            images, and asked for only by None.
        activation: Name or function; None for none.
        use_bias: Whether a bias is added.
        implementation: 1, 2 or 3, Keras's ways to compute the same: without effect.
    """

    rank = 1

    kernel_size: tuple[int, ...] = arg(converter=ints(1))
    strides: tuple[int, ...] = arg(default=1, converter=ints(1))
    data_format: str = arg(default="channels_last", converter=data_format)


@LAYERS.register("LocallyConnected2D")
class LocallyConnected2D(_LocallyConnected):
    """Conv2D with weights of its own at every place.

    Shapes:
        x: (n, h, w, c), or (n, c, h, w) for channels_first; all but n known
        kernel: (h' * w', kh * kw * c, filters), a window flattened as (row, column,
        channel), for channels_first as (channel, row, column)
        bias: (h', w', filters), for channels_first read as (filters, h', w')
        ->  (n, h', w', filters), or (n, filters, h', w')
        h' = floor((h - kh) / stride) + 1

    Args:
        filters: Number of output channels.
        kernel_size: An int, or (kh, kw).
        strides: An int, or one per spatial axis.
        padding: "valid" alone.
        data_format: "channels_last", "channels_first", None for the configured one.
        activation: Name or function; None for none.
        use_bias: Whether a bias is added.
        implementation: 1, 2 or 3, Keras's ways to compute the same: without effect.
    """
