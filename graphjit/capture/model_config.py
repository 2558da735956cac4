"""A model's configuration: from the layer table, and back to calls of layers.

The form is Keras 2's for functional models: layers in order, each with its config and
one list of inbound tensors ``[layer, call, tensor, {}]`` per call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphjit.capture.input_layer import InputLayer
from graphjit.capture.layer import LAYERS, Layer
from graphjit.capture.tensor import Tensor
from graphjit.errors import CaptureError
from graphjit.ir import NO_CALL, Graph, LayerCall, Ref
from graphjit.narrow import mapping_of, sequence_of

__all__ = ["Rebuilt", "call_layers", "config_of"]

#: Inputs, outputs and name of a model rebuilt from its configuration.
Rebuilt = tuple[list[Tensor], list[Tensor], str]
#: What makes a model of those.
MakeModel = Callable[[list[Tensor], list[Tensor], str], Layer]


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
    layers: dict[str, dict[str, Any]] = {}
    for at, row in rows:
        name = row.layer.removeprefix(scope)
        entry = layers.get(name)
        if entry is None:
            entry = layers[name] = _entry(graph, at, row, name)
        if row.cls != "InputLayer":
            refs = [_reference(graph, ref, scope) for ref in row.inputs]
            entry["inbound_nodes"].append(refs)
    return {
        **model.config.thaw(),
        "layers": list(layers.values()),
        "input_layers": [[name, 0, 0] for name in inputs],
        "output_layers": [_reference(graph, ref, scope)[:3] for ref in model.results],
    }


def _entry(graph: Graph, at: int, row: LayerCall, name: str) -> dict[str, Any]:
    """A layer of the configuration, its calls still to be added."""
    config = row.config.thaw()
    if row.cls == "Functional":
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


def _reference(graph: Graph, ref: Ref, scope: str) -> list[Any]:
    source = graph.layers[ref.call]
    first = next(r for r in graph.layers if r.layer == source.layer)
    return [source.layer.removeprefix(scope), source.call - first.call, ref.index, {}]


def call_layers(config: Mapping[str, Any], make_model: MakeModel) -> Rebuilt:
    """Make the layers of a configuration and call them as it says.

    Raises:
        CaptureError: A class is not known, or a call refers to what is not there.
    """
    entries = _list(config, "layers")
    layers = {str(entry["name"]): _layer(entry, make_model) for entry in entries}
    tensors: dict[tuple[str, int, int], Tensor] = {}
    pending: list[tuple[str, int, list[Any]]] = []
    for entry in entries:
        name = str(entry["name"])
        layer = layers[name]
        if isinstance(layer, InputLayer):
            tensors[name, 0, 0] = layer.tensor()
            continue
        for call, node in enumerate(_list(entry, "inbound_nodes")):
            pending.append((name, call, node))
    _call_all(layers, pending, tensors)
    inputs = [_found(tensors, ref) for ref in _list(config, "input_layers")]
    outputs = [_found(tensors, ref) for ref in _list(config, "output_layers")]
    return inputs, outputs, str(config.get("name", "model"))


def _layer(entry: Mapping[str, Any], make_model: MakeModel) -> Layer:
    cls, config = str(entry["class_name"]), mapping_of(entry["config"])
    if config is None:
        raise CaptureError(f"layer {entry.get('name')!r}: its config is not an object")
    if cls == "Functional":
        inputs, outputs, name = call_layers(config, make_model)
        model = make_model(inputs, outputs, name)
        model.trainable = bool(config.get("trainable", True))
        return model
    return LAYERS.get(cls).from_config(config)


def _call_all(
    layers: Mapping[str, Layer],
    pending: list[tuple[str, int, list[Any]]],
    tensors: dict[tuple[str, int, int], Tensor],
) -> None:
    """Make every call as soon as its inputs are there, a layer's in their order."""
    made = dict.fromkeys(layers, 0)
    while pending:
        later: list[tuple[str, int, list[Any]]] = []
        for name, call, node in pending:
            keys = [_key(ref) for ref in node]
            if made[name] != call or any(key not in tensors for key in keys):
                later.append((name, call, node))
                continue
            given = [tensors[key] for key in keys]
            result = layers[name](given if len(given) > 1 else given[0])
            for index, tensor in enumerate(sequence_of(result) or [result]):
                tensors[name, call, index] = tensor
            made[name] += 1
        if len(later) == len(pending):
            name, call, node = later[0]
            raise CaptureError(f"layer {name!r}: call {call} reads {node}, never made")
        pending = later


def _key(reference: Any) -> tuple[str, int, int]:
    items = sequence_of(reference)
    if items is None or len(items) < 3:
        raise CaptureError(f"expected [layer, call, tensor], received {reference!r}")
    return str(items[0]), int(items[1]), int(items[2])


def _found(tensors: Mapping[tuple[str, int, int], Tensor], reference: Any) -> Tensor:
    key = _key(reference)
    if key not in tensors:
        raise CaptureError(f"the configuration refers to {list(key)}, never made")
    return tensors[key]


def _list(config: Mapping[str, Any], key: str) -> list[Any]:
    found = sequence_of(config.get(key))
    if found is None:
        raise CaptureError(f"a model's configuration: expected a list under {key!r}")
    return found
