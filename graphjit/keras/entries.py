"""Entries of configurations: walking them, and old class names under new ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from graphjit.narrow import mapping_of, sequence_of

__all__ = ["AUGMENTING", "PLACES", "entries_in", "layers_of", "modern", "name_of"]

#: Keys under which layers stand inside of layers.
PLACES: Final = ("layer", "backward_layer", "cell", "cells", "layers", "input_layer")

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
#: Layers that change images at random in training, and do nothing else.
AUGMENTING: Final = frozenset(
    "AugMix CutMix MixUp RandAugment RandomBrightness RandomColorDegeneration "
    "RandomColorJitter RandomContrast RandomElasticTransform RandomErasing RandomFlip "
    "RandomGaussianBlur RandomGrayscale RandomHeight RandomHue RandomInvert "
    "RandomPerspective RandomPosterization RandomRotation RandomSaturation "
    "RandomSharpness RandomShear RandomTranslation RandomWidth RandomZoom".split()
)
#: What CuDNN's layers compute, which their configurations do not say.
_CUDNN: Final = {"activation": "tanh", "recurrent_activation": "sigmoid"}


def layers_of(config: Any) -> list[Any]:
    """The entries of a model's configuration; a bare list is one."""
    found = mapping_of(config)
    return sequence_of(config if found is None else found.get("layers")) or []


def name_of(entry: Any) -> str | None:
    """What an entry calls its layer; None where it is no entry, too."""
    found = mapping_of(entry) or {}
    config = mapping_of(found.get("config")) or {}
    name = found.get("name", config.get("name"))
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
    for key in PLACES:
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
    if old in AUGMENTING:
        return {**entry, "class_name": "Identity", "config": _named_alone(config)}
    if old in _IMAGES:
        return _of_images(entry, config)
    axes = sequence_of(config.get("axis"))
    if old == "Softmax" and axes is not None and len(axes) == 1:
        return {**entry, "config": {**config, "axis": axes[0]}}
    if old == "SeparableConv1D" and config.get("padding") == "causal":
        return {**entry, "config": {**config, "padding": [[_reach(config), 0]]}}
    new = _RENAMED.get(str(old))
    if new is None:
        return entry
    if old in ("CuDNNGRU", "CuDNNLSTM"):
        after = {"reset_after": True} if new == "GRU" else {}
        config = {**_CUDNN, **after, **config}
    return {**entry, "class_name": new, "config": config}


#: Layers of images that are functions without weights, with the settings that are read.
_IMAGES: Final = {
    "CenterCrop": {"height": "height", "width": "width"},
    "Resizing": {"interpolation": "interpolation"},
}
#: Their other settings, at the values that change nothing.
_PLAIN: Final[Mapping[str, tuple[Any, ...]]] = {
    "antialias": (None, False),
    "crop_to_aspect_ratio": (None, False),
    "data_format": (None, "channels_last"),
    "pad_to_aspect_ratio": (None, False),
}


def _of_images(
    entry: Mapping[str, Any], config: Mapping[str, Any]
) -> Mapping[str, Any]:
    """A layer of images as a function; as it is where it asks for more."""
    if any(config.get(key) not in values for key, values in _PLAIN.items()):
        return entry
    names = _IMAGES[str(entry["class_name"])]
    given: dict[str, Any] = {
        ours: config[key] for key, ours in names.items() if key in config
    }
    function = "center_crop"
    if entry["class_name"] == "Resizing":
        function = "resize"
        given["size"] = [config.get("height"), config.get("width")]
    kept = {**_named_alone(config), "function": function, "arguments": given}
    return {**entry, "class_name": "Operation", "config": kept}


def _reach(config: Mapping[str, Any]) -> int:
    """How many steps back the kernel of a convolution over time sees."""
    sizes: list[int] = []
    for key, default in (("kernel_size", 1), ("dilation_rate", 1)):
        value = config.get(key, default)
        value = (mapping_of(value) or {}).get("items", value)  # a tuple written out
        items = sequence_of(value) or [value]
        sizes.append(items[0] if isinstance(items[0], int) else default)
    return (sizes[0] - 1) * sizes[1]


def _named_alone(config: Mapping[str, Any]) -> dict[str, Any]:
    """What any layer's configuration says."""
    kept = ("name", "trainable", "dtype", "batch_input_shape")
    return {key: config[key] for key in kept if key in config}
