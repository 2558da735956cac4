"""Batches of host data: shuffled, gathered, and padded only where a mask says so."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from graphjit.training.state import Batch
from graphjit.training.table import Table

__all__ = ["Batches", "shuffled"]

Order = np.ndarray[Any, Any] | None


class Batches:
    """The batches of a table.

    Without padding the last batch has the rows that are left, and no batch has a mask.
    With it every batch has `size` rows and a mask; the last one is filled up with
    copies of its own first row, real data on which nothing can fail.

    Args:
        table: The data.
        size: Rows per batch, at least 1.
        padded: Whether the last batch is filled up.
    """

    def __init__(self, table: Table, size: int, padded: bool = False) -> None:
        self.table = table
        self.size = size
        self.padded = padded
        self._full_mask: Any = None
        if padded:
            self._full_mask = jax.device_put(np.ones(size, bool))

    def __len__(self) -> int:
        return -(-self.table.rows // self.size)

    @property
    def equal(self) -> int:
        """How many batches, the first ones, have the same number of rows."""
        return len(self) if self.padded else self.table.rows // self.size

    def batch(self, at: int, order: Order = None) -> Batch:
        """Batch number `at`, of the rows in `order` (None: as they are)."""
        start = at * self.size
        stop = min(start + self.size, self.table.rows)
        if self.padded and self._missing(at):
            mask = np.arange(self.size) < stop - start
            return Batch(*self.table.take(self._rows(at, 1, order)), mask)
        rows = slice(start, stop) if order is None else order[start:stop]
        return Batch(*self.table.take(rows), self._full_mask)

    def stack(self, at: int, count: int, room: int, order: Order = None) -> Batch:
        """The equal batches from `at` on, stacked.

        Args:
            at: The first.
            count: How many.
            room: The length of the stack; what is left of it holds anything.
            order: As for `batch`.

        Shapes:
            (room, size, …) each
        """
        rows = self._rows(at, count, order)
        mask = None
        if self.padded:
            mask = np.zeros((room, self.size), bool)
            mask[:count] = True
            mask[count - 1, self.size - self._missing(at + count - 1) :] = False
        return Batch(*self.table.stack(rows, room, self.size), mask)

    def _missing(self, at: int) -> int:
        return max((at + 1) * self.size - self.table.rows, 0)

    def _rows(self, at: int, count: int, order: Order) -> np.ndarray[Any, Any]:
        """The numbers of the rows of equal batches."""
        start = at * self.size
        stop = min(start + count * self.size, self.table.rows)
        rows = np.arange(start, stop) if order is None else order[start:stop]
        missing = count * self.size - len(rows)
        if not missing:
            return rows
        first = rows[(count - 1) * self.size]
        return np.concatenate([rows, np.full(missing, first)])


def shuffled(rows: int, seed: int, epoch: int) -> np.ndarray[Any, Any]:
    """The order of rows in an epoch: the same for the same seed and epoch."""
    return np.random.default_rng((seed, epoch)).permutation(rows)
