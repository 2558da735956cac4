"""THE table: a row for every op kind in `OPS`. An op without a row fails.

A row names the op's class, a plain NumPy statement of it, and cases: attributes (not
the default ones alone) and operands. To add one::

    Row(MyOp, cases(MyOp, [{"axis": 1}, {"axis": 2}], x(2, 3, 6)), formulas.my_op),

and it is run through every property in this folder. Sizes: small, h != w, the batch
first (2 rows, or 5 where rows mix), one axis of 6 where a merged axis can be tried.
Most elementwise rows have the same shapes, so that JAX compiles them once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from graphjit.builder import Builder
from graphjit.functions import function_of
from graphjit.ir import Graph
from graphjit.ops import elementwise as ew
from graphjit.ops.checkpoint import Checkpoint
from graphjit.ops.dense import DenseOp
from graphjit.ops.dropout import DropoutOp
from graphjit.ops.function_op import FunctionOp
from graphjit.ops.penalty import Penalty
from graphjit.ops.pool import AveragePool, MaxPool
from graphjit.ops.reduce import LogSoftmax, ReduceMax, ReduceMean, ReduceSum, Softmax
from graphjit.ops.scan import Scan
from graphjit.ops.shape import Concatenate, Pad, Reshape, Transpose, Upsample
from graphjit.regularizers import L1, L1L2, L2
from graphjit.types import TensorType
from tests.conformance import formulas
from tests.conformance.case import (
    Arg,
    Case,
    Layouts,
    Row,
    cases,
    ints,
    row_mask,
    w,
    wide,
    x,
)
from tests.conformance.rows import (
    attention,
    batch_norm,
    conv,
    embedding,
    given,
    learned_activations,
    merge,
    noise,
    norms,
    recurrent,
    shaping,
)

ALL, SOME = Layouts.ALL, Layouts.SOME


def unary(
    op: type[Any],
    formula: Callable[..., Any],
    *attributes: dict[str, Any],
    arg: Arg | None = None,
) -> Row:
    """A row for an elementwise op of one operand; `formula` takes the array alone
    where the op has no attributes."""
    numpy = formula if attributes else lambda _, array: formula(array)
    arg = arg or wide(2, 3, 6)
    return Row(op, cases(op, attributes or [{}], arg), numpy, layouts=ALL)


def merging(op: type[Any], formula: Callable[..., Any], most: int = 3) -> Row:
    """A row for an elementwise op of several operands, with broadcasting."""
    found = [
        Case(op(), (x(2, 3, 6), x(2, 3, 6))),
        Case(op(), (x(2, 3, 1), x(2, 1, 6))),
        Case(op(), (x(2, 3, 6), w(6)), layouts=Layouts.NONE),
    ]
    if most > 2:
        found.append(Case(op(), (x(2, 1, 6), x(2, 3, 6), x(1, 3, 1))))
        found.append(Case(op(), (x(2, 3, 6),)))
    return Row(op, tuple(found), lambda _, *arrays: formula(*arrays), layouts=ALL)


def total(*arrays: Any) -> Any:
    return sum(arrays[1:], start=arrays[0])


def product(*arrays: Any) -> Any:
    result = arrays[0]
    for array in arrays[1:]:
        result = result * array
    return result


def fold(combine: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def folded(*arrays: Any) -> Any:
        result = arrays[0]
        for array in arrays[1:]:
            result = combine(result, array)
        return result

    return folded


def reduction(op: type[Any], formula: Callable[..., Any]) -> Row:
    return Row(
        op,
        (
            *cases(op, [{"axes": (1, 2)}, {"axes": (3,), "keepdims": True}], IMAGE),
            *cases(op, [{"axes": (1, 2), "keepdims": True}], IMAGE),
            Case(op((0, 1)), (w(3, 2, 4, 5),), batched=False),
        ),
        lambda op, array: formula(array, axis=op.axes, keepdims=op.keepdims),
        layouts=ALL,
        exact=False,
    )


IMAGE = x(2, 5, 4, 6)

ELEMENTWISE = [
    unary(
        ew.Relu,
        formulas.relu,
        {},
        {"negative_slope": 0.2},
        {"max_value": 0.8},
        {"threshold": -0.5},
        {"negative_slope": 0.3, "max_value": 1.7, "threshold": 0.6},
    ),
    unary(ew.Elu, formulas.elu, {}, {"alpha": 0.7}),
    Row(ew.Selu, (Case(ew.Selu(), (wide(2, 3, 6),)),), formulas.selu, layouts=ALL),
    unary(ew.Sigmoid, formulas.sigmoid),
    unary(ew.Tanh, np.tanh),
    unary(ew.Softplus, formulas.softplus),
    unary(ew.Softsign, lambda a: a / (1 + np.abs(a))),
    unary(ew.HardSigmoid, lambda a: np.clip(0.2 * a + 0.5, 0, 1)),
    unary(ew.HardSigmoidRelu6, lambda a: formulas.relu6(a + 3) / 6),
    unary(ew.HardSilu, lambda a: a * formulas.relu6(a + 3) / 6),
    unary(ew.Exponential, np.exp, arg=x(2, 3, 6)),
    unary(ew.Silu, lambda a: a * formulas.sigmoid(a)),
    unary(ew.Gelu, formulas.gelu, {}, {"approximate": True}),
    unary(ew.Mish, lambda a: a * np.tanh(formulas.softplus(a))),
    unary(
        ew.Rsqrt,
        lambda op, a: 1 / np.sqrt(a + op.epsilon),
        {},
        {"epsilon": 0.1},
        arg=Arg((2, 3, 6), "positive"),
    ),
    unary(ew.Negate, lambda a: -a),
    Row(
        ew.Cast,
        (
            Case(ew.Cast("float32"), (ints(2, 3, 6),)),
            Case(ew.Cast("int32"), (Arg((2, 3, 6), "wide", differentiable=False),)),
            Case(ew.Cast("bool"), (Arg((2, 3, 6), differentiable=False),)),
        ),
        lambda op, a: a.astype(op.dtype),
        layouts=ALL,
    ),
    merging(ew.Add, total),
    merging(ew.Subtract, np.subtract, most=2),
    merging(ew.Multiply, product),
    merging(ew.Average, lambda *a: total(*a) / len(a)),
    merging(ew.Maximum, fold(np.maximum)),
    merging(ew.Minimum, fold(np.minimum)),
]

ALONG_AXES = [
    reduction(ReduceMean, np.mean),
    reduction(ReduceMax, np.max),
    reduction(ReduceSum, np.sum),
    Row(
        Softmax,
        cases(Softmax, [{"axis": 1}, {"axis": 2}], x(2, 3, 6)),
        formulas.softmax,
        layouts=ALL,
        exact=False,
    ),
    Row(
        LogSoftmax,
        cases(LogSoftmax, [{"axis": 1}, {"axis": 2}], x(2, 3, 6)),
        formulas.log_softmax,
        layouts=ALL,
        exact=False,
    ),
]

MOVING = [
    Row(
        Transpose,
        (
            *cases(Transpose, [{"perm": (0, 2, 3, 1)}, {"perm": (0, 3, 1, 2)}], IMAGE),
            Case(Transpose((1, 0)), (w(3, 4),), batched=False),
        ),
        lambda op, a: np.transpose(a, op.perm),
    ),
    Row(
        Reshape,
        (
            *cases(Reshape, [{"shape": (120,)}, {"shape": (-1, 6)}], IMAGE),
            Case(Reshape((5, 24)), (IMAGE,)),
            Case(Reshape((20, 3, 2)), (IMAGE,), layouts=Layouts.NONE),
            Case(Reshape((24,), keep=2), (IMAGE,)),
            Case(Reshape((1, 1, 6)), (x(2, 6),), layouts=Layouts.NONE),
            Case(
                Reshape((2, 1, 12), keep=0),
                (w(2, 4, 3),),
                layouts=Layouts.NONE,
                batched=False,
            ),
        ),
        formulas.reshape,
        layouts=SOME,
    ),
    Row(
        Pad,
        cases(
            Pad,
            [
                {"pads": ((0, 0), (1, 2), (0, 3), (0, 0))},
                {"pads": ((0, 0), (2, 0), (1, 1), (0, 1)), "value": 1.5},
            ],
            IMAGE,
        ),
        lambda op, a: np.pad(a, op.pads, constant_values=op.value),
        layouts=ALL,
    ),
    Row(
        Concatenate,
        (
            Case(Concatenate(3), (IMAGE, x(2, 5, 4, 1), x(2, 5, 4, 3))),
            Case(Concatenate(1), (x(2, 3, 6), x(2, 2, 6))),
            Case(Concatenate(1), (x(2, 3, 6),)),
            Case(Concatenate(0), (w(3, 4), w(2, 4)), batched=False),
        ),
        lambda op, *a: np.concatenate(a, op.axis),
        layouts=ALL,
    ),
    Row(
        Upsample,
        cases(Upsample, [{"factors": (1, 2, 3, 1)}, {"factors": (1, 1, 1, 2)}], IMAGE),
        formulas.upsample,
        layouts=ALL,
    ),
]

# --- convolution and pooling ----------------------------------------------------------


WINDOWS: list[dict[str, Any]] = [
    {"size": (2, 3), "strides": (2, 3)},
    {"size": (3, 2), "strides": (1, 2), "padding": "same"},
    {"size": (2, 2), "strides": (2, 1), "padding": ((1, 0), (0, 1))},
]
LENGTHS: dict[str, Any] = {"size": (3,), "strides": (2,), "padding": "same"}
BOXES: dict[str, Any] = {"size": (2, 1, 2), "strides": (1, 2, 2)}


def pool(op: type[Any], formula: Callable[..., Any]) -> Row:
    return Row(
        op,
        (
            *cases(op, WINDOWS, x(2, 7, 6, 3)),
            *cases(op, [LENGTHS], x(2, 8, 3)),
            *cases(op, [BOXES], x(2, 3, 4, 5, 2)),
        ),
        formula,
        exact=False,
    )


CONVOLUTION = [
    *conv.ROWS,
    pool(MaxPool, formulas.max_pool),
    pool(AveragePool, formulas.average_pool),
]

# --- weights, statistics, randomness --------------------------------------------------


def kept_or_zero(op: DropoutOp, operands: list[Any], results: list[Any]) -> None:
    """Every element is 0, or x / (1 - rate); the draw is shared along axes of 1."""
    (data,), (y,) = operands, results
    kept = y != 0
    np.testing.assert_allclose(y, np.where(kept, data / (1 - op.rate), 0), rtol=1e-12)
    assert kept.any()
    assert not kept.all()
    logical = kept if op.perm is None else np.transpose(kept, np.argsort(op.perm))
    for axis, dim in enumerate(op.noise_shape or ()):
        if dim == 1:
            first = np.take(logical, [0], axis)
            np.testing.assert_array_equal(logical, np.broadcast_to(first, kept.shape))


WEIGHTED = [
    Row(
        DenseOp,
        (
            Case(DenseOp(), (x(2, 6), w(6, 4), w(4))),
            Case(DenseOp(), (x(2, 3, 6), w(6, 4))),
            Case(DenseOp(), (x(2, 3, 4, 6), w(6, 5), w(5))),
        ),
        formulas.dense,
        layouts=SOME,
        exact=False,
    ),
    *batch_norm.ROWS,
    Row(
        DropoutOp,
        cases(
            DropoutOp,
            [
                {"rate": 0.4, "seed": 3},
                {"rate": 0.4, "seed": 3, "noise_shape": (None, 1, 6)},
                {"rate": 0.7, "seed": 9, "perm": (0, 2, 1)},
            ],
            x(4, 5, 6),
        ),
        check=kept_or_zero,
        inference=lambda _, a: a,
        layouts=ALL,
    ),
    Row(
        Penalty,
        (
            Case(Penalty(L1(0.3)), (x(5, 3, 4),)),
            Case(Penalty(L2(0.2)), (x(5, 6), row_mask(5))),
            Case(Penalty(L1L2(0.1, 0.4)), (x(5, 2, 4), row_mask(5))),
        ),
        formulas.penalty,
        layouts=ALL,
        exact=False,
    ),
]

# --- functions and bodies -------------------------------------------------------------


def _scaled_sine(a: Any, b: Any) -> Any:
    return jnp.sin(a) * b


def function(dtype: str) -> FunctionOp:
    return FunctionOp(function_of(_scaled_sine), TensorType((2, 3, 6), dtype))


def scan_body(dtype: str, batch: Any = 2) -> Graph:
    """h = tanh(x @ kernel + h), and h * x as the step's result."""
    builder = Builder("step")
    hidden = TensorType((batch, 3), dtype)
    h = builder.input("h", hidden)
    step = builder.input("x", hidden)
    kernel = builder.input("kernel", TensorType((3, 3), dtype))
    moved = builder(DenseOp(), step, kernel, name="moved")
    new = builder(ew.Tanh(), builder(ew.Add(), moved, h, name="sum"), name="new")
    builder.output("h", new)
    builder.output("y", builder(ew.Multiply(), new, step, name="out"))
    return builder.build()


