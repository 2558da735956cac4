"""Every op runs in float32 and bfloat16, stays in them, and is right in them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conformance.case import Case, Row, as_tuple, close
from tests.conformance.table import EACH_CASE

FLOAT32_TOLERANCE = 2e-6


@EACH_CASE
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_narrow_floats(row: Row, case: Case, dtype: str) -> None:
    results = row.jitted(dtype)[case.id]
    types = case.graph(dtype).nodes[0].types
    assert [np.dtype(r.dtype).name for r in results] == [t.dtype for t in types]
    if row.numpy is None:
        return
    # The operands as they are after rounding, so that the op's own error is seen.
    operands = [
        a.astype(np.float64) if a is not None and a.dtype.kind in "fV" else a
        for a in case.arrays(dtype)
    ]
    wanted = as_tuple(row.numpy(case.op_for(dtype), *operands))
    tolerance = FLOAT32_TOLERANCE if dtype == "float32" else row.half_tolerance
    for at, (result, value) in enumerate(zip(results, wanted, strict=True)):
        close(result, value, tolerance, f"result {at}")


@EACH_CASE
def test_float64(row: Row, case: Case) -> None:
    types = case.graph("float64").nodes[0].types
    assert [r.dtype.name for r in case.results] == [t.dtype for t in types]
