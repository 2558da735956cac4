from __future__ import annotations

import graphjit as gj
from graphjit.ops.elementwise import Relu, Tanh
from graphjit.passes import FuseEpilogue
from tests.passes.build import graph_of, lines, reasons, rewritten


def test_fuses_a_chain_into_its_producer() -> None:
    x = gj.Input((4,), name="x")
    y = gj.layers.Dense(3, name="d", activation="relu")(x)
    y = gj.layers.Activation("tanh", name="t")(y)
    y = gj.layers.ReLU(max_value=6, name="r")(y)
    after, entry = rewritten(FuseEpilogue(), graph_of(x, y))
    assert lines(after) == [
        "%d/dense = dense(%x, %d/kernel, %d/bias) "
        "|> relu |> tanh |> relu(max_value=6.0)"
    ]
    assert after.nodes[0].epilogue == (Relu(), Tanh(), Relu(max_value=6.0))
    assert ("t/tanh", "epilogue of d/dense") in entry.done
    assert rewritten(FuseEpilogue(), after)[0] is after


def test_refuses_a_producer_with_other_readers() -> None:
    x = gj.Input((4,), name="x")
    h = gj.layers.Dense(4, name="d")(x)
    graph = graph_of(x, gj.layers.Add()([gj.layers.ReLU(name="r")(h), h]))
    after, entry = rewritten(FuseEpilogue(), graph)
    assert after is graph
    assert reasons(entry) == {"r/relu": "%d/dense has 2 readers"}


def test_refuses_a_producer_that_is_an_output() -> None:
    x = gj.Input((4,), name="x")
    h = gj.layers.Dense(4, name="d")(x)
    graph = graph_of(x, [h, gj.layers.ReLU(name="r")(h)])
    after, entry = rewritten(FuseEpilogue(), graph)
    assert after is graph
    assert reasons(entry) == {"r/relu": "%d/dense is a result of the graph"}


def test_leaves_an_activation_of_an_input() -> None:
    x = gj.Input((4,), name="x")
    graph = graph_of(x, gj.layers.ReLU(name="r")(x))
    assert rewritten(FuseEpilogue(), graph)[0] is graph


def test_fuses_onto_the_first_of_several_results() -> None:
    x = gj.Input((4,), name="x")
    y = gj.layers.BatchNormalization(name="n")(x)
    after, _ = rewritten(FuseEpilogue(), graph_of(x, gj.layers.ReLU(name="r")(y)))
    (node,) = after.nodes
    assert node.epilogue == (Relu(),)
    assert [str(update.value) for update in after.updates] == [
        "%n/batch_norm#1",
        "%n/batch_norm#2",
    ]


def test_softmax_is_not_elementwise() -> None:
    x = gj.Input((4,), name="x")
    graph = graph_of(x, gj.layers.Dense(3, activation="softmax")(x))
    assert rewritten(FuseEpilogue(), graph)[0] is graph
