"""Depthwise convolutions, as mobile nets have them."""

from __future__ import annotations

from benchmarks.grids.spot import Spot, floats
from graphjit.ops.conv.conv_op import ConvOp

__all__ = ["SPOTS"]


def _spot(batch: int, size: int, channels: int, taps: int, stride: int) -> Spot:
    op = ConvOp((stride, stride), "same", groups=channels)
    x, kernel = (batch, size, size, channels), (taps, taps, 1, channels)
    name = f"{taps}x{taps} s{stride} b{batch} {size}x{size}x{channels}"
    return Spot(name, op, (floats(*x), floats(*kernel)))


SPOTS = [
    *(_spot(b, 28, 256, 3, s) for b in (1, 8) for s in (1, 2)),
    *(_spot(b, 112, 32, 3, 1) for b in (1, 8)),
    *(_spot(b, 7, 512, 3, 1) for b in (1, 8)),
    *(_spot(8, 28, 128, k, 1) for k in (5, 7, 11)),
]
