"""Flatten, Reshape, Permute, ZeroPadding2D and UpSampling2D."""

from __future__ import annotations

import math
from typing import Any

from graphjit.capture.arguments import (
    Unfit,
    arg,
    choice,
    ints,
    shape_tuple,
)
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.errors import ShapeError
from graphjit.ir import Value
from graphjit.narrow import sequence_of
from graphjit.ops.image import data_format, spatial_axes
from graphjit.ops.shape import Pad, Transpose, Upsample
from graphjit.ops.shape import Reshape as ReshapeOp
from graphjit.types import known_size

__all__ = ["Flatten", "Permute", "Reshape", "UpSampling2D", "ZeroPadding2D"]


@LAYERS.register("Flatten")
class Flatten(Layer):
    """Merge all axes but the batch.

    Shapes:
        x: (n, d1, d2, …)  ->  (n, d1 * d2 * …); (n,)  ->  (n, 1)

    Args:
        data_format: channels_first moves channels last before merging, so that the
            result is that of a channels_last twin; None for the configured one.
    """

    data_format: str = arg(default=None, converter=data_format)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        type_ = emitter.type_of(x)
        if self.data_format == "channels_first" and type_.rank > 2:
            x = emitter(Transpose((0, *range(2, type_.rank), 1)), x)
        return emitter(ReshapeOp((known_size(type_.shape[1:]) or -1,)), x)


@LAYERS.register("Reshape")
class Reshape(Layer):
    """Give the axes after the batch another shape.

    Shapes:
        x: (n, …)  ->  (n, *target_shape), of the same size

    Args:
        target_shape: Without the batch axis; one -1 takes what is left.
    """

    target_shape: tuple[int, ...] = arg(converter=shape_tuple)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        type_ = emitter.type_of(x)
        size = known_size(type_.shape[1:])
        if size is None and -1 not in self.target_shape:
            message = "the input's dims must be known, or target_shape have a -1"
            raise ShapeError(f"Reshape: {message}, the input is {type_}")
        shape = self.target_shape
        if size is not None and shape.count(-1) == 1:
            fixed = math.prod(dim for dim in shape if dim != -1)
            if fixed and size % fixed == 0:
                shape = tuple(size // fixed if dim == -1 else dim for dim in shape)
        return emitter(ReshapeOp(shape), x)


@LAYERS.register("Permute")
class Permute(Layer):
    """Reorder the axes after the batch, counted from 1.

    Shapes:
        x: (n, d1, d2, …)  ->  (n, d_dims[0], d_dims[1], …)

    Args:
        dims: A permutation of 1, 2, …
    """

    dims: tuple[int, ...] = arg(converter=shape_tuple)

    def check(self) -> None:
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            wanted = f"a permutation of 1 to {len(self.dims)}"
            self.refuse("dims", wanted, self.dims)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        emitter.check_rank(x, len(self.dims) + 1)
        return emitter(Transpose((0, *self.dims)), x)


def _pads(value: Any) -> tuple[tuple[int, int], ...]:
    """An int, 2 ints, or 2 pairs of ints."""
    wanted = "an int, 2 ints, or 2 pairs of ints, all >= 0"
    items = sequence_of(value)
    rows = items if items is not None and len(items) == 2 else [value, value]
    pads: list[tuple[int, int]] = []
    for row in rows:
        try:
            before, after = ints(2, least=0)(row)
        except Unfit:
            raise Unfit(wanted) from None
        pads.append((before, after))
    return tuple(pads)


@LAYERS.register("ZeroPadding2D")
class ZeroPadding2D(Layer):
    """Zeros around an image.

    Shapes:
        x: (n, h, w, c)  ->  (n, h + top + bottom, w + left + right, c);
        (n, c, h, w) for channels_first.

    Args:
        padding: An int; (rows, columns); or ((top, bottom), (left, right)).
        data_format: "channels_last", "channels_first", None for the configured one.
    """

    renamed = {"dim_ordering": "data_format"}

    padding: tuple[tuple[int, int], ...] = arg(default=(1, 1), converter=_pads)
    data_format: str = arg(default=None, converter=data_format)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        emitter.check_rank(x, 4)
        pads = [(0, 0)] * 4
        for axis, pair in zip(
            spatial_axes(4, self.data_format), self.padding, strict=True
        ):
            pads[axis] = pair
        return emitter(Pad(tuple(pads)), x)


@LAYERS.register("UpSampling2D")
class UpSampling2D(Layer):
    """Repeat the rows and columns of an image.

    Shapes:
        x: (n, h, w, c)  ->  (n, h * size[0], w * size[1], c); (n, c, h, w) for
        channels_first.

    Args:
        size: An int, or (rows, columns).
        data_format: "channels_last", "channels_first", None for the configured one.
        interpolation: "nearest".
    """

    renamed = {"dim_ordering": "data_format"}

    size: tuple[int, ...] = arg(default=(2, 2), converter=ints(2))
    data_format: str = arg(default=None, converter=data_format)
    interpolation: str = arg(default="nearest", converter=choice("nearest"))

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        emitter.check_rank(x, 4)
        factors = [1] * 4
        for axis, factor in zip(
            spatial_axes(4, self.data_format), self.size, strict=True
        ):
            factors[axis] = factor
        return emitter(Upsample(tuple(factors)), x)
