"""The compiled function is the eager one."""

from __future__ import annotations

from tests.conformance.case import Case, Row, close
from tests.conformance.table import EACH_CASE


@EACH_CASE
def test_jit_equals_eager(row: Row, case: Case) -> None:
    found = row.jitted("float64")[case.id]
    assert len(found) == len(case.results)
    for at, (jitted, eager) in enumerate(zip(found, case.results, strict=True)):
        assert jitted.dtype == eager.dtype
        close(jitted, eager, 1e-13, f"result {at}")
