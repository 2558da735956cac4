"""A `Layout` applied to a NumPy array, as graphjit.layout's docstring states it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphjit.layout import AxisOrder, Layout, identity

Array = np.ndarray[Any, Any]


def laid(array: Array, layout: Layout) -> Array:
    """The array as it lies: physical = transpose(reorder(logical), perm)."""
    for axis, order in enumerate(layout.inner):
        if order is not None:
            array = _reordered(array, axis, order)
    return np.transpose(array, layout.perm)


def _reordered(array: Array, axis: int, order: AxisOrder) -> Array:
    """Split a merged axis into its factors, permute them, merge again."""
    before, after = array.shape[:axis], array.shape[axis + 1 :]
    split = array.reshape(*before, *order.factors, *after)
    inner = tuple(axis + at for at in order.order)
    last = axis + len(inner)
    perm = (*range(axis), *inner, *range(last, split.ndim))
    return split.transpose(perm).reshape(array.shape)


def moving_the_rest(rank: int) -> Iterator[Layout]:
    """Permutations of the axes behind the batch, the identity first."""
    for rest in itertools.permutations(range(1, rank)):
        yield Layout((0, *rest))


def merged(shape: Sequence[int]) -> Iterator[Layout]:
    """Layouts in which one axis, of a composite size, lies in another order."""
    rank = len(shape)
    for axis, size in enumerate(shape):
        factor = next((f for f in (2, 3, 5) if size % f == 0 and size > f), None)
        if factor is None or axis == 0:
            continue
        inner: list[AxisOrder | None] = [None] * rank
        inner[axis] = AxisOrder((factor, size // factor), (1, 0))
        yield Layout(identity(rank), tuple(inner))
        if rank > 2:
            yield Layout((0, *range(rank - 1, 0, -1)), tuple(inner))


def moving_the_batch(rank: int) -> Iterator[Layout]:
    if rank > 1:
        yield Layout((*range(1, rank), 0))
