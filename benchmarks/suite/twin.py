"""The channels-first twin of a network: another configuration, the same weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["channels_first", "moved"]

#: Layers whose `axis` names the channels of a picture.
_BY_AXIS = ("BatchNormalization", "Concatenate", "Normalization", "LayerNormalization")


def channels_first(text: str) -> str:
    """Keras's JSON of a channels-last network of pictures, in the other layout.

    Every layer that has a data format gets the other one, axes and shapes follow.
    Weights have the same shapes and order in both.

    Args:
        text: A functional model's; all tensors before the last pooling or flattening
            have one batch, the channels last, and lengths between.

    Raises:
        ValueError: A layer holds a shape that does not say where its channels are.
    """
    document = json.loads(text)
    layers = document["config"]["layers"]
    ranks = {
        layer["name"]: len(layer["config"]["batch_shape"])
        for layer in layers
        if layer["class_name"] == "InputLayer"
    }
    for layer in layers:
        rank = _rank(layer, ranks)
        ranks[layer["name"]] = _result_rank(layer, rank)
        if rank > 3:
            _turn(layer["class_name"], layer["config"], rank)
    return json.dumps(document)


def moved(array: Any) -> Any:
    """A batch of pictures, from channels last to channels first."""
    return np.ascontiguousarray(np.moveaxis(array, -1, 1))


def _turn(kind: str, config: dict[str, Any], rank: int) -> None:
    """Change one layer's configuration."""
    if config.get("data_format") == "channels_last":
        config["data_format"] = "channels_first"
    if kind == "InputLayer":
        shape = config["batch_shape"]
        config["batch_shape"] = [shape[0], shape[-1], *shape[1:-1]]
    if kind in _BY_AXIS:
        config["axis"] = _axes(config["axis"], rank)
    if kind == "Reshape":
        config["target_shape"] = _target(config["target_shape"])


def _axes(axis: Any, rank: int) -> Any:
    if isinstance(axis, list):
        return [_axes(one, rank) for one in axis]
    place = axis % rank
    if place == rank - 1:
        return 1
    return place + 1 if place else 0


def _target(shape: list[int]) -> list[int]:
    if len(shape) == 1:
        return shape
    if any(length != 1 for length in shape[:-1]):
        raise ValueError(f"a Reshape to {shape} mixes places and channels")
    return [shape[-1], *shape[:-1]]


def _rank(layer: dict[str, Any], ranks: dict[str, int]) -> int:
    """The rank of what a layer is given; of a picture where it makes one."""
    if layer["class_name"] == "InputLayer":
        return ranks[layer["name"]]
    if layer["class_name"] == "Reshape":
        return max(len(layer["config"]["target_shape"]) + 1, _given(layer, ranks))
    return _given(layer, ranks)


def _given(layer: dict[str, Any], ranks: dict[str, int]) -> int:
    found: list[str] = []
    _histories(layer["inbound_nodes"], found.append)
    return max(ranks[name] for name in found)


def _histories(data: Any, tell: Callable[[str], None]) -> None:
    """The names of the layers that a layer reads, in Keras 3's form."""
    if isinstance(data, dict):
        if "keras_history" in data:
            tell(data["keras_history"][0])
        else:
            _histories(list(data.values()), tell)
    elif isinstance(data, list):
        for one in data:
            _histories(one, tell)


def _result_rank(layer: dict[str, Any], rank: int) -> int:
    kind, config = layer["class_name"], layer["config"]
    if kind == "Reshape":
        return len(config["target_shape"]) + 1
    if kind == "Flatten" or (kind.startswith("Global") and not config["keepdims"]):
        return 2
    return rank
