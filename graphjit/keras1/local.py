"""Locally connected layers."""

from __future__ import annotations

from typing import Any, Final

from graphjit import layers as native
from graphjit.keras1.dense_settings import BIAS, PENALTIES, before_penalties
from graphjit.keras1.settings import DIM_ORDERING, any_shape, sequence_input
from graphjit.keras1.spelling import Given, Spelling, spelled

__all__ = ["LocallyConnected1D", "LocallyConnected2D"]

_sequence_arguments, _sequence_rule = sequence_input
_FILTERS: Final = spelled("nb_filter", "filters")
#: Kernels lie in Keras 1 as they do natively: (places, window, filters).
_BEFORE: Final = before_penalties(any_shape)
_BORDER_MODE: Final = spelled("border_mode", "padding", "valid")

LocallyConnected1D = Spelling(
    "LocallyConnected1D",
    native.LocallyConnected1D,
    (
        _FILTERS,
        spelled("filter_length", "kernel_size"),
        *_BEFORE,
        _BORDER_MODE,
        spelled("subsample_length", "strides", 1),
        *PENALTIES,
        BIAS,
        *_sequence_arguments,
    ),
    rules=(_sequence_rule,),
)


def _window(given: Given) -> dict[str, Any]:
    return {"kernel_size": (given["nb_row"], given["nb_col"])}


LocallyConnected2D = Spelling(
    "LocallyConnected2D",
    native.LocallyConnected2D,
    (
        _FILTERS,
        spelled("nb_row"),
        spelled("nb_col"),
        *_BEFORE,
        _BORDER_MODE,
        spelled("subsample", "strides", (1, 1)),
        DIM_ORDERING,
        *PENALTIES,
        BIAS,
    ),
    rules=(_window,),
)
