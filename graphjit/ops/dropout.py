"""Random dropping of elements, and noise on them, in training.

Every draw is made in the logical order of x, whatever layout x lies in, so that a pass
that moves a transpose changes no result.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from graphjit.errors import ShapeError
from graphjit.layout import Layout, compose, identity, invert
from graphjit.ops.base import (
    Array,
    Becomes,
    Op,
    Permuted,
    Random,
    Same,
    added,
    register_op,
    with_fields,
)
from graphjit.ops.elementwise import Selu
from graphjit.ops.precision import KeepsPrecision
from graphjit.types import TensorType

__all__ = ["AlphaDropoutOp", "DropoutOp", "GaussianNoiseOp"]


class DrawOp(Op, Random):
    """An op that draws numbers for the elements of x, and is nothing in inference.

    `perm` is the layout x lies in. With `always` it draws in inference too.

    Shapes:
        x: (...)  ->  (...)
    """

    __slots__ = ()

    perm: tuple[int, ...] | None
    always: bool

    def infer(self, x: TensorType) -> TensorType:
        return x

    def logical(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of x in its logical order, from that in which it lies."""
        perm = self.perm or identity(len(shape))
        return tuple(shape[axis] for axis in invert(perm))

    def laid(self, drawn: Array) -> Array:
        """What was drawn in the logical order, in the layout of x."""
        return jnp.transpose(drawn, self.perm or identity(drawn.ndim))

    def to_inference(self) -> Becomes | None:
        return None if self.always else Becomes(None, (0,), (Same(0),))

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        if layout.inner:
            return None
        rank = len(layout.perm)
        perm = compose(self.perm or identity(rank), layout.perm)
        moved = None if perm == identity(rank) else perm
        return Permuted(with_fields(self, perm=moved), (layout,), (layout,))


class KeepOp(DrawOp):
    """A draw of which elements are kept, each with probability 1 - `rate`.

    Along the axes where `noise_shape` is 1 all share one draw; None draws for every
    element.
    """

    __slots__ = ()

    rate: float
    noise_shape: tuple[int | None, ...] | None

    def infer(self, x: TensorType) -> TensorType:
        if self.noise_shape is None:
            return x
        if len(self.noise_shape) != x.rank:
            message = f"noise_shape {self.noise_shape} does not fit rank {x.rank}"
            raise ShapeError(message)
        perm = self.perm or identity(x.rank)
        dims = [x.shape[axis] for axis in invert(perm)]
        for wanted, dim in zip(self.noise_shape, dims, strict=True):
            if wanted not in (None, 1) and isinstance(dim, int) and wanted != dim:
                message = f"noise_shape {self.noise_shape} does not fit {x}"
                raise ShapeError(message)
        return x

    def kept(self, x: Array, key: Array) -> Array:
        """A boolean that broadcasts against x."""
        shape = self.logical(x.shape)
        if self.noise_shape is not None:
            pairs = zip(self.noise_shape, shape, strict=True)
            shape = tuple(dim if n is None else n for n, dim in pairs)
        return self.laid(jax.random.bernoulli(key, 1 - self.rate, shape))


@register_op("dropout")
class DropoutOp(KeepOp):
    """Zero elements with probability `rate`, scale the others by 1 / (1 - rate)."""

    rate: float
    seed: int
    noise_shape: tuple[int | None, ...] | None = None
    perm: tuple[int, ...] | None = None
    always: bool = added(default=False)

    def lower(self, x: Array, *, key: Array) -> Array:
        kept = self.kept(x, key)
        return jnp.where(kept, x / (1 - self.rate), jnp.zeros((), x.dtype))


@register_op("alpha_dropout")
class AlphaDropoutOp(KeepOp):
    """Set elements to selu's lower bound with probability `rate`.

    Then an affine map brings mean and variance back to what they were, where they were
    0 and 1 (arXiv:1706.02515).
    """

    rate: float
    seed: int
    noise_shape: tuple[int | None, ...] | None = None
    perm: tuple[int, ...] | None = None
    always: bool = added(default=False)

    def lower(self, x: Array, *, key: Array) -> Array:
        lowest = -Selu.alpha * Selu.scale
        scale = ((1 - self.rate) * (1 + self.rate * lowest**2)) ** -0.5
        shift = -scale * lowest * self.rate
        kept = jnp.where(self.kept(x, key), x, jnp.asarray(lowest, x.dtype))
        return kept * scale + shift


@register_op("gaussian_noise")
class GaussianNoiseOp(DrawOp, KeepsPrecision):
    """x + noise of mean 0, or `multiplied`: x * (1 + noise)."""

    stddev: float
    seed: int
    multiplied: bool = False
    perm: tuple[int, ...] | None = None
    always: bool = added(default=False)

    def lower(self, x: Array, *, key: Array) -> Array:
        drawn = jax.random.normal(key, self.logical(x.shape), x.dtype)
        noise = self.laid(drawn) * self.stddev
        return x * (1 + noise) if self.multiplied else x + noise
