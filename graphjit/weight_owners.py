"""Which layers own a model's weights, and in which order files hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from graphjit.capture.cell import Cell
from graphjit.capture.input_layer import InputLayer
from graphjit.capture.layer import Layer
from graphjit.capture.tracer import SubModel

if TYPE_CHECKING:
    from graphjit.model import Model

__all__ = ["Leaf", "Order", "Owner", "Weight", "captured_order", "owners_of"]

#: The layers of a model by name, in the order in which a file has them.
Order: TypeAlias = Callable[[SubModel], Iterable[tuple[str, Layer]]]


@dataclass(frozen=True, slots=True)
class Weight:
    """A weight of a layer, as files hold it.

    Attributes:
        name: Such as "kernel", or "dense/kernel" in a nested model.
        cell: Its variable.
        trained: Whether it is trained: those come first.
    """

    name: str
    cell: Cell
    trained: bool


@dataclass(frozen=True, slots=True)
class Leaf:
    """A layer with weights of its own, and those weights.

    Attributes:
        layer: The layer; None in a model that is a graph alone.
        weights: In the layer's own order.
        trained: Whether its weights are trained, as far as the layer decides.
    """

    layer: Layer | None
    weights: tuple[Weight, ...]
    trained: bool


@dataclass(frozen=True, slots=True)
class Owner:
    """A layer of the model, with the weights in it."""

    name: str
    leaves: tuple[Leaf, ...]
    is_model: bool = False

    @property
    def weights(self) -> tuple[Weight, ...]:
        """In the order of files: what is trained first."""
        found = [weight for leaf in self.leaves for weight in leaf.weights]
        return tuple(sorted(found, key=lambda weight: not weight.trained))


def captured_order(model: SubModel) -> Iterable[tuple[str, Layer]]:
    """The layers as the captured model has them; an input added by us is none."""
    captured, shown = model.captured, set[Layer](getattr(model, "layers", ()))
    for name, layer in zip(captured.names, captured.layers, strict=True):
        if layer in shown or not isinstance(layer, InputLayer):
            yield name, layer


def owners_of(model: Model, order: Order = captured_order) -> list[Owner]:
    """The model's layers and their weights; a shared layer's stand once in each."""
    if not model.captured.layers:
        return _by_param_name(model.cells)
    return [owner_of(name, layer, order) for name, layer in order(model)]


def owner_of(name: str, layer: Layer, order: Order = captured_order) -> Owner:
    """A layer and the weights in it."""
    seen: set[int] = set()
    leaves: list[Leaf] = []
    for leaf in _leaves(layer, "", True, order):
        fresh = tuple(w for w in leaf.weights if id(w.cell) not in seen)
        seen.update(id(weight.cell) for weight in fresh)
        if fresh:
            leaves.append(Leaf(leaf.layer, fresh, leaf.trained))
    return Owner(name, tuple(leaves), isinstance(layer, SubModel))


def _by_param_name(cells: Mapping[str, Cell]) -> list[Owner]:
    """The layers of a model that is a graph alone: its params are ``layer/slot``."""
    found: dict[str, list[Weight]] = {}
    for name, cell in cells.items():
        layer, _, slot = name.partition("/")
        if not cell.param.recurrent:
            weight = Weight(slot, cell, cell.param.trainable)
            found.setdefault(layer, []).append(weight)
    return [
        Owner(name, (Leaf(None, tuple(weights), True),))
        for name, weights in found.items()
    ]


def _leaves(layer: Layer, prefix: str, trained: bool, order: Order) -> Iterator[Leaf]:
    """The layers in a layer, in the order of `get_weights`; state is no weight."""
    trained = trained and layer.trainable
    if isinstance(layer, SubModel):
        for name, part in order(layer):
            yield from _leaves(part, f"{prefix}{name}/", trained, order)
        return
    own = [
        Weight(prefix + slot, cell, trained and cell.param.trainable)
        for slot, cell in layer.own_cells.items()
        if not cell.param.recurrent
    ]
    if own:
        yield Leaf(layer, tuple(own), trained)
    for name, part in layer.parts():
        yield from _leaves(part, f"{prefix}{name}/" if name else prefix, trained, order)


def names_of(items: Sequence[Owner]) -> str:
    """The owners' names, for messages."""
    return ", ".join(owner.name for owner in items) or "none"
