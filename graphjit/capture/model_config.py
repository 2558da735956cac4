"""A model's configuration, from the layer table.

The form is Keras 2's: of a functional model the layers in order, each with its config
and one list of inbound tensors ``[layer, call, tensor, {}]`` per call; of a sequential
one the layers alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from graphjit.capture.call_arguments import Slot, filled, thawed
from graphjit.ir import NO_CALL, Graph, LayerCall, Ref
from graphjit.narrow import sequence_of

__all__ = ["MODELS", "config_of"]

#: The classes of models, as configurations call them.
MODELS: Final = ("Functional", "Sequential", "Model")
SEQUENTIAL: Final = "Sequential"


def config_of(graph: Graph) -> dict[str, Any]:
    """The configuration of the model a graph was captured from."""
    rows = [(at, row) for at, row in enumerate(graph.layers[:-1])]
    top = [(at, row) for at, row in rows if row.parent == NO_CALL]
    inputs = [entry.name for entry in graph.inputs]
    return _model_config(graph, graph.layers[-1], top, "", inputs)


def _model_config(
    graph: Graph,
    model: LayerCall,
    rows: Sequence[tuple[int, LayerCall]],
    scope: str,
    inputs: Sequence[str],
) -> dict[str, Any]:
    if model.cls == SEQUENTIAL:
        return _sequential_config(graph, model, rows, scope)
    layers: dict[str, dict[str, Any]] = {}
    for at, row in rows:
        name = row.layer.removeprefix(scope)
        entry = layers.get(name)
        if entry is None:
            entry = layers[name] = _entry(graph, at, row, name)
        if row.cls != "InputLayer":
            entry["inbound_nodes"].append(_inbound(graph, row, scope))
    return {
        **model.config.thaw(),
        "layers": list(layers.values()),
        "input_layers": [[name, 0, 0] for name in inputs],
        "output_layers": [_reference(graph, ref, scope)[:3] for ref in model.results],
    }


def _sequential_config(
    graph: Graph,
    model: LayerCall,
    rows: Sequence[tuple[int, LayerCall]],
    scope: str,
) -> dict[str, Any]:
    """The layers of a chain, without their calls; its input layer first.

    A chain that begins with a model has its input from that.
    """
    layers = [_entry(graph, at, row, row.layer.removeprefix(scope)) for at, row in rows]
    others = [entry for entry in layers if entry["class_name"] != "InputLayer"]
    if others and others[0]["class_name"] in MODELS:
        layers = others
    kept = [{k: entry[k] for k in ("class_name", "config")} for entry in layers]
    return {**model.config.thaw(), "layers": kept}


def _entry(graph: Graph, at: int, row: LayerCall, name: str) -> dict[str, Any]:
    """A layer of the configuration, its calls still to be added."""
    config = row.config.thaw()
    if row.cls in MODELS:
        inner = [(i, r) for i, r in enumerate(graph.layers) if r.parent == at]
        scope = f"{row.layer}/"
        inputs = [
            r.layer.removeprefix(scope) for _, r in inner if r.cls == "InputLayer"
        ]
        nested = _model_config(graph, row, inner, scope, inputs)
        config = {**config, **nested, "name": name}
    return {
        "class_name": row.cls,
        "name": name,
        "config": config,
        "inbound_nodes": [],
    }


def _inbound(graph: Graph, row: LayerCall, scope: str) -> list[Any]:
    """A call: its input tensors; the first holds the other arguments."""
    arguments = {k: thawed(v) for k, v in row.arguments.thaw().items()}

    def reference(index: int) -> list[Any]:
        return _reference(graph, row.inputs[index], scope)[:3]

    named = set(_slots_in(arguments.values()))
    refs = [
        _reference(graph, ref, scope)
        for index, ref in enumerate(row.inputs)
        if index not in named
    ]
    refs[0][3] = {name: filled(v, reference) for name, v in arguments.items()}
    return refs


def _slots_in(arguments: Iterable[Any]) -> Iterator[int]:
    for argument in arguments:
        if isinstance(argument, Slot):
            yield argument.index
        else:
            yield from _slots_in(sequence_of(argument) or [])


def _reference(graph: Graph, ref: Ref, scope: str) -> list[Any]:
    source = graph.layers[ref.call]
    first = next(r for r in graph.layers if r.layer == source.layer)
    # Keras counts the calls of a model from 1: making it was the first.
    call = source.call - first.call + (source.cls in MODELS)
    return [source.layer.removeprefix(scope), call, ref.index, {}]
