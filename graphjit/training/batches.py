"""Batches of host data: shuffled, gathered, and padded only where a mask says so."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from graphjit.training.state import Batch
from graphjit.training.table import Table

__all__ = ["Batches", "shuffled"]


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

    def batch(self, at: int, order: np.ndarray[Any, Any] | None = None) -> Batch:
        """Batch number `at`, of the rows in `order` (None: as they are)."""
        start = at * self.size
        stop = min(start + self.size, self.table.rows)
        missing = self.size - (stop - start)
        if self.padded and missing:
            rows = np.arange(start, stop) if order is None else order[start:stop]
            rows = np.concatenate([rows, np.full(missing, rows[0])])
            mask = np.arange(self.size) < self.size - missing
            return Batch(*self.table.take(rows), mask)
        rows = slice(start, stop) if order is None else order[start:stop]
        return Batch(*self.table.take(rows), self._full_mask)


def shuffled(rows: int, seed: int, epoch: int) -> np.ndarray[Any, Any]:
    """The order of rows in an epoch: the same for the same seed and epoch."""
    return np.random.default_rng((seed, epoch)).permutation(rows)
