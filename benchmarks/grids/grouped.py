"""Grouped convolutions of more than one channel a group.

The plain gradients take seconds, so most spots have few images.
"""

from __future__ import annotations

from benchmarks.grids.spot import Spot, floats
from graphjit.ops.conv.conv_op import ConvOp

__all__ = ["SPOTS"]


def _spot(
    net: str,
    batch: int,
    size: int,
    channels: int,
    filters: int,
    groups: int,
    taps: int = 3,
    stride: int = 1,
) -> Spot:
    op = ConvOp((stride, stride), "same", groups=groups)
    x, kernel = (batch, size, size, channels), (taps, taps, channels // groups, filters)
    window = f"{taps}x{taps} s{stride} g{groups}"
    name = f"b{batch} {net} {size}x{size}x{channels} {window}"
    return Spot(name, op, (floats(*x), floats(*kernel, size=0.1)))


def _sequence(batch: int, length: int, channels: int, groups: int, taps: int) -> Spot:
    op = ConvOp((1,), "same", groups=groups)
    x, kernel = (batch, length, channels), (taps, channels // groups, channels)
    name = f"b{batch} 1-D {length}x{channels} {taps} g{groups}"
    return Spot(name, op, (floats(*x), floats(*kernel, size=0.1)))


def _resnext(batch: int) -> list[Spot]:
    """ResNeXt-50 32x4d, arXiv:1611.05431."""
    return [
        _spot("resnext", batch, 56, 128, 128, 32),
        _spot("resnext", batch, 28, 256, 256, 32),
        _spot("resnext", batch, 28, 512, 512, 32, stride=2),
        _spot("resnext", batch, 14, 512, 512, 32),
        _spot("resnext", batch, 7, 1024, 1024, 32),
    ]


SPOTS = [
    *_resnext(1),
    _spot("alexnet", 1, 27, 96, 256, 2, taps=5),
    _spot("regnet", 1, 14, 240, 240, 10),
    _spot("shufflenet", 1, 28, 240, 240, 3, taps=1),
    _spot("small", 1, 32, 8, 8, 4),
    _sequence(1, 200, 256, 16, 15),
    _spot("resnext", 8, 7, 1024, 1024, 32),
    _spot("regnet", 8, 14, 240, 240, 10),
    _spot("shufflenet", 8, 28, 240, 240, 3, taps=1),
    _spot("small", 8, 16, 16, 16, 4),
    _spot("cifar", 32, 8, 64, 64, 8),
]
