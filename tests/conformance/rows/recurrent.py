"""Rows of the recurrent ops, and of what loops are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphjit.ops import elementwise as ew
from graphjit.ops.recurrent.cell_ops import (
    GRUCellOp,
    LSTMCellOp,
    LSTMGates,
    SimpleRNNCellOp,
)
from graphjit.ops.recurrent.rows import (
    Drop,
    FillRows,
    FoldTime,
    Reverse,
    SelectRows,
    UnfoldTime,
)
from graphjit.ops.recurrent.sequence_ops import GRUOp, LSTMOp, SimpleRNNOp
from tests.conformance import recurrent_formulas as formulas
from tests.conformance.case import Arg, Case, Layouts, Row, row_mask, w, x

__all__ = ["ROWS"]

TANH: dict[str, Any] = {"activation": ew.Tanh()}
GATED: dict[str, Any] = {**TANH, "recurrent_activation": ew.Sigmoid()}
HARD: dict[str, Any] = {
    "activation": ew.Softsign(),
    "recurrent_activation": ew.HardSigmoid(),
}
N, T, C, U = 2, 4, 3, 5


def weights(op: Any, bias: bool = True) -> list[Arg | None]:
    made = [w(C, op.gates * U), w(U, op.gates * U)]
    return [*made, w(*op.bias_shape(U)) if bias else None]


def steps_mask() -> Arg:
    return Arg((N, T), "mask", dtype="bool", differentiable=False)


def over(
    op: Any,
    *,
    bias: bool = True,
    start: bool = False,
    mask: bool = False,
    drops: int = 0,
) -> Case:
    """A sequence: with a bias, first states, a mask, this many masks of dropout."""
    states = [x(N, U) if start else None for _ in op.states]
    dropped = [x(N, drops, C), x(N, drops, U)] if drops else []
    args = [x(N, T, C), *weights(op, bias), *states, steps_mask() if mask else None]
    args += dropped
    while args[-1] is None:
        args.pop()
    return Case(op, tuple(args))


def once(op: Any, *, bias: bool = True, drops: int = 0) -> Case:
    dropped = [x(N, drops, C), x(N, drops, U)] if drops else []
    states = [x(N, U) for _ in op.states]
    return Case(op, (x(N, C), *weights(op, bias), *states, *dropped))


def without_drops(formula: Any, count: int) -> Any:
    """The formula on the operands that are left in inference."""
    return lambda op, *arrays: formula(op, *arrays[:count])


def sequence_row(op: type[Any], usual: dict[str, Any], *more: dict[str, Any]) -> Row:
    every: dict[str, Any] = {"return_sequences": True}
    back: dict[str, Any] = {**every, "backwards": True}
    found = [
        over(op(**usual)),
        over(op(**usual, **every), bias=False, start=True),
        over(op(**usual, **back), mask=True),
        over(op(**usual, masked="zeros"), mask=True, start=True),
        over(
            op(**usual, **every, masked="previous", unroll=True), mask=True, start=True
        ),
        over(op(**usual, drops=True, backwards=True), drops=1),
        over(op(**usual, **every, drops=True), drops=op.gates, mask=True, start=True),
    ]
    for settings in more:
        found.append(over(op(**settings, **every)))
        found.append(over(op(**settings, drops=True), drops=op.gates, start=True))
        found.append(over(op(**settings, drops=True, unroll=True), drops=1))
    return Row(
        op,
        tuple(found),
        formulas.sequence,
        inference=without_drops(formulas.sequence, 5 + len(op.states)),
        smooth_results=tuple(range(1 + len(op.states))),
    )


def cell_row(op: type[Any], *settings: dict[str, Any]) -> Row:
    several = [once(op(**s, drops=True), drops=op.gates) for s in settings]
    return Row(
        op,
        (
            *(once(op(**s)) for s in settings),
            once(op(**settings[0]), bias=False),
            once(op(**settings[-1], drops=True), drops=1),
            *(case for case in several if op.gates > 1),
        ),
        formulas.cell,
        inference=without_drops(formulas.cell, 4 + len(op.states)),
        smooth_results=tuple(range(len(op.states))),
    )


BEFORE: dict[str, Any] = {**GATED, "reset_after": False}

ROWS: list[Row] = [
    sequence_row(SimpleRNNOp, TANH, {"activation": ew.Softsign()}),
    sequence_row(GRUOp, GATED, BEFORE, {**HARD, "reset_after": False}),
    sequence_row(LSTMOp, GATED, HARD),
    cell_row(SimpleRNNCellOp, TANH, {}),
    cell_row(GRUCellOp, GATED, BEFORE),
    cell_row(LSTMCellOp, GATED, HARD),
    Row(
        LSTMGates,
        (
            Case(LSTMGates(**GATED), (x(2, 3, 6, 8), x(2, 3, 6, 2))),
            Case(LSTMGates(**HARD), (x(2, 4, 12), x(2, 4, 3)), layouts=Layouts.NONE),
        ),
        formulas.gates,
        layouts=Layouts.SOME,
        smooth_results=(0, 1),
    ),
    Row(
        FillRows,
        (
            Case(
                FillRows((3,), 0.5, "float64"),
                (Arg((2, 4, 6), differentiable=False),),
                batched=False,  # the result does not depend on x
                of=lambda dtype: FillRows((3,), 0.5, dtype),
            ),
            Case(
                FillRows((2, 3), 4.0, "int32"),
                (Arg((2, 6), differentiable=False),),
                batched=False,
            ),
            Case(
                FillRows((4,), 1.0, "bool", keep=2),
                (Arg((2, 3, 6, 5), differentiable=False),),
                batched=False,
                layouts=Layouts.SOME,
            ),
        ),
        check=lambda op, operands, results: np.testing.assert_array_equal(
            results[0], np.full((*operands[0].shape[: op.keep], *op.shape), op.value)
        ),
        layouts=Layouts.ALL,
    ),
    Row(
        SelectRows,
        (
            Case(SelectRows(), (x(5, 3, 6), x(5, 3, 6), row_mask(5))),
            Case(SelectRows(), (x(5, 6), x(5, 6), row_mask(5))),
        ),
        lambda _, a, b, m: np.where(m.reshape(-1, *[1] * (a.ndim - 1)), a, b),
        layouts=Layouts.ALL,
    ),
    Row(
        Drop,
        (Case(Drop(), (x(2, 3, 6), x(2, 3, 6))),),
        lambda _, a, m: a * m,
        inference=lambda _, a, m: a,
        layouts=Layouts.ALL,
    ),
    Row(
        Reverse,
        (Case(Reverse(), (x(2, 4, 6),)), Case(Reverse(2), (x(2, 3, 6),))),
        lambda op, a: np.flip(a, op.axis),
        layouts=Layouts.ALL,
    ),
    Row(
        FoldTime,
        (
            Case(FoldTime(), (x(2, 3, 4, 6),), batched=False),
            Case(FoldTime(), (x(2, 4),), layouts=Layouts.NONE, batched=False),
        ),
        lambda _, a: a.reshape(-1, *a.shape[2:]),
        layouts=Layouts.SOME,
    ),
    Row(
        UnfoldTime,
        (
            Case(UnfoldTime(), (x(6, 5, 4), x(2, 3, 7)), batched=False),
            Case(
                UnfoldTime(),
                (x(6), x(2, 3)),
                layouts=Layouts.NONE,
                batched=False,
            ),
        ),
        lambda _, a, like: a.reshape(*like.shape[:2], *a.shape[1:]),
        layouts=Layouts.SOME,
    ),
]
