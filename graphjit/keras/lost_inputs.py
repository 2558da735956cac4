"""Chains whose input their file does not say: told by the weights of the first layer.

Keras 2.2 and 2.3 left an `InputLayer` that began a chain out of its configuration, and
could not load what they had saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from graphjit.keras.entries import layers_of, name_of
from graphjit.keras.notes import Notes
from graphjit.narrow import mapping_of

__all__ = ["lacks_input", "with_input"]

#: What says the input of a chain: keys of its first layer, and one of its own.
_SAID: Final = ("batch_input_shape", "batch_shape", "input_shape", "input_dim")
_BUILT: Final = "build_input_shape"
#: Layers that begin a chain: the free dims before the channels, and where the kernel
#: has the number of channels.
_FIRST: Final[Mapping[str, tuple[int, int]]] = {
    "Dense": (0, 0),
    "Conv1D": (1, 1),
    "Conv2D": (2, 2),
    "Conv3D": (3, 3),
    "LSTM": (1, 0),
    "GRU": (1, 0),
    "SimpleRNN": (1, 0),
}


def lacks_input(root: Mapping[str, Any]) -> bool:
    """Whether it is a chain that says nowhere what its input is."""
    config = mapping_of(root.get("config")) or {}
    if root.get("class_name") != "Sequential" or config.get(_BUILT) is not None:
        return False
    first = _first(root)
    inner = mapping_of((first or {}).get("config")) or {}
    known = first is not None and str(first.get("class_name")) in _FIRST
    return known and not any(inner.get(key) is not None for key in _SAID)


def with_input(
    root: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], notes: Notes
) -> Mapping[str, Any]:
    """The chain with the input that its first layer's kernel tells, where it does.

    Args:
        root: One that `lacks_input`.
        shapes: Of the arrays in the file by their names there.
        notes: What is assumed goes there.
    """
    first = _first(root) or {}
    inner = mapping_of(first.get("config")) or {}
    free, place = _FIRST[str(first.get("class_name"))]
    name = name_of(first)
    kernel = shapes.get(f"{name}/kernel:0")
    if kernel is None or len(kernel) <= place:
        return root
    shape: list[int | None] = [None, *[None] * free, kernel[place]]
    if free and inner.get("data_format") == "channels_first":
        shape = [None, kernel[place], *[None] * free]
    notes.add(
        f"the file does not say its input: by the weights of {name!r}, "
        f"{tuple(shape)}, as Keras has it"
    )
    config = mapping_of(root.get("config"))
    told = {"layers": layers_of(root.get("config")), **(config or {}), _BUILT: shape}
    return {**root, "config": told}


def _first(entry: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The layer that a chain begins with, in chains in it too."""
    found: Mapping[str, Any] | None = entry
    while found is not None and found.get("class_name") == "Sequential":
        layers = layers_of(found.get("config"))
        found = mapping_of(layers[0]) if layers else None
    return found
