"""A node's line names the kind and every attribute that is not the default."""

from __future__ import annotations

import dataclasses

import pytest

from graphjit.bodies import bodies_of
from graphjit.ir import Graph
from graphjit.printer import op_text
from tests.conformance.case import Case, Row
from tests.conformance.table import EACH_CASE, ROWS


@EACH_CASE
def test_prints(row: Row, case: Case) -> None:
    text = str(case.graph())
    assert text == str(case.graph())
    head, *rest = text.splitlines()
    assert head.startswith("graph one(")
    line = rest[0].strip()
    assert line.startswith(f"%y = {row.kind}(")
    for field in dataclasses.fields(case.op):  # type: ignore[arg-type]
        value = getattr(case.op, field.name)
        if isinstance(value, Graph):
            continue
        default = repr(value) == repr(field.default)
        assert (f"{field.name}={value!r}" in line) != default, field.name
    for type_ in case.graph().nodes[0].types:
        assert str(type_) in line

    # An operand left out is a blank, so that positions keep their meaning.
    shown = line.split("(", 1)[1].split(")", 1)[0].split(", ")
    operands = case.graph().nodes[0].operands
    assert [text == "_" for text in shown] == [value is None for value in operands]
    assert op_text(case.op).startswith(row.kind)
    assert op_text(case.op).isprintable()


WITH_BODIES = [
    pytest.param(case, id=case.id)
    for row in ROWS
    for case in row.cases
    if bodies_of(case.op)
]


@pytest.mark.parametrize("case", WITH_BODIES)
def test_bodies_print_indented(case: Case) -> None:
    text = str(case.graph())
    for name, body in bodies_of(case.op):
        assert f"\n    {name}:\n    graph {body.name}(" in text
        for node in body.nodes:
            assert f"\n      %{node.name} = " in text
