"""A node's line names the kind and every attribute that is not the default."""

from __future__ import annotations

import dataclasses

from graphjit.ir import Graph
from graphjit.printer import bodies_of, op_text
from tests.conformance.case import Case, Row
from tests.conformance.table import EACH_CASE


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
        default = type(value) is type(field.default) and value == field.default
        assert (f"{field.name}={value!r}" in line) != default, field.name
    for type_ in case.graph().nodes[0].types:
        assert str(type_) in line


@EACH_CASE
def test_bodies_print_indented(row: Row, case: Case) -> None:
    text = str(case.graph())
    for name, body in bodies_of(case.op):
        assert f"\n    {name}:\n    graph {body.name}(" in text
        for node in body.nodes:
            assert f"\n      %{node.name} = " in text


@EACH_CASE
def test_left_out_operands_print_as_a_blank(row: Row, case: Case) -> None:
    node = case.graph().nodes[0]
    line = str(case.graph()).splitlines()[1]
    shown = line.split("(", 1)[1].split(")", 1)[0].split(", ")
    assert [s == "_" for s in shown] == [v is None for v in node.operands]


@EACH_CASE
def test_op_text_is_short(row: Row, case: Case) -> None:
    assert op_text(case.op).startswith(row.kind)
    assert op_text(case.op).isprintable()
