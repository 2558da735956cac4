"""From a model's configuration back to layers, and calls of layers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from graphjit.capture.input_layer import InputLayer
from graphjit.capture.keras_calls import is_reference
from graphjit.capture.layer import Layer
from graphjit.capture.tensor import Tensor
from graphjit.errors import CaptureError
from graphjit.narrow import mapping_of, sequence_of

__all__ = ["Make", "Rebuilt", "call_layers"]

#: Makes a layer from its entry in a model's configuration.
Make: TypeAlias = Callable[[Mapping[str, Any]], Layer]

#: Inputs, outputs and name of a model rebuilt from its configuration.
Rebuilt = tuple[list[Tensor], list[Tensor], str]


def call_layers(config: Any, make: Make) -> Rebuilt:
    """Make the layers of a configuration and call them as it says.

    Args:
        config: Of a functional model.
        make: From an entry with class_name and config to the layer.

    Raises:
        CaptureError: A class is not known, or a call refers to what is not there.
    """
    config = mapping_of(config)
    if config is None:
        raise CaptureError("a model's configuration: expected a dictionary")
    entries = [_named(entry) for entry in _list(config, "layers")]
    layers: dict[str, Layer] = {}
    for name, entry in entries:
        if name in layers:
            raise CaptureError(f"the configuration has two layers called {name!r}")
        layers[name] = make(entry)
    tensors: dict[_Key, Tensor] = {}
    pending: list[_Pending] = []
    for name, entry in entries:
        layer = layers[name]
        if isinstance(layer, InputLayer):
            tensors[name, 0, 0] = layer.tensor()
            continue
        for call, node in enumerate(_list(entry, "inbound_nodes")):
            inputs, arguments = _read_inbound(name, node, layers)
            pending.append(_Pending(name, call, node, inputs, arguments))
    _call_all(layers, pending, tensors)
    inputs = [_found(tensors, ref) for ref in _list(config, "input_layers")]
    outputs = [_found(tensors, ref) for ref in _list(config, "output_layers")]
    return inputs, outputs, str(config.get("name", "model"))


#: Where a tensor is made: layer, call, index.
_Key = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class _Pending:
    """A call that is to be made.

    Attributes:
        name: The layer's.
        call: 0 for its first call.
        node: As the configuration has it.
        inputs: Where its inputs are made.
        arguments: Its arguments, with keys in the places of tensors.
    """

    name: str
    call: int
    node: Any
    inputs: list[_Key]
    arguments: dict[str, Any]


def _call_all(
    layers: Mapping[str, Layer],
    pending: Sequence[_Pending],
    tensors: dict[_Key, Tensor],
) -> None:
    """Make every call as soon as its inputs are there, a layer's in their order.

    A call waits for one thing at a time, so that each is looked at once for everything
    it reads, in whatever order the file has them.
    """
    made = dict.fromkeys(layers, 0)
    waiting: dict[tuple[str, int] | _Key, list[_Pending]] = {}
    ready = deque(pending)
    done = 0
    while ready:
        call = ready.popleft()
        wanted = _missing(call, made, tensors)
        if wanted is not None:
            waiting.setdefault(wanted, []).append(call)
            continue
        given = [tensors[key] for key in call.inputs]
        named = {k: _with_tensors(v, tensors) for k, v in call.arguments.items()}
        result = layers[call.name](given if len(given) > 1 else given[0], **named)
        for index, tensor in enumerate(sequence_of(result) or [result]):
            tensors[call.name, call.call, index] = tensor
            ready.extend(waiting.pop((call.name, call.call, index), ()))
        made[call.name] += 1
        ready.extend(waiting.pop((call.name, call.call + 1), ()))
        done += 1
    if done < len(pending):
        left = [call for calls in waiting.values() for call in calls]
        first = min(left, key=pending.index)
        raise CaptureError(
            f"layer {first.name!r}: call {first.call} reads {first.node!r}, never made"
        )


def _missing(
    call: _Pending, made: Mapping[str, int], tensors: Mapping[_Key, Tensor]
) -> tuple[str, int] | _Key | None:
    """What a call waits for: the one before it, or a tensor; None where it can be."""
    if made[call.name] != call.call:
        return call.name, call.call
    keys = (*call.inputs, *_keys_in(call.arguments))
    return next((key for key in keys if key not in tensors), None)


def _read_inbound(
    layer: str, node: Any, layers: Mapping[str, Layer]
) -> tuple[list[_Key], dict[str, Any]]:
    """The inputs of a call, and its arguments with a key for every tensor."""
    arguments: dict[str, Any] = {}
    references = sequence_of(node)
    if not references:
        raise CaptureError(
            f"layer {layer!r}: expected the inputs of a call, received {node!r}"
        )
    for reference in references:
        items = sequence_of(reference) or []
        entries = mapping_of(items[3]) if len(items) > 3 else None
        for name, value in (entries or {}).items():
            arguments[name] = _with_keys(value, layers)
    return [_key(reference) for reference in references], arguments


def _with_keys(value: Any, layers: Mapping[str, Layer]) -> Any:
    items = sequence_of(value)
    if items is None:
        return value
    if is_reference(items) and items[0] in layers:
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
    if items is None or not is_reference(items):
        raise CaptureError(f"expected [layer, call, tensor], received {reference!r}")
    return items[0], items[1], items[2]


def _named(entry: Any) -> tuple[str, Mapping[str, Any]]:
    found = mapping_of(entry)
    if found is None or not isinstance(found.get("name"), str):
        raise CaptureError(f"layers: expected a layer's name, received {entry!r}")
    return found["name"], found


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
