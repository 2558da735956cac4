"""Short forms for the arguments that every recurrent layer declares."""

from __future__ import annotations

from typing import Any, Final

from graphjit import activations
from graphjit.capture.arguments import Unfit, arg, boolean, fraction
from graphjit.ops import weights

__all__ = [
    "RENAMED",
    "RENAMED_CONV",
    "RENAMED_GATED",
    "RENAMED_LSTM",
    "flag",
    "function",
    "implementation",
    "initial",
    "penalty",
    "projection",
    "rate",
]

#: Keras 1's names: those of every layer, of those with gates, of LSTM.
RENAMED: Final = {
    "output_dim": "units",
    "init": "kernel_initializer",
    "inner_init": "recurrent_initializer",
    "W_regularizer": "kernel_regularizer",
    "U_regularizer": "recurrent_regularizer",
    "b_regularizer": "bias_regularizer",
    "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
}
RENAMED_GATED: Final = {
    **RENAMED,
    "inner_activation": "recurrent_activation",
    "consume_less": "implementation",
}
RENAMED_LSTM: Final = {**RENAMED_GATED, "forget_bias_init": "unit_forget_bias"}
RENAMED_CONV: Final = {
    "nb_filter": "filters",
    "nb_row": "kernel_size",
    "nb_col": "kernel_size",
    "init": "kernel_initializer",
    "inner_init": "recurrent_initializer",
    "forget_bias_init": "unit_forget_bias",
    "inner_activation": "recurrent_activation",
    "dim_ordering": "data_format",
    "border_mode": "padding",
    "subsample": "strides",
    "W_regularizer": "kernel_regularizer",
    "U_regularizer": "recurrent_regularizer",
    "b_regularizer": "bias_regularizer",
    "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
}


def function(default: str) -> Any:
    """An activation: a name or a function."""
    return arg(default=default, converter=activations.get)


def initial(default: str) -> Any:
    """An initializer."""
    return arg(default=default, converter=weights.initializer)


def penalty() -> Any:
    """A regularizer, or none."""
    return arg(default=None, converter=weights.regularizer)


def projection() -> Any:
    """A constraint, or none."""
    return arg(default=None, converter=weights.constraint)


def rate() -> Any:
    """A rate of dropout."""
    return arg(default=0.0, converter=fraction)


def flag(default: bool = False) -> Any:
    """True or False."""
    return arg(default=default, converter=boolean)


def implementation(value: int) -> int:
    """Reader of `implementation`."""
    if isinstance(value, bool) or value not in (0, 1, 2):
        raise Unfit("0, 1 or 2")
    return int(value)
