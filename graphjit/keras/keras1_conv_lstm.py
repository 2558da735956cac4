"""Keras 1's ConvLSTM2D, which is in files but not in the documents."""

from __future__ import annotations

from typing import Any

from graphjit import layers as native
from graphjit.keras1.settings import data_format
from graphjit.keras1.spelling import Given, Spelling, spelled

__all__ = ["ConvLSTM2D"]


def _window(given: Given) -> dict[str, Any]:
    return {"kernel_size": (given["nb_row"], given["nb_col"])}


#: Its configuration leaves out strides and penalties: Keras 1 loads it without them.
ConvLSTM2D = Spelling(
    "ConvLSTM2D",
    native.ConvLSTM2D,
    (
        spelled("nb_filter", "filters"),
        spelled("nb_row"),
        spelled("nb_col"),
        spelled("init", "kernel_initializer", "glorot_uniform"),
        spelled("inner_init", "recurrent_initializer", "orthogonal"),
        spelled("forget_bias_init", None, "one"),
        spelled("activation", "", "tanh"),
        spelled("inner_activation", "recurrent_activation", "hard_sigmoid"),
        spelled("dim_ordering", "data_format", "default", data_format),
        spelled("border_mode", "padding", "valid"),
        spelled("subsample", "strides", (1, 1)),
    ),
    rules=(_window,),
    keywords=(
        spelled("return_sequences", "", False),
        spelled("go_backwards", "", False),
        spelled("stateful", "", False),
    ),
)
