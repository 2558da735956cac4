"""In bfloat16 the gradient to what many results share is their sum, rounded once.

Slopes of the size of 1 on thousands of results: a sum kept in bfloat16 stays at 256
when it gets there. Every op with weights stands in `SHARING`, and a few without.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import ml_dtypes
import numpy as np
import pytest

from graphjit.builder import Builder
from graphjit.ir import Graph
from graphjit.ops import elementwise as ew
from graphjit.ops.attention.attention_op import AttentionOp
from graphjit.ops.batch_norm import BatchNorm, BatchNormInference
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.ops.conv.depth_conv import DepthConv
from graphjit.ops.conv.local_op import LocallyConnectedOp
from graphjit.ops.conv.transpose_op import ConvTransposeOp
from graphjit.ops.conv.winograd import WinogradConv
from graphjit.ops.dense import DenseOp
from graphjit.ops.einsum import EinsumOp
from graphjit.ops.embedding import EmbeddingOp
from graphjit.ops.learned_activations import ParametricSoftplusOp, Prelu, Srelu
from graphjit.ops.norms import GroupNorm, LayerNorm
from graphjit.ops.pool import AveragePool
from graphjit.ops.recurrent.cell_ops import GRUCellOp, LSTMCellOp, SimpleRNNCellOp
from graphjit.ops.recurrent.sequence_ops import GRUOp, LSTMOp, SimpleRNNOp
from graphjit.ops.scan import Scan
from graphjit.ops.shape import Upsample
from graphjit.types import TensorType
from tests.conformance.case import Arg, Case, above_zero, function_of, together, w, x
from tests.conformance.kernel_problems.recurrent import small
from tests.conformance.table import ROWS

GATED: dict[str, Any] = {"recurrent_activation": ew.Sigmoid()}
EVERY: dict[str, Any] = {**GATED, "return_sequences": True}
ROWS_AND_STEPS = (16, 64)

#: The two operands of arithmetic: thousands of rows, and what all of them share.
VECTOR = (x(16, 64, 8, 3), w(3))
SCALES = (w(6), w(6))


def learned(op: Any, count: int) -> Case:
    return Case(op, (x(16, 64, 6), *(w(1, 6),) * count))


def recurrent(op: Any, *rows: int) -> Case:
    """A sequence (rows, steps), or one step of `rows` rows."""
    units = 3
    states = () if len(rows) > 1 else (x(*rows, units),) * len(op.states)
    return Case(
        op,
        (
            x(*rows, 2),
            small(2, op.gates * units),
            small(units, op.gates * units),
            small(*op.bias_shape(units)),
            *states,
        ),
    )


def shifting_body(dtype: str) -> Graph:
    """Keeps h; every step shows x + shift."""
    builder = Builder("step")
    row = TensorType((2, 3), dtype)
    h, step = builder.input("h", row), builder.input("x", row)
    shift = builder.input("shift", TensorType((3,), dtype))
    builder.output("h", h)
    builder.output("y", builder(ew.Add(), step, shift))
    return builder.build()


def scan() -> Case:
    def of(dtype: str) -> Any:
        return Scan(shifting_body(dtype), 1, 1)

    return Case(of("float64"), (x(2, 3), x(2, 512, 3), w(3)), of=of)


def additive() -> Case:
    op = AttentionOp((1,), 1.0, additive=True)
    return Case(op, (x(32, 6, 3), x(32, 8, 3), x(32, 8, 3), w(3)))


SHARING: tuple[Case, ...] = (
    Case(ew.Add(), VECTOR),
    Case(ew.Subtract(), VECTOR),
    Case(ew.Multiply(), VECTOR),
    Case(ew.Multiply(), (x(16, 64, 6), w())),
    Case(ew.Average(), VECTOR),
    Case(ew.Maximum(), VECTOR),
    Case(ew.Minimum(), VECTOR),
    Case(DenseOp(), (x(16, 64, 2), w(2, 3), w(3))),
    Case(EinsumOp("bi,fio->bfo"), (x(1024, 2), w(3, 2, 4), w(3, 4))),
    Case(ConvOp((1, 1)), (x(4, 16, 16, 2), w(1, 1, 2, 3), w(3))),
    Case(
        ConvTransposeOp((2, 2), ((0, 0), (0, 0))), (x(4, 9, 8, 2), w(2, 2, 3, 2), w(3))
    ),
    Case(LocallyConnectedOp((1,), (1,)), (x(64, 32, 3), w(32, 3, 4), w(4))),
    Case(WinogradConv(), (x(4, 16, 16, 2), w(16, 2, 3), w(3))),
    Case(
        DepthConv(1, (1, 1, 1), "same", (1, 1, 1)),
        (x(2, 8, 8, 8, 2), w(1, 1, 2, 3), w(3)),
    ),
    Case(EmbeddingOp(), (Arg((64, 64), "ids", dtype="int32"), w(5, 4))),
    learned(Prelu(), 1),
    learned(ParametricSoftplusOp(), 2),
    learned(Srelu(), 4),
    Case(LayerNorm((2,)), (x(16, 64, 6), *SCALES)),
    Case(GroupNorm(2, 2), (x(16, 64, 6), *SCALES)),
    Case(BatchNorm(2), (x(16, 64, 6), *SCALES, w(6), above_zero(6))),
    Case(BatchNormInference(2), (x(16, 64, 6), *SCALES, w(6), above_zero(6))),
    additive(),
    scan(),
    recurrent(SimpleRNNOp(ew.Tanh(), return_sequences=True), *ROWS_AND_STEPS),
    recurrent(GRUOp(ew.Tanh(), **EVERY), *ROWS_AND_STEPS),
    recurrent(GRUOp(ew.Tanh(), **EVERY, reset_after=False), *ROWS_AND_STEPS),
    recurrent(LSTMOp(ew.Tanh(), **EVERY), *ROWS_AND_STEPS),
    recurrent(SimpleRNNCellOp(ew.Tanh()), 1024),
    recurrent(GRUCellOp(ew.Tanh(), **GATED), 1024),
    recurrent(LSTMCellOp(ew.Tanh(), **GATED), 1024),
    Case(Upsample((1, 16, 8, 1)), (x(3, 2, 2, 4),)),
    Case(AveragePool((24, 24), (1, 1)), (x(2, 25, 26, 2),)),
)

#: Ops whose weights are moved, or read by what stands in a body.
NOT_SHARED = {"concatenate", "checkpoint"}


def shared(case: Case) -> list[int]:
    """Positions of the weights; of x where there are none."""
    weights = [at for at, arg in enumerate(case.args) if arg is not None and arg.weight]
    return weights or [0]


def gradients(case: Case, dtype: str) -> tuple[Any, Any]:
    """A function to the largest result's gradients, and its arguments.

    In any dtype they have the values that they have in bfloat16.
    """
    arrays: list[Any] = case.arrays("bfloat16")
    shapes = [result.shape for result in case.graph().nodes[0].types]
    largest = max(range(len(shapes)), key=lambda at: math.prod(shapes[at]))
    slope = np.random.default_rng(5).normal(1, 1, shapes[largest])
    slope = slope.astype(ml_dtypes.bfloat16)
    function = function_of(case.graph(dtype))

    def run(arrays: Any, slope: Any) -> Any:
        def result(moved: Any) -> Any:
            full = list(arrays)
            for at, array in moved.items():
                full[at] = array
            return function(*full)[largest]

        moved = {at: arrays[at] for at in shared(case)}
        return jax.vjp(result, moved)[1](slope)[0]

    wide = [a if a.dtype.kind == "i" else a.astype(dtype) for a in arrays]
    return run, (wide, slope.astype(dtype))


@pytest.fixture(scope="module")
def errors() -> dict[str, float]:
    """By case: the largest error of its gradients, in units of bfloat16's epsilon
    times the largest element.
    """
    with jax.numpy_dtype_promotion("strict"):
        found, wanted = (
            together([gradients(case, dtype) for case in SHARING], dtype)
            for dtype in ("bfloat16", "float64")
        )
    eps = float(ml_dtypes.finfo(ml_dtypes.bfloat16).eps)
    worst: dict[str, float] = {}
    for case, narrow, exact in zip(SHARING, found, wanted, strict=True):
        parts: list[float] = []
        for at, given in exact.items():
            sums = np.asarray(given)
            error = np.abs(np.asarray(narrow[at], "float64") - sums).max()
            parts.append(float(error / (np.abs(sums).max() or 1.0) / eps))
        worst[case.id] = max(parts)
    return worst


@pytest.mark.parametrize("case", SHARING, ids=lambda case: case.id)
def test_gradient_is_the_sum_rounded(errors: dict[str, float], case: Case) -> None:
    # Half a unit is the rounding of the sum; what it is of was rounded as well.
    assert errors[case.id] <= 1


def test_every_op_with_weights_is_here() -> None:
    have = {case.op.kind for case in SHARING} | NOT_SHARED
    missing = [
        row.kind
        for row in ROWS
        if row.kind not in have
        and any(arg and arg.weight for case in row.cases for arg in case.args[1:])
    ]
    assert not missing, f"no case in {__name__} for {missing}"
