"""Layers that pass their input on as it is."""

from __future__ import annotations

from graphjit.capture.arguments import Unfit, arg, number
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.ir import Value
from graphjit.regularizers import L1L2, Regularizer

__all__ = ["ActivityRegularization", "Identity"]


def _factor(value: float) -> float:
    found = number(value)
    if found < 0:
        raise Unfit("a number >= 0")
    return found


@LAYERS.register("Identity")
class Identity(Layer):
    """The input as it is.

    Shapes:
        x: (...)  ->  (...)
    """

    carries_mask = True

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        return x


@LAYERS.register("ActivityRegularization")
class ActivityRegularization(Layer):
    """The input as it is, with a penalty on it in training.

    The penalty is l1 * sum(|x|) + l2 * sum(x²), over the whole batch.

    Shapes:
        x: (...)  ->  (...)

    Args:
        l1: Factor of the sum of absolute values.
        l2: Factor of the sum of squares.
    """

    carries_mask = True

    l1: float = arg(default=0.0, converter=_factor)
    l2: float = arg(default=0.0, converter=_factor)

    @property
    def activity_regularizer_or_none(self) -> Regularizer | None:
        return L1L2(self.l1, self.l2) if self.l1 or self.l2 else None

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        return x
