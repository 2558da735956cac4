"""Batch sizes: few programs for a stream of batches of every size.

A program is compiled for one batch size. Where the rows of a graph's results depend on
no other rows, a batch of another size is cut into calls of the sizes there are, and the
last of them is filled up with copies of a row.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import jax
import numpy as np

from graphjit.cost import cost_of
from graphjit.errors import CaptureError, expected
from graphjit.ir import Graph
from graphjit.lower import uses_rng
from graphjit.passes.mask_rows import can_mask_rows, wants_mask
from graphjit.types import BATCH, TensorType

__all__ = [
    "LARGEST_PIECE",
    "SIZES",
    "BatchSizes",
    "Call",
    "batch_sizes",
    "bucket_of",
    "calls_of",
    "filled",
    "gathered",
    "on_device",
    "tied_rows",
]

#: The sizes by default. Up to 512 they are nine, so that batches of 1 to 512 rows need
#: ten programs, the first batch's own among them. A large batch is cut rather than
#: filled up, and pieces need fewer sizes: 512 is two of 256.
SIZES: Final = (
    *(2**power for power in range(9)),
    *(4**power for power in range(5, 15)),
)
#: Batches above it are cut rather than filled up.
LARGEST_PIECE: Final = 256

# What a call costs whatever its rows, and what a row costs, are guessed from a graph's
# FLOPs and bytes. Only their ratio is used, to tell small nets, for which one padded
# call is the cheaper, from large ones, for which two calls are. Measured on two cores.
_DISPATCH_S: Final = 40e-6
_NODE_S: Final = 3e-6
_FLOPS_PER_S: Final = 50e9
_BYTES_PER_S: Final = 10e9
#: A batch is filled up by so many rows rather than another program compiled for it:
#: even in ResNet50 a compilation takes longer.
_SPARE_ROWS: Final = 64
#: Small batches use the machine less well: no call counts for fewer rows than this.
_LEAST_CALL_ROWS: Final = 2.0


def tied_rows(graph: Graph) -> str | None:
    """Why a batch of a graph cannot be filled up or cut; None: it can.

    >>> import graphjit as gj
    >>> x = gj.Input((3,))
    >>> tied_rows(gj.jit(gj.Model(x, gj.layers.Dense(2)(x))).graph)
    """
    if graph.updates:
        return f"state {graph.updates[0].param!r} changes with every call"
    if uses_rng(graph):
        return "it draws random numbers"
    types = graph.types()
    for value, type_ in types.items():
        if BATCH in type_.shape[1:]:
            return f"{value} has the batch on an axis other than 0"
    for entry in graph.inputs:
        if not _has_rows(entry.type):
            return f"input {entry.name!r} has a fixed batch, or none"
    for output in graph.outputs:
        values = [value for value in (output.value, output.mask) if value is not None]
        if not all(_has_rows(types[value]) for value in values):
            return f"output {output.name!r} has no batch axis"
    mixing = can_mask_rows(graph)
    if mixing is None:
        mixing = next((n.name for n in graph.nodes if wants_mask(n)), None)
    return None if mixing is None else f"{mixing!r} mixes rows"


def _has_rows(type_: TensorType) -> bool:
    return type_.shape[:1] == (BATCH,)


def call_rows(graph: Graph) -> float:
    """For how many rows' time a call's fixed cost would do, roughly."""
    cost = cost_of(graph)
    row_s = max(cost.flops / _FLOPS_PER_S, cost.activation_bytes / _BYTES_PER_S, 1e-9)
    call_s = _DISPATCH_S + len(graph.nodes) * _NODE_S
    call_s += cost.weight_bytes / _BYTES_PER_S
    return max(call_s / row_s, _LEAST_CALL_ROWS)


class BatchSizes:
    """Which batch sizes have programs of their own, and how other batches are cut.

    The first batch that has none of the sizes gets a program of its own nevertheless:
    most executables only ever see batches of one size. What becomes of later ones
    depends on their size alone.

    Args:
        sizes: For which batches programs are compiled.
        call_rows: What a call costs, in rows.
        adopts_first: Whether the first batch of another size gets its own program.

    Attributes:
        own: The sizes that run as they are: those seen, and those asked for.

    >>> sizes = BatchSizes((1, 2, 4, 8, 16), call_rows=2, adopts_first=False)
    >>> sizes.pieces(7), sizes.pieces(9), sizes.pieces(40)
    ((8,), (8, 1), (16, 16, 8))
    """

    def __init__(
        self, sizes: Sequence[int], call_rows: float, adopts_first: bool = True
    ) -> None:
        self.sizes = tuple(sorted(set(sizes)))
        self.own: set[int] = {0}
        self._call_rows = call_rows
        self._adopts = adopts_first
        self._cuts: dict[int, tuple[int, ...]] = {}

    def pieces(self, rows: int) -> tuple[int, ...]:
        """The sizes of the calls that do `rows` rows: the last may be too large."""
        if rows in self.own:
            return (rows,)
        if rows in self.sizes:
            self.own.add(rows)
        elif self._adopts:
            self._adopts = False
            self.own.add(rows)
        else:
            if rows not in self._cuts:
                self._cuts[rows] = self._cut(rows)
            return self._cuts[rows]
        return (rows,)

    def up(self, rows: int) -> int:
        """The size at or above `rows`; `rows` itself where there is none."""
        at = bisect_left(self.sizes, rows)
        return self.sizes[at] if at < len(self.sizes) else rows

    def _cut(self, rows: int) -> tuple[int, ...]:
        """One call filled up; or calls of the next smaller size, and one for the rest.

        So a new number of rows needs at most two more programs. With c for what a
        call costs, the cheaper of c + up(n) and k (c + d) + c + up(n - k d), where d
        is the next smaller size and k = floor(n / d).
        """
        above = self.up(rows)
        at = bisect_right(self.sizes, rows)
        if at == 0:
            return (above,)
        below = self.sizes[at - 1]
        count, rest = divmod(rows, below)
        pieces = (below,) * count + ((self.up(rest),) if rest else ())
        whole = self._call_rows + above
        # Never more than twice the rows: so 257 to 512 rows do not ask for 1024.
        if rows < above < 2 * rows and whole <= len(pieces) * self._call_rows + sum(
            pieces
        ):
            return (above,)
        return pieces


def bucket_of(rows: int) -> int:
    """The size by default at or above a number of rows."""
    return next((size for size in SIZES if size >= rows), rows)


def batch_sizes(graph: Graph, asked: bool | Sequence[int]) -> BatchSizes | None:
    """The batch sizes of an executable; None where every size is compiled.

    Args:
        graph: Its main graph.
        asked: True for `SIZES`, False for none, or the sizes.

    Raises:
        CaptureError: A size is no count.
    """
    if isinstance(asked, bool):
        if not asked or tied_rows(graph) is not None:
            return None
        return BatchSizes(SIZES, call_rows(graph))
    if not asked or not all(_is_count(size) for size in asked):
        expected(CaptureError, "buckets", "True, False or batch sizes >= 1", asked)
    if tied_rows(graph) is not None:
        return None
    return BatchSizes(asked, call_rows(graph), adopts_first=False)


def _is_count(size: Any) -> bool:
    whole = isinstance(size, (int, np.integer)) and not isinstance(size, bool)
    return bool(whole and size >= 1)


class Call(NamedTuple):
    """A call of `size` rows: `rows` from `start` on, and what it is filled up with."""

    start: int
    rows: int
    size: int


def calls_of(sizes: BatchSizes | None, rows: int, batch_size: int) -> list[Call]:
    """The calls that do `rows` rows in batches.

    A last batch with fewer rows is filled up to the size of the others where that is
    not much more work: it needs no further program.
    """
    batches = [
        (start, min(batch_size, rows - start))
        for start in range(0, max(rows, 1), batch_size)
    ]
    if sizes is None:
        return [Call(start, count, count) for start, count in batches]
    first = list(sizes.pieces(batches[0][1]))
    calls: list[Call] = []
    for start, count in batches:
        pieces = first
        if len(first) > 1 or first[0] > count + _SPARE_ROWS:
            pieces = sizes.pieces(count)
        for size in pieces:
            done = min(size, count)
            calls.append(Call(start, done, size))
            start, count = start + done, count - done
    return calls


# --- on the host ------------------------------------------------------------------


def filled(array: Any, start: int, size: int) -> np.ndarray[Any, Any]:
    """A copy of `size` rows from `start` on; what is missing is the first of them.

    Real data, on which nothing can fail that does not fail anyway. On the host: on the
    device every number of rows would be a program.
    """
    host = np.asarray(array)
    rows = host[start : start + size]
    batch = np.empty((size, *host.shape[1:]), host.dtype)
    batch[: len(rows)] = rows
    batch[len(rows) :] = rows[0]
    return batch


def gathered(
    results: Sequence[Sequence[Any]], counts: Sequence[int]
) -> list[np.ndarray[Any, Any]]:
    """The results of several calls joined, of each call the rows that count.

    Shapes:
        results: per call, (piece, …) each  ->  (sum of counts, …) each
    """
    columns: list[list[np.ndarray[Any, Any]]] = [
        [np.asarray(part)[:count] for part, count in zip(column, counts, strict=True)]
        for column in zip(*results, strict=True)
    ]
    return [parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in columns]


def on_device(host: np.ndarray[Any, Any], like: jax.Array) -> jax.Array:
    """A host array of ours as a JAX array where `like` is.

    `device_put` would do the same in twice the time.
    """
    return jax.make_array_from_callback(host.shape, like.sharding, lambda _: host)
