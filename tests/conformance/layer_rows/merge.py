"""Merges of several tensors."""

from __future__ import annotations

import graphjit.layers as L  # noqa: N812
from graphjit.capture.layer import Layer
from tests.conformance.layer_case import LayerRow, case, row

__all__ = ["LAYER_ROWS"]


def elementwise(layer: type[Layer]) -> LayerRow:
    """Equal shapes, three of them, dims of 1, and ranks that differ."""
    return row(
        layer,
        case((5, 3), (5, 3)),
        case((4,), (4,), (4,)),
        case((5, 4, 3), (1, 1, 3)),
        case((5, 3), (3,)),
    )


LAYER_ROWS: list[LayerRow] = [
    elementwise(L.Add),
    elementwise(L.Average),
    row(
        L.Concatenate,
        case((5, 4, 3), (5, 4, 2)),
        case((3, 5), (2, 5), (1, 5), axis=1),
    ),
    row(
        L.Dot,
        case((5,), (5,), axes=1),
        case((4, 5), (3, 5), axes=2),
        case((4, 5), (5, 3), axes=(2, 1)),
        case((3, 4, 5), (5, 2), axes=[-1, -2]),
        case((5,), (3, 5), axes=-1, normalize=True),
        case((4, 5), (4, 3), axes=1, normalize=True),
    ),
    elementwise(L.Maximum),
    elementwise(L.Minimum),
    elementwise(L.Multiply),
    row(
        L.Subtract,
        case((5, 3), (5, 3)),
        case((5, 4, 3), (1, 1, 3)),
        case((3,), (5, 3)),
    ),
]
