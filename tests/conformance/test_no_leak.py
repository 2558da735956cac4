"""No op keeps a tracer."""

from __future__ import annotations

import jax

from tests.conformance.case import Case, Row, function_of, present, x64
from tests.conformance.table import EACH_CASE


@EACH_CASE
def test_no_tracer_leaks(row: Row, case: Case) -> None:
    with x64("float64"), jax.checking_leaks():
        jax.make_jaxpr(function_of(case.graph()))(*present(case.arrays()))
