"""From a model's configuration back to layers, and calls of layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

from graphjit.capture.input_layer import InputLayer
from graphjit.capture.layer import Layer
from graphjit.capture.tensor import Tensor
from graphjit.errors import CaptureError
from graphjit.narrow import mapping_of, sequence_of

__all__ = ["Make", "Rebuilt", "call_layers"]

#: Makes a layer from its entry in a model's configuration.
Make: TypeAlias = Callable[[Mapping[str, Any]], Layer]

#: Inputs, outputs and name of a model rebuilt from its configuration.
Rebuilt = tuple[list[Tensor], list[Tensor], str]


def call_layers(config: Mapping[str, Any], make: Make) -> Rebuilt:
    """Make the layers of a configuration and call them as it says.

    Args:
        config: Of a functional model.
        make: From an entry with class_name and config to the layer.

    Raises:
        CaptureError: A class is not known, or a call refers to what is not there.
    """
    entries = _list(config, "layers")
    layers = {str(entry["name"]): make(entry) for entry in entries}
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
            keys, arguments = _read_inbound(node, layers)
            wanted = [*keys, *_keys_in(arguments)]
            if made[name] != call or any(key not in tensors for key in wanted):
                later.append((name, call, node))
                continue
            given = [tensors[key] for key in keys]
            named = {k: _with_tensors(v, tensors) for k, v in arguments.items()}
            result = layers[name](given if len(given) > 1 else given[0], **named)
            for index, tensor in enumerate(sequence_of(result) or [result]):
                tensors[name, call, index] = tensor
            made[name] += 1
        if len(later) == len(pending):
            name, call, node = later[0]
            raise CaptureError(f"layer {name!r}: call {call} reads {node}, never made")
        pending = later


#: Where a tensor is made: layer, call, index.
_Key = tuple[str, int, int]


def _read_inbound(
    node: list[Any], layers: Mapping[str, Layer]
) -> tuple[list[_Key], dict[str, Any]]:
    """The inputs of a call, and its arguments with a key for every tensor."""
    arguments: dict[str, Any] = {}
    for reference in node:
        items = sequence_of(reference) or []
        entries = mapping_of(items[3]) if len(items) > 3 else None
        for name, value in (entries or {}).items():
            arguments[name] = _with_keys(value, layers)
    return [_key(reference) for reference in node], arguments


def _with_keys(value: Any, layers: Mapping[str, Layer]) -> Any:
    items = sequence_of(value)
    if items is None:
        return value
    if len(items) >= 3 and items[0] in layers and isinstance(items[1], int):
        return _key(items)
    return [_with_keys(item, layers) for item in items]


def _keys_in(value: Any) -> list[_Key]:
    if isinstance(value, tuple):
        return [cast("_Key", value)]
    items = mapping_of(value)
    parts = list(items.values()) if items is not None else sequence_of(value) or []
    return [key for part in parts for key in _keys_in(part)]


def _with_tensors(value: Any, tensors: Mapping[_Key, Tensor]) -> Any:
    if isinstance(value, tuple):
        return tensors[cast("_Key", value)]
    items = sequence_of(value)
    return value if items is None else [_with_tensors(item, tensors) for item in items]


def _key(reference: Any) -> _Key:
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
