"""Flatten, Reshape, Permute and RepeatVector."""

from __future__ import annotations

import math

from graphjit.capture.arguments import arg, shape_tuple, size
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.errors import ShapeError
from graphjit.ir import Value
from graphjit.ops.image import data_format
from graphjit.ops.shape import Reshape as ReshapeOp
from graphjit.ops.shape import Transpose, Upsample
from graphjit.types import known_size

__all__ = ["Flatten", "Permute", "RepeatVector", "Reshape"]


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
            raise ShapeError(f"{emitter.title}: {message}, the input is {type_}")
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


@LAYERS.register("RepeatVector")
class RepeatVector(Layer):
    """A sequence of copies of a vector.

    Shapes:
        x: (batch, c)  ->  (batch, n, c)

    Args:
        n: How many.
    """

    n: int = arg(converter=size)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        emitter.check_rank(x, 2)
        (features,) = emitter.type_of(x).shape[1:]
        column = (1, features if isinstance(features, int) else -1)
        return emitter(Upsample((1, self.n, 1)), emitter(ReshapeOp(column), x))
