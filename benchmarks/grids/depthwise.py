"""Depthwise convolutions, as mobile nets have them, and small ones."""

from __future__ import annotations

from benchmarks.grids.spot import Spot, floats
from graphjit.ops.conv.conv_op import ConvOp

__all__ = ["SPOTS"]


def _spot(
    batch: int, size: int, channels: int, taps: int, stride: int, multiplier: int = 1
) -> Spot:
    op = ConvOp((stride, stride), "same", groups=channels)
    x = (batch, size, size, channels)
    kernel = (taps, taps, 1, channels * multiplier)
    name = f"{taps}x{taps} s{stride} b{batch} {size}x{size}x{channels}"
    name += f" m{multiplier}" if multiplier > 1 else ""
    return Spot(name, op, (floats(*x), floats(*kernel)))


def _other_rank(rank: int, batch: int, size: int, channels: int, taps: int) -> Spot:
    op = ConvOp((1,) * rank, "same", groups=channels)
    x, kernel = (batch, *(size,) * rank, channels), (*(taps,) * rank, 1, channels)
    name = f"{rank}-D {taps} taps b{batch} {size} x {channels}"
    return Spot(name, op, (floats(*x), floats(*kernel)))


SPOTS = [
    *(_spot(b, 28, 256, 3, s) for b in (1, 8) for s in (1, 2)),
    *(_spot(b, 112, 32, 3, 1) for b in (1, 8)),
    *(_spot(b, 112, 96, 3, 2) for b in (1, 8)),
    *(_spot(b, 7, 512, 3, 1) for b in (1, 8)),
    _spot(32, 14, 384, 3, 1),
    *(_spot(8, 28, 128, k, 1) for k in (5, 7, 11, 13)),
    _spot(1, 28, 120, 5, 1),
    _spot(8, 56, 72, 5, 2),
    _spot(8, 28, 64, 3, 1, 2),
    _spot(1, 6, 8, 3, 1),
    _other_rank(1, 8, 256, 128, 9),
    _other_rank(1, 1, 64, 16, 3),
    _other_rank(3, 2, 16, 32, 3),
]
