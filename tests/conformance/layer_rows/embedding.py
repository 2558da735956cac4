"""Embedding."""

from __future__ import annotations

import graphjit.layers as L  # noqa: N812
from tests.conformance.layer_case import LayerRow, case, row

__all__ = ["LAYER_ROWS"]

LAYER_ROWS: list[LayerRow] = [
    row(
        L.Embedding,
        case((4,), input_dim=6, output_dim=3),
        case((3, 4), input_dim=5, output_dim=2, mask_zero=True),
        case((4,), input_dim=7, output_dim=3, embeddings_constraint="max_norm"),
        case((4,), input_dim=6, output_dim=3, input_length=4, keras=None),
        case((3, 4), input_dim=6, output_dim=2, input_length=(3, None), keras=None),
        case(
            (4,),
            input_dim=6,
            output_dim=3,
            dropout=0.4,
            activity_regularizer="l2",
            keras=None,
            random=True,
        ),
    )
]
