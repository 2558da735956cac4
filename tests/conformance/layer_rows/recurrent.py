"""Rows of the recurrent layers and the wrappers of time."""

from __future__ import annotations

from typing import Any

import graphjit.layers as L  # noqa: N812
from tests.conformance.layer_case import LayerRow, case, row

__all__ = ["LAYER_ROWS"]

SEQUENCE = (5, 3)
DROPS: dict[str, Any] = {"dropout": 0.4, "recurrent_dropout": 0.3, "random": True}


def layer(name: str, *args: Any, **settings: Any) -> dict[str, Any]:
    """A layer as an argument of another, the way a configuration has it."""
    made = getattr(L, name)(*args, **settings)
    return {"class_name": name, "config": made.get_config()}


def gated(cls: Any, *more: dict[str, Any]) -> LayerRow:
    return row(
        cls,
        case(SEQUENCE, units=4),
        case(SEQUENCE, units=3, return_sequences=True, go_backwards=True),
        case(SEQUENCE, units=2, unroll=True, use_bias=False, activation="relu"),
        case(SEQUENCE, units=4, seed=3, **DROPS),
        *(case(SEQUENCE, units=3, **settings) for settings in more),
    )


LAYER_ROWS: list[LayerRow] = [
    gated(L.SimpleRNN),
    gated(
        L.GRU,
        {"reset_after": False},
        {"reset_after": False, "recurrent_activation": "tanh", "implementation": 1},
    ),
    gated(
        L.LSTM,
        {"unit_forget_bias": False, "implementation": 1},
        {"recurrent_activation": "softsign", "activation": None},
    ),
    row(
        L.RNN,
        case(SEQUENCE, cell=layer("LSTMCell", 4), keras=None),
        case(
            SEQUENCE,
            cell=layer("GRUCell", 3, dropout=0.4, recurrent_dropout=0.2),
            return_sequences=True,
            go_backwards=True,
            keras=None,
            random=True,
        ),
        case(
            SEQUENCE,
            cell=layer("StackedRNNCells", [L.LSTMCell(4), L.SimpleRNNCell(2)]),
            keras=None,
        ),
    ),
    row(
        L.Bidirectional,
        case(SEQUENCE, layer=layer("LSTM", 2, return_sequences=True), keras=None),
        case(SEQUENCE, layer=layer("GRU", 4), merge_mode="ave", keras=None),
        case(
            SEQUENCE,
            layer=layer("SimpleRNN", 3),
            merge_mode="mul",
            backward_layer=layer("SimpleRNN", 3, "relu", go_backwards=True),
            keras=None,
        ),
    ),
    row(
        L.TimeDistributed,
        case((5, 4), layer=layer("Dense", 3, "tanh"), keras=None),
        case((3, 6, 5, 2), layer=layer("Conv2D", 4, (3, 2), strides=2), keras=None),
        case((2, 5, 3), layer=layer("LSTM", 4), keras=None),
    ),
    row(
        L.ConvLSTM1D,
        case((3, 6, 2), filters=3, kernel_size=2),
        case((3, 6, 2), filters=2, kernel_size=3, strides=2, return_sequences=True),
    ),
    row(
        L.ConvLSTM2D,
        case((3, 6, 5, 2), filters=3, kernel_size=(3, 2)),
        case(
            (3, 6, 5, 2),
            filters=2,
            kernel_size=3,
            strides=(2, 1),
            padding="same",
            return_sequences=True,
            go_backwards=True,
        ),
        case((2, 6, 5, 1), filters=2, kernel_size=2, dilation_rate=(2, 1), **DROPS),
    ),
    row(
        L.ConvLSTM3D,
        case((2, 3, 4, 3, 2), filters=2, kernel_size=(2, 1, 2), padding="same"),
    ),
]
