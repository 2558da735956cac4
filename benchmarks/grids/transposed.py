"""Transposed convolutions, as decoders and generators have them."""

from __future__ import annotations

from benchmarks.grids.spot import Spot, floats
from graphjit.ops.conv.transpose_op import ConvTransposeOp

__all__ = ["SPOTS"]


def _spot(
    net: str,
    batch: int,
    size: tuple[int, ...],
    channels: int,
    filters: int,
    taps: int,
    stride: int,
    grows: bool = False,
) -> Spot:
    """`grows`: nothing is cut, as "valid" has it."""
    rank = len(size)
    cut = 0 if grows else max(taps - stride, 0)
    op = ConvTransposeOp((stride,) * rank, ((cut // 2, cut - cut // 2),) * rank)
    x, kernel = (batch, *size, channels), ((taps,) * rank) + (filters, channels)
    shape = "x".join(map(str, size))
    name = f"b{batch} {net} {shape}x{channels}->{filters} {taps} s{stride}"
    return Spot(name, op, (floats(*x), floats(*kernel, size=0.1)))


def _batch(batch: int) -> list[Spot]:
    return [
        _spot("u-net", batch, (28, 28), 128, 64, 2, 2),
        _spot("u-net", batch, (64, 64), 32, 16, 2, 2),
        _spot("pix2pix", batch, (16, 16), 64, 64, 4, 2),
        _spot("dcgan", batch, (1, 1), 100, 256, 4, 1, grows=True),
        _spot("dcgan", batch, (4, 4), 256, 128, 4, 2),
        _spot("dcgan", batch, (7, 7), 128, 64, 5, 2),
        _spot("pix2pix", batch, (64, 64), 64, 32, 4, 2),
        _spot("dcgan", batch, (32, 32), 64, 3, 4, 2),
        _spot("vae", batch, (7, 7), 64, 64, 3, 2),
        _spot("vae", batch, (14, 14), 64, 32, 3, 2),
        _spot("small", batch, (8, 8), 8, 8, 3, 2),
    ]


SPOTS = [
    *_batch(1),
    *_batch(8),
    _spot("fcn", 1, (14, 14), 21, 21, 16, 8),
    _spot("wavegan", 1, (256,), 64, 32, 25, 4),
    _spot("wavegan", 8, (256,), 64, 32, 25, 4),
    _spot("v-net", 1, (8, 16, 16), 64, 32, 2, 2),
    _spot("3d-gan", 1, (8, 8, 8), 64, 32, 4, 2),
    _spot("3d small", 1, (4, 4, 4), 8, 8, 3, 2),
]
