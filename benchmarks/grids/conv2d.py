"""Dense two-dimensional convolutions of residual, mobile and small nets, and stems."""

from __future__ import annotations

from benchmarks.grids.spot import Spot, floats
from graphjit.ops.conv.conv_op import ConvOp

__all__ = ["SPOTS"]


def _spot(
    family: str,
    batch: int,
    size: int,
    channels: tuple[int, int],
    taps: int = 1,
    stride: int = 1,
) -> Spot:
    op = ConvOp((stride, stride), "same")
    x, kernel = (batch, size, size, channels[0]), (taps, taps, *channels)
    shape = f"{size}x{size} {channels[0]}->{channels[1]}"
    name = f"{family} {taps}x{taps} s{stride} b{batch} {shape}"
    return Spot(name, op, (floats(*x), floats(*kernel)))


#: (size, channels, stride) of residual and mobile nets.
_POINTWISE = (
    (56, (64, 256), 1),
    (28, (512, 128), 1),
    (14, (256, 1024), 1),
    (7, (2048, 512), 1),
    (56, (256, 512), 2),
    (112, (32, 16), 1),
    (112, (16, 96), 1),
    (28, (32, 192), 1),
    (14, (384, 96), 1),
    (7, (320, 1280), 1),
)

#: (batch, size, channels, taps, stride): large maps, where the gradient is a scan.
_WIDE = (
    (64, 32, (32, 32), 3, 1),
    (64, 16, (64, 64), 3, 1),
    (64, 16, (32, 64), 3, 1),
    (8, 56, (64, 64), 3, 1),
    (8, 28, (128, 128), 3, 1),
    (1, 28, (128, 128), 3, 1),
    (8, 32, (64, 64), 5, 1),
    (64, 32, (32, 64), 3, 2),
    (8, 56, (128, 128), 3, 2),
    (8, 64, (64, 128), 4, 2),
)

#: Small maps.
_DEEP = (
    (64, 8, (128, 128), 3, 1),
    (8, 14, (256, 256), 3, 1),
    (1, 14, (256, 256), 3, 1),
    (8, 7, (512, 512), 3, 1),
    (1, 7, (512, 512), 3, 1),
    (8, 28, (256, 256), 3, 2),
    (8, 14, (512, 512), 3, 2),
)

#: Images of one or three channels.
_STEMS = (
    (1, 224, (3, 32), 3, 2),
    (8, 224, (3, 32), 3, 2),
    (1, 299, (3, 32), 3, 2),
    (64, 32, (3, 32), 3, 1),
    (1, 32, (3, 32), 3, 1),
    (8, 128, (3, 32), 5, 1),
    (8, 224, (3, 24), 3, 2),
    (8, 224, (3, 64), 7, 2),
    (8, 224, (3, 64), 3, 1),
)

#: At most 16 channels on both sides.
_NARROW = (
    (64, 32, (3, 16), 3, 1),
    (1, 32, (3, 16), 3, 1),
    (8, 224, (3, 16), 3, 2),
    (64, 28, (1, 16), 3, 1),
    (64, 28, (1, 6), 5, 1),
    (1, 28, (1, 8), 3, 1),
    (64, 14, (6, 16), 5, 1),
    (8, 64, (8, 8), 3, 1),
    (1, 64, (8, 8), 3, 1),
    (8, 64, (12, 12), 3, 1),
    (8, 64, (16, 16), 3, 1),
    (8, 64, (8, 3), 3, 1),
)

SPOTS = [
    *(
        _spot("pointwise", batch, size, channels, stride=stride)
        for size, channels, stride in _POINTWISE
        for batch in (1, 8)
    ),
    _spot("pointwise", 32, 28, (512, 128)),
    _spot("pointwise", 32, 14, (384, 96)),
    *(_spot("wide", *shape) for shape in _WIDE),
    *(_spot("deep", *shape) for shape in _DEEP),
    *(_spot("stem", *shape) for shape in _STEMS),
    *(_spot("narrow", *shape) for shape in _NARROW),
]