def scan(axis: int, reverse: bool = False, batch: Any = 2) -> Case:
    sequence = x(2, 4, 3) if axis == 1 else x(4, 2, 3)

    def of(dtype: str) -> Scan:
        return Scan(scan_body(dtype, batch), 1, 1, axis, reverse)

    args = (x(2, 3), sequence, w(3, 3))
    return Case(of("float64"), args, batched=axis == 1, of=of)


def checkpoint_body(dtype: str) -> Graph:
    """tanh(x @ kernel) * ids, its square, and where ids are not 0."""
    builder = Builder("part")
    x_ = builder.input("x", TensorType((2, 3), dtype))
    kernel = builder.input("kernel", TensorType((3, 3), dtype))
    ids = builder.input("ids", TensorType((2, 3), "int32"))
    y = builder(ew.Tanh(), builder(DenseOp(), x_, kernel), name="bent")
    y = builder(ew.Multiply(), y, builder(ew.Cast(dtype), ids), name="scaled")
    builder.output("y", y)
    builder.output("square", builder(ew.Multiply(), y, y, name="square"))
    builder.output("mask", builder(ew.Cast("bool"), ids, name="mask"))
    return builder.build()


def checkpoint(dtype: str) -> Checkpoint:
    return Checkpoint(checkpoint_body(dtype))


