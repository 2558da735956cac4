"""Rescaling by numbers that are known when the model is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np

from graphjit.capture.arguments import Unfit, arg
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.errors import ShapeError
from graphjit.ir import Value
from graphjit.layout import Layout
from graphjit.narrow import sequence_of
from graphjit.ops.base import Array, Op, Permuted, register_op
from graphjit.ops.precision import KeepsPrecision
from graphjit.types import TensorType, is_floating

__all__ = ["Affine", "Numbers", "Rescaling", "flattened", "numbers"]

#: A number, or an array of them as nested tuples.
Numbers: TypeAlias = "float | tuple[Numbers, ...]"


@register_op("affine")
class Affine(Op, KeepsPrecision):
    """(x - center) * scale + shift, by numbers that broadcast against x.

    Each of the three has the elements of `shape` in order, or one for all of them;
    `shape` has a dim for every axis of x, 1 where all elements share one; () is a
    number alone.

    Shapes:
        x: (...)  ->  (...)
    """

    scale: tuple[float, ...]
    shift: tuple[float, ...] = (0.0,)
    center: tuple[float, ...] = (0.0,)
    shape: tuple[int, ...] = ()

    def infer(self, x: TensorType) -> TensorType:
        if not is_floating(x.dtype):
            raise ShapeError(f"expected floating x, received {x.dtype}")
        size = math.prod(self.shape)
        if any(len(n) not in (1, size) for n in (self.scale, self.shift, self.center)):
            raise ShapeError(f"expected 1 number or those of shape {self.shape}")
        if not self.shape:
            return x
        dims = list(x.shape)
        fits = len(self.shape) == x.rank
        for axis, dim in enumerate(self.shape if fits else ()):
            if dim != 1:
                fits = fits and dims[axis] in (None, dim)
                dims[axis] = dim
        if not fits:
            raise ShapeError(f"numbers of shape {self.shape} do not fit x, {x}")
        return x.with_shape(dims)

    def _array(self, numbers: tuple[float, ...], x: Array) -> Array:
        shape = self.shape if len(numbers) > 1 else ()
        return jnp.asarray(np.reshape(np.asarray(numbers), shape).astype(x.dtype))

    def lower(self, x: Array) -> Array:
        if any(self.center):
            x = x - self._array(self.center, x)
        y = x * self._array(self.scale, x)
        return y + self._array(self.shift, x) if any(self.shift) else y

    def is_identity(self, types: Sequence[TensorType | None]) -> bool:
        moved = any(self.center) or any(self.shift)
        return not moved and all(number == 1 for number in self.scale)

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        # With one long axis the numbers keep their order.
        if layout.inner or sum(dim != 1 for dim in self.shape) > 1:
            return None
        shape = tuple(self.shape[axis] for axis in layout.perm) if self.shape else ()
        op = Affine(self.scale, self.shift, self.center, shape)
        return Permuted(op, (layout,), (layout,))

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        return 2 * Op.flops(self, operands, results)


def numbers(value: Any) -> Numbers:
    """Reader of a number, or of an array of numbers in any form."""
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise Unfit("a number or an array of numbers") from None
    if not array.size or not np.isfinite(array).all():
        raise Unfit("a finite number or an array of them")
    return _nested(array.tolist())


def _nested(items: Any) -> Numbers:
    rows = sequence_of(items)
    return items if rows is None else tuple(_nested(row) for row in rows)


def flattened(array: np.ndarray[Any, Any]) -> tuple[float, ...]:
    """The elements in order, or one where all are the same."""
    items = [float(item) for item in array.reshape(-1)]
    return tuple(items[:1] if len(set(items)) == 1 else items)


@LAYERS.register("Rescaling")
class Rescaling(Layer):
    """x * scale + offset.

    Shapes:
        x: (...)  ->  (...); scale and offset broadcast against it from the last axis

    Args:
        scale: A number, or an array.
        offset: A number, or an array.
    """

    carries_mask = True
    casts_integers = True

    scale: Numbers = arg(converter=numbers)
    offset: Numbers = arg(default=0.0, converter=numbers)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        scale, shift = np.broadcast_arrays(self.scale, self.offset)
        rank = emitter.type_of(x).rank
        emitter.check_least_rank(x, scale.ndim)
        shape = (1,) * (rank - scale.ndim) + scale.shape
        if math.prod(shape) == 1:
            shape = ()
        return emitter(Affine(flattened(scale), flattened(shift), shape=shape), x)

    def check(self) -> None:
        try:
            np.broadcast_arrays(self.scale, self.offset)
        except ValueError:
            wanted = f"a shape that broadcasts against scale's {np.shape(self.scale)}"
            self.refuse("offset", wanted, self.offset)
