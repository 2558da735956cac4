"""Layers that pool windows of sequences, images and volumes."""

from __future__ import annotations

from typing import ClassVar

from graphjit.capture.arguments import arg, ints, optional
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.ir import Value
from graphjit.ops.conv.arguments import padding
from graphjit.ops.image import channels_last, data_format
from graphjit.ops.pool import AveragePool, MaxPool
from graphjit.ops.windows import Padding

__all__ = [
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
]


class _Pooling(Layer):
    """A layer that pools windows; strides left out are the size of the window."""

    op: ClassVar[type[MaxPool] | type[AveragePool]]

    pool_size: tuple[int, ...]
    strides: tuple[int, ...] | None
    padding: Padding
    data_format: str

    def check(self) -> None:
        # Written out, as Keras 2 writes it into configs.
        if self.strides is None:
            object.__setattr__(self, "strides", self.pool_size)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        emitter.check_rank(x, len(self.pool_size) + 2)
        op = self.op(self.pool_size, self.strides or self.pool_size, self.padding)
        return channels_last(
            emitter, x, self.data_format, lambda image: emitter(op, image)
        )


class _Pooling1D(_Pooling):
    renamed = {
        "pool_length": "pool_size",
        "stride": "strides",
        "border_mode": "padding",
    }

    pool_size: tuple[int, ...] = arg(default=2, converter=ints(1))
    strides: tuple[int, ...] | None = arg(default=None, converter=optional(ints(1)))
    padding: Padding = arg(default="valid", converter=padding(1))
    data_format: str = arg(default="channels_last", converter=data_format)


class _Pooling2D(_Pooling):
    renamed = {"border_mode": "padding", "dim_ordering": "data_format"}

    pool_size: tuple[int, ...] = arg(default=(2, 2), converter=ints(2))
    strides: tuple[int, ...] | None = arg(default=None, converter=optional(ints(2)))
    padding: Padding = arg(default="valid", converter=padding(2))
    data_format: str = arg(default=None, converter=data_format)


class _Pooling3D(_Pooling):
    renamed = {"border_mode": "padding", "dim_ordering": "data_format"}

    pool_size: tuple[int, ...] = arg(default=(2, 2, 2), converter=ints(3))
    strides: tuple[int, ...] | None = arg(default=None, converter=optional(ints(3)))
    padding: Padding = arg(default="valid", converter=padding(3))
    data_format: str = arg(default=None, converter=data_format)


@LAYERS.register("MaxPooling1D", "MaxPool1D")
class MaxPooling1D(_Pooling1D):
    """The largest element of every window of a sequence.

    Shapes:
        x: (n, t, c)  ->  (n, t', c); (n, c, t) for channels_first.
        t' as for Conv1D with kernel pool_size.

    Args:
        pool_size: An int.
        strides: An int; None for pool_size.
        padding: "valid", "same", or the pads before and after, a pair per axis.
        data_format: "channels_last" or "channels_first"; None for the configured one.
    """

    op = MaxPool


@LAYERS.register("MaxPooling2D", "MaxPool2D")
class MaxPooling2D(_Pooling2D):
    """The largest element of every window of an image.

    Shapes:
        x: (n, h, w, c)  ->  (n, h', w', c); (n, c, h, w) for channels_first.
        h' as for Conv2D with kernel pool_size.

    Args:
        pool_size: An int, or (rows, columns).
        strides: An int or a pair; None for pool_size.
        padding: "valid", "same", or the pads before and after, a pair per axis.
        data_format: "channels_last", "channels_first", None for the configured one.
    """

    op = MaxPool


@LAYERS.register("MaxPooling3D", "MaxPool3D")
class MaxPooling3D(_Pooling3D):
    """The largest element of every window of a volume.

    Shapes:
        x: (n, d, h, w, c)  ->  (n, d', h', w', c); (n, c, d, h, w) for
        channels_first. d' as for Conv3D with kernel pool_size.

    Args:
        pool_size: An int, or one for each of the three axes.
        strides: An int or three; None for pool_size.
        padding: "valid", "same", or the pads before and after, a pair per axis.
        data_format: "channels_last", "channels_first", None for the configured one.
    """

    op = MaxPool


@LAYERS.register("AveragePooling1D", "AvgPool1D")
class AveragePooling1D(_Pooling1D):
    """The mean of every window of a sequence, pads left out.

    Shapes:
        x: (n, t, c)  ->  (n, t', c); (n, c, t) for channels_first.
        t' as for Conv1D with kernel pool_size.

    Args:
        pool_size: An int.
        strides: An int; None for pool_size.
        padding: "valid", "same", or the pads before and after, a pair per axis.
        data_format: "channels_last" or "channels_first"; None for the configured one.
    """

    casts_integers = True
    op = AveragePool


@LAYERS.register("AveragePooling2D", "AvgPool2D")
class AveragePooling2D(_Pooling2D):
    """The mean of every window of an image, pads left out.

    Shapes:
        x: (n, h, w, c)  ->  (n, h', w', c); (n, c, h, w) for channels_first.
        h' as for Conv2D with kernel pool_size.

    Args:
        pool_size: An int, or (rows, columns).
        strides: An int or a pair; None for pool_size.
        padding: "valid", "same", or the pads before and after, a pair per axis.
        data_format: "channels_last", "channels_first", None for the configured one.
    """

    casts_integers = True
    op = AveragePool


@LAYERS.register("AveragePooling3D", "AvgPool3D")
class AveragePooling3D(_Pooling3D):
    """The mean of every window of a volume, pads left out.

    Shapes:
        x: (n, d, h, w, c)  ->  (n, d', h', w', c); (n, c, d, h, w) for
        channels_first. d' as for Conv3D with kernel pool_size.

    Args:
        pool_size: An int, or one for each of the three axes.
        strides: An int or three; None for pool_size.
        padding: "valid", "same", or the pads before and after, a pair per axis.
        data_format: "channels_last", "channels_first", None for the configured one.
    """

    casts_integers = True
    op = AveragePool
