"""The form in which Keras 3 writes the configuration of a model.

Calls are counted from 0, but those that are a model's outputs from 1 where they are of
a functional model: reading one counts as its first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from graphjit.capture.keras_keys import OF_THE_INPUT
from graphjit.capture.model_config import MODELS, SEQUENTIAL
from graphjit.errors import CaptureError
from graphjit.keras.saving_arguments import OF_APPLICATIONS
from graphjit.keras.saving_operations import (
    arguments_of_call,
    operation_place,
    settings_of,
)
from graphjit.keras.saving_written import Entry, Written
from graphjit.narrow import mapping_of, sequence_of

__all__ = ["KERAS_3_VERSION", "ends", "keras_3_form"]

#: The Keras whose form, and whose meaning of names, it is.
KERAS_3_VERSION: Final = "3.15.0"

_FUNCTIONAL: Final = {
    "module": "keras.src.models.functional",
    "registered_name": "Functional",
}
#: Where Keras has settings, by what the names of arguments end in.
_SETTINGS: Final[Mapping[str, str]] = {
    "initializer": "keras.initializers",
    "regularizer": "keras.regularizers",
    "constraint": "keras.constraints",
}
#: Arguments whose names Keras 3 changed; a value of None leaves them out.
_RENAMED: Final[Mapping[str, Mapping[str, str | None]]] = {
    "LeakyReLU": {"alpha": "negative_slope"},
    # Keras's own do not take it, and have nothing to train.
    **{f"SpatialDropout{rank}D": {"trainable": None} for rank in (1, 2, 3)},
}
#: Layers whose further inputs are states.
_STATEFUL: Final = frozenset(
    "Bidirectional ConvLSTM1D ConvLSTM2D ConvLSTM3D GRU LSTM RNN SimpleRNN".split()
)


def keras_3_form(written: Written) -> dict[str, Any]:
    """The outermost dictionary of a model's configuration.

    Raises:
        CaptureError: A call is of a kind that Keras has none of.
    """
    found = _entry(written.entry)
    found.pop("name", None)
    return found


def ends(references: Any) -> Any:
    """Inputs or outputs of a model: a single one by itself, several as a list."""
    found = sequence_of(references) or []
    return found[0] if len(found) == 1 else found


def _entry(entry: Entry) -> dict[str, Any]:
    """A layer or model: where its class is found, and its configuration."""
    name = str(entry["class_name"])
    config = mapping_of(entry["config"]) or {}
    kept = {k: v for k, v in entry.items() if k in ("name", "shared_object_id")}
    if name == SEQUENTIAL:
        place = {"module": "keras", "registered_name": None}
        start = _start(entry)
        config = {**config, "layers": [_in_chain(item) for item in config["layers"]]}
        if start is not None:
            config["build_input_shape"] = start
    elif name in MODELS:
        name, place = "Functional", dict(_FUNCTIONAL)
        config = _functional(config)
    elif name == "Operation":
        place = operation_place(config)
        name, config = place["class_name"], settings_of(config)
    else:
        module = OF_APPLICATIONS.get(name, "keras.layers")
        place = {"module": module, "registered_name": None}
        config = _input(config) if name == "InputLayer" else _arguments(name, config)
    return {**place, "class_name": name, "config": config, **kept}


def _start(entry: Entry) -> list[Any] | None:
    """The shape of a model's only input, the batch included; None where it has none."""
    config = entry["config"]
    if entry["class_name"] == "InputLayer":
        return list(_input(config)["batch_shape"])
    if entry["class_name"] == SEQUENTIAL:
        return _start(config["layers"][0])
    inputs = sequence_of(config.get("input_layers")) or []
    if entry["class_name"] not in MODELS or len(inputs) != 1:
        return None
    (start,) = [item for item in config["layers"] if item["name"] == inputs[0][0]]
    return _start(start)


def _in_chain(entry: Entry) -> dict[str, Any]:
    found = _entry(entry)
    found.pop("name", None)
    return found


