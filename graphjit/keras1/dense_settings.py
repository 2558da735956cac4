"""The arguments that Keras 1's layers with W and b have, in the documents' order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from graphjit.keras1.settings import initial
from graphjit.keras1.spelling import Spelled, as_given, spelled

__all__ = ["BIAS", "INPUT_DIM", "PENALTIES", "before_penalties"]

#: Penalties and constraints, without those of W that depend on its layout.
PENALTIES: Final[tuple[Spelled, ...]] = (
    spelled("W_regularizer", "kernel_regularizer", None),
    spelled("b_regularizer", "bias_regularizer", None),
    spelled("activity_regularizer", "", None),
    spelled("W_constraint", "kernel_constraint", None),
    spelled("b_constraint", "bias_constraint", None),
)
BIAS: Final[Spelled] = spelled("bias", "use_bias", True)
INPUT_DIM: Final[Spelled] = spelled("input_dim", "", None)


def before_penalties(
    read_init: Callable[[Any], Any] = initial,
    *,
    activation: bool = True,
    init_native: str | None = "kernel_initializer",
    weights_native: str | None = "weights",
) -> tuple[Spelled, ...]:
    """`init`, `activation` and `weights`; a native name of None leaves it to a rule."""
    read = as_given if init_native is None else read_init
    made = [spelled("init", init_native, "glorot_uniform", read)]
    if activation:
        made.append(spelled("activation", "", None))
    made.append(spelled("weights", weights_native, None, as_given))
    return tuple(made)
