"""What is written of a layer: its entry of a configuration, and its weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

__all__ = ["Entry", "SavedWeight", "Written"]

#: A layer's place in a configuration, in the form of `Model.get_config`: class_name,
#: config, and in a functional model name and inbound_nodes.
Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SavedWeight:
    """A weight as it is written.

    Attributes:
        name: Within its layer, such as "kernel".
        array: Its value.
        own_trained: Whether the layer trains such a weight at all.
        trained: Whether it is trained: nothing that holds it is frozen.
    """

    name: str
    array: NDArray[Any]
    own_trained: bool
    trained: bool


@dataclass(frozen=True, slots=True)
class Written:
    """A layer, or a model, as Keras will hold it.

    Attributes:
        entry: Of the configuration; entries of layers inside are parts of it.
        source: The native layer; where the same stands again, Keras has one layer too.
        weights: The layer's own.
        inside: Layers inside of it, by the attribute of Keras's layer they are under.
        layers: Of a model its layers, in order; None for other layers.
    """

    entry: Entry
    source: object
    weights: tuple[SavedWeight, ...] = ()
    inside: tuple[tuple[str, Written], ...] = ()
    layers: tuple[Written, ...] | None = None

    @property
    def class_name(self) -> str:
        return str(self.entry["class_name"])

    @property
    def config(self) -> Mapping[str, Any]:
        return self.entry["config"]

    @property
    def name(self) -> str:
        """The layer's name; cells inside of layers may have none."""
        return str(self.entry.get("name", self.config.get("name")) or "")

    def parts(self) -> Iterator[Written]:
        """The layers directly inside."""
        yield from self.layers or ()
        for _, part in self.inside:
            yield part

    def everything(self) -> Iterator[Written]:
        """This layer and all inside of it; one that is shared at each of its places."""
        yield self
        for part in self.parts():
            yield from part.everything()

    def all_weights(self, prefix: str = "") -> Iterator[tuple[str, SavedWeight]]:
        """Its own weights and those inside of it, by paths, in Keras's order."""
        for weight in self.weights:
            yield f"{prefix}{weight.name}", weight
        for part in self.layers or ():
            yield from part.all_weights(f"{prefix}{part.name}/")
        for place, part in self.inside:
            yield from part.all_weights(f"{prefix}{place}/")
