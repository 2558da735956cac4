"""Ops that move elements: transpose, reshape, pad, crop, concatenate, upsample."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax.numpy as jnp

from graphjit.errors import ShapeError
from graphjit.layout import AxisOrder, Layout, compose, identity
from graphjit.ops.base import Array, KeepsElements, Op, Permuted, register_op
from graphjit.ops.wide_sums import spread
from graphjit.types import Dim, Shape, TensorType, known_size, unify_dim

__all__ = ["Concatenate", "Crop", "Pad", "Reshape", "Transpose", "Upsample"]


@register_op("transpose")
class Transpose(Op, KeepsElements):
    """Reorder axes: new axis i is old axis perm[i].

    Shapes:
        x: (d0, d1, …)  ->  (d_perm[0], d_perm[1], …)
    """

    perm: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        if sorted(self.perm) != list(range(x.rank)):
            raise ShapeError(f"perm {self.perm} does not fit rank {x.rank}")
        return x.with_shape(x.shape[axis] for axis in self.perm)

    def lower(self, x: Array) -> Array:
        return jnp.transpose(x, self.perm)

    def is_identity(self, types: Sequence[TensorType | None]) -> bool:
        return self.perm == identity(len(self.perm))

    def after(self, earlier: Op, types: Sequence[TensorType | None]) -> Op | None:
        if isinstance(earlier, Transpose):
            return Transpose(compose(earlier.perm, self.perm))
        return None

    def flops(self, operands: object, results: object) -> int:
        return 0


@register_op("reshape")
class Reshape(Op, KeepsElements):
    """Keep the first `keep` axes as they are and give the rest a new shape.

    Shapes:
        x: (k0, …, r0, r1, …)  ->  (k0, …, *shape), one dim of shape may be -1.
    """

    shape: tuple[int, ...]
    keep: int = 1

    def infer(self, x: TensorType) -> TensorType:
        if x.rank < self.keep:
            raise ShapeError(f"expected rank >= {self.keep}, x has rank {x.rank}")
        kept, rest = x.shape[: self.keep], x.shape[self.keep :]
        if self.shape.count(-1) > 1 or any(dim < -1 for dim in self.shape):
            raise ShapeError(f"expected at most one -1 in shape, received {self.shape}")
        size = known_size(rest)
        fixed = math.prod(dim for dim in self.shape if dim != -1)
        if size is None:
            unknown: Shape = tuple(None if d == -1 else d for d in self.shape)
            return x.with_shape(kept + unknown)
        if -1 not in self.shape and fixed != size:
            raise ShapeError(f"cannot make {self.shape} of {size} elements")
        if -1 in self.shape and (fixed == 0 or size % fixed):
            raise ShapeError(f"cannot make {self.shape} of {size} elements")
        free = size // fixed if fixed else 0
        return x.with_shape(kept + tuple(free if d == -1 else d for d in self.shape))

    def lower(self, x: Array) -> Array:
        return jnp.reshape(x, x.shape[: self.keep] + self.shape)

    def is_identity(self, types: Sequence[TensorType | None]) -> bool:
        x = types[0]
        if x is None or self.infer(x) != x:
            return False
        # With one dim left open the size decides it; with two it could be another.
        return x.shape[self.keep :].count(None) <= 1 and not any(
            isinstance(dim, str) for dim in x.shape[self.keep :]
        )

    def after(self, earlier: Op, types: Sequence[TensorType | None]) -> Op | None:
        if isinstance(earlier, Reshape) and earlier.keep == self.keep:
            return self
        return None

    def flops(self, operands: object, results: object) -> int:
        return 0

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        x = types[0]
        if x is None or layout.inner:
            return None
        groups = _merged_groups(x.shape, self.infer(x).shape, self.keep)
        if groups is None:
            return None
        runs = _physical_runs(layout.perm, groups)
        if runs is None:
            return None
        perm = tuple(group for group, _ in runs)
        if perm[: self.keep] != identity(self.keep):
            return None
        inner: list[AxisOrder | None] = [None] * len(groups)
        for group, order in runs:
            if order != identity(len(order)):
                factors = [x.shape[axis] for axis in groups[group]]
                known = tuple(dim for dim in factors if isinstance(dim, int))
                if len(known) != len(factors):
                    return None
                inner[group] = AxisOrder(known, order)
        target = [self.shape[group - self.keep] for group in perm[self.keep :]]
        op = Reshape(tuple(target), self.keep)
        return Permuted(op, (layout,), (Layout(perm, tuple(inner)),))


def _merged_groups(old: Shape, new: Shape, keep: int) -> list[tuple[int, ...]] | None:
    """For every new axis the old axes it merges; None when an axis is split."""
    groups: list[tuple[int, ...]] = [(axis,) for axis in range(keep)]
    axis = keep
    for position, dim in enumerate(new[keep:], start=keep):
        last = position == len(new) - 1
        taken: list[int] = []
        size = 1
        while axis < len(old) and (last or not taken or size != dim):
            this = old[axis]
            if not isinstance(this, int):
                return None
            taken.append(axis)
            size *= this
            axis += 1
        if size != dim or not taken:
            return None
        groups.append(tuple(taken))
    return groups if axis == len(old) else None


def _physical_runs(
    perm: Sequence[int], groups: Sequence[tuple[int, ...]]
) -> list[tuple[int, tuple[int, ...]]] | None:
    """The groups in physical order, each with the order of its axes; or None."""
    owner = {axis: number for number, axes in enumerate(groups) for axis in axes}
    runs: list[tuple[int, tuple[int, ...]]] = []
    position = 0
    while position < len(perm):
        number = owner[perm[position]]
        axes = groups[number]
        run = tuple(perm[position : position + len(axes)])
        if sorted(run) != list(axes):
            return None
        runs.append((number, tuple(axes.index(axis) for axis in run)))
        position += len(axes)
    return runs


@register_op("pad")
class Pad(Op, KeepsElements):
    """Add `value` before and after each axis.

    Shapes:
        x: (d0, d1, …)  ->  (d0 + before0 + after0, …)
    """

    pads: tuple[tuple[int, int], ...]
    value: float = 0.0

    def infer(self, x: TensorType) -> TensorType:
        if len(self.pads) != x.rank:
            raise ShapeError(f"{len(self.pads)} pads do not fit rank {x.rank}")
        if any(before < 0 or after < 0 for before, after in self.pads):
            raise ShapeError(f"expected pads >= 0, received {self.pads}")
        return x.with_shape(
            dim
            if before == after == 0
            else (dim + before + after if isinstance(dim, int) else None)
            for dim, (before, after) in zip(x.shape, self.pads, strict=True)
        )

    def lower(self, x: Array) -> Array:
        return jnp.pad(x, self.pads, constant_values=self.value)

    def is_identity(self, types: Sequence[TensorType | None]) -> bool:
        return all(pair == (0, 0) for pair in self.pads)

    def after(self, earlier: Op, types: Sequence[TensorType | None]) -> Op | None:
        if isinstance(earlier, Pad) and earlier.value == self.value:
            pairs = zip(earlier.pads, self.pads, strict=True)
            return Pad(tuple((a + c, b + d) for (a, b), (c, d) in pairs), self.value)
        return None

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        if layout.inner:
            return None
        pads = tuple(self.pads[axis] for axis in layout.perm)
        return Permuted(Pad(pads, self.value), (layout,), (layout,))


@register_op("crop")
class Crop(Op):
    """Cut elements off the beginning and the end of each axis; some must be left.

    Shapes:
        x: (d0, d1, …)  ->  (d0 - before0 - after0, …)
    """

    cuts: tuple[tuple[int, int], ...]

    def infer(self, x: TensorType) -> TensorType:
        if len(self.cuts) != x.rank:
            raise ShapeError(f"{len(self.cuts)} cuts do not fit rank {x.rank}")
        if any(before < 0 or after < 0 for before, after in self.cuts):
            raise ShapeError(f"expected cuts >= 0, received {self.cuts}")
        shape: list[Dim] = []
        for axis, (dim, (before, after)) in enumerate(
            zip(x.shape, self.cuts, strict=True)
        ):
            left = dim if before == after == 0 else None
            if isinstance(dim, int):
                left = dim - before - after
                if left < 1:
                    cut = f"cannot cut {before} + {after} off a length of {dim}"
                    raise ShapeError(f"{cut} (axis {axis})")
            shape.append(left)
        return x.with_shape(shape)

    def lower(self, x: Array) -> Array:
        self.infer(TensorType(x.shape, x.dtype.name))  # dims unknown until now
        pairs = zip(x.shape, self.cuts, strict=True)
        return x[tuple(slice(before, dim - after) for dim, (before, after) in pairs)]

    def is_identity(self, types: Sequence[TensorType | None]) -> bool:
        return all(pair == (0, 0) for pair in self.cuts)

    def after(self, earlier: Op, types: Sequence[TensorType | None]) -> Op | None:
        if isinstance(earlier, Crop):
            pairs = zip(earlier.cuts, self.cuts, strict=True)
            return Crop(tuple((a + c, b + d) for (a, b), (c, d) in pairs))
        return None

    def flops(self, operands: object, results: object) -> int:
        return 0

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        if layout.inner:
            return None
        cuts = tuple(self.cuts[axis] for axis in layout.perm)
        return Permuted(Crop(cuts), (layout,), (layout,))


@register_op("concatenate", roles=("x*",))
class Concatenate(Op, KeepsElements):
    """Join along `axis`; the other dims agree.

    Shapes:
        x0: (…, a0, …)   x1: (…, a1, …)  ->  (…, a0 + a1, …)
    """

    axis: int

    def infer(self, *xs: TensorType | None) -> TensorType:
        types = [x for x in xs if x is not None]
        first = types[0]
        shape: list[Dim] = list(first.shape)
        if not 0 <= self.axis < first.rank:
            raise ShapeError(f"axis {self.axis} does not fit rank {first.rank}")
        for at, x in enumerate(types[1:], start=1):
            if x.rank != first.rank or x.dtype != first.dtype:
                raise ShapeError(f"x{at} is {x}, x0 is {first}")
            for axis, dim in enumerate(x.shape):
                if axis == self.axis:
                    total = shape[axis]
                    shape[axis] = _sum(total, dim)
                    continue
                try:
                    shape[axis] = unify_dim(shape[axis], dim)
                except ShapeError as error:
                    message = f"off axis {self.axis} all dims must agree: at axis "
                    raise ShapeError(f"{message}{axis} {error.message}") from None
        return first.with_shape(shape)

    def lower(self, *xs: Array) -> Array:
        return jnp.concatenate(xs, axis=self.axis)

    def is_identity(self, types: Sequence[TensorType | None]) -> bool:
        return len(types) == 1

    def flops(self, operands: object, results: object) -> int:
        return 0

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        if layout.inner:
            return None
        op = Concatenate(layout.physical_axis(self.axis))
        return Permuted(op, (layout,) * len(types), (layout,))


def _sum(a: Dim, b: Dim) -> Dim:
    """The length of two pieces together."""
    return a + b if isinstance(a, int) and isinstance(b, int) else None


@register_op("upsample")
class Upsample(Op, KeepsElements):
    """Repeat every element along each axis (nearest-neighbour interpolation).

    Shapes:
        x: (d0, d1, …)  ->  (d0 * factors[0], d1 * factors[1], …)
    """

    factors: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        if len(self.factors) != x.rank or any(factor < 1 for factor in self.factors):
            raise ShapeError(f"factors {self.factors} do not fit rank {x.rank}")
        return x.with_shape(
            dim if factor == 1 else (dim * factor if isinstance(dim, int) else None)
            for dim, factor in zip(x.shape, self.factors, strict=True)
        )

    def is_identity(self, types: Sequence[TensorType | None]) -> bool:
        return all(factor == 1 for factor in self.factors)

    def lower(self, x: Array) -> Array:
        # One broadcast and one reshape: a copy, and a plain sum as its gradient.
        wide: list[int] = []
        full: list[int] = []
        shape: list[int] = []
        for dim, factor in zip(x.shape, self.factors, strict=True):
            wide += [dim] if factor == 1 else [dim, 1]
            full += [dim] if factor == 1 else [dim, factor]
            shape.append(dim * factor)
        split = spread(jnp.reshape(x, wide), full)
        return jnp.reshape(jnp.broadcast_to(split, full), shape)

    def flops(self, operands: object, results: object) -> int:
        return 0

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        if layout.inner:
            return None
        factors = tuple(self.factors[axis] for axis in layout.perm)
        return Permuted(Upsample(factors), (layout,), (layout,))
