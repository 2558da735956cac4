"""The names of a model's layers: the users' own, and Keras's for the rest."""

from __future__ import annotations

from collections.abc import Sequence

from graphjit.capture.layer import Layer
from graphjit.errors import CaptureError

__all__ = ["layer_names"]


def layer_names(layers: Sequence[Layer]) -> dict[Layer, str]:
    taken: dict[str, Layer] = {}
    for layer in layers:
        if layer.name is None:
            continue
        other = taken.setdefault(layer.name, layer)
        if other is not layer:
            kinds = f"{type(other).__name__} and {type(layer).__name__}"
            raise CaptureError(
                f"two layers are called {layer.name!r} ({kinds})",
                hint="names are unique in a model; rename one",
            )
    names: dict[Layer, str] = {}
    counts: dict[str, int] = {}
    for layer in layers:
        if layer.name is not None:
            names[layer] = layer.name
            continue
        stem = layer.default_name()
        name = stem
        while name in taken:
            counts[stem] = counts.get(stem, 0) + 1
            name = f"{stem}_{counts[stem]}"
        taken[name] = layer
        names[layer] = name
    return names
