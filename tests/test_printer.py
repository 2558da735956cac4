"""Golden texts: `print(graph)` is the debugging interface."""

from __future__ import annotations

from textwrap import dedent

import pytest
from hypothesis import given

import graphjit.layers as L  # noqa: N812
from graphjit.bodies import bodies_of
from graphjit.builder import Builder
from graphjit.capture.tracer import Captured, capture
from graphjit.ir import Node, Param, Value
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.ops.elementwise import Relu, Tanh
from graphjit.printer import op_text, print_graph, print_node
from graphjit.regularizers import L2
from graphjit.types import TensorType
from tests.conformance.table import scan_body
from tests.graphs import models
from tests.profiles import examples


def text(body: str) -> str:
    return dedent(body).strip()


def test_a_model() -> None:
    x = L.Input((8, 6, 3), name="image")
    h = L.Conv2D(4, (3, 2), activation="relu", padding="same", name="stem")(x)
    h = L.BatchNormalization(epsilon=0.01, name="norm")(h)
    h = L.Dropout(0.5, name="drop")(h)
    y = L.Dense(10, kernel_regularizer="l2", name="head")(L.Flatten(name="flat")(h))
    graph = capture([x], [y, h], "net").graph
    seed = next(n.op.seed for n in graph.nodes if n.op.kind == "dropout")
    assert str(graph) == text(
        f"""
        graph net(%image : float32[batch, 8, 6, 3]) {{
          param %stem/kernel : float32[3, 2, 3, 4]
          param %stem/bias : float32[4]
          param %norm/gamma : float32[4]
          param %norm/beta : float32[4]
          state %norm/moving_mean : float32[4]
          state %norm/moving_variance : float32[4]
          param %head/kernel : float32[192, 10] L2(l2=0.01)
          param %head/bias : float32[10]
          %stem/conv = conv(%image, %stem/kernel, %stem/bias) {{strides=(1, 1), padding='same'}} : float32[batch, 8, 6, 4]
          %stem/relu = relu(%stem/conv) : float32[batch, 8, 6, 4]
          %norm/batch_norm = batch_norm(%stem/relu, %norm/gamma, %norm/beta, %norm/moving_mean, %norm/moving_variance) {{axis=3, epsilon=0.01}} : (float32[batch, 8, 6, 4], float32[4], float32[4])
          %drop/dropout = dropout(%norm/batch_norm) {{rate=0.5, seed={seed}}} : float32[batch, 8, 6, 4]
          %flat/reshape = reshape(%drop/dropout) {{shape=(192,)}} : float32[batch, 192]
          %head/dense = dense(%flat/reshape, %head/kernel, %head/bias) : float32[batch, 10]
          return head=%head/dense, drop=%drop/dropout
          update %norm/moving_mean <- %norm/batch_norm#1
          update %norm/moving_variance <- %norm/batch_norm#2
        }}
        """  # noqa: E501
    )


def test_a_body_is_indented() -> None:
    from graphjit.ops.scan import Scan

    builder = Builder("loop")
    h = builder.input("h0", TensorType(("batch", 3)))
    xs = builder.input("xs", TensorType(("batch", 4, 3)))
    kernel = builder.param(Param("cell/kernel", TensorType((3, 3))))
    op = Scan(scan_body("float32", "batch"), carries=1, sequences=1, reverse=True)
    _, ys = builder.node(op, [h, xs, kernel], name="cell/scan")
    builder.output("ys", ys)
    assert str(builder.build()) == text(
        """
        graph loop(%h0 : float32[batch, 3], %xs : float32[batch, 4, 3]) {
          param %cell/kernel : float32[3, 3]
          %cell/scan = scan(%h0, %xs, %cell/kernel) {carries=1, sequences=1, reverse=True} : (float32[batch, 3], float32[batch, 4, 3])
            body:
            graph step(%h : float32[batch, 3], %x : float32[batch, 3], %kernel : float32[3, 3]) {
              %moved = dense(%x, %kernel) : float32[batch, 3]
              %sum = add(%moved, %h) : float32[batch, 3]
              %new = tanh(%sum) : float32[batch, 3]
              %out = multiply(%new, %x) : float32[batch, 3]
              return h=%new, y=%out
            }
          return ys=%cell/scan#1
        }
        """  # noqa: E501
    )


def test_masks_losses_and_frozen_params() -> None:
    builder = Builder("rest")
    x = builder.input("x", TensorType(("batch", None)))
    mask = builder.input("mask", TensorType(("batch", None), "bool"))
    builder.param(Param("k", TensorType((3,)), trainable=False))
    builder.param(Param("r", TensorType((3,)), regularizer=L2(0.5)))
    scalar = builder.param(Param("s", TensorType(()), collection="state"))
    builder.output("y", x, mask)
    builder.loss("a/l", scalar)
    assert str(builder.build()) == text(
        """
        graph rest(%x : float32[batch, ?], %mask : bool[batch, ?]) {
          param %k : float32[3] frozen
          param %r : float32[3] L2(l2=0.5)
          state %s : float32[]
          return y=%x masked by %mask
          loss a/l = %s
        }
        """
    )


X = TensorType(("batch", 4, 4, 3))


@pytest.mark.parametrize(
    ("node", "line"),
    [
        (
            Node("n", Relu(), (Value("x"),), (X,)),
            "%n = relu(%x) : float32[batch, 4, 4, 3]",
        ),
        (
            Node("n", ConvOp((2, 1)), (Value("x", 1), None, Value("b")), (X,)),
            "%n = conv(%x#1, _, %b) {strides=(2, 1)} : float32[batch, 4, 4, 3]",
        ),
        (
            Node(
                "n",
                ConvOp((1, 1), padding=((0, 1), (2, 0)), groups=3),
                (Value("x"), Value("k")),
                (X,),
                epilogue=(Relu(max_value=6.0), Tanh()),
                kernel="depthwise_shifted",
            ),
            "%n = conv(%x, %k) {strides=(1, 1), padding=((0, 1), (2, 0)), groups=3} "
            "|> relu(max_value=6.0) |> tanh @depthwise_shifted "
            ": float32[batch, 4, 4, 3]",
        ),
        (
            Node("n", Relu(), (Value("x"),), (X.with_shape(()), X.with_shape((1,)))),
            "%n = relu(%x) : (float32[], float32[1])",
        ),
    ],
)
def test_a_node(node: Node, line: str) -> None:
    assert print_node(node) == line


def test_an_op() -> None:
    assert op_text(Relu()) == "relu"
    assert op_text(Relu(0.1)) == "relu(negative_slope=0.1)"
    assert op_text(Relu(-0.0)) == "relu(negative_slope=-0.0)"
    assert op_text(Relu(1)) == "relu(negative_slope=1)"
    assert op_text(Relu(False)) == "relu(negative_slope=False)"


@examples(25)
@given(models())
def test_texts_are_stable_and_whole(captured: Captured) -> None:
    graph = captured.graph
    printed = print_graph(graph)
    assert printed == str(graph) == print_graph(graph.replace())
    for node in graph.nodes:
        assert f"%{node.name} = {node.op.kind}(" in printed
    # One line for each of: the head, the end, what is returned, and each part.
    parts = (graph.params, graph.nodes, graph.updates, graph.losses)
    bodies = [body for node in graph.nodes for _, body in bodies_of(node.op)]
    # A body is printed behind its node, its own params and losses being none.
    inner = sum(1 + len(print_graph(body).splitlines()) for body in bodies)
    assert len(printed.splitlines()) == 3 + sum(map(len, parts)) + inner
