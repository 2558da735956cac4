"""`infer` says what `lower` does, and says no more than it knows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import jax
import numpy as np

from graphjit.errors import ShapeError
from graphjit.ops.base import result_types
from graphjit.ops.function_op import FunctionOp
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
    """The operand types, every data axis of this size turned into `dim`."""
    types: list[TensorType | None] = []
    for arg, type_ in zip(case.args, case.types("float32"), strict=True):
        if arg is None or type_ is None or arg.weight:
            types.append(type_)
            continue
        shape = (dim if d == size else d for d in type_.shape)
        types.append(type_.with_shape(shape))
    return types


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
    batch = data[0].shape[0] if data and case.batched else None
    sizes = sorted({size for arg in data for size in arg.shape if size != 1})
    for size, dim in itertools.product(sizes, (None, "rows")):
        try:
            found = result_types(op, with_dim(case, size, dim))
        except ShapeError:
            # A name cannot meet the numbers in an op's own types (a body, a result).
            typed = case.of is not None and dim is not None
            assert size != batch or typed, "a free batch is refused"
            continue
        assert agrees(found, known, "rows", size), (size, found)
        if size == batch and not isinstance(op, FunctionOp):
            # The batch stays what it was, and nothing is claimed of it.
            batched = [t for t, k in zip(found, known, strict=True) if k.rank]
            assert all(t.shape[0] in (dim, None) for t in batched if t.shape[0] != 1)
