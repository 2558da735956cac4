"""Max and average pooling, over windows and over whole images."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from graphjit.capture.arguments import arg, boolean, ints, optional, padding_name
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.errors import ShapeError
from graphjit.ir import Value
from graphjit.ops.base import Array, Op, register_op
from graphjit.ops.image import channels_last, data_format, spatial_axes
from graphjit.ops.reduce import ReduceMax, ReduceMean
from graphjit.ops.windows import Padding, explicit_pads, output_length
from graphjit.types import Dim, TensorType

__all__ = [
    "AveragePool",
    "AveragePooling2D",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "MaxPool",
    "MaxPooling2D",
]


class PoolOp(Op):
    """Reduce every window of a channels-last image.

    Shapes:
        x: (n, h, w, c)  ->  (n, h', w', c), h' as for a convolution of that size.
    """

    __slots__ = ()

    size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Padding

    def infer(self, x: TensorType) -> TensorType:
        rank = len(self.size)
        if x.rank != rank + 2:
            raise ShapeError(f"expected x of rank {rank + 2}, received rank {x.rank}")
        padded = rank if isinstance(self.padding, str) else len(self.padding)
        if len(self.strides) != rank or padded != rank:
            raise ShapeError(f"size {self.size} wants strides and pads of {rank} axes")
        spatial: list[Dim] = []
        for axis, (window, stride) in enumerate(
            zip(self.size, self.strides, strict=True)
        ):
            pads = self.padding if isinstance(self.padding, str) else self.padding[axis]
            spatial.append(output_length(x.shape[axis + 1], window, stride, pads))
        return x.with_shape((x.shape[0], *spatial, x.shape[-1]))

    def reduce(self, x: Array, start: float, combine: object) -> Array:
        pads = explicit_pads(self.padding, x.shape[1:-1], self.size, self.strides)
        assert pads is not None
        return jax.lax.reduce_window(
            x,
            np.asarray(start, x.dtype),
            combine,  # pyright: ignore[reportArgumentType]
            (1, *self.size, 1),
            (1, *self.strides, 1),
            ((0, 0), *pads, (0, 0)),
        )


@register_op("max_pool")
class MaxPool(PoolOp):
    """The largest element of every window; pads never win."""

    size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Padding = "valid"

    def lower(self, x: Array) -> Array:
        lowest = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else None
        start = jnp.iinfo(x.dtype).min if lowest is None else lowest
        return self.reduce(x, start, jax.lax.max)


@register_op("average_pool")
class AveragePool(PoolOp):
    """The mean of every window, over the elements that are not pads."""

    size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Padding = "valid"

    def lower(self, x: Array) -> Array:
        total = self.reduce(x, 0.0, jax.lax.add)
        pads = explicit_pads(self.padding, x.shape[1:-1], self.size, self.strides)
        area = 1
        for window in self.size:
            area *= window
        if pads is None or all(pair == (0, 0) for pair in pads):
            return total / area
        ones = jnp.ones((1, *x.shape[1:-1], 1), x.dtype)
        return total / self.reduce(ones, 0.0, jax.lax.add)


class _Pooling2D(Layer):
    """Arguments of 2-D pooling."""

    renamed = {"border_mode": "padding", "dim_ordering": "data_format"}

    pool_size: tuple[int, ...] = arg(default=(2, 2), converter=ints(2))
    strides: tuple[int, ...] | None = arg(default=None, converter=optional(ints(2)))
    padding: str = arg(default="valid", converter=padding_name)
    data_format: str = arg(default=None, converter=data_format)

    def pool(self, x: Value, emitter: Emitter) -> Value:
        raise NotImplementedError

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        emitter.check_rank(x, 4)
        return channels_last(
            emitter, x, self.data_format, lambda image: self.pool(image, emitter)
        )


@LAYERS.register("MaxPooling2D", "MaxPool2D")
class MaxPooling2D(_Pooling2D):
    """The largest element of every window of an image.

    Shapes:
        x: (n, h, w, c)  ->  (n, h', w', c), h' as for Conv2D with kernel pool_size;
        (n, c, h, w) for channels_first.

    Args:
        pool_size: An int, or (rows, columns).
        strides: An int or a pair; None for pool_size.
        padding: "valid" or "same".
        data_format: "channels_last", "channels_first", None for the configured one.
    """

    def pool(self, x: Value, emitter: Emitter) -> Value:
        strides = self.strides or self.pool_size
        return emitter(MaxPool(self.pool_size, strides, self.padding), x)


@LAYERS.register("AveragePooling2D", "AvgPool2D")
class AveragePooling2D(_Pooling2D):
    """The mean of every window of an image, pads left out.

    Shapes:
        x: (n, h, w, c)  ->  (n, h', w', c), h' as for Conv2D with kernel pool_size;
        (n, c, h, w) for channels_first.

    Args:
        pool_size: An int, or (rows, columns).
        strides: An int or a pair; None for pool_size.
        padding: "valid" or "same".
        data_format: "channels_last", "channels_first", None for the configured one.
    """

    casts_integers = True

    def pool(self, x: Value, emitter: Emitter) -> Value:
        strides = self.strides or self.pool_size
        return emitter(AveragePool(self.pool_size, strides, self.padding), x)


class _GlobalPooling2D(Layer):
    """Arguments of 2-D global pooling."""

    renamed = {"dim_ordering": "data_format"}

    data_format: str = arg(default=None, converter=data_format)
    keepdims: bool = arg(default=False, converter=boolean)

    def axes(self, emitter: Emitter, x: Value) -> tuple[int, ...]:
        emitter.check_rank(x, 4)
        return spatial_axes(4, self.data_format)


@LAYERS.register("GlobalMaxPooling2D", "GlobalMaxPool2D")
class GlobalMaxPooling2D(_GlobalPooling2D):
    """The largest element of every channel.

    Shapes:
        x: (n, h, w, c)  ->  (n, c), or (n, 1, 1, c) with keepdims;
        (n, c, h, w)  ->  (n, c), or (n, c, 1, 1) for channels_first.

    Args:
        data_format: "channels_last", "channels_first", None for the configured one.
        keepdims: Whether the spatial axes stay, with size 1.
    """

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        return emitter(ReduceMax(self.axes(emitter, x), self.keepdims), x)


@LAYERS.register("GlobalAveragePooling2D", "GlobalAvgPool2D")
class GlobalAveragePooling2D(_GlobalPooling2D):
    """The mean of every channel.

    Shapes:
        x: (n, h, w, c)  ->  (n, c), or (n, 1, 1, c) with keepdims;
        (n, c, h, w)  ->  (n, c), or (n, c, 1, 1) for channels_first.

    Args:
        data_format: "channels_last", "channels_first", None for the configured one.
        keepdims: Whether the spatial axes stay, with size 1.
    """

    casts_integers = True

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        return emitter(ReduceMean(self.axes(emitter, x), self.keepdims), x)