def checkpointed(_: Any, a: Any, kernel: Any, ids: Any) -> Any:
    y = np.tanh(a @ kernel) * ids
    return y, y * y, ids != 0


BODIES = [
    Row(
        Checkpoint,
        (
            Case(
                checkpoint("float64"),
                (x(2, 3), w(3, 3), ints(2, 3)),
                batched=False,
                of=checkpoint,
            ),
        ),
        checkpointed,
        smooth_results=(0, 1),
        forward_mode=False,
    ),
    Row(
        FunctionOp,
        (Case(function("float64"), (x(2, 3, 6), x(2, 3, 6)), of=function),),
        lambda _, a, b: np.sin(a) * b,
    ),
    Row(
        Scan,
        (scan(1), scan(1, reverse=True), scan(0)),
        formulas.moving_sum,
        smooth_results=(0, 1),
    ),
]

ROWS: list[Row] = [
    *ELEMENTWISE,
    *ALONG_AXES,
    *MOVING,
    *CONVOLUTION,
    *WEIGHTED,
    *BODIES,
    *attention.ROWS,
    *embedding.ROWS,
    *learned_activations.ROWS,
    *merge.ROWS,
    *norms.ROWS,
    *given.ROWS,
    *noise.ROWS,
    *recurrent.ROWS,
    *shaping.ROWS,
]

EACH_ROW = pytest.mark.parametrize("row", [pytest.param(r, id=r.kind) for r in ROWS])
EACH_CASE = pytest.mark.parametrize(
    ("row", "case"),
    [pytest.param(row, case, id=case.id) for row in ROWS for case in row.cases],
)
