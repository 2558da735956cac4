"""Every layer: captured, run, and taken through its configuration."""

from __future__ import annotations

import json
from typing import Any

import jax
import numpy as np
import pytest

import graphjit.layers as L  # noqa: N812
from graphjit.capture.layer import Layer
from graphjit.ir import Graph
from graphjit.lower import lower
from tests.conformance.layer_case import LayerCase
from tests.conformance.layer_table import (
    EACH_LAYER_CASE,
    IMAGE,
    LAYER_ROWS,
    called,
)
from tests.graphs import evaluate, random_inputs, variables_for

BATCH = 3


def structure(graph: Graph) -> list[Any]:
    """A graph without its layer table."""
    return [graph.inputs, graph.params, graph.nodes, graph.outputs, graph.updates]


@EACH_LAYER_CASE
def test_result_has_the_shape_it_said(layer: type[Layer], case: LayerCase) -> None:
    made = layer(**case.settings)
    captured = called(made, case.inputs)
    results = evaluate(captured.graph, batch=BATCH)
    (output,) = captured.graph.outputs
    found = results[f"output {output.name}"]
    assert made.output.shape == (None, *found.shape[1:])
    assert found.shape[0] == BATCH
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


@EACH_LAYER_CASE
def test_config_there_and_back(layer: type[Layer], case: LayerCase) -> None:
    made = layer(**case.settings, name="one")
    config = json.loads(json.dumps(made.get_config()))
    again = layer.from_config(config)
    assert again.get_config() == made.get_config()
    first, second = (called(each, case.inputs) for each in (made, again))
    assert structure(first.graph) == structure(second.graph)


@EACH_LAYER_CASE
def test_config_is_complete(layer: type[Layer], case: LayerCase) -> None:
    config = layer(**case.settings).get_config()
    assert list(config)[:3] == ["name", "trainable", "dtype"]
    # What Keras does not know is written only where it says something.
    ours = {name for name, a in layer.arguments.items() if a.ours}
    assert set(config) | ours == set(layer.arguments)
    assert not ours & set(config) - set(case.settings)


@EACH_LAYER_CASE
def test_two_captures_are_equal(layer: type[Layer], case: LayerCase) -> None:
    first, second = (called(layer(**case.settings), case.inputs) for _ in range(2))
    assert first.graph == second.graph
    assert str(first.graph) == str(second.graph)


CHANNELS_FIRST = [
    pytest.param(row.layer, case, id=f"{row.layer.__name__}{case}")
    for row in LAYER_ROWS
    for case in row.cases
    if case.settings.get("data_format") == "channels_first" and case.twin
]


@pytest.mark.parametrize(("layer", "case"), CHANNELS_FIRST)
def test_channels_first_is_a_transposed_twin(
    layer: type[Layer], case: LayerCase
) -> None:
    """The same weights and a channels_last image give the same result, moved."""
    (shape,) = case.inputs
    twin_settings = {**case.settings, "data_format": "channels_last"}
    first = called(layer(**case.settings), [shape]).graph
    last = called(layer(**twin_settings), [(*shape[1:], shape[0])]).graph
    variables = variables_for(first, seed=1)
    (x,) = random_inputs(first, seed=2, batch=BATCH)
    assert [(p.name, p.type) for p in first.params] == [
        (p.name, p.type) for p in last.params
    ]
    (name,) = [f"output {output.name}" for output in first.outputs]
    found = evaluate(first, variables, [x], rng=0)[name]
    twin = evaluate(last, variables, [np.moveaxis(x, 1, -1)], rng=0)[name]
    moves = found.ndim == x.ndim
    np.testing.assert_allclose(
        found, np.moveaxis(twin, -1, 1) if moves else twin, rtol=1e-6, atol=1e-6
    )


def test_the_configured_data_format_is_the_default() -> None:
    from graphjit import config

    config.set_image_data_format("channels_first")
    assert L.Conv2D(2, 3).data_format == "channels_first"
    assert L.Conv2D(2, 3)(L.Input((3, 8, 9))).shape == (None, 2, 6, 7)
    assert L.Conv2D(2, 3, data_format="channels_last").data_format == "channels_last"


@EACH_LAYER_CASE
def test_layers_jit_and_differentiate(layer: type[Layer], case: LayerCase) -> None:
    """As one traced function, with random draws and state, gradients are finite."""
    graph = called(layer(**case.settings), case.inputs).graph
    variables = variables_for(graph, seed=1)
    inputs = random_inputs(graph, seed=2, batch=BATCH)
    function = lower(graph)

    def loss(params: Any, x: Any) -> Any:
        step = function(params, variables["state"], x, 0)
        return (step.outputs**2).sum()

    # There is no gradient to whole numbers.
    wrt = (0, 1) if all(x.dtype.kind == "f" for x in inputs) else (0,)
    gradients = jax.eval_shape(jax.grad(loss, wrt), variables["params"], inputs)
    shapes = [[g.shape for g in jax.tree.leaves(tree)] for tree in gradients]
    data = (variables["params"], inputs)
    assert shapes == [[np.shape(x) for x in jax.tree.leaves(data[at])] for at in wrt]
    assert IMAGE
