"""Normalization of each sample by its own statistics: layer, RMS, group and unit norm.

None of these mixes rows, so training and inference are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from graphjit.errors import ShapeError
from graphjit.layout import Layout
from graphjit.ops.base import Array, Op, Permuted, register_op
from graphjit.ops.precision import KeepsPrecision
from graphjit.types import Shape, TensorType, unify_shapes

__all__ = ["FORMS", "GroupNorm", "LayerNorm", "UnitNorm"]

#: What `LayerNorm` does: subtract the mean and divide by the deviation from it; divide
#: by the root of the mean square; divide by the deviation, subtracting nothing.
FORMS = ("centred", "rms", "scaled")


def _exact(x: Array) -> Array:
    """x in float32 at least, where sums are taken."""
    return x.astype(jnp.float32) if x.dtype.itemsize < 4 else x


def _check_axes(axes: Sequence[int], x: TensorType) -> None:
    in_order = list(axes) == sorted(set(axes))
    if not axes or not in_order or not (axes[0] > 0 and axes[-1] < x.rank):
        raise ShapeError(f"axes {tuple(axes)} do not fit rank {x.rank}")


def _check_scales(
    shape: Shape, gamma: TensorType | None, beta: TensorType | None
) -> None:
    for role, scale in (("gamma", gamma), ("beta", beta)):
        if scale is None:
            continue
        try:
            unify_shapes(shape, scale.shape)
        except ShapeError:
            message = f"{role}: expected shape {shape}, received {scale.shape}"
            raise ShapeError(message) from None


def _affine(
    y: Array, gamma: Array | None, beta: Array | None, axes: Sequence[int]
) -> Array:
    """y * gamma + beta, where these run along `axes` of y."""
    shape = [y.shape[axis] if axis in axes else 1 for axis in range(y.ndim)]
    if gamma is not None:
        y = y * jnp.reshape(gamma, shape).astype(y.dtype)
    return y if beta is None else y + jnp.reshape(beta, shape).astype(y.dtype)


@register_op("layer_norm", roles=("x", "gamma", "beta"))
class LayerNorm(Op, KeepsPrecision):
    """Normalize over `axes` of each sample (arXiv:1607.06450, arXiv:1910.07467).

    y = (x - m) / (sqrt(v + epsilon) + outer_epsilon) * gamma + beta, where by `form`

    - "centred": m is the mean, v the biased variance;
    - "rms": m is 0, v the mean square;
    - "scaled": m is 0, v the biased variance.

    Shapes:
        x: (n, …)   gamma, beta: the dims of x on `axes`  ->  (n, …)
    """

    axes: tuple[int, ...]
    epsilon: float = 1e-3
    form: str = "centred"
    outer_epsilon: float = 0.0

    def infer(
        self,
        x: TensorType,
        gamma: TensorType | None = None,
        beta: TensorType | None = None,
    ) -> TensorType:
        if self.form not in FORMS:
            raise ShapeError(f"expected a form of {FORMS}, received {self.form!r}")
        _check_axes(self.axes, x)
        _check_scales(tuple(x.shape[axis] for axis in self.axes), gamma, beta)
        return x

    def lower(
        self, x: Array, gamma: Array | None = None, beta: Array | None = None
    ) -> Array:
        exact = _exact(x)
        moved = exact
        if self.form != "rms":
            moved = exact - jnp.mean(exact, self.axes, keepdims=True)
        variance = jnp.mean(moved * moved, self.axes, keepdims=True)
        if self.outer_epsilon:
            root = jnp.sqrt(variance + self.epsilon)
            scale = 1 / (root + self.outer_epsilon)
        else:
            scale = jax.lax.rsqrt(variance + self.epsilon)
        y = (exact if self.form == "scaled" else moved) * scale
        return _affine(y, gamma, beta, self.axes).astype(x.dtype)

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        if layout.perm[0] != 0:
            return None
        axes = sorted(self.axes, key=layout.physical_axis)
        inner = tuple(layout.inner[axis] for axis in self.axes) if layout.inner else ()
        scales = Layout(tuple(self.axes.index(axis) for axis in axes), inner)
        places = tuple(layout.physical_axis(axis) for axis in axes)
        op = LayerNorm(places, self.epsilon, self.form, self.outer_epsilon)
        return Permuted(op, (layout, scales, scales)[: len(types)], (layout,))

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        return 8 * Op.flops(self, operands, results)


@register_op("group_norm", roles=("x", "gamma", "beta"))
class GroupNorm(Op, KeepsPrecision):
    """Normalize over all positions and a group of channels (arXiv:1803.08494).

    y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, the biased variance; a
    group is c / groups channels that lie together.

    Shapes:
        x: (n, …, c, …)   gamma, beta: (c,)  ->  (n, …, c, …)
    """

    groups: int
    axis: int
    epsilon: float = 1e-3

    def infer(
        self,
        x: TensorType,
        gamma: TensorType | None = None,
        beta: TensorType | None = None,
    ) -> TensorType:
        _check_axes((self.axis,), x)
        channels = x.shape[self.axis]
        if not isinstance(channels, int) or self.groups < 1 or channels % self.groups:
            raise ShapeError(
                f"groups {self.groups} do not divide {channels} channels",
                notes={"x": f"channels = axis {self.axis}"},
            )
        _check_scales((channels,), gamma, beta)
        return x

    def lower(
        self, x: Array, gamma: Array | None = None, beta: Array | None = None
    ) -> Array:
        axis = self.axis
        split = (self.groups, x.shape[axis] // self.groups)
        exact = jnp.reshape(_exact(x), (*x.shape[:axis], *split, *x.shape[axis + 1 :]))
        over = tuple(at for at in range(1, exact.ndim) if at != axis)
        moved = exact - jnp.mean(exact, over, keepdims=True)
        variance = jnp.mean(moved * moved, over, keepdims=True)
        y = jnp.reshape(moved * jax.lax.rsqrt(variance + self.epsilon), x.shape)
        return _affine(y, gamma, beta, (axis,)).astype(x.dtype)

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        vector = layout.of_axis(self.axis)
        if layout.perm[0] != 0 or vector.inner:
            return None  # channels in another order would form other groups
        op = GroupNorm(self.groups, layout.physical_axis(self.axis), self.epsilon)
        return Permuted(op, (layout, vector, vector)[: len(types)], (layout,))

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        return 8 * Op.flops(self, operands, results)


@register_op("unit_norm")
class UnitNorm(Op, KeepsPrecision):
    """Scale to length 1 over `axes`: x / max(sqrt(sum(x²)), epsilon).

    Shapes:
        x: (n, …)  ->  (n, …)
    """

    axes: tuple[int, ...]
    epsilon: float = 1e-12

    def infer(self, x: TensorType) -> TensorType:
        _check_axes(self.axes, x)
        return x

    def lower(self, x: Array) -> Array:
        exact = _exact(x)
        square = jnp.sum(exact * exact, self.axes, keepdims=True)
        # The bound stands under the root, where the slope at 0 is finite.
        scale = jax.lax.rsqrt(jnp.maximum(square, self.epsilon**2))
        return (exact * scale).astype(x.dtype)

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        if layout.perm[0] != 0:
            return None
        axes = sorted(layout.physical_axis(axis) for axis in self.axes)
        return Permuted(UnitNorm(tuple(axes), self.epsilon), (layout,), (layout,))

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        return 3 * Op.flops(self, operands, results)
