"""Layers that pool whole sequences, images and volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from graphjit.capture.arguments import arg, boolean
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.ir import Value
from graphjit.ops.image import data_format, spatial_axes
from graphjit.ops.masking import MaskedMean
from graphjit.ops.reduce import ReduceMax, ReduceMean

__all__ = [
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
]


class _GlobalPooling(Layer):
    """A layer that reduces over all axes but the batch and the channels."""

    rank: ClassVar[int]
    op: ClassVar[type[ReduceMax] | type[ReduceMean]]

    data_format: str
    keepdims: bool

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        return emitter(self.op(self.axes(emitter, x), self.keepdims), x)

    def axes(self, emitter: Emitter, x: Value) -> tuple[int, ...]:
        """The axes that go."""
        emitter.check_rank(x, self.rank)
        return spatial_axes(self.rank, self.data_format)


class _GlobalPooling1D(_GlobalPooling):
    rank = 3

    data_format: str = arg(default="channels_last", converter=data_format)
    keepdims: bool = arg(default=False, converter=boolean)


class _GlobalPoolingND(_GlobalPooling):
    renamed = {"dim_ordering": "data_format"}

    data_format: str = arg(default=None, converter=data_format)
    keepdims: bool = arg(default=False, converter=boolean)


@LAYERS.register("GlobalMaxPooling1D", "GlobalMaxPool1D")
class GlobalMaxPooling1D(_GlobalPooling1D):
    """The largest element of every channel.

    Shapes:
        x: (n, t, c)  ->  (n, c), or (n, 1, c) with keepdims;
        (n, c, t)  ->  (n, c), or (n, c, 1) for channels_first.

    Args:
        data_format: "channels_last" or "channels_first"; None for the configured one.
        keepdims: Whether the axis of steps stays, with size 1.
    """

    op = ReduceMax


@LAYERS.register("GlobalMaxPooling2D", "GlobalMaxPool2D")
class GlobalMaxPooling2D(_GlobalPoolingND):
    """The largest element of every channel.

    Shapes:
        x: (n, h, w, c)  ->  (n, c), or (n, 1, 1, c) with keepdims;
        (n, c, h, w)  ->  (n, c), or (n, c, 1, 1) for channels_first.

    Args:
        data_format: "channels_last", "channels_first", None for the configured one.
        keepdims: Whether the spatial axes stay, with size 1.
    """

    rank = 4
    op = ReduceMax


@LAYERS.register("GlobalMaxPooling3D", "GlobalMaxPool3D")
class GlobalMaxPooling3D(_GlobalPoolingND):
    """The largest element of every channel.

    Shapes:
        x: (n, d, h, w, c)  ->  (n, c), or (n, 1, 1, 1, c) with keepdims;
        (n, c, d, h, w)  ->  (n, c), or (n, c, 1, 1, 1) for channels_first.

    Args:
        data_format: "channels_last", "channels_first", None for the configured one.
        keepdims: Whether the spatial axes stay, with size 1.
    """

    rank = 5
    op = ReduceMax


@LAYERS.register("GlobalAveragePooling1D", "GlobalAvgPool1D")
class GlobalAveragePooling1D(_GlobalPooling1D):
    """The mean of every channel.

    A mask leaves steps out: the mean is over the valid ones, NaN where there is none.

    Shapes:
        x: (n, t, c)   mask: bool (n, t)  ->  (n, c), or (n, 1, c) with keepdims;
        (n, c, t)  ->  (n, c), or (n, c, 1) for channels_first.

    Args:
        data_format: "channels_last" or "channels_first"; None for the configured one.
        keepdims: Whether the axis of steps stays, with size 1.
    """

    casts_integers = True
    op = ReduceMean

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (mask,) = emitter.masks or (None,)
        if mask is None:
            return super().emit(emitter, *inputs)
        (x,) = inputs
        (axis,) = self.axes(emitter, x)
        return emitter(MaskedMean(axis, self.keepdims), x, mask)

    def emit_masks(
        self,
        emitter: Emitter,
        inputs: Sequence[Value],
        masks: Sequence[Value | None],
        outputs: Sequence[Value],
    ) -> Sequence[Value | None]:
        return [None]


@LAYERS.register("GlobalAveragePooling2D", "GlobalAvgPool2D")
class GlobalAveragePooling2D(_GlobalPoolingND):
    """The mean of every channel.

    Shapes:
        x: (n, h, w, c)  ->  (n, c), or (n, 1, 1, c) with keepdims;
        (n, c, h, w)  ->  (n, c), or (n, c, 1, 1) for channels_first.

    Args:
        data_format: "channels_last", "channels_first", None for the configured one.
        keepdims: Whether the spatial axes stay, with size 1.
    """

    casts_integers = True
    rank = 4
    op = ReduceMean


@LAYERS.register("GlobalAveragePooling3D", "GlobalAvgPool3D")
class GlobalAveragePooling3D(_GlobalPoolingND):
    """The mean of every channel.

    Shapes:
        x: (n, d, h, w, c)  ->  (n, c), or (n, 1, 1, 1, c) with keepdims;
        (n, c, d, h, w)  ->  (n, c), or (n, c, 1, 1, 1) for channels_first.

    Args:
        data_format: "channels_last", "channels_first", None for the configured one.
        keepdims: Whether the spatial axes stay, with size 1.
    """

    casts_integers = True
    rank = 5
    op = ReduceMean
