"""Enlarging by linear interpolation between neighbours."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from graphjit.errors import ShapeError
from graphjit.layout import Layout
from graphjit.ops.base import Array, Op, Permuted, added, register_op
from graphjit.types import TensorType, is_floating

__all__ = ["Interpolate"]


@register_op("interpolate")
class Interpolate(Op):
    """Enlarge each axis by a whole factor, linearly between centres of elements.

    Element j of the result lies at (j + 0.5) / factor - 0.5 of x; beyond the first
    and the last centre x stays as it is there. Along two axes this is bilinear
    interpolation with half-pixel centres. Source: TensorFlow 2, image.resize. With
    `corners` it lies at j / factor, so that what is there stays, and the end is
    repeated. Source: TensorFlow 1, image.resize_bilinear; Keras 2.2.3, UpSampling2D.

    Shapes:
        x: (d0, d1, …)  ->  (d0 * factors[0], d1 * factors[1], …)

    Attributes:
        factors: One for every axis.
        corners: Whether elements are where they begin, instead of around their centres.
    """

    factors: tuple[int, ...]
    corners: bool = added(False)

    def infer(self, x: TensorType) -> TensorType:
        if len(self.factors) != x.rank or any(factor < 1 for factor in self.factors):
            raise ShapeError(f"factors {self.factors} do not fit rank {x.rank}")
        if not is_floating(x.dtype):
            raise ShapeError(f"expected floating x, received {x.dtype}")
        return x.with_shape(
            dim if factor == 1 else (dim * factor if isinstance(dim, int) else None)
            for dim, factor in zip(x.shape, self.factors, strict=True)
        )

    def is_identity(self, types: Sequence[TensorType | None]) -> bool:
        return all(factor == 1 for factor in self.factors)

    def lower(self, x: Array) -> Array:
        for axis, factor in enumerate(self.factors):
            if factor > 1:
                x = _enlarged(x, axis, factor, self.corners)
        return x

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        return 3 * Op.flops(self, operands, results)

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        if layout.inner:
            return None
        factors = tuple(self.factors[axis] for axis in layout.perm)
        return Permuted(Interpolate(factors, self.corners), (layout,), (layout,))


def _enlarged(x: Array, axis: int, factor: int, corners: bool) -> Array:
    """x with `factor` elements in place of each, along one axis.

    Each of them lies always at the same distance from the element and from one of its
    neighbours, so that all are sums of x and shifted x.
    """
    length = x.shape[axis]
    cut = functools.partial(jax.lax.slice_in_dim, x, axis=axis)
    # Concatenated rather than cut out of a padded x: as fast, and XLA:CPU takes two to
    # seven times as long for the gradient of that.
    before = jnp.concatenate([cut(0, 1), cut(0, length - 1)], axis)
    after = jnp.concatenate([cut(1, length), cut(length - 1, length)], axis)
    phases: list[Array] = []
    for phase in range(factor):
        distance = phase / factor if corners else (phase + 0.5) / factor - 0.5
        beside = before if distance < 0 else after
        phases.append(x + (beside - x) * abs(distance))
    shape = (*x.shape[:axis], length * factor, *x.shape[axis + 1 :])
    return jnp.reshape(jnp.stack(phases, axis + 1), shape)
