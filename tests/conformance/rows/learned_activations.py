"""Activations with weights, and the strict threshold."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphjit.ops.elementwise import ThresholdedRelu
from graphjit.ops.learned_activations import ParametricSoftplusOp, Prelu, Srelu
from tests.conformance.case import Case, Layouts, Row, cases, w, wide
from tests.conformance.formulas import Array

__all__ = ["ROWS"]

#: Shapes of the weights for data of (2, 3, 6).
SHAPES = ((3, 6), (1, 6), (3, 1), (1, 1))


def prelu(_: Any, x: Array, alpha: Array) -> Array:
    return np.where(x >= 0, x, alpha * x)


def parametric_softplus(_: Any, x: Array, alpha: Array, beta: Array) -> Array:
    return alpha * np.log(1 + np.exp(beta * x))


def srelu(_: Any, x: Array, tl: Array, al: Array, tr: Array, ar: Array) -> Array:
    """Source: Keras 1.2.2, SReLU."""
    right = tl + np.abs(tr)
    y = np.where(x >= right, right + ar * (x - right), x)
    return np.where(x <= tl, tl + al * (x - tl), y)


def learned(op: type[Any], count: int) -> tuple[Case, ...]:
    flat = [Case(op(), (wide(2, 3, 6), *(w(*shape),) * count)) for shape in SHAPES]
    image = Case(op(), (wide(2, 5, 4, 6), *(w(5, 1, 6),) * count))
    return (*flat, image)


ROWS: list[Row] = [
    Row(Prelu, learned(Prelu, 1), prelu, layouts=Layouts.ALL),
    Row(
        ParametricSoftplusOp,
        learned(ParametricSoftplusOp, 2),
        parametric_softplus,
        layouts=Layouts.ALL,
    ),
    Row(Srelu, learned(Srelu, 4), srelu, layouts=Layouts.ALL),
    Row(
        ThresholdedRelu,
        cases(ThresholdedRelu, [{}, {"theta": 0.4}], wide(2, 3, 6)),
        lambda op, a: a * (a > op.theta),
        layouts=Layouts.ALL,
    ),
]
