"""Convolutions of sequences: text, audio, sensors."""

from __future__ import annotations

from benchmarks.grids.spot import Spot, floats
from graphjit.ops.conv.conv_op import ConvOp

__all__ = ["SPOTS"]


def _spot(
    net: str,
    batch: int,
    length: int,
    channels: int,
    filters: int,
    taps: int,
    stride: int = 1,
    rate: int = 1,
) -> Spot:
    causal = ((rate * (taps - 1), 0),)
    op = ConvOp((stride,), causal if net in _CAUSAL else "same", (rate,))
    x, kernel = (batch, length, channels), (taps, channels, filters)
    window = f"{taps} s{stride} d{rate}"
    name = f"b{batch} {net} {length}x{channels}->{filters} {window}"
    return Spot(name, op, (floats(*x), floats(*kernel, size=0.1)))


_CAUSAL = ("wavenet", "tcn")


def _batch(batch: int) -> list[Spot]:
    return [
        _spot("wavenet", batch, 1024, 32, 32, 2, rate=2),
        _spot("wavenet", batch, 1024, 32, 64, 2, rate=128),
        _spot("wavenet", batch, 1024, 1, 32, 2),
        _spot("wavenet", batch, 1024, 16, 16, 2, rate=16),
        _spot("tcn", batch, 400, 64, 64, 3, rate=4),
        _spot("tcn", batch, 784, 25, 25, 7, rate=8),
        _spot("speech", batch, 400, 80, 256, 11, stride=2),
        _spot("ecg", batch, 1000, 1, 32, 7, stride=2),
        _spot("ecg", batch, 500, 16, 32, 7, stride=2),
        _spot("sensor", batch, 128, 9, 64, 3),
        _spot("sensor", batch, 128, 9, 16, 5),
        _spot("sensor", batch, 64, 64, 64, 3),
        _spot("raw", batch, 4000, 1, 16, 9),
        _spot("small", batch, 50, 8, 16, 3),
        _spot("small", batch, 50, 4, 4, 3),
    ]


SPOTS = [
    *_batch(1),
    *_batch(8),
    *_batch(32)[8:],
    *(_spot("textcnn", 32, 56, 300, 100, k) for k in (3, 5)),
    *(_spot("textcnn", 32, 100, 128, 128, k) for k in (3, 5)),
    _spot("textcnn", 1, 100, 128, 128, 4),
]
