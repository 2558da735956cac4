"""The text form of a model's configuration: one that Keras 2 and Keras 3 both read.

It is tf.keras 2.15's. Two things differ between the readers, and are written so that
both are content: where Keras 3 finds a class, and how calls of a nested chain count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from graphjit.capture.keras_keys import OF_THE_INPUT, OURS
from graphjit.capture.layer import LAYERS
from graphjit.capture.model_config import MODELS, SEQUENTIAL
from graphjit.formats.keras_words import ARGUMENTS, LAYER, beside, in_other_words
from graphjit.narrow import mapping_of, sequence_of

__all__ = ["BACKEND", "KERAS_VERSION", "keras_form"]

#: The Keras whose form, and whose meaning of names, the files have.
KERAS_VERSION: Final = "2.15.0"
#: The one whose layouts of weights and orientation of kernels are ours.
BACKEND: Final = "tensorflow"

#: Where Keras 3 has the class of functional models; Keras 2 does not look here.
_FUNCTIONAL: Final = {
    "module": "keras.src.models.functional",
    "registered_name": "Functional",
}
_LAYERS: Final = {"module": "keras.layers", "registered_name": None}
#: Layers here that no Keras 2 has; with the user's own they are custom objects there.
_NOT_OF_KERAS: Final = frozenset(
    "Cosine Highway MaxoutDense ParametricSoftplus SReLU".split()
)

_NO_SEED: Final[Mapping[str, Any]] = {"seed": None}
#: Keys that one of the readers does not know, left out where they say nothing.
_LEFT_OUT: Final[Mapping[str, Mapping[str, Any]]] = {
    "ConvLSTM1D": _NO_SEED,
    "ConvLSTM2D": _NO_SEED,
    "ConvLSTM3D": _NO_SEED,
    "MultiHeadAttention": {
        "flash_attention": None,
        "seed": None,
        "sliding_window": None,
        "use_gate": False,
    },
    "SimpleRNN": _NO_SEED,
    "SimpleRNNCell": _NO_SEED,
    "SpatialDropout1D": {"trainable": True},
    "SpatialDropout2D": {"trainable": True},
    "SpatialDropout3D": {"trainable": True},
    "ZeroPadding1D": {"data_format": "channels_last"},
}
#: Keys that Keras 2 wants; with None it learns them when the layer is called.
_ADDED: Final[Mapping[str, Mapping[str, Any]]] = {
    "MultiHeadAttention": {"query_shape": None, "key_shape": None, "value_shape": None},
}


def keras_form(class_name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The outermost dictionary of a model's text."""
    root = _entry({"class_name": class_name, "config": config})
    return {**root, "keras_version": KERAS_VERSION, "backend": BACKEND}


def _entry(
    entry: Mapping[str, Any], inside: bool = False, fed: bool = False
) -> dict[str, Any]:
    """A layer or model: where its class is found, and its configuration.

    Args:
        entry: With class_name and config.
        inside: Whether it stands in a model. A functional one has no place there: where
            it says none, Keras 2 and 3 use their older reader, which knows its name.
        fed: Whether a call gives it its input.
    """
    name = str(entry["class_name"])
    config = mapping_of(entry["config"]) or {}
    words = None if name in MODELS else in_other_words(entry)
    if words is not None:
        made = _entry({**entry, **words}, inside, fed)
        return {**made, OURS: {LAYER: {"class_name": name, "config": dict(config)}}}
    kept = _kept(name, config, fed)
    if name == SEQUENTIAL:
        place: dict[str, Any] = {"module": "keras", "registered_name": None}
        config = _chain(config, fed)
    elif name in MODELS:
        place = {} if inside else dict(_FUNCTIONAL)
        name = "Functional"
        config = _functional(config)
    else:
        place = dict(_LAYERS) if _is_of_keras(name) else {}
        left_out = _LEFT_OUT.get(name, {})
        config, ours = beside(name, config)
        if ours:
            kept = {OURS: {**kept.get(OURS, {}), ARGUMENTS: ours}}
        config = {
            **_ADDED.get(name, {}),
            **{
                key: _value(key, value)
                for key, value in config.items()
                if key not in OF_THE_INPUT or name == "InputLayer"
                if key not in left_out or left_out[key] != value
            },
        }
    return {**place, **entry, "class_name": name, "config": config, **kept}


def _is_of_keras(class_name: str) -> bool:
    ours = class_name in LAYERS and LAYERS.get(class_name).__module__.split(".")[0]
    return ours == "graphjit" and class_name not in _NOT_OF_KERAS


def _value(key: str, value: Any) -> Any:
    """An argument of a layer; layers inside of layers are entries too."""
    found = mapping_of(value)
    if found is not None and "class_name" in found and not _is_setting(key):
        return _entry(found)
    items = sequence_of(value)
    return value if items is None else [_value(key, item) for item in items]


def _is_setting(key: str) -> bool:
    return key.endswith(("initializer", "regularizer", "constraint", "activation"))


def _chain(config: Mapping[str, Any], fed: bool) -> dict[str, Any]:
    """A `Sequential`: with its input layer first, or, fed, without a word of its input.

    Inside a functional model the input comes with the call. Keras 2 counts the calls of
    a chain that knows its input from 1, Keras 3 from 0; where it does not know it, both
    count from 0.
    """
    items = _without_input(config) if fed else sequence_of(config["layers"]) or []
    entries = [
        _entry(item, inside=True, fed=fed and not at) for at, item in enumerate(items)
    ]
    return {**config, "layers": entries}


def _without_input(config: Mapping[str, Any]) -> list[Any]:
    items = sequence_of(config["layers"]) or []
    return [item for item in items if item["class_name"] != "InputLayer"]


def _kept(name: str, config: Mapping[str, Any], fed: bool) -> dict[str, Any]:
    """What an entry said of the input and no longer says, where only we look."""
    if name == SEQUENTIAL and fed:
        items = sequence_of(config["layers"]) or []
        starts = [item for item in items if item["class_name"] == "InputLayer"]
        return {OURS: {"input_layer": starts[0]}} if starts else {}
    if name == "InputLayer" or name in MODELS:
        return {}
    told = {key: config[key] for key in OF_THE_INPUT if key in config}
    return {OURS: told} if told else {}


def _functional(config: Mapping[str, Any]) -> dict[str, Any]:
    """A functional model: the calls of the chains in it counted from 0."""
    entries = [_entry(item, inside=True, fed=True) for item in config["layers"]]
    items = config["layers"]
    chains = {e["name"] for e in items if e["class_name"] == SEQUENTIAL}
    for entry in entries:
        entry["inbound_nodes"] = _from_zero(entry["inbound_nodes"], chains)
    outputs = _from_zero(config["output_layers"], chains)
    return {**config, "layers": entries, "output_layers": outputs}


def _from_zero(value: Any, chains: set[str]) -> Any:
    found = mapping_of(value)
    if found is not None:
        return {key: _from_zero(item, chains) for key, item in found.items()}
    items = sequence_of(value)
    if items is None:
        return value
    is_reference = len(items) >= 3 and isinstance(items[1], int)
    if is_reference and isinstance(items[0], str) and items[0] in chains:
        items = [items[0], items[1] - 1, *items[2:]]
    return [_from_zero(item, chains) for item in items]
