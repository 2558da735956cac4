"""Each op is its plain NumPy statement."""

from __future__ import annotations

from tests.conformance.case import Case, Row, as_tuple, close
from tests.conformance.table import EACH_CASE


@EACH_CASE
def test_op_is_its_formula(row: Row, case: Case) -> None:
    if row.check is not None:
        row.check(case.op, case.arrays(), case.results)
        return
    assert row.numpy is not None
    wanted = as_tuple(row.numpy(case.op, *case.arrays()))
    for at, (result, value) in enumerate(zip(case.results, wanted, strict=True)):
        close(result, value, row.tolerance, f"result {at}")
