"""Where boxes go: ranks from top to bottom, few crossings, straight arrows.

The steps are Sugiyama's: every box gets a rank below all it is reached from; arrows
over several ranks run through points of their own; boxes of a rank are ordered by the
mean place of their neighbours, and moved towards them.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Arranged", "arrange"]

Point = tuple[float, float]
Size = tuple[float, float]

_SWEEPS = 6


@dataclass(frozen=True, slots=True)
class Arranged:
    """Places in a picture of `size`.

    Attributes:
        size: Width and height.
        corners: The upper left corner of every box.
        routes: For every arrow the points it goes through, two for each rank it
            crosses.
    """

    size: Size
    corners: list[Point]
    routes: list[list[Point]]


@dataclass(slots=True)
class _Grid:
    """Boxes and points by rank; both are vertices, boxes come first."""

    widths: list[float]
    rank: list[int]
    above: list[list[int]]
    below: list[list[int]]
    rows: list[list[int]] = field(default_factory=list["list[int]"])


def arrange(
    sizes: Sequence[Size], arrows: Sequence[tuple[int, int]], gap: Size = (24, 32)
) -> Arranged:
    """Place boxes of these sizes so that every arrow points downwards.

    Args:
        sizes: Width and height of every box.
        arrows: Pairs of boxes, without a circle.
        gap: Space between neighbours, and between ranks.
    """
    if not sizes:
        return Arranged((0, 0), [], [])
    ranks = _ranks(len(sizes), arrows)
    grid, chains = _grid([width for width, _ in sizes], ranks, arrows)
    _reduce_crossings(grid)
    centres = _centres(grid, gap[0])
    heights = [0.0] * (max(ranks) + 1)
    for rank, (_, height) in zip(ranks, sizes, strict=True):
        heights[rank] = max(heights[rank], height)
    tops = [sum(heights[:r]) + gap[1] * r for r in range(len(heights))]
    left = min(c - w / 2 for c, w in zip(centres, grid.widths, strict=True))
    right = max(c + w / 2 for c, w in zip(centres, grid.widths, strict=True))
    middles = [centre - left for centre in centres]
    corners = [
        (middles[v] - width / 2, tops[ranks[v]] + (heights[ranks[v]] - height) / 2)
        for v, (width, height) in enumerate(sizes)
    ]
    routes = [
        _route(source, target, chain, middles, corners, sizes, (tops, heights), grid)
        for (source, target), chain in zip(arrows, chains, strict=True)
    ]
    return Arranged((right - left, tops[-1] + heights[-1]), corners, routes)


def _ranks(count: int, arrows: Sequence[tuple[int, int]]) -> list[int]:
    """Ranks as high as arrows allow, but those that nothing reaches as low."""
    below: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for source, target in arrows:
        below[source].append(target)
        waiting[target] += 1
    roots = [v for v in range(count) if not waiting[v]]
    ranks = [0] * count
    ready = list(reversed(roots))
    while ready:
        v = ready.pop()
        for target in below[v]:
            ranks[target] = max(ranks[target], ranks[v] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    if any(waiting):
        raise ValueError("the arrows form a circle")
    for v in roots:
        if below[v]:
            ranks[v] = min(ranks[target] for target in below[v]) - 1
    return ranks


def _grid(
    widths: list[float], ranks: list[int], arrows: Sequence[tuple[int, int]]
) -> tuple[_Grid, list[list[int]]]:
    """The grid, and for every arrow the points between its ends.

    The arrows of one box share their points, so that a box read a thousand times has
    one line down all ranks.
    """
    count = len(widths)
    grid = _Grid(
        list(widths),
        list(ranks),
        [[] for _ in range(count)],
        [[] for _ in range(count)],
    )
    shared: dict[tuple[int, int], int] = {}
    chains: list[list[int]] = []
    for source, target in arrows:
        chain: list[int] = []
        last = source
        for rank in range(ranks[source] + 1, ranks[target]):
            point = shared.get((source, rank))
            if point is None:
                point = shared[source, rank] = len(grid.widths)
                grid.widths.append(0.0)
                grid.rank.append(rank)
                grid.above.append([last])
                grid.below.append([])
                grid.below[last].append(point)
            chain.append(point)
            last = point
        grid.above[target].append(last)
        grid.below[last].append(target)
        chains.append(chain)
    grid.rows = [[] for _ in range(max(grid.rank) + 1)]
    for v, rank in enumerate(grid.rank):
        grid.rows[rank].append(v)
    return grid, chains


# --- order ----------------------------------------------------------------------------


def _reduce_crossings(grid: _Grid) -> None:
    """Sweep down and up; the order with the fewest crossings stays."""
    best, least = grid.rows, _crossings(grid)
    for sweep in range(2 * _SWEEPS):
        if not least:
            break
        down = sweep % 2 == 0
        ranks = range(1, len(grid.rows)) if down else range(len(grid.rows) - 2, -1, -1)
        grid.rows = list(grid.rows)
        for rank in ranks:
            near = grid.rows[rank - 1 if down else rank + 1]
            spots = {v: at for at, v in enumerate(near)}
            beside = grid.above if down else grid.below
            grid.rows[rank] = _by_neighbours(grid.rows[rank], beside, spots)
        found = _crossings(grid)
        if found < least:
            best, least = grid.rows, found
    grid.rows = best


def _by_neighbours(
    row: Sequence[int], beside: Sequence[Sequence[int]], spots: dict[int, int]
) -> list[int]:
    def mean(v: int) -> float:
        near = beside[v]
        return sum(spots[n] for n in near) / len(near) if near else places[v]

    places = {v: at for at, v in enumerate(row)}
    return sorted(row, key=lambda v: (mean(v), places[v]))


def _crossings(grid: _Grid) -> int:
    """How many pairs of lines cross."""
    total = 0
    for upper, lower in itertools.pairwise(grid.rows):
        spots = {v: at for at, v in enumerate(lower)}
        seen: list[int] = []
        for v in upper:
            ends = sorted(spots[target] for target in grid.below[v])
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


# --- coordinates ----------------------------------------------------------------------


def _centres(grid: _Grid, gap: float) -> list[float]:
    """The middle of every vertex: rows keep their order and their gaps."""
    centres = [0.0] * len(grid.widths)
    for row in grid.rows:
        at = 0.0
        for v in row:
            centres[v] = at + grid.widths[v] / 2
            at += grid.widths[v] + gap
    both = [up + down for up, down in zip(grid.above, grid.below, strict=True)]
    sweeps = [(grid.above, False), (grid.below, True)] * 3 + [(both, False)]
    for beside, upwards in sweeps:
        for row in reversed(grid.rows) if upwards else grid.rows:
            wanted = [
                sum(centres[n] for n in beside[v]) / len(beside[v])
                if beside[v]
                else centres[v]
                for v in row
            ]
            placed = _spaced(wanted, [grid.widths[v] for v in row], gap)
            for v, centre in zip(row, placed, strict=True):
                centres[v] = centre
    return centres


def _spaced(
    wanted: Sequence[float], widths: Sequence[float], gap: float
) -> list[float]:
    """The places nearest to those wanted (least squares) that keep order and gaps."""
    offsets = [0.0]
    for a, b in itertools.pairwise(widths):
        offsets.append(offsets[-1] + (a + b) / 2 + gap)
    # Without the gaps the places only have to rise: pool those that do not.
    pools: list[tuple[float, int]] = []
    for place, offset in zip(wanted, offsets, strict=True):
        total, count = place - offset, 1
        while pools and pools[-1][0] / pools[-1][1] >= total / count:
            before = pools.pop()
            total, count = total + before[0], count + before[1]
        pools.append((total, count))
    rising = [total / count for total, count in pools for _ in range(count)]
    return [place + offset for place, offset in zip(rising, offsets, strict=True)]


def _route(
    source: int,
    target: int,
    chain: Sequence[int],
    middles: Sequence[float],
    corners: Sequence[Point],
    sizes: Sequence[Size],
    bands: tuple[Sequence[float], Sequence[float]],
    grid: _Grid,
) -> list[Point]:
    """From below the source to above the target, through the ranks between."""
    tops, heights = bands
    points = [(middles[source], corners[source][1] + sizes[source][1])]
    for point in chain:
        rank = grid.rank[point]
        points.append((middles[point], tops[rank]))
        points.append((middles[point], tops[rank] + heights[rank]))
    points.append((middles[target], corners[target][1]))
    return points
