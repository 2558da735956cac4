"""What passes ask ops is true: `is_identity`, `after`, `padded`."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from graphjit.errors import ShapeError
from graphjit.ops.base import Op, result_types
from tests.conformance.case import Case, Row, close, run_op
from tests.conformance.table import EACH_CASE, ROWS
from tests.conformance.test_infer import with_dim

UNARY = [(r, c) for r in ROWS for c in r.cases if len(c.args) == 1 and c.of is None]


def _pairs() -> list[object]:
    """Cases whose op says what it is after the op of another case."""
    found: list[object] = []
    for (_, first), (_, second) in itertools.product(UNARY, UNARY):
        types = first.types("float64")
        middle = result_types(first.op, types)
        if len(middle) != 1:
            continue
        try:
            result_types(second.op, middle)
        except ShapeError:
            continue
        combined = second.op.after(first.op, types)
        if combined is not None:
            name = f"{first.id}-{second.id}"
            found.append(pytest.param(first, second.op, combined, id=name))
    return found


@EACH_CASE
def test_an_identity_gives_its_operand(row: Row, case: Case) -> None:
    sizes = {s for arg in case.args if arg is not None for s in arg.shape}
    op = case.op
    said = [op.is_identity(case.types("float64"))] + [
        op.is_identity(with_dim(case, size, dim))
        for size in sizes
        for dim in (None, "rows")
    ]
    if any(said):
        assert len(case.results) == 1
        np.testing.assert_array_equal(case.results[0], case.arrays()[0])


@pytest.mark.parametrize(("first", "then", "combined"), _pairs())
def test_one_op_does_the_work_of_two(first: Case, then: Op, combined: Op) -> None:
    stepwise = run_op(then, [first.results[0]])
    at_once = run_op(combined, first.arrays())
    np.testing.assert_array_equal(at_once[0], stepwise[0])


PADS = [(0, 0), (2, 1), (0, 3)]


def _pads(rank: int, channels: bool) -> tuple[tuple[int, int], ...]:
    spatial = [PADS[axis % len(PADS)] for axis in range(1, rank - 1)]
    return ((0, 0), *spatial, (1, 0) if channels else (0, 0))


@EACH_CASE
def test_padding_can_be_taken_over(row: Row, case: Case) -> None:
    operands = case.arrays()
    assert operands[0] is not None
    rank = operands[0].ndim
    for value, channels in itertools.product((0.0, 1.5), (False, True)):
        if rank < 3:
            continue
        pads = _pads(rank, channels)
        taken = case.op.padded(pads, value, case.types("float64"))
        if not isinstance(taken, Op):
            continue
        larger = np.pad(operands[0], pads, constant_values=value)
        wanted = run_op(case.op, [larger, *operands[1:]])
        for found, result in zip(run_op(taken, operands), wanted, strict=True):
            close(found, result, 1e-13)
