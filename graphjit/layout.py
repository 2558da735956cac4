"""How a value lies in memory relative to its logical axes.

A `Layout` is a permutation of whole axes and, for an axis that was made by merging
others (a flattened image), the order in which its factors lie. The physical value is

    physical = transpose(reorder(logical), perm)

where `reorder` splits each merged axis into its factors, permutes them and merges
again. A permutation always means "new axis i is old axis perm[i]".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["AxisOrder", "Layout", "compose", "identity", "invert", "permute"]


def identity(rank: int) -> tuple[int, ...]:
    return tuple(range(rank))


def permute(items: Sequence[object], perm: Sequence[int]) -> tuple[object, ...]:
    return tuple(items[axis] for axis in perm)


def invert(perm: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes `perm`.

    >>> invert((0, 2, 3, 1))
    (0, 3, 1, 2)
    """
    inverse = [0] * len(perm)
    for new, old in enumerate(perm):
        inverse[old] = new
    return tuple(inverse)


def compose(first: Sequence[int], second: Sequence[int]) -> tuple[int, ...]:
    """The permutation that applies `first`, then `second`.

    >>> compose((0, 2, 3, 1), (0, 3, 1, 2))
    (0, 1, 2, 3)
    """
    return tuple(first[axis] for axis in second)


@dataclass(frozen=True, slots=True)
class AxisOrder:
    """A merged axis: logically `factors` in order, physically `order` of them.

    ``AxisOrder((c, h, w), (1, 2, 0))`` is a flattened channels-first image that lies
    in memory as (h, w, c).
    """

    factors: tuple[int, ...]
    order: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """A permutation of axes, and per logical axis the order of its factors.

    Attributes:
        perm: Physical axis i is logical axis perm[i].
        inner: Per logical axis its `AxisOrder`, None where the axis lies in order.
            Empty when no axis is reordered.
    """

    perm: tuple[int, ...]
    inner: tuple[AxisOrder | None, ...] = ()

    def __post_init__(self) -> None:
        if self.inner and all(order is None for order in self.inner):
            object.__setattr__(self, "inner", ())

    @classmethod
    def plain(cls, rank: int) -> Layout:
        return cls(identity(rank))

    @property
    def is_plain(self) -> bool:
        """Physical equals logical."""
        return not self.inner and self.perm == identity(len(self.perm))

    @property
    def is_permutation(self) -> bool:
        return not self.inner

    def of_axis(self, axis: int) -> Layout:
        """The layout of a vector that runs along logical `axis`."""
        order = self.inner[axis] if self.inner else None
        return Layout((0,), (order,) if order is not None else ())

    def physical_axis(self, axis: int) -> int:
        """Where logical `axis` lies."""
        return self.perm.index(axis)
