"""The random graphs are what they promise: valid, runnable, and of every kind."""

from __future__ import annotations

import dataclasses
import random
import zlib
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st

import graphjit.layers as L  # noqa: N812
from graphjit.builder import live_nodes
from graphjit.capture.tracer import Captured
from graphjit.ir import Graph
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.verify import verify
from tests.conformance.layer_table import NOT_LAYERS
from tests.graphs import (
    elementwise_graphs,
    evaluate,
    layer_names,
    models,
    random_inputs,
    random_model,
    same_results,
    variables_for,
    with_dead_nodes,
)
from tests.profiles import OPTIMIZED, examples

#: A property of a graph that the strategy must reach, by what to call it.
Feature = dict[str, bool]


def features(graph: Graph) -> Feature:
    """What hides bugs when it is left out, and whether this graph has it."""
    users = graph.users()
    outputs = [output.value for output in graph.outputs]
    inputs = {entry.value for entry in graph.inputs}
    kinds = [node.op.kind for node in graph.nodes]
    norms = [node for node in graph.nodes if node.op.kind == "batch_norm"]
    producers = {value: node for node in graph.nodes for value in node.values()}
    convs = [node for node in graph.nodes if isinstance(node.op, ConvOp)]
    before_norms = {
        producers[node.operands[0]].op.kind  # type: ignore[index]
        for node in norms
        if node.operands[0] in producers
    }
    shared = Counter(v for node in norms for v in node.operands[1:3] if v is not None)
    table = graph.types()
    return {
        "several inputs": len(graph.inputs) > 1,
        "several outputs": len(outputs) > 1,
        "an output twice": len(set(outputs)) < len(outputs),
        "an output that is read": any(value in users for value in outputs),
        "an input as output": bool(inputs & set(outputs)),
        "an input nobody reads": any(v not in users for v in inputs - set(outputs)),
        "a dead node": len(live_nodes(graph)) < len(graph.nodes),
        "a value read twice": any(
            len(u) > 1 for v, u in users.items() if v in producers
        ),
        "strides": any(set(node.op.strides) != {1} for node in convs),
        "dilation": any(node.op.dilation for node in convs),
        "groups": any(node.op.groups > 1 for node in convs),
        "same": any(node.op.padding == "same" for node in convs),
        "valid": any(node.op.padding == "valid" for node in convs),
        "transpose": "transpose" in kinds,
        "h != w": any(
            t.rank == 4 and len(set(t.shape[1:3])) == 2 for t in table.values()
        ),
        "norm": bool(norms),
        "norm on axis 1": any(
            n.op.axis == 1 and n.types[0].rank == 4
            for n in norms  # type: ignore[attr-defined]
        ),
        "norm of an input": any(node.operands[0] in inputs for node in norms),
        "norm behind a conv": "conv" in before_norms,
        "norm behind a dense": "dense" in before_norms,
        "norm before a conv": any(
            u.op.kind == "conv" for n in norms for u in users.get(n.value, [])
        ),
        "norm before a dense": any(
            u.op.kind == "dense" for n in norms for u in users.get(n.value, [])
        ),
        "norm without gamma": any(node.operands[1] is None for node in norms),
        "norm without beta": any(node.operands[2] is None for node in norms),
        "shared norm": any(count > 1 for count in shared.values()),
        "shared layer": any(call.call > 0 for call in graph.layers),
        "shared convolution": any(
            len(users.get(node.operands[1], ())) > 1  # type: ignore[arg-type]
            for node in convs
            if node.operands[1] is not None
        ),
        "a penalty": bool(graph.losses),
        "a regularizer": any(param.regularizer for param in graph.params),
        "dropout": "dropout" in kinds,
        "broadcasting": any(
            len({table[v].shape for v in node.operands if v is not None}) > 1
            for node in graph.nodes
            if node.op.kind in ("add", "multiply")
        ),
    }


def test_models_are_of_every_kind() -> None:
    """1000 models hold every layer and every feature, most of them often.

    The same ones in every run: what hypothesis draws, derandomized too, depends on
    the modules that are imported.
    """
    layers: Counter[str] = Counter()
    found: Counter[str] = Counter()
    names: set[str] = set()
    rng = random.Random(0)

    def seeds(_: Any) -> Any:
        return [rng.randrange(2**32) for _ in range(rng.randint(4, 12))]

    for _ in range(1000):
        graph = verify(random_model(seeds).graph)
        layers.update(layer_names(graph).keys())
        here = features(graph)
        names.update(here)
        found.update(name for name, present in here.items() if present)
    public = {getattr(L, name).__name__ for name in L.__all__ if name not in NOT_LAYERS}
    assert not {name for name in public if layers[name] < 2}
    assert not {name for name in names if found[name] < 2}
    common = ["norm", "strides", "transpose", "h != w", "shared layer", "groups"]
    assert not {name: found[name] for name in common if found[name] < 20}


@examples(12)
@given(models())
def test_models_run_and_are_finite(captured: Captured) -> None:
    graph = captured.graph
    results = evaluate(graph)
    outputs = [f"output {output.name}" for output in graph.outputs]
    assert list(results)[: len(outputs)] == outputs
    for name, output in zip(outputs, graph.outputs, strict=True):
        type_ = graph.types()[output.value]
        assert results[name].dtype == np.float64
        assert results[name].shape == (3, *type_.shape[1:])
        # Large values would hide small errors.
        assert np.abs(results[name]).max() < 1e6


@examples(4)
@given(models(most=6))
def test_compiled_results_are_the_eager_ones(captured: Captured) -> None:
    same_results(evaluate(captured.graph), evaluate(captured.graph, jit=False))


