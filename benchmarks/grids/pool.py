"""Pooling, as VGG, U-Net, ResNet and Inception have it, and small images."""

from __future__ import annotations

from benchmarks.grids.spot import Spot, floats
from graphjit.ops.pool import AveragePool, MaxPool

__all__ = ["SPOTS"]


def _spot(
    op: type[MaxPool | AveragePool],
    batch: int,
    size: int,
    channels: int,
    window: int,
    stride: int,
    padding: str,
    rank: int = 2,
) -> Spot:
    shape = (batch, *(size,) * rank, channels)
    name = "max" if op is MaxPool else "mean"
    name += f" {rank}-D {window} s{stride} {padding} b{batch} {size} x {channels}"
    each = ((window,) * rank, (stride,) * rank)
    return Spot(name, op(*each, padding), (floats(*shape),))


SPOTS = [
    *(
        _spot(op, b, size, channels, 2, 2, "valid")
        for op in (MaxPool, AveragePool)
        for b, size, channels in (
            (1, 112, 64),
            (8, 112, 64),
            (32, 28, 64),
            (8, 14, 512),
            (1, 8, 16),
        )
    ),
    *(_spot(MaxPool, b, 112, 64, 3, 2, "same") for b in (1, 8)),
    *(_spot(MaxPool, b, 35, 288, 3, 2, "valid") for b in (1, 8)),
    *(
        _spot(op, b, 35, 192, 3, 1, "same")
        for op in (MaxPool, AveragePool)
        for b in (1, 8)
    ),
    _spot(AveragePool, 8, 8, 2048, 3, 1, "same"),
    _spot(AveragePool, 1, 8, 16, 3, 1, "same"),
    _spot(AveragePool, 8, 7, 1024, 7, 1, "valid"),
    *(_spot(op, 32, 128, 64, 2, 2, "valid", 1) for op in (MaxPool, AveragePool)),
    *(_spot(op, 2, 32, 32, 2, 2, "valid", 3) for op in (MaxPool, AveragePool)),
]
