from __future__ import annotations

import jax.numpy as jnp

import graphjit as gj
from graphjit.functions import Function
from graphjit.ops.elementwise import Add, Cast, Relu
from graphjit.ops.function_op import FunctionOp
from graphjit.ops.shape import Concatenate, Pad, Reshape, Transpose, Upsample
from graphjit.passes import Simplify
from graphjit.types import TensorType
from tests.passes.build import graph_of, ir, kinds, lines, rewritten

IMAGE = TensorType(("batch", 4, 6, 3), "float32")


def test_composes_transposes_and_drops_the_identity() -> None:
    b = ir()
    x = b.input("x", IMAGE)
    y = b(Transpose((0, 3, 1, 2)), x, name="a")
    z = b(Transpose((0, 2, 3, 1)), y, name="b")
    b.output("y", b(Relu(), z, name="r"))
    after, entry = rewritten(Simplify(), b.build())
    assert lines(after) == ["%r = relu(%x)"]
    assert ("b", "transpose and transpose are one") in entry.done


def test_composes_reshapes_pads_and_keeps_a_shared_producer() -> None:
    b = ir()
    x = b.input("x", IMAGE)
    p = b(Pad(((0, 0), (1, 0), (0, 0), (0, 0))), x, name="p")
    q = b(Pad(((0, 0), (0, 2), (1, 1), (0, 0))), p, name="q")
    b.output("q", q)
    b.output("p", p)
    b.output("r", b(Reshape((72,)), b(Reshape((24, 3)), x, name="f"), name="r"))
    after, _ = rewritten(Simplify(), b.build())
    assert lines(after) == [
        "%p = pad(%x) {pads=((0, 0), (1, 0), (0, 0), (0, 0))}",
        "%q = pad(%x) {pads=((0, 0), (1, 2), (1, 1), (0, 0))}",
        "%r = reshape(%x) {shape=(72,)}",
    ]


def test_pads_of_other_values_stay_apart() -> None:
    b = ir()
    x = b.input("x", IMAGE)
    p = b(Pad(((0, 0), (1, 0), (0, 0), (0, 0)), value=1.0), x)
    b.output("q", b(Pad(((0, 0), (0, 2), (1, 1), (0, 0))), p))
    graph = b.build()
    assert rewritten(Simplify(), graph)[0] is graph


def test_drops_identities() -> None:
    b = ir()
    x = b.input("x", IMAGE)
    y = b(Cast("float32"), x)
    y = b(Upsample((1, 1, 1, 1)), y)
    y = b(Pad(((0, 0),) * 4), y)
    y = b(Reshape((4, 6, 3)), y)
    y = b(Concatenate(1), y)
    b.output("y", b(Relu(), y, name="r"))
    assert lines(rewritten(Simplify(), b.build())[0]) == ["%r = relu(%x)"]


def test_a_reshape_over_two_unknown_dims_is_no_identity() -> None:
    b = ir()
    x = b.input("x", TensorType(("batch", None, None), "float32"))
    flat = b(Reshape((-1,)), x)
    b.output("y", flat)
    graph = b.build()
    assert rewritten(Simplify(), graph)[0] is graph


def test_merges_equal_nodes_but_not_nearly_equal_ones() -> None:
    b = ir()
    x = b.input("x", IMAGE)
    one = b(Relu(max_value=1.0), x, name="one")
    same = b(Relu(max_value=1.0), x, name="same")
    plus = b(Relu(threshold=0.0), x, name="plus")
    minus = b(Relu(threshold=-0.0), x, name="minus")
    b.output("y", b(Add(), one, same, plus, minus, name="sum"))
    after, _ = rewritten(Simplify(), b.build())
    assert lines(after)[-1] == "%sum = add(%one, %one, %plus, %minus)"


def test_functions_of_one_name_are_not_equal() -> None:
    b = ir()
    x = b.input("x", IMAGE)
    f = b(FunctionOp(Function(lambda v: v + 1, "f"), IMAGE), x, name="f")
    g = b(FunctionOp(Function(lambda v: v + 2, "f"), IMAGE), x, name="g")
    b.output("y", b(Add(), f, g))
    graph = b.build()
    assert rewritten(Simplify(), graph)[0] is graph


def test_drops_dead_nodes_and_keeps_unused_params() -> None:
    x = gj.Input((4,), name="x")
    graph = graph_of(x, gj.layers.Dense(3, name="d")(x))
    b = ir()
    value = b.input("x", IMAGE)
    b(Relu(), value, name="dead")
    b.output("y", value)
    after, entry = rewritten(Simplify(), b.build())
    assert after.nodes == ()
    assert entry.done == [("dead", "dead")]
    assert rewritten(Simplify(), graph)[0] is graph


def test_random_nodes_are_never_merged() -> None:
    x = gj.Input((4,), name="x")
    drop = gj.layers.Dropout(0.5)
    graph = graph_of(x, gj.layers.Add()([drop(x), drop(x)]))
    after, _ = rewritten(Simplify(), graph)
    assert kinds(after) == ["dropout", "dropout", "add"]


def test_threaded_state_is_never_merged() -> None:
    x = gj.Input((4,), name="x")
    norm = gj.layers.BatchNormalization()
    graph = graph_of(x, gj.layers.Add()([norm(x), norm(x)]))
    assert kinds(rewritten(Simplify(), graph)[0]).count("batch_norm") == 2


def test_a_shared_activation_is_done_once() -> None:
    x = gj.Input((4,), name="x")
    graph = graph_of(x, gj.layers.Add()([gj.layers.ReLU()(x), gj.layers.ReLU()(x)]))
    after, _ = rewritten(Simplify(), graph)
    assert kinds(after) == ["relu", "add"]
    out = gj.lower(after)({}, {}, jnp.asarray([[1.0, -1.0, 2.0, 0.0]])).outputs
    assert out.tolist() == [[2.0, 0.0, 4.0, 0.0]]
