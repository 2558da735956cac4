"""A layer applied to data: its results, its graph and its errors, in few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import graphjit.layers as L  # noqa: N812
from graphjit.capture.layer import Layer
from graphjit.capture.tensor import Tensor
from graphjit.capture.tracer import capture
from graphjit.ir import Graph
from graphjit.passes import ToInference, run
from tests.graphs import evaluate

__all__ = ["Array", "data", "graph_of", "inference", "results", "tensors_like", "twin"]

Array = Any


def data(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0.2, 1.3, shape).astype(np.float32)


def tensors_like(arrays: Sequence[Array]) -> list[Tensor]:
    return [L.Input(a.shape[1:], dtype=a.dtype.name) for a in arrays]


def graph_of(
    layer: Layer, arrays: Sequence[Array], masks: Sequence[Array | None] = ()
) -> Graph:
    """The model that is one call; inputs with a mask get it as a further input."""
    given = tensors_like(arrays)
    marks = [None if m is None else tensors_like([m])[0] for m in masks]
    inputs: Any = given if len(given) > 1 else given[0]
    mask: Any = marks if len(given) > 1 else next(iter(marks), None)
    output = layer(inputs, mask=mask) if masks else layer(inputs)
    present = [mark for mark in marks if mark is not None]
    return capture([*given, *present], [output], "one").graph


def results(
    graph: Graph,
    *arrays: Array,
    variables: Mapping[str, Any] | None = None,
    **more: Any,
) -> tuple[Array, Array | None]:
    """The output and its mask; weights are random unless given."""
    (output,) = graph.outputs
    found = evaluate(graph, variables, list(arrays), **more)
    return found[f"output {output.name}"], found.get(f"mask {output.name}")


def inference(graph: Graph) -> Graph:
    return run(graph, [ToInference()])[0]


def twin(layer: Any, params: Mapping[str, Any]) -> Any:
    """A Keras layer, built, with our params by name."""
    for variable in layer.weights:
        variable.assign(params[variable.name])
    return layer
