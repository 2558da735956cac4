"""Rows of a batch are apart, unless the op says that it mixes them.

An op that mixes rows takes a row-validity mask, and then rows of padding change
nothing.
"""

from __future__ import annotations

import numpy as np
import pytest

from graphjit.ops.base import MixesRows
from tests.conformance.case import Array, Case, Row, close, run_op
from tests.conformance.table import EACH_CASE, ROWS

MASKED = [
    pytest.param(row, case, id=case.id)
    for row in ROWS
    for case in row.cases
    if isinstance(case.op, MixesRows)
    and case.op.masks_rows()
    and case.op.row_mask is not None
]


def is_data(case: Case, at: int) -> bool:
    arg = case.args[at] if at < len(case.args) else None
    return arg is not None and not arg.weight and arg.shape[0] > 1


@EACH_CASE
def test_rows_are_apart(row: Row, case: Case) -> None:
    op = case.op
    mixes = isinstance(op, MixesRows) and (op.row_mask or not op.masks_rows())
    if mixes or not case.batched:
        return
    operands = case.arrays()
    changed = [
        _other_first_row(array) if array is not None and is_data(case, at) else array
        for at, array in enumerate(operands)
    ]
    results = run_op(case.op, changed)
    for at, (other, result) in enumerate(zip(results, case.results, strict=True)):
        np.testing.assert_array_equal(other[1:], result[1:], err_msg=f"result {at}")
        told_apart = result.dtype != bool
        assert not (told_apart and np.array_equal(other[0], result[0])), f"result {at}"


def _other_first_row(array: Array) -> Array:
    array = array.copy()
    row = array[0][::-1] if array.ndim > 1 else array[0]
    array[0] = row * 3 + 1
    return array


@pytest.mark.parametrize(("row", "case"), MASKED)
def test_rows_of_padding_change_nothing(row: Row, case: Case) -> None:
    assert isinstance(case.op, MixesRows)
    place = case.op.row_mask
    assert place is not None
    operands = case.arrays()
    count = case.args[0].shape[0]  # type: ignore[union-attr]
    operands += [None] * (place + 1 - len(operands))
    plain = run_op(case.op, operands)
    if operands[place] is None:
        operands[place] = np.ones(count, bool)
    padding = np.array([1e6, -1e6])
    padded = [
        _padded(array, padding)
        if array is not None and (at == place or is_data(case, at))
        else array
        for at, array in enumerate(operands)
    ]
    for at, (found, wanted) in enumerate(
        zip(run_op(case.op, padded), plain, strict=True)
    ):
        rows = slice(count) if found.shape != wanted.shape else ...
        close(found[rows], wanted, 1e-11, f"result {at}")


def _padded(array: Array, values: Array) -> Array:
    """Two rows more: of garbage, or of False in a mask."""
    if array.dtype == bool:
        return np.concatenate([array, np.zeros((2, *array.shape[1:]), bool)])
    rows = values.reshape(-1, *[1] * (array.ndim - 1))
    return np.concatenate([array, np.broadcast_to(rows, (2, *array.shape[1:]))])
