"""Building graphs, and rebuilding them without touching what stays."""

from __future__ import annotations

import pytest
from hypothesis import given

from graphjit.builder import Builder, Rewriter, live_nodes, retyped
from graphjit.capture.tracer import Captured
from graphjit.errors import ShapeError, VerifyError
from graphjit.ir import Config as Settings
from graphjit.ir import Graph, LayerCall, Loc, Param, Value
from graphjit.ops.batch_norm import BatchNorm, BatchNormInference
from graphjit.ops.dense import DenseOp
from graphjit.ops.elementwise import Add, Negate, Relu, Tanh
from graphjit.types import TensorType
from graphjit.verify import verify
from tests.graphs import models
from tests.profiles import examples

X = TensorType(("batch", 3))


def chain(*ops: object) -> Graph:
    """Unary ops behind one another, named n0, n1, …"""
    builder = Builder()
    value = builder.input("x", X)
    for at, op in enumerate(ops):
        value = builder(op, value, name=f"n{at}")  # type: ignore[arg-type]
    builder.output("y", value)
    return builder.build()


# --- Builder --------------------------------------------------------------------------


def test_types_are_inferred_as_nodes_are_added() -> None:
    builder = Builder()
    x = builder.input("x", X)
    kernel = builder.param(Param("k", TensorType((3, 5))))
    assert builder.type_of(builder(DenseOp(), x, kernel)) == TensorType(("batch", 5))


def test_a_taken_name_gets_a_number() -> None:
    builder = Builder()
    x = builder.input("x", X)
    names = [builder(Relu(), x).node for _ in range(3)]
    assert names == ["relu", "relu_1", "relu_2"]
    assert builder(Relu(), x, name="x").node == "x_1"
    assert builder(Relu(), x, name="relu_1").node == "relu_1_1"


def test_names_of_inputs_and_params_are_never_changed() -> None:
    builder = Builder()
    builder.input("x", X)
    with pytest.raises(VerifyError, match=r"^the name 'x' is used twice$"):
        builder.input("x", X)
    with pytest.raises(VerifyError, match=r"^the name 'x' is used twice$"):
        builder.param(Param("x", X))


def test_a_param_is_declared_once_and_referred_to_again() -> None:
    builder = Builder()
    param = Param("k", TensorType((3, 5)))
    assert builder.param(param) == builder.param(Param("k", TensorType((3, 5))))
    assert builder.build().params == (param,)
    with pytest.raises(VerifyError, match=r"^param 'k' is declared twice, differently"):
        builder.param(Param("k", TensorType((3, 4))))


def test_trailing_operands_left_out_are_stripped() -> None:
    builder = Builder()
    x = builder.input("x", X)
    kernel = builder.param(Param("k", TensorType((3, 5))))
    builder(DenseOp(), x, kernel, None)
    assert builder.build().nodes[0].operands == (x, kernel)


def test_operands_left_out_in_the_middle_keep_their_place() -> None:
    builder = Builder()
    x = builder.input("x", X)
    beta, mean, variance = (
        builder.param(Param(name, TensorType((3,)))) for name in ("b", "m", "v")
    )
    y = builder(BatchNormInference(1), x, None, beta, mean, variance)
    assert builder.build().nodes[0].operands == (x, None, beta, mean, variance)
    assert builder.type_of(y) == X


def test_nodes_that_do_not_fit_are_refused_with_scope_and_line() -> None:
    builder = Builder()
    builder.prefix, builder.loc = "stem/", Loc("model.py", 7)
    x = builder.input("x", X)
    kernel = builder.param(Param("k", TensorType((4, 5))))
    with pytest.raises(ShapeError, match=r"^dense 'stem/dense': kernel wants 4") as e:
        builder(DenseOp(), x, kernel)
    assert str(e.value).endswith("\n  at model.py:7")
    assert builder.build().nodes == ()


def test_provenance_is_given_to_every_node() -> None:
    builder = Builder(layers=[LayerCall("a", "a", "A", Settings())])
    x = builder.input("x", X)
    builder.call, builder.loc = 0, Loc("model.py", 7)
    builder(Relu(), x)
    builder.node(Relu(), [x], call=-1, loc=Loc("other.py", 1))
    first, second = builder.build().nodes
    assert (first.call, first.loc) == (0, Loc("model.py", 7))
    assert (second.call, second.loc) == (-1, Loc("other.py", 1))


def test_several_results() -> None:
    builder = Builder()
    x = builder.input("x", X)
    mean, variance = (
        builder.param(Param(name, TensorType((3,)), collection="state"))
        for name in ("mean", "variance")
    )
    y, new_mean, new_variance = builder.node(
        BatchNorm(1), [x, None, None, mean, variance]
    )
    assert (y.index, new_mean.index, new_variance.index) == (0, 1, 2)
    builder.output("y", y)
    builder.update("mean", new_mean)
    builder.update("variance", new_variance)
    assert verify(builder.build()).updates[1].value == Value("batch_norm", 2)


# --- Rewriter -------------------------------------------------------------------------


def kept(graph: Graph) -> Graph:
    """A rewrite that changes nothing."""
    rewriter = Rewriter(graph)
    for node in graph.nodes:
        rewriter.keep(node)
    return rewriter.finish()


@examples(50)
@given(models())
def test_nothing_changed_is_the_same_object(captured: Captured) -> None:
    graph = captured.graph
    assert kept(graph) is graph


