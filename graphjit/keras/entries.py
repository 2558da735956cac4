"""Entries of configurations: walking them, and old class names under new ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from graphjit.narrow import mapping_of, sequence_of

__all__ = ["entries_in", "layers_of", "modern", "name_of"]

#: Keys under which layers stand inside of layers.
_PLACES: Final = ("layer", "backward_layer", "cell", "cells", "layers", "input_layer")

#: Classes that tf.keras wrote under names of its own, and those that CuDNN computed.
_RENAMED: Final = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "CuDNNGRU": "GRU",
    "CuDNNLSTM": "LSTM",
    "SyncBatchNormalization": "BatchNormalization",
    "UnifiedGRU": "GRU",
    "UnifiedLSTM": "LSTM",
}
#: What CuDNN's layers compute, which their configurations do not say.
_CUDNN: Final = {"activation": "tanh", "recurrent_activation": "sigmoid"}


def layers_of(config: Any) -> list[Any]:
    """The entries of a model's configuration; a bare list is one."""
    found = mapping_of(config)
    return sequence_of(config if found is None else found.get("layers")) or []


def name_of(entry: Mapping[str, Any]) -> str | None:
    """What an entry calls its layer."""
    config = mapping_of(entry.get("config")) or {}
    name = entry.get("name", config.get("name"))
    return name if isinstance(name, str) else None


def entries_in(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every entry of a layer or model in a configuration, the outermost first."""
    found = mapping_of(value)
    if found is None:
        for item in sequence_of(value) or []:
            yield from entries_in(item)
        return
    if isinstance(found.get("class_name"), str) and "config" in found:
        yield found
        value = found.get("config")
        found = mapping_of(value)
        if found is None:  # a bare list of layers
            yield from entries_in(value)
            return
    for key in _PLACES:
        if key in found:
            yield from entries_in(found[key])


def modern(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """An entry of Keras 2 under the class name it has today."""
    old = entry.get("class_name")
    config = mapping_of(entry.get("config"))
    if config is None:
        return entry
    if old == "InputLayer" and "input_dtype" in config:
        kept = {k: v for k, v in config.items() if k != "input_dtype"}
        return {**entry, "config": {"dtype": config["input_dtype"], **kept}}
    new = _RENAMED.get(str(old))
    if new is None:
        return entry
    if old in ("CuDNNGRU", "CuDNNLSTM"):
        after = {"reset_after": True} if new == "GRU" else {}
        config = {**_CUDNN, **after, **config}
    return {**entry, "class_name": new, "config": config}
