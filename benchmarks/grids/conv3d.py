"""Convolutions of volumes: video and medical nets."""

from __future__ import annotations

from benchmarks.grids.spot import Spot, floats
from graphjit.ops.conv.conv_op import ConvOp

__all__ = ["SPOTS"]


def _spot(
    net: str,
    batch: int,
    size: tuple[int, int, int],
    channels: int,
    filters: int,
    taps: tuple[int, int, int] = (3, 3, 3),
    strides: tuple[int, int, int] = (1, 1, 1),
) -> Spot:
    op = ConvOp(strides, "same")
    x, kernel = (batch, *size, channels), (*taps, channels, filters)
    window = f"{taps[0]}x{taps[1]}x{taps[2]}{' strided' if max(strides) > 1 else ''}"
    name = f"b{batch} {net} {'x'.join(map(str, size))}x{channels}->{filters} {window}"
    return Spot(name, op, (floats(*x), floats(*kernel, size=0.1)))


SPOTS = [
    _spot("c3d", 1, (16, 56, 56), 3, 32),
    _spot("c3d", 1, (8, 28, 28), 32, 64),
    _spot("c3d", 1, (4, 14, 14), 128, 128),
    _spot("c3d", 1, (2, 7, 7), 256, 256),
    _spot("r2+1d", 1, (8, 28, 28), 64, 64, (1, 3, 3)),
    _spot("r2+1d", 1, (8, 28, 28), 64, 64, (3, 1, 1)),
    _spot("i3d", 1, (16, 56, 56), 3, 32, (7, 7, 7), (2, 2, 2)),
    _spot("v-net", 1, (16, 32, 32), 16, 16),
    _spot("v-net", 1, (16, 32, 32), 16, 32, (2, 2, 2), (2, 2, 2)),
    _spot("volume", 1, (32, 32, 32), 1, 8),
    _spot("small", 1, (8, 8, 8), 4, 8),
    _spot("v-net", 8, (8, 16, 16), 16, 16),
    _spot("c3d", 8, (4, 14, 14), 64, 64),
    _spot("strided", 8, (8, 14, 14), 16, 32, (3, 3, 3), (2, 2, 2)),
    _spot("small", 32, (8, 8, 8), 1, 8),
    _spot("small", 32, (4, 4, 4), 16, 16),
]
