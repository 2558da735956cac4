"""Dropout: random dropping of elements in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from graphjit.capture.arguments import Unfit, arg, fraction, integer, optional
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.errors import ShapeError
from graphjit.ir import Value
from graphjit.layout import Layout, compose, identity, invert
from graphjit.narrow import sequence_of
from graphjit.ops.base import (
    Array,
    Becomes,
    Op,
    Permuted,
    Random,
    Same,
    register_op,
)
from graphjit.types import TensorType

__all__ = ["Dropout", "DropoutOp"]


@register_op("dropout")
class DropoutOp(Op, Random):
    """Zero elements with probability `rate`, scale the others by 1 / (1 - rate).

    The elements of `noise_shape` that are 1 share one draw along that axis; None
    draws for every element. `perm` is the layout x lies in: the draw is made in the
    logical order, so that a pass that moves a transpose changes no result.

    Shapes:
        x: (...)  ->  (...)
    """

    rate: float
    seed: int
    noise_shape: tuple[int | None, ...] | None = None
    perm: tuple[int, ...] | None = None

    def infer(self, x: TensorType) -> TensorType:
        if self.noise_shape is None:
            return x
        if len(self.noise_shape) != x.rank:
            message = f"noise_shape {self.noise_shape} does not fit rank {x.rank}"
            raise ShapeError(message)
        for wanted, dim in zip(self.noise_shape, self._logical(x.shape), strict=True):
            if wanted not in (None, 1) and isinstance(dim, int) and wanted != dim:
                message = f"noise_shape {self.noise_shape} does not fit {x}"
                raise ShapeError(message)
        return x

    def _logical(self, shape: Sequence[object]) -> tuple[object, ...]:
        perm = self.perm or identity(len(shape))
        return tuple(shape[axis] for axis in invert(perm))

    def lower(self, x: Array, *, key: Array) -> Array:
        perm = self.perm or identity(x.ndim)
        shape = tuple(x.shape[axis] for axis in invert(perm))
        if self.noise_shape is not None:
            pairs = zip(self.noise_shape, shape, strict=True)
            shape = tuple(dim if n is None else n for n, dim in pairs)
        kept = jnp.transpose(jax.random.bernoulli(key, 1 - self.rate, shape), perm)
        return jnp.where(kept, x / (1 - self.rate), jnp.zeros((), x.dtype))

    def to_inference(self) -> Becomes:
        return Becomes(None, (0,), (Same(0),))

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        if layout.inner:
            return None
        rank = len(layout.perm)
        perm = compose(self.perm or identity(rank), layout.perm)
        moved = None if perm == identity(rank) else perm
        op = DropoutOp(self.rate, self.seed, self.noise_shape, moved)
        return Permuted(op, (layout,), (layout,))


def _noise_shape(value: Any) -> tuple[int | None, ...]:
    items = sequence_of(value)
    if items is None or not all(n is None or isinstance(n, int) for n in items):
        raise Unfit("a tuple of ints or None")
    return tuple(items)


@LAYERS.register("Dropout")
class Dropout(Layer):
    """Zero a fraction of the elements in training, scale the others up.

    Shapes:
        x: (...)  ->  (...)

    Args:
        rate: The fraction dropped; the kept ones are scaled by 1 / (1 - rate).
        noise_shape: Shape of the draw; axes of size 1 share it, None means x's dim.
        seed: Mixed into the caller's key; None for 0.
    """

    carries_mask = True
    renamed = {"p": "rate"}

    rate: float = arg(converter=fraction)
    noise_shape: tuple[int | None, ...] | None = arg(
        default=None, converter=optional(_noise_shape)
    )
    seed: int | None = arg(default=None, converter=optional(integer))

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        if not 0 < self.rate < 1:
            return x  # Keras draws nothing at either end.
        op = DropoutOp(self.rate, self.seed or 0, self.noise_shape)
        return emitter(op, emitter.cast(x))
