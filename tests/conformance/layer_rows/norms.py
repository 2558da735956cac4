"""Norms of each sample by itself."""

from __future__ import annotations

import graphjit.layers as L  # noqa: N812
from tests.conformance.layer_case import LayerRow, case, row

__all__ = ["LAYER_ROWS"]

IMAGE = (5, 4, 6)

LAYER_ROWS: list[LayerRow] = [
    row(
        L.LayerNormalization,
        case((5, 3), epsilon=0.02),
        case(IMAGE, axis=[-1, -2], epsilon=0.1),
        case(IMAGE, axis=1, center=False),
        case((6,), scale=False),
        case((4, 5), center=False, scale=False),
        # A twin of it warns that Keras deprecates the setting.
        case((4, 5), rms_scaling=True, keras=None),
    ),
    row(
        L.GroupNormalization,
        case(IMAGE, groups=3, epsilon=0.02),
        case((6, 5, 4), groups=2, axis=1),
        case((5, 4), groups=-1, center=False),
        case((6,), groups=1, scale=False),
        case(IMAGE, groups=2, axis=-2),
    ),
    row(
        L.RMSNormalization,
        case((5, 3)),
        case(IMAGE, axis=[2, 3], epsilon=0.1),
        # Keras cannot broadcast its scale to axes that are not the last ones.
        case(IMAGE, axis=[-1, 1], keras=None),
        case(IMAGE, axis=2, keras=None),
    ),
    row(L.UnitNormalization, case((5, 3)), case(IMAGE, axis=[1, 2])),
]
