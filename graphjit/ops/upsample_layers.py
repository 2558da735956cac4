"""Layers that enlarge sequences, images and volumes."""

from __future__ import annotations

from typing import Any

from graphjit.capture.arguments import arg, choice, ints
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.ir import Value
from graphjit.ops.image import data_format, spatial_axes
from graphjit.ops.interpolate import Interpolate
from graphjit.ops.shape import Upsample

__all__ = ["UpSampling1D", "UpSampling2D", "UpSampling3D"]


def _one(value: Any) -> int:
    (only,) = ints(1)(value)
    return only


def _factors(
    emitter: Emitter, x: Value, size: tuple[int, ...], data_format: str
) -> tuple[int, ...]:
    """A factor for every axis of x, from those for its spatial axes."""
    rank = len(size) + 2
    emitter.check_rank(x, rank)
    factors = [1] * rank
    for axis, factor in zip(spatial_axes(rank, data_format), size, strict=True):
        factors[axis] = factor
    return tuple(factors)


@LAYERS.register("UpSampling1D")
class UpSampling1D(Layer):
    """Repeat every step of a sequence.

    Shapes:
        x: (n, t, c)  ->  (n, t * size, c)

    Args:
        size: How often.
    """

    renamed = {"length": "size"}

    size: int = arg(default=2, converter=_one)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        factors = _factors(emitter, x, (self.size,), "channels_last")
        return emitter(Upsample(factors), x)


@LAYERS.register("UpSampling2D")
class UpSampling2D(Layer):
    """Repeat the rows and columns of an image, or interpolate between them.

    Shapes:
        x: (n, h, w, c)  ->  (n, h * size[0], w * size[1], c); (n, c, h, w) for
        channels_first.

    Args:
        size: An int, or (rows, columns).
        data_format: "channels_last", "channels_first", None for the configured one.
        interpolation: "nearest" repeats; "bilinear" interpolates between the centres
            of pixels; "bilinear_corners" between their first corners, as Keras 2 did
            outside of TensorFlow.
    """

    renamed = {"dim_ordering": "data_format"}

    size: tuple[int, ...] = arg(default=(2, 2), converter=ints(2))
    data_format: str = arg(default=None, converter=data_format)
    interpolation: str = arg(
        default="nearest", converter=choice("nearest", "bilinear", "bilinear_corners")
    )

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        factors = _factors(emitter, x, self.size, self.data_format)
        if self.interpolation == "nearest":
            return emitter(Upsample(factors), x)
        corners = self.interpolation == "bilinear_corners"
        return emitter(Interpolate(factors, corners), emitter.cast(x))


@LAYERS.register("UpSampling3D")
class UpSampling3D(Layer):
    """Repeat every element of a volume along its three axes.

    Shapes:
        x: (n, d, h, w, c)  ->  (n, d * size[0], h * size[1], w * size[2], c);
        (n, c, d, h, w) for channels_first.

    Args:
        size: An int, or one for each axis.
        data_format: "channels_last", "channels_first", None for the configured one.
    """

    renamed = {"dim_ordering": "data_format"}

    size: tuple[int, ...] = arg(default=(2, 2, 2), converter=ints(3))
    data_format: str = arg(default=None, converter=data_format)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        factors = _factors(emitter, x, self.size, self.data_format)
        return emitter(Upsample(factors), x)