@examples(5)
@given(models())
def test_users_programs_give_the_same(captured: Captured) -> None:
    """Tests compile quickly; what the compiler makes for users computes no other."""
    found = evaluate(captured.graph, options=OPTIMIZED)
    same_results(found, evaluate(captured.graph))


@examples(40)
@given(models())
def test_layers_say_the_types_of_their_nodes(captured: Captured) -> None:
    """Every output of the layer table has the type of the value it stands for."""
    graph = captured.graph
    assert {call.layer for call in graph.layers} >= set(captured.names)
    assert set(captured.cells) == {param.name for param in graph.params}
    owned = {name for call in graph.layers for name in call.params}
    assert owned == set(captured.cells)
    types = graph.types()
    root = graph.layers[-1]
    assert list(root.types) == [types[output.value] for output in graph.outputs]


@examples(10)
@given(models(dropout=False, dead=False, dtype="float32"))
def test_options_leave_things_out(captured: Captured) -> None:
    graph = captured.graph
    assert graph.count("dropout") == 0
    # Masks that no layer reads are dead too, but were not added to be.
    assert not any(node.name.startswith("dead_") for node in graph.nodes)
    assert {entry.type.dtype for entry in graph.inputs} == {"float32"}


@examples(30)
@given(elementwise_graphs())
def test_graphs_without_layers(graph: Graph) -> None:
    verify(graph)
    assert not graph.layers
    event(f"epilogues: {any(node.epilogue for node in graph.nodes)}")


@examples(5)
@given(elementwise_graphs())
def test_graphs_without_layers_run(graph: Graph) -> None:
    same_results(evaluate(graph), evaluate(graph, jit=False), 1e-12)


# --- what runs them -------------------------------------------------------------------


def model_with_a_norm() -> Graph:
    from graphjit.capture.tracer import capture

    x = L.Input((4, 3), name="x")
    h = L.BatchNormalization(name="n")(L.Dense(500, name="d")(x))
    return capture([x], [h], "norm").graph


def test_variables_hide_nothing() -> None:
    graph = model_with_a_norm()
    variables = variables_for(graph)
    assert set(variables) == {"params", "state"}
    norm, state = variables["params"]["n"], variables["state"]["n"]
    assert (norm["gamma"] < 0).any()
    assert (norm["gamma"] > 0).any()
    assert np.abs(norm["gamma"]).min() > 0.1
    assert state["moving_variance"].min() > 0.1
    assert np.abs(state["moving_variance"] - 1).max() > 0.5
    assert np.abs(state["moving_mean"]).max() > 0.5
    assert variables["params"]["d"]["kernel"].dtype == np.float32
    assert variables_for(graph, dtype="float64")["state"]["n"]["moving_mean"].dtype == (
        np.float64
    )


def test_the_same_seed_gives_the_same_numbers() -> None:
    graph = model_with_a_norm()
    for draw in (variables_for, random_inputs):
        first, again, other = (_bytes(draw(graph, seed=seed)) for seed in (1, 1, 2))
        assert first == again
        assert first != other


def _bytes(tree: Any) -> int:
    import jax

    return zlib.crc32(b"".join(leaf.tobytes() for leaf in jax.tree.leaves(tree)))


def test_a_param_has_its_numbers_in_every_graph() -> None:
    graph = model_with_a_norm()
    fewer = graph.replace(params=graph.params[1:])
    whole, part = variables_for(graph), variables_for(fewer)
    np.testing.assert_array_equal(
        whole["params"]["n"]["gamma"], part["params"]["n"]["gamma"]
    )


def test_differences_are_found() -> None:
    graph = model_with_a_norm()
    right = evaluate(graph)
    wrong = {name: value + 1e-5 for name, value in right.items()}
    with pytest.raises(AssertionError, match="output n"):
        same_results(wrong, right, 1e-6)
    with pytest.raises(
        AssertionError, match=r"^expected \['output n', .* received \[\]"
    ):
        same_results({}, right)
    nan = {name: value * np.nan for name, value in right.items()}
    with pytest.raises(AssertionError, match="output n"):
        same_results(right, nan)
    same_results(wrong, right, 1e-3)


def test_a_wrong_rewrite_is_found() -> None:
    """A rewrite that drops a bias fails on some random model."""

    @settings(max_examples=30, phases=[Phase.generate], derandomize=True)
    @given(models(dropout=False))
    def holds(captured: Captured) -> None:
        graph = captured.graph
        nodes = tuple(
            dataclasses.replace(node, operands=node.operands[:2])
            if node.op.kind in ("conv", "dense")
            else node
            for node in graph.nodes
        )
        event(f"changed: {nodes != graph.nodes}")
        if nodes != graph.nodes:
            same_results(evaluate(graph.replace(nodes=nodes)), evaluate(graph))

    with pytest.raises(AssertionError, match=r"(output|state|loss) "):
        holds()


@examples(20)
@given(models(dead=False), st.integers(0, 2**16))
def test_dead_nodes_change_nothing(captured: Captured, seed: int) -> None:
    graph = captured.graph
    more = with_dead_nodes(random.Random(seed), graph)
    old = {node.name for node in graph.nodes}
    assert live_nodes(more) == live_nodes(graph)
    assert tuple(node for node in more.nodes if node.name in old) == graph.nodes
    assert more.outputs == graph.outputs
    added = [node for node in more.nodes if node.name not in old]
    assert bool(added) == bool(graph.nodes)
    users = more.users()
    assert not any(node.value in users for node in added if node.name == "dead_2")
