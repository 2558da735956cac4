"""The masks of dropout that stay the same at every step of a sequence."""

from __future__ import annotations

from collections.abc import Sequence

from graphjit.capture.emitter import Emitter
from graphjit.ir import Value
from graphjit.ops.dropout import DropoutOp
from graphjit.ops.recurrent.rows import FillRows

__all__ = ["drops", "scaled_mask"]


def drops(rate: float) -> bool:
    """Whether a rate drops anything: Keras draws nothing at either end."""
    return 0 < rate < 1


def scaled_mask(
    emitter: Emitter, rows: Value, shape: Sequence[int], rate: float, seed: int | None
) -> Value | None:
    """0 or 1 / (1 - rate) for every element of every row; None where nothing drops.

    Shapes:
        rows: (n, …)  ->  (n, *shape)
    """
    if not drops(rate):
        return None
    ones = emitter(FillRows(tuple(shape), 1.0, emitter.dtype), rows)
    return emitter(DropoutOp(rate, seed or 0), ones)
