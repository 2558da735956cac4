"""The calls in a functional model's configuration, brought to one form.

Our form is Keras 2's: a call is a list of ``[layer, call, tensor, {}]``, calls counted
from 0. Keras 2 and 3 count the calls of a nested model from 1, since making it counts
as one, and Keras 3 has another form of a call.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphjit.capture.model_config import MODELS, SEQUENTIAL
from graphjit.errors import CaptureError
from graphjit.narrow import mapping_of, sequence_of

__all__ = ["functional_form", "is_reference"]

#: A reference to a tensor: layer, call, index, and further arguments or nothing.
_Reference = list[Any]


def functional_form(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a functional model with its calls in our form.

    Raises:
        CaptureError: Something is no call, or it is of a form nothing here has.
    """
    entries = [_entry(item) for item in sequence_of(config.get("layers")) or []]
    counts = {entry.name: len(entry.nodes) for entry in entries}
    modern = any(mapping_of(node) is not None for e in entries for node in e.nodes)
    nodes = {e.name: [_node(e.name, n, counts) for n in e.nodes] for e in entries}
    outputs = _ends(config, "output_layers")
    models = {e.name: e.class_name for e in entries if e.class_name in MODELS}
    if modern:
        # Keras 3 counts from 1 only here, and only for a functional model.
        functional = {name for name, cls in models.items() if cls != SEQUENTIAL}
        outputs = _recounted(outputs, functional)
    else:
        last = _last_calls([nodes, outputs], models)
        from_one = {name for name, call in last.items() if call == counts[name]}
        nodes, outputs = _recounted(nodes, from_one), _recounted(outputs, from_one)
    layers = [
        {**e.data, "name": e.name, "inbound_nodes": nodes[e.name]} for e in entries
    ]
    ends = {"input_layers": _ends(config, "input_layers"), "output_layers": outputs}
    return {**config, "layers": layers, **ends}


@dataclass(frozen=True, slots=True)
class _Entry:
    """One layer of a configuration."""

    name: str
    class_name: str
    nodes: list[Any]
    data: Mapping[str, Any]


def _entry(item: Any) -> _Entry:
    data = mapping_of(item)
    if data is None:
        received = type(item).__name__
        raise CaptureError(f"layers: expected dictionaries, received a {received}")
    config = mapping_of(data.get("config")) or {}
    name = data.get("name", config.get("name"))
    if not isinstance(name, str):
        raise CaptureError(f"layers: expected a name, received {name!r}")
    nodes = sequence_of(data.get("inbound_nodes")) or []
    return _Entry(name, str(data.get("class_name")), nodes, data)


def _node(name: str, node: Any, layers: Mapping[str, Any]) -> list[_Reference]:
    """A call in our form."""
    found = mapping_of(node)
    if found is not None and "args" in found:
        return _from_keras_3(name, found)
    references = list(_flat(name, node, layers))
    if not references:
        raise CaptureError(f"layer {name!r}: expected the inputs of a call: {node!r}")
    arguments: dict[str, Any] = {}
    for reference in references:
        given = mapping_of(reference[3]) if len(reference) > 3 else None
        # tf.keras writes some that nobody gave, as None.
        told = {k: v for k, v in (given or {}).items() if v is not None}
        arguments.update({k: _argument(v) for k, v in told.items()})
    made: list[_Reference] = [[*ref[:3], {}] for ref in references]
    made[0][3] = arguments
    return made


def _flat(name: str, node: Any, layers: Mapping[str, Any]) -> Iterator[_Reference]:
    """The references in a call; inputs may be given as lists in lists."""
    items = sequence_of(node)
    if items is None:
        message = f"expected the inputs of a call as a list, received {node!r}"
        raise CaptureError(f"layer {name!r}: {message}")
    if is_reference(items) and items[0] in layers:
        yield items
        return
    for item in items:
        yield from _flat(name, item, layers)


def is_reference(items: list[Any]) -> bool:
    """Whether a list is a reference to a tensor."""
    return (
        len(items) >= 3
        and isinstance(items[0], str)
        and type(items[1]) is int
        and type(items[2]) is int
    )