def test_a_replaced_value_is_replaced_everywhere() -> None:
    builder = Builder()
    x = builder.input("x", X)
    a = builder(Relu(), x, name="a")
    b = builder(Add(), a, a, name="b")
    builder.output("a", a, mask=None)
    builder.output("b", b)
    graph = builder.build()
    rewriter = Rewriter(graph)
    rewriter.replace(a, x)
    rewriter.keep(graph.nodes[1])
    after = verify(rewriter.finish())
    assert [node.operands for node in after.nodes] == [(x, x)]
    assert [output.value for output in after.outputs] == [x, b]


def test_nodes_that_lose_their_readers_go() -> None:
    graph = chain(Relu(), Tanh(), Negate())
    rewriter = Rewriter(graph)
    first, second, third = graph.nodes
    for node in (first, second):
        rewriter.keep(node)
    rewriter.replace(third.value, first.value)
    after = verify(rewriter.finish())
    assert [node.name for node in after.nodes] == ["n0"]


def test_nodes_dead_before_stay_with_what_they_read() -> None:
    builder = Builder()
    x = builder.input("x", X)
    a = builder(Relu(), x, name="a")
    builder(Tanh(), builder(Negate(), a, name="b"), name="dead")
    builder.output("y", builder(Tanh(), a, name="y"))
    graph = builder.build()
    rewriter = Rewriter(graph)
    for node in graph.nodes[:-1]:
        rewriter.keep(node)
    rewriter.replace(Value("y"), x)
    after = verify(rewriter.finish())
    assert [node.name for node in after.nodes] == ["a", "b", "dead"]


def test_live_nodes() -> None:
    builder = Builder()
    x = builder.input("x", X)
    a = builder(Relu(), x, name="a")
    builder(Tanh(), a, name="dead")
    loss = builder.param(Param("s", TensorType(()), collection="state"))
    for name in ("update", "loss"):
        value = builder(Negate(), loss, name=name)
        builder.update("s", value) if name == "update" else builder.loss("l", value)
    builder.output("y", a)
    assert live_nodes(builder.build()) == {"a", "update", "loss"}


def test_updates_that_keep_the_state_go() -> None:
    builder = Builder()
    state = builder.param(Param("s", TensorType(()), collection="state"))
    new = builder(Negate(), state, name="new")
    builder.output("y", state)
    builder.update("s", new)
    graph = builder.build()
    rewriter = Rewriter(graph)
    rewriter.keep(graph.nodes[0])
    rewriter.replace(new, state)
    assert rewriter.finish().updates == ()


def test_losses_can_be_left_out() -> None:
    builder = Builder()
    state = builder.param(Param("s", TensorType(()), collection="state"))
    builder.output("y", state)
    builder.loss("l", builder(Negate(), state, name="new"))
    graph = builder.build()
    rewriter = Rewriter(graph)
    rewriter.keep(graph.nodes[0])
    after = rewriter.finish(losses=False)
    assert after.losses == ()
    assert after.nodes == ()


def test_new_names_leave_those_of_old_nodes_free() -> None:
    graph = chain(Relu(), Tanh())
    rewriter = Rewriter(graph)
    made = rewriter(Negate(), Value("x"), name="n1")
    assert made == Value("n1_1")
    for node in graph.nodes:
        rewriter.keep(node)
    rewriter.replace(Value("x"), made)
    assert verify(rewriter.finish()) is graph


def test_nodes_with_new_operands_are_typed_anew() -> None:
    graph = chain(Relu())
    rewriter = Rewriter(graph)
    wider = rewriter.param(Param("w", TensorType((7, 3))))
    rewriter.replace(Value("x"), wider)
    for node in graph.nodes:
        rewriter.keep(node)
    after = verify(rewriter.finish())
    assert after.nodes[0].types == (TensorType((7, 3)),)


def test_a_graph_takes_other_input_types() -> None:
    graph = chain(Relu(), Tanh())
    after = verify(retyped(graph, [TensorType((7, 3))]))
    assert [node.types[0].shape for node in after.nodes] == [(7, 3), (7, 3)]
    assert retyped(graph, [X]) is graph


def test_a_kept_node_may_change() -> None:
    graph = chain(Relu(), Tanh())
    rewriter = Rewriter(graph)
    rewriter.keep(graph.nodes[0], epilogue=(Tanh(),))
    rewriter.replace(graph.nodes[1].value, graph.nodes[0].value)
    after = verify(rewriter.finish())
    assert after.nodes[0].epilogue == (Tanh(),)
    assert len(after.nodes) == 1
    assert graph.nodes[0].epilogue == ()


def test_emitted_nodes_take_the_provenance_they_are_given() -> None:
    row = LayerCall("a", "a", "A", Settings())
    builder = Builder(layers=[row])
    x = builder.input("x", X)
    builder.call, builder.loc = 0, Loc("model.py", 7)
    builder.output("y", builder(Relu(), x, name="old"))
    graph = builder.build()
    rewriter = Rewriter(graph)
    new = rewriter.at(graph.nodes[0])(Tanh(), x)
    rewriter.replace(graph.nodes[0].value, new)
    (node,) = verify(rewriter.finish()).nodes
    assert (node.call, node.loc) == (0, Loc("model.py", 7))


def test_params_may_change_their_settings() -> None:
    builder = Builder()
    builder.output("y", builder.param(Param("k", TensorType((3,)))))
    graph = builder.build()
    rewriter = Rewriter(graph)
    rewriter.set_params([Param("k", TensorType((3,)), trainable=False)])
    assert not rewriter.finish().params[0].trainable
