"""`infer` says what `lower` does, and says no more than it knows."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence

import jax
import numpy as np
import pytest

from graphjit.errors import ShapeError
from graphjit.ops.base import result_types
from graphjit.types import Dim, TensorType
from tests.conformance.case import Case, Row, function_of, present, x64
from tests.conformance.table import EACH_CASE


@EACH_CASE
def test_infer_is_the_abstract_evaluation(row: Row, case: Case) -> None:
    for dtype in ("float64", "float32", "bfloat16", "float16"):
        graph = case.graph(dtype)
        with x64(dtype):
            found = jax.eval_shape(function_of(graph), *present(case.arrays(dtype)))
        names = [np.dtype(f.dtype).name for f in found]
        wanted = [
            TensorType(tuple(f.shape), n) for f, n in zip(found, names, strict=True)
        ]
        assert list(graph.nodes[0].types) == wanted


def with_dim(case: Case, size: int, dim: Dim) -> list[TensorType | None]:
    """The operand types, every data axis of this size (not the batch) now `dim`."""
    first = 1 if case.batched else 0
    return [
        type_
        if arg is None or type_ is None or arg.weight
        else type_.with_shape(
            dim if d == size and axis >= first else d
            for axis, d in enumerate(type_.shape)
        )
        for arg, type_ in zip(case.args, case.types("float32"), strict=True)
    ]


def with_batch(case: Case, dim: Dim) -> list[TensorType | None]:
    """The operand types with `dim` as the batch (a broadcast 1 stays)."""
    return [
        type_
        if arg is None or type_ is None or arg.weight or arg.shape[0] == 1
        else type_.with_shape((dim, *type_.shape[1:]))
        for arg, type_ in zip(case.args, case.types("float32"), strict=True)
    ]


def agrees(
    found: Sequence[TensorType], known: Sequence[TensorType], symbol: str, size: int
) -> bool:
    """Whether types inferred from less are the known ones where they are numbers."""
    if [t.rank for t in found] != [t.rank for t in known]:
        return False
    for less, more in zip(found, known, strict=True):
        for a, b in zip(less.shape, more.shape, strict=True):
            if a is not None and (size if a == symbol else a) != b:
                return False
        if less.dtype != more.dtype:
            return False
    return True


@EACH_CASE
def test_unknown_dims_agree_with_known_ones(row: Row, case: Case) -> None:
    op = case.op_for("float32")
    known = result_types(op, case.types("float32"))
    data = [arg for arg in case.args if arg is not None and not arg.weight]
    sizes = sorted({size for arg in data for size in arg.shape if size != 1})
    for size, dim in itertools.product(sizes, (None, "rows")):
        try:
            found = result_types(op, with_dim(case, size, dim))
        except ShapeError:
            continue  # an op may need to know it
        assert agrees(found, known, "rows", size), (size, found)


@EACH_CASE
@pytest.mark.parametrize("dim", [None, "batch"])
def test_the_batch_may_be_unknown(row: Row, case: Case, dim: str | None) -> None:
    data = [arg for arg in case.args if arg is not None and not arg.weight]
    if not case.batched or not data:
        return
    op = case.op_for("float32")
    batch = data[0].shape[0]
    if case.of is not None:
        # The op's own types (a body's, a recorded one) have numbers in them.
        with contextlib.suppress(ShapeError):
            result_types(op, with_batch(case, dim))
        return
    known = result_types(op, case.types("float32"))
    found = result_types(op, with_batch(case, dim))
    assert agrees(found, known, "batch", batch), found
    for less, more in zip(found, known, strict=True):
        assert more.shape[:1] != (batch,) or less.shape[0] == dim
