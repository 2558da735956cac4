"""Rows of a table by id."""

from __future__ import annotations

from graphjit.ops.embedding import EmbeddingOp
from tests.conformance.case import Arg, Case, Layouts, Row, w

__all__ = ["ROWS"]


def ids(*shape: int, dtype: str = "int32") -> Arg:
    return Arg(shape, "ids", dtype=dtype, differentiable=False)


ROWS: list[Row] = [
    Row(
        EmbeddingOp,
        (
            Case(EmbeddingOp(), (ids(2, 3), w(5, 4))),
            Case(EmbeddingOp(), (ids(2, 4, 6), w(7, 3))),
            Case(EmbeddingOp(), (ids(4, 3, dtype="uint8"), w(300, 2))),
        ),
        lambda _, at, table: table[at],
        layouts=Layouts.ALL,
    )
]
