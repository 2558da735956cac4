"""What merges of several tensors need beside arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphjit.ops.merge_ops import BatchDot, FullMask
from tests.conformance.case import Arg, Case, Layouts, Row, cases, x
from tests.conformance.formulas import Array

__all__ = ["ROWS"]


def batch_dot(op: Any, x: Array, y: Array) -> Array:
    axes = (op.x_axis - 1, op.y_axis - 1)
    return np.stack([np.tensordot(a, b, axes) for a, b in zip(x, y, strict=True)])


ROWS: list[Row] = [
    Row(
        BatchDot,
        (
            Case(BatchDot(1, 1), (x(2, 6), x(2, 6))),
            Case(BatchDot(2, 1), (x(2, 3, 6), x(2, 6, 4))),
            Case(BatchDot(1, 2), (x(2, 6, 4), x(2, 5, 6))),
            Case(BatchDot(1, 3), (x(2, 6), x(2, 3, 4, 6))),
            Case(BatchDot(2, 1), (x(2, 5, 6, 4), x(2, 6, 3))),
            Case(BatchDot(3, 1), (x(2, 4, 5, 6), x(2, 6))),
        ),
        batch_dot,
        layouts=Layouts.ALL,
        exact=False,
    ),
    Row(
        FullMask,
        cases(
            FullMask,
            [{"rank": 2}, {"rank": 1}],
            Arg((2, 3, 6), differentiable=False),
        ),
        lambda op, a: np.ones(a.shape[: op.rank], bool),
    ),
]
