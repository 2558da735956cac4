"""Arguments of ours in a text that Keras reads too.

What only we know stands beside an entry's class and configuration, where no Keras
looks, as long as Keras computes the same without it. What means something else in Keras
3 is written so that it computes the same, or refuses to read it; it never misreads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from graphjit.capture.snake_case import snake_case
from graphjit.narrow import mapping_of

__all__ = ["ARGUMENTS", "LAYER", "beside", "in_other_words"]

#: Beside an entry, below our own key: arguments, and a whole entry in place of it.
ARGUMENTS: Final = "arguments"
LAYER: Final = "layer"

#: Arguments of ours that change no output of a trained model.
_OF_TRAINING: Final = ("drop_mask", "frozen", "masked")
_OLD: Final = "hard_sigmoid"
#: Recurrent layers whose gates Keras 3 would compute by another function.
_RECURRENT: Final = ("GRU", "LSTM", "SimpleRNN")
#: What Keras 2 writes of them, and Keras 3 does not take.
_OF_KERAS_2: Final = {"time_major": False}


def beside(
    class_name: str, config: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A layer's configuration for Keras, and the arguments that stand beside it.

    Args:
        class_name: Of the layer.
        config: As the layer's `get_config` has it.
    """
    kept = dict(config)
    ours = {key: kept.pop(key) for key in _OF_TRAINING if key in kept}
    for key, value in config.items():
        known = _known_initializer(value) if key.endswith("initializer") else value
        if known is not value:
            ours[key], kept[key] = value, known
    gates = (kept.get("activation"), kept.get("recurrent_activation"))
    if class_name in _RECURRENT and _OLD in gates:
        kept.update(_OF_KERAS_2)
    return kept, ours


def _known_initializer(value: Any) -> Any:
    """The initializer that Keras has for one of ours; others as they are."""
    found = mapping_of(value)
    name = None if found is None else found.get("class_name")
    config = {} if found is None else mapping_of(found.get("config")) or {}
    if name == "PerBlock":
        return _known_initializer(config.get("initializer"))
    if name == "Keras1Scaling":
        return {"class_name": "VarianceScaling", "config": dict(config)}
    return value


def in_other_words(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """A chain of layers that every Keras computes as the entry's layer; None for none.

    Keras 2's hard_sigmoid is a line between 0 and 1; Keras 3 calls another one so.
    """
    config = mapping_of(entry.get("config")) or {}
    name = config.get("name") or snake_case(str(entry["class_name"]))
    if config.get("activation") != _OLD or "recurrent_activation" in config:
        return None
    if entry["class_name"] in (*_RECURRENT, "SimpleRNNCell"):
        return None
    common = {key: config[key] for key in ("trainable", "dtype") if key in config}
    line = {"name": f"{name}_line", **common, "scale": 0.2, "offset": 0.5}
    clip = {
        "name": f"{name}_clip",
        **common,
        "max_value": 1.0,
        "negative_slope": 0.0,
        "threshold": 0.0,
    }
    layers: list[dict[str, Any]] = [
        {"class_name": "Rescaling", "config": line},
        {"class_name": "ReLU", "config": clip},
    ]
    if entry["class_name"] != "Activation":
        inner = {**config, "name": f"{name}_inner", "activation": "linear"}
        layers.insert(0, {"class_name": entry["class_name"], "config": inner})
    chain = {"name": name, "layers": layers}
    return {"class_name": "Sequential", "config": chain}
