"""The loop op: a small cell over time, end to end, against a loop in Python."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import jax
import numpy as np
import pytest

from graphjit.builder import Builder
from graphjit.errors import ShapeError, VerifyError
from graphjit.ir import Graph, Param
from graphjit.lower import lower, uses_rng
from graphjit.ops.base import Op
from graphjit.ops.dense import DenseOp
from graphjit.ops.dropout import DropoutOp
from graphjit.ops.elementwise import Add, Multiply, Tanh
from graphjit.ops.scan import Scan
from graphjit.types import TensorType
from graphjit.verify import verify
from tests.graphs import random_inputs, variables_for

UNITS, FEATURES, STEPS, BATCH = 4, 3, 5, 2


def cell(dtype: str = "float64", extra: Op | None = None) -> Graph:
    """h = tanh(x @ W + h @ U + b); each step gives h and h * h."""
    builder = Builder("cell")
    hidden = TensorType(("batch", UNITS), dtype)
    h = builder.input("h", hidden)
    x = builder.input("x", TensorType(("batch", FEATURES), dtype))
    w = builder.input("W", TensorType((FEATURES, UNITS), dtype))
    u = builder.input("U", TensorType((UNITS, UNITS), dtype))
    b = builder.input("b", TensorType((UNITS,), dtype))
    total = builder(Add(), builder(DenseOp(), x, w), builder(DenseOp(), h, u, b))
    new = builder(Tanh(), total, name="new")
    if extra is not None:
        new = builder(extra, new, name="extra")
    builder.output("h", new)
    builder.output("h_again", new)
    builder.output("squared", builder(Multiply(), new, new, name="squared"))
    return builder.build()


def model(
    op: Scan, dtype: str = "float64", length: Any = STEPS, axis: int = 1
) -> Graph:
    """h0 and xs in; the last state and both sequences out."""
    builder = Builder("recurrent")
    shape = ["batch", FEATURES]
    shape.insert(axis, length)
    h0 = builder.input("h0", TensorType(("batch", UNITS), dtype))
    xs = builder.input("xs", TensorType(tuple(shape), dtype))
    params = [
        builder.param(Param(f"cell/{name}", TensorType(dims, dtype)))
        for name, dims in (
            ("kernel", (FEATURES, UNITS)),
            ("recurrent", (UNITS, UNITS)),
            ("bias", (UNITS,)),
        )
    ]
    for name, value in zip(
        ("last", "hs", "squares"),
        builder.node(op, [h0, xs, *params], name="cell/scan"),
        strict=True,
    ):
        builder.output(name, value)
    return verify(builder.build())


def unrolled(
    weights: Any, h: Any, xs: Any, reverse: bool = False, axis: int = 1
) -> tuple[Any, Any, Any]:
    xs = np.moveaxis(xs, axis, 0)
    hs = [np.empty(0)] * len(xs)
    steps = range(len(xs))
    for step in reversed(steps) if reverse else steps:
        product = xs[step] @ weights["kernel"] + h @ weights["recurrent"]
        h = np.tanh(product + weights["bias"])
        hs[step] = h
    stacked = np.moveaxis(np.stack(hs), 0, axis)
    return h, stacked, stacked**2


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_cell_over_time(reverse: bool, axis: int) -> None:
    graph = model(Scan(cell(), 1, 1, axis, reverse), axis=axis)
    variables, inputs = variables_for(graph), random_inputs(graph, batch=BATCH)
    step = lower(graph)(variables["params"], {}, inputs)
    wanted = unrolled(variables["params"]["cell"], *inputs, reverse, axis)
    for found, value in zip(step.outputs, wanted, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_are_those_of_the_unrolled_loop(reverse: bool) -> None:
    graph = model(Scan(cell(), 1, 1, reverse=reverse))
    variables, inputs = variables_for(graph), random_inputs(graph, batch=BATCH)
    function = lower(graph)

    def looped(params: Any) -> Any:
        last, hs, squares = function(params, {}, inputs).outputs
        return last.sum() + (hs * squares).sum()

    def plain(flat: Any) -> Any:
        last, hs, squares = unrolled(flat["cell"], *inputs, reverse)
        return last.sum() + (hs * squares).sum()

    params = variables["params"]
    step = 1e-6
    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(looped))(params)["cell"]
    for name, weight in params["cell"].items():
        direction = np.random.default_rng(3).normal(size=weight.shape)
        moved = [
            plain({"cell": {**params["cell"], name: weight + sign * step * direction}})
            for sign in (1, -1)
        ]
        numeric = (moved[0] - moved[1]) / (2 * step)
        np.testing.assert_allclose(np.vdot(gradient[name], direction), numeric, 1e-7)


def test_the_length_may_be_unknown() -> None:
    graph = model(Scan(cell(), 1, 1), length=None)
    assert [str(t) for t in graph.nodes[0].types] == [
        "float64[batch, 4]",
        "float64[batch, ?, 4]",
        "float64[batch, ?, 4]",
    ]
    variables = variables_for(graph)
    for length in (1, 7):
        inputs = random_inputs(graph, batch=BATCH)
        inputs[1] = np.random.default_rng(length).normal(size=(BATCH, length, FEATURES))
        step = lower(graph)(variables["params"], {}, inputs)
        wanted = unrolled(variables["params"]["cell"], *inputs)
        np.testing.assert_allclose(step.outputs[1], wanted[1], rtol=1e-12)


def test_only_carries_or_only_sequences() -> None:
    builder = Builder("body")
    x = builder.input("x", TensorType(("batch", 3)))
    builder.output("y", builder(Tanh(), x))
    mapped = Scan(builder.build(), carries=0, sequences=1)
    outer = Builder("outer")
    xs = outer.input("xs", TensorType(("batch", 4, 3)))
    outer.output("ys", outer(mapped, xs))
    graph = verify(outer.build())
    data = random_inputs(graph)[0]
    np.testing.assert_allclose(
        lower(graph)({}, {}, data).outputs, np.tanh(data), rtol=1e-6
    )


# --- random bodies --------------------------------------------------------------------


def test_every_step_draws_anew() -> None:
    body = cell("float32", DropoutOp(0.5, seed=1))
    graph = model(Scan(body, 1, 1), "float32")
    assert uses_rng(graph)
    variables, inputs = variables_for(graph), random_inputs(graph, batch=BATCH)
    function = lower(graph)
    hs = np.asarray(function(variables["params"], {}, inputs, 0).outputs[1])
    dropped = hs == 0
    assert dropped.any()
    assert len({step.tobytes() for step in np.moveaxis(dropped, 1, 0)}) > 1
    again = function(variables["params"], {}, inputs, 0).outputs[1]
    np.testing.assert_array_equal(again, hs)


# --- texts ----------------------------------------------------------------------------


def test_the_body_is_printed_indented() -> None:
    lines = str(model(Scan(cell(), 1, 1))).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("  %cell/scan"))
    assert "{carries=1, sequences=1}" in lines[at]
    assert lines[at + 1] == "    body:"
    assert lines[at + 2].startswith("    graph cell(%h : float64[batch, 4], ")
    assert lines[at + 3].startswith("      %dense = dense(%x, %W)")
    end = lines.index("    }")
    assert lines[end - 1] == "      return h=%new, h_again=%new, squared=%squared"


def test_the_body_is_part_of_the_op() -> None:
    op = Scan(cell(), 1, 1)
    assert op == Scan(cell(), 1, 1)
    assert hash(op) == hash(Scan(cell(), 1, 1))
    assert op != Scan(cell(extra=Tanh()), 1, 1)


# --- refusals -------------------------------------------------------------------------


def types(**changes: Any) -> list[TensorType | None]:
    named: dict[str, Any] = {
        "h0": TensorType(("batch", UNITS), "float64"),
        "xs": TensorType(("batch", STEPS, FEATURES), "float64"),
        "W": TensorType((FEATURES, UNITS), "float64"),
        "U": TensorType((UNITS, UNITS), "float64"),
        "b": TensorType((UNITS,), "float64"),
    }
    return list((named | changes).values())


GOOD = Scan(cell(), 1, 1)

REFUSED: dict[str, tuple[Scan, list[TensorType | None], str]] = {
    "count": (GOOD, types()[:-1], "body takes 5 operands, received 4"),
    "left out": (GOOD, types(b=None), "body takes 5 operands, received 5"),
    "no sequence": (
        dataclasses.replace(GOOD, carries=2, sequences=0),
        types(),
        "expected at least one sequence, received none",
    ),
    "rank": (
        GOOD,
        types(xs=TensorType(("batch",), "float64")),
        "no axis 1 in a sequence of type float64[batch]",
    ),
    "slice": (
        GOOD,
        types(xs=TensorType(("batch", STEPS, 7), "float64")),
        "body input %x: expected float64[batch, 3], received float64[batch, 7]: dims "
        "3 and 7 differ",
    ),
    "dtype": (
        GOOD,
        types(W=TensorType((FEATURES, UNITS), "float32")),
        "body input %W: expected float64[3, 4], received float32[3, 4]",
    ),
    "lengths": (
        dataclasses.replace(GOOD, carries=0, sequences=2),
        types(h0=TensorType(("batch", 2, UNITS), "float64")),
        "dims 2 and 5 differ",
    ),
    "carry": (
        dataclasses.replace(
            GOOD,
            body=cell().replace(
                outputs=(cell().outputs[2], *cell().outputs[1:]),
                nodes=tuple(
                    dataclasses.replace(n, types=(TensorType(("batch", 9), "float64"),))
                    if n.name == "squared"
                    else n
                    for n in cell().nodes
                ),
            ),
        ),
        types(),
        "carry 0: expected float64[batch, 4], received float64[batch, 9]: dims 4 and "
        "9 differ",
    ),
}


@pytest.mark.parametrize(("op", "given", "text"), REFUSED.values(), ids=REFUSED)
def test_types_that_do_not_fit(
    op: Scan, given: list[TensorType | None], text: str
) -> None:
    with pytest.raises(ShapeError, match=f"^{re.escape(text)}$"):
        op.infer(*given)


def test_a_body_with_fewer_results_than_carries() -> None:
    short = cell().replace(outputs=())
    with pytest.raises(ShapeError, match=r"^body has 0 outputs, 1 carries$"):
        Scan(short, 1, 1).infer(*types())


def test_axes_that_there_are_not() -> None:
    with pytest.raises(ShapeError, match=r"^expected axis >= 0, received -1$"):
        Scan(cell(), 1, 1, axis=-1).infer(*types())
    builder = Builder("sum")
    builder.input("x", TensorType(("batch", 3)))
    builder.output("y", builder.param(Param("s", TensorType(()))))
    with pytest.raises(ShapeError, match=r"^no axis 1 to stack float32\[\] along$"):
        Scan(builder.build(), 0, 1).infer(TensorType(("batch", 4, 3)))


def test_an_unclosed_body_is_refused() -> None:
    graph = model(GOOD)
    (node,) = graph.nodes
    open_body = cell().replace(params=(Param("k", TensorType((2,))),))
    broken = dataclasses.replace(node, op=Scan(open_body, 1, 1))
    text = r"^scan 'cell/scan': body 'body' is not closed: it has params k\n"
    with pytest.raises(VerifyError, match=text):
        verify(graph.replace(nodes=(broken,)))