def _input(config: Mapping[str, Any]) -> dict[str, Any]:
    shape = [d if isinstance(d, int) else None for d in config["batch_input_shape"]]
    kept = {key: config[key] for key in ("name", "dtype") if key in config}
    return {**kept, "batch_shape": shape, "sparse": False, "ragged": False}


def _arguments(class_name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    renamed = _RENAMED.get(class_name, {})
    made: dict[str, Any] = {}
    for key, value in config.items():
        if key in OF_THE_INPUT:
            continue
        name = renamed.get(key, key)
        if name is not None:
            made[name] = _value(key, value)
    return made


def _value(key: str, value: Any) -> Any:
    """An argument; settings and layers in it are found by their classes."""
    found = mapping_of(value)
    if found is not None and "class_name" in found:
        for ending, module in _SETTINGS.items():
            if key.endswith(ending):
                return {"module": module, **found, "registered_name": None}
        return _in_chain(dict(found))
    items = sequence_of(value)
    return value if items is None else [_value(key, item) for item in items]


# --- calls ------------------------------------------------------------------------


def _functional(config: Mapping[str, Any]) -> dict[str, Any]:
    classes = {str(e["name"]): str(e["class_name"]) for e in config["layers"]}
    layers: list[dict[str, Any]] = []
    for entry in config["layers"]:
        made = _entry(entry)
        made["name"] = entry["name"]
        nodes = sequence_of(entry.get("inbound_nodes")) or []
        made["inbound_nodes"] = [_call(entry, node, classes) for node in nodes]
        layers.append(made)
    outputs = [
        [name, call - (classes[name] == SEQUENTIAL), index]
        for name, call, index in config["output_layers"]
    ]
    return {
        "name": config.get("name"),
        "trainable": config.get("trainable", True),
        "layers": layers,
        "input_layers": ends(config["input_layers"]),
        "output_layers": ends(outputs),
    }


def _call(entry: Entry, node: Any, classes: Mapping[str, str]) -> dict[str, Any]:
    """A call: its tensors in place, and its other arguments."""
    references = sequence_of(node) or []
    if entry["class_name"] == "Operation":
        return arguments_of_call(entry, references, lambda ref: _tensor(ref, classes))
    named = dict(mapping_of(references[0][3]) or {})
    first = [_tensor(reference, classes) for reference in references]
    kwargs = {key: _argument(value, classes) for key, value in named.items()}
    kind = str(entry["class_name"])
    if kind in _STATEFUL:
        return _recurrent_call(entry, first, kwargs)
    args: list[Any] = [first[0] if len(first) == 1 else first]
    # Inputs with names of their own stand in Keras's order of arguments.
    for key in ("value", "key"):
        if key in kwargs and kind == "MultiHeadAttention":
            args.append(kwargs.pop(key))
    return {"args": args, "kwargs": kwargs}


def _recurrent_call(
    entry: Entry, tensors: list[Any], kwargs: dict[str, Any]
) -> dict[str, Any]:
    if "constants" in kwargs:
        raise CaptureError(
            f"{entry['class_name']} {entry['name']!r}: it is called with constants, "
            "which Keras 3 has not"
        )
    if len(tensors) > 1:
        kwargs["initial_state"] = tensors[1:]
    return {"args": tensors[:1], "kwargs": kwargs}


def _argument(value: Any, classes: Mapping[str, str]) -> Any:
    items = sequence_of(value)
    if items is None:
        return value
    if len(items) >= 3 and items[0] in classes and type(items[1]) is int:
        return _tensor(items, classes)
    return [_argument(item, classes) for item in items]


def _tensor(reference: Any, classes: Mapping[str, str]) -> dict[str, Any]:
    """A tensor by where it is made. Keras looks at nothing but that."""
    name, call, index = reference[:3]
    history = [name, call - (classes[name] in MODELS), index]
    config = {"shape": [], "dtype": "float32", "keras_history": history}
    return {"class_name": "__keras_tensor__", "config": config}
