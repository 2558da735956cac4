"""Layers that Keras 1 had and later ones dropped."""

from __future__ import annotations

import graphjit.layers as L  # noqa: N812
from tests.conformance.layer_case import LayerRow, case, row

__all__ = ["LAYER_ROWS"]

LAYER_ROWS: list[LayerRow] = [
    row(L.Cosine, case((5,), (5,), keras=None)),
    row(
        L.Highway,
        case((5,), keras=None),
        case(
            (4,),
            activation="tanh",
            kernel_regularizer="l2",
            kernel_constraint="max_norm",
            gate_bias_initializer="zeros",
            keras=None,
        ),
        case((6,), activation="relu", use_bias=False, keras=None),
    ),
    row(
        L.MaxoutDense,
        case((5,), units=3, keras=None),
        case((4,), units=2, nb_feature=3, bias_regularizer="l1", keras=None),
        case((6,), units=4, nb_feature=1, use_bias=False, keras=None),
    ),
]
