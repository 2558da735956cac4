"""What an op becomes in an inference graph, and in a frozen layer."""

from __future__ import annotations

import numpy as np
import pytest

from graphjit.ops.base import Becomes, Op, Result, Same, result_types
from tests.conformance.case import Array, Case, Row, as_tuple, close, run_op
from tests.conformance.table import EACH_CASE, EACH_ROW, ROWS


def change(op: Op, mode: str) -> Becomes | None:
    return op.to_inference() if mode == "inference" else op.to_frozen()


CHANGING = [
    pytest.param(row, case, mode, id=f"{case.id}-{mode}")
    for row in ROWS
    for case in row.cases
    for mode in ("inference", "frozen")
    if change(case.op, mode) is not None
]


def applied(becomes: Becomes, operands: list[Array | None]) -> list[Array | None]:
    """The old results, computed the new way."""
    taken = [operands[i] if i < len(operands) else None for i in becomes.operands]
    while taken and taken[-1] is None:
        taken.pop()
    new = [] if becomes.op is None else run_op(becomes.op, taken)
    return [
        operands[place.operand] if isinstance(place, Same) else new[place.index]
        for place in becomes.results
    ]


@pytest.mark.parametrize(("row", "case", "mode"), CHANGING)
def test_becomes_its_formula(row: Row, case: Case, mode: str) -> None:
    becomes = change(case.op, mode)
    formula = row.inference if mode == "inference" else row.frozen
    assert becomes is not None
    assert formula is not None, f"the row has no formula for {mode}"
    found = applied(becomes, case.arrays())
    wanted = as_tuple(formula(case.op, *case.arrays()))
    for at, (result, value) in enumerate(zip(found, wanted, strict=True)):
        close(result, value, row.tolerance, f"result {at}")


@pytest.mark.parametrize(("row", "case", "mode"), CHANGING)
def test_becomes_is_well_formed(row: Row, case: Case, mode: str) -> None:
    becomes = change(case.op_for("float32"), mode)
    assert becomes is not None
    types = case.types("float32")
    old = result_types(case.op_for("float32"), types)
    assert len(becomes.results) == len(old)
    assert all(0 <= i < len(row.op.roles) for i in becomes.operands)
    taken = [types[i] if i < len(types) else None for i in becomes.operands]
    while taken and taken[-1] is None:
        taken.pop()
    new = () if becomes.op is None else result_types(becomes.op, taken)
    for place, type_ in zip(becomes.results, old, strict=True):
        if isinstance(place, Result):
            assert new[place.index] == type_
        else:
            assert types[place.operand] == type_


@EACH_ROW
def test_rows_with_a_formula_change(row: Row) -> None:
    modes = [("inference", row.inference), ("frozen", row.frozen)]
    for mode, formula in modes:
        assert formula is None or any(change(c.op, mode) for c in row.cases)


@EACH_CASE
def test_inference_ops_stay(row: Row, case: Case) -> None:
    becomes = case.op.to_inference()
    if becomes is not None and becomes.op is not None:
        assert becomes.op.to_inference() is None


@EACH_CASE
def test_ops_that_stay_as_in_training(row: Row, case: Case) -> None:
    """What a call with ``training=True`` is made of computes the same in both modes."""
    op = case.op.to_always()
    assert op is not None
    assert op.to_always() == op
    if op == case.op and op.to_inference() is None:
        return
    operands = case.arrays()
    wanted = run_op(case.op, operands)
    becomes = op.to_inference()
    found = run_op(op, operands) if becomes is None else applied(becomes, operands)
    close(found[0], wanted[0], row.tolerance, "result 0")


def test_batch_norm_in_inference_ignores_the_batch() -> None:
    row = next(row for row in ROWS if row.kind == "batch_norm")
    case = row.cases[0]
    operands = case.arrays()
    becomes = case.op.to_inference()
    assert becomes is not None
    whole = applied(becomes, operands)[0]
    first = applied(becomes, [operands[0][:1], *operands[1:]])[0]  # type: ignore[index]
    np.testing.assert_allclose(first, whole[:1], rtol=1e-14)  # type: ignore[index]
