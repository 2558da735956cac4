"""A model's layers and the groups of Keras 3's weights, walked side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from graphjit.capture.layer import Layer
from graphjit.capture.snake_case import snake_case
from graphjit.capture.tracer import SubModel
from graphjit.errors import DataError
from graphjit.formats import keras3_weights
from graphjit.formats.keras_weights import StoredLayer, StoredWeight
from graphjit.formats.limits import Limits
from graphjit.keras.notes import Notes
from graphjit.keras.reader import Part
from graphjit.ops.recurrent.bidirectional import Bidirectional
from graphjit.ops.recurrent.recurrent_layer import RecurrentLayer
from graphjit.ops.recurrent.rnn import RNN, StackedRNNCells
from graphjit.weight_owners import Owner, owner_of

__all__ = ["pairs"]

#: A layer with weights of its own, and the arrays that the file has for it.
Pair = tuple[Owner, StoredLayer]

#: MultiHeadAttention's weights, by the layers that hold them in Keras.
_PROJECTIONS: Final[Mapping[str, str]] = {
    "query": "query_dense",
    "key": "key_dense",
    "value": "value_dense",
    "gate": "gate_dense",
    "attention_output": "output_dense",
}


def pairs(
    model: SubModel,
    root: Any,
    parts: Callable[[SubModel], Sequence[Part]],
    limits: Limits,
    notes: Notes,
) -> Iterator[Pair]:
    """For every layer with weights its arrays; one that is shared once.

    Args:
        model: The model.
        root: The open file.
        parts: A model's layers in the order of the file's configuration.
        limits: What the file may ask for.
        notes: What is assumed goes there.

    Raises:
        DataError: The file has more or fewer layers of a class with weights.
    """
    return _Walk(parts, limits, notes).model(model, root, "")


class _Walk:
    def __init__(
        self,
        parts: Callable[[SubModel], Sequence[Part]],
        limits: Limits,
        notes: Notes,
    ) -> None:
        self._parts = parts
        self._limits = limits
        self._notes = notes
        self._seen: set[Layer] = set()
        self._groups: dict[tuple[str, str], Any] = {}

    def model(self, model: SubModel, group: Any, path: str) -> Iterator[Pair]:
        waiting: dict[str, list[Any]] = {}
        named: dict[str, list[str]] = {}
        for part in self._parts(model):
            if self._is_new(part.layer):
                stem = snake_case(part.class_name)
                if stem not in waiting:
                    found = keras3_weights.members(group, stem, self._limits)
                    waiting[stem] = found
                named.setdefault(stem, []).append(part.name)
                child = waiting[stem].pop(0) if waiting[stem] else self._again(part)
                if child is None:
                    self._refuse(path, stem, named)
                yield from self._layer(part.layer, child, f"{path}{part.name}")
        for stem, left in waiting.items():
            if left:
                self._refuse(path, stem, named, len(left))

    def _again(self, part: Part) -> Any:
        """The group of a layer that stands in the file under another place.

        A layer that is shared with a wrapper is written once, where it is met first,
        and the configuration does not say that both are one.
        """
        group = self._groups.get((part.class_name, part.name))
        if group is not None:
            self._notes.add(
                f"{part.class_name} {part.name!r} is one layer with another of that "
                "name in the file: here they are two with equal weights"
            )
        return group

    def _refuse(
        self, path: str, stem: str, named: Mapping[str, list[str]], more: int = 0
    ) -> None:
        ours = named[stem]
        count = len(ours) + more if more else len(ours) - 1
        where = f"{path.rstrip('/')!r}: " if path else ""
        raise DataError(
            f"{where}expected {len(ours)} groups of weights for layers of the kind "
            f"{stem!r}, found {count}",
            details=[f"the model: {', '.join(ours[:20])}"],
        )

    def _is_new(self, layer: Layer) -> bool:
        """Whether a layer has weights that no layer before it held."""
        if layer in self._seen:
            return False
        if isinstance(layer, SubModel):
            return any(self._is_new(part.layer) for part in self._parts(layer))
        own = any(not cell.param.recurrent for cell in layer.own_cells.values())
        return own or any(self._is_new(part) for _, part in layer.parts())

    def _layer(self, layer: Layer, group: Any, path: str) -> Iterator[Pair]:
        if layer in self._seen:
            return
        self._seen.add(layer)
        self._groups[layer.class_name(), layer.name or ""] = group
        if isinstance(layer, SubModel):
            yield from self.model(layer, group, f"{path}/")
            return
        if layer.own_cells:
            yield self._own(layer, group, path)
        for (name, part), inner in self._inside(layer, group):
            if self._is_new(part):
                yield from self._layer(part, inner, f"{path}/{name}".rstrip("/"))

    def _own(self, layer: Layer, group: Any, path: str) -> Pair:
        """A layer's own weights. Cells hold those of recurrent layers."""
        stored: tuple[StoredWeight, ...] = ()
        if type(layer).__name__ == "MultiHeadAttention":
            stored = tuple(self._projections(layer, group))
        else:
            stored = keras3_weights.variables(group, self._limits)
        if not stored and isinstance(layer, RecurrentLayer):
            cell = keras3_weights.part(group, "cell")
            stored = keras3_weights.variables(cell, self._limits)
        owner = owner_of(path, layer, lambda _: ())
        return Owner(owner.name, owner.leaves[:1]), StoredLayer(path, stored)

    def _projections(self, layer: Layer, group: Any) -> Iterator[StoredWeight]:
        places = dict.fromkeys(slot.split("/")[0] for slot in layer.own_cells)
        for place in places:
            name = _PROJECTIONS[place]
            inner = keras3_weights.part(group, name, f"_{name}")
            yield from keras3_weights.variables(inner, self._limits)

    def _inside(
        self, layer: Layer, group: Any
    ) -> Iterator[tuple[tuple[str, Layer], Any]]:
        """The layers inside of one, with their groups."""
        parts = layer.parts()
        if isinstance(layer, Bidirectional):
            for part, name in zip(
                parts, ("forward_layer", "backward_layer"), strict=True
            ):
                yield part, keras3_weights.part(group, name)
        elif isinstance(layer, StackedRNNCells):
            taken: dict[str, list[Any]] = {}
            for part in parts:
                if not self._is_new(part[1]):
                    continue
                stem = snake_case(part[1].class_name())
                if stem not in taken:
                    limits = self._limits
                    taken[stem] = keras3_weights.members(group, stem, limits, "cells")
                yield part, taken[stem].pop(0) if taken[stem] else None
        else:
            name = "cell" if isinstance(layer, RNN) else "layer"
            for part in parts:
                yield part, keras3_weights.part(group, name)
