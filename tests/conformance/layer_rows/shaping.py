"""Rows of layers that pad, cut, enlarge and reshape."""

from __future__ import annotations

import graphjit.layers as L  # noqa: N812
from tests.conformance.layer_case import FIRST, LayerRow, case, row

LAYER_ROWS: list[LayerRow] = [
    row(
        L.ZeroPadding1D,
        case((4, 3)),
        case((4, 3), padding=(2, 1)),
        case((4, 3), padding={"right_pad": 3}, keras={"padding": (0, 3)}),
        case((3, 4), padding=(0, 2), **FIRST),
    ),
    row(
        L.ZeroPadding2D,
        case((3, 4, 2)),
        case((3, 4, 2), padding=(2, 1)),
        case((2, 3, 4), padding=((1, 0), (2, 3)), **FIRST),
    ),
    row(
        L.ZeroPadding3D,
        case((3, 4, 2, 2)),
        case((3, 4, 2, 2), padding=(2, 0, 1)),
        case((2, 3, 4, 2), padding=((1, 0), (2, 3), (0, 1)), **FIRST),
    ),
    row(
        L.Cropping1D,
        case((7, 3)),
        case((7, 3), cropping=2),
        case((7, 3), cropping=(0, 3)),
    ),
    row(
        L.Cropping2D,
        case((5, 6, 2)),
        case((5, 6, 2), cropping=(2, 1)),
        case((2, 5, 6), cropping=((1, 0), (2, 3)), **FIRST),
    ),
    row(
        L.Cropping3D,
        case((3, 4, 5, 2)),
        case((3, 4, 5, 2), cropping=(0, 1, 2)),
        case((2, 3, 4, 5), cropping=((1, 0), (2, 1), (0, 3)), **FIRST),
    ),
    row(L.UpSampling1D, case((4, 3)), case((4, 3), size=3)),
    row(
        L.UpSampling2D,
        case((3, 4, 2)),
        case((3, 4, 2), size=(1, 3)),
        case((2, 3, 4), size=(3, 2), **FIRST),
        case((3, 4, 2), size=(2, 3), interpolation="bilinear"),
        case((2, 3, 1), size=(4, 2), interpolation="bilinear", **FIRST),
    ),
    row(
        L.UpSampling3D,
        case((2, 3, 4, 2)),
        case((2, 3, 4, 2), size=(1, 3, 2)),
        case((2, 3, 4, 2), size=(2, 1, 3), **FIRST),
    ),
    row(
        L.Flatten,
        case((5, 4, 3)),
        case((3, 5, 4), **FIRST),
        case((5, 3), **FIRST),
        case((4,)),
    ),
    row(
        L.Reshape,
        case((5, 4, 3), target_shape=(4, 15)),
        case((5, 4, 3), target_shape=(2, -1)),
        case((6,), target_shape=(3, 2)),
    ),
    row(L.Permute, case((5, 4, 3), dims=(3, 1, 2)), case((5, 4), dims=(2, 1))),
    row(L.RepeatVector, case((4,), n=3), case((1,), n=1)),
]
