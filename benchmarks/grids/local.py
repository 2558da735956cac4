"""Locally connected layers: images and sequences, few and many weights a place."""

from __future__ import annotations

from benchmarks.grids.spot import Spot, floats
from graphjit.ops.conv.local_op import LocallyConnectedOp

__all__ = ["SPOTS"]


def _spot(
    batch: int, size: int, channels: int, filters: int, stride: int = 1, rank: int = 2
) -> Spot:
    places = ((size - 3) // stride + 1) ** rank
    op = LocallyConnectedOp((3,) * rank, (stride,) * rank)
    kernel = (places, 3**rank * channels, filters)
    name = f"b{batch} {rank}-D {size} x {channels}->{filters} s{stride}"
    data = (floats(batch, *(size,) * rank, channels), floats(*kernel, size=0.1))
    return Spot(name, op, data)


SPOTS = [
    *(_spot(batch, 28, 1, 32) for batch in (1, 8, 32)),
    *(_spot(batch, 16, 8, 16) for batch in (1, 8, 32)),
    *(_spot(batch, 32, 3, 32, 2) for batch in (1, 32)),
    *(_spot(batch, 14, 64, 64) for batch in (1, 8, 32)),
    *(_spot(batch, 100, 16, 32, rank=1) for batch in (1, 32)),
    _spot(128, 16, 8, 16),
    _spot(1, 6, 2, 2),
]