def _argument(value: Any) -> Any:
    """An argument of a call; tf.keras wraps some constants."""
    items = sequence_of(value)
    if items is None:
        return value
    if len(items) >= 3 and items[0] == "_CONSTANT_VALUE":
        return items[2]
    return [_argument(item) for item in items]


# --- Keras 3 --------------------------------------------------------------------


def _from_keras_3(name: str, node: Mapping[str, Any]) -> list[_Reference]:
    inputs = [_tensors(name, arg) for arg in sequence_of(node.get("args")) or []]
    references: list[_Reference] = []
    for item in inputs:
        references += [item] if item and isinstance(item[0], str) else item
    keywords = mapping_of(node.get("kwargs")) or {}
    # Keras 3 records `training` without being asked, and never heeds it: what the
    # whole model is called with replaces it.
    arguments = {
        k: _keyword(v) for k, v in keywords.items() if v is not None and k != "training"
    }
    if not references:
        raise CaptureError(f"layer {name!r}: expected the inputs of a call, found none")
    made: list[_Reference] = [[*reference, {}] for reference in references]
    made[0][3] = arguments
    return made


def _tensors(name: str, argument: Any) -> list[Any]:
    """A positional argument: a reference, a list of them, or [] for None."""
    reference = _history(argument)
    if reference is not None:
        return reference
    if argument is None:
        return []
    items = sequence_of(argument)
    found = [_history(item) for item in items or [None]]
    if any(item is None for item in found):
        raise CaptureError(
            f"layer {name!r}: expected tensors as the inputs of a call, received "
            f"{argument!r}"
        )
    return found


def _keyword(value: Any) -> Any:
    reference = _history(value)
    if reference is not None:
        return reference
    items = sequence_of(value)
    return value if items is None else [_keyword(item) for item in items]


def _history(value: Any) -> _Reference | None:
    """Where a tensor of Keras 3 was made; None for anything else."""
    found = mapping_of(value)
    if found is None or found.get("class_name") != "__keras_tensor__":
        return None
    config = mapping_of(found.get("config")) or {}
    history = sequence_of(config.get("keras_history"))
    if history is None or not is_reference(history):
        raise CaptureError(f"a tensor's keras_history is broken: {history!r}")
    return history[:3]


# --- ends, and counting ---------------------------------------------------------


def _ends(config: Mapping[str, Any], key: str) -> list[Any]:
    """The inputs or outputs of a model: a list of references.

    Keras 3 writes a single one bare, and several as the user gave them; a dictionary's
    are in the order of its keys. tf.keras has lists in lists where a layer gave them.
    """
    value = config.get(key)
    if mapping_of(value) is None and sequence_of(value) is None:
        raise CaptureError(f"a model's configuration: expected a list under {key!r}")
    return list(_ends_in(value))


def _ends_in(value: Any) -> Iterator[Any]:
    """The references in a structure; what is none is for the reader to refuse."""
    found = mapping_of(value)
    items = sequence_of(value) if found is None else [found[k] for k in sorted(found)]
    nested = [i for i in items or [] if mapping_of(i) or sequence_of(i) is not None]
    if items is None or is_reference(items) or (items and not nested):
        yield value
        return
    for item in items:
        yield from _ends_in(item)


def _last_calls(value: Any, names: Container[str]) -> dict[str, int]:
    """Of the layers called so, the last call that something refers to."""
    last: dict[str, int] = {}
    left = [value]
    while left:
        item = left.pop()
        found = mapping_of(item)
        items = list(found.values()) if found is not None else sequence_of(item) or []
        if found is None and is_reference(items) and items[0] in names:
            last[items[0]] = max(items[1], last.get(items[0], items[1]))
        left += items
    return last


def _recounted(value: Any, names: Container[str]) -> Any:
    """`value` with the calls of some layers counted from 0 that were counted from 1."""
    found = mapping_of(value)
    if found is not None:
        return {key: _recounted(item, names) for key, item in found.items()}
    items = sequence_of(value)
    if items is None:
        return value
    if is_reference(items) and items[0] in names:
        items = [items[0], items[1] - 1, *items[2:]]
    return [_recounted(item, names) for item in items]
