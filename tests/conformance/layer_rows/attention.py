"""Attention layers and EinsumDense."""

from __future__ import annotations

from typing import Any

import graphjit.layers as L  # noqa: N812
from tests.conformance.layer_case import LayerRow, case, row

__all__ = ["LAYER_ROWS"]

QUERY, VALUE, KEY = (4, 3), (5, 2), (5, 3)
#: Keras's layer is called on tensors one by one; tests/ops/test_multi_head.py does so.
APART: dict[str, Any] = {"keras": None}

LAYER_ROWS: list[LayerRow] = [
    row(
        L.Attention,
        case(QUERY, KEY),
        case(QUERY, VALUE, KEY, use_scale=True),
        case(QUERY, KEY, score_mode="concat", use_scale=True),
        case(QUERY, VALUE, KEY, score_mode="concat"),
        case(QUERY, KEY, dropout=0.3, seed=4, random=True),
    ),
    row(
        L.AdditiveAttention,
        case(QUERY, KEY),
        case(QUERY, VALUE, KEY, use_scale=False),
        case(QUERY, KEY, dropout=0.3, random=True),
    ),
    row(
        L.MultiHeadAttention,
        case(QUERY, KEY, num_heads=2, key_dim=3, **APART),
        case(QUERY, VALUE, KEY, num_heads=3, key_dim=2, value_dim=4, **APART),
        case(QUERY, QUERY, num_heads=2, key_dim=2, dropout=0.2, random=True, **APART),
        case(
            (3, 4, 5),
            (2, 4, 5),
            num_heads=2,
            key_dim=3,
            output_shape=(2, 3),
            attention_axes=(1,),
            use_bias=False,
            **APART,
        ),
        case(QUERY, QUERY, num_heads=1, key_dim=3, sliding_window=2, **APART),
        case(QUERY, KEY, num_heads=1, key_dim=3, use_gate=True, **APART),
    ),
    row(
        L.EinsumDense,
        case((6,), equation="ab,bc->ac", output_shape=5, bias_axes="c"),
        case(
            (4, 6),
            equation="abc,cde->abde",
            output_shape=(None, 2, 3),
            bias_axes="e",
            activation="tanh",
        ),
        case((3, 4, 6), equation="...x,xy->...y", output_shape=5, bias_axes="y"),
        case((3, 4, 6), equation="ab...,bc->ac...", output_shape=5, bias_axes="c"),
        case(
            (4, 6),
            equation="abc,bd->adc",
            output_shape=(3, None),
            bias_axes="dc",
            keras={"output_shape": (3, 6)},  # it cannot tell the bias's size
        ),
        case((4, 6), equation="abc,bc->abc", output_shape=(4, 6)),
    ),
]
