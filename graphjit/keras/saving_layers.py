"""From a model to what is written of it: every layer in the words of Keras.

The model's configuration and its layers are walked side by side. What Keras cannot say
is gathered, to be refused all at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

import numpy as np

from graphjit.capture.keras_calls import is_reference
from graphjit.capture.layer import Layer
from graphjit.capture.model_config import MODELS, SEQUENTIAL
from graphjit.capture.tracer import SubModel
from graphjit.keras.notes import Notes
from graphjit.keras.saving_archive import numbered
from graphjit.keras.saving_arguments import (
    KERAS_2_ONLY,
    Arguments,
    arguments_of,
    class_problems,
)
from graphjit.keras.saving_compositions import Chain, chain_of
from graphjit.keras.saving_gates import NEW, Scaling, scaling_of
from graphjit.keras.saving_written import Entry, SavedWeight, Written
from graphjit.narrow import sequence_of
from graphjit.ops.recurrent.bidirectional import Bidirectional
from graphjit.ops.recurrent.recurrent_layer import RecurrentLayer
from graphjit.ops.recurrent.rnn import RNN, StackedRNNCells
from graphjit.ops.recurrent.time_distributed import TimeDistributed

__all__ = ["Speaker"]

#: MultiHeadAttention's weights, by the layers that hold them in Keras.
_PROJECTIONS: Final[Mapping[str, str]] = {
    "query": "query_dense",
    "key": "key_dense",
    "value": "value_dense",
    "gate": "_gate_dense",
    "attention_output": "output_dense",
}


class Speaker:
    """Says a model in the words of Keras.

    Args:
        keras_2: Whether the file may be one that Keras 2 alone reads.

    Attributes:
        problems: Of every layer that Keras cannot say, why.
        notes: What is written otherwise than the model has it.
        of_keras_3: Whether a name is used in the meaning that only Keras 3 gives it.
        of_keras_2: Whether a layer is used that only Keras 2 has.
    """

    def __init__(self, keras_2: bool) -> None:
        self.problems: list[str] = []
        self.notes = Notes()
        self.of_keras_3 = False
        self.of_keras_2 = False
        self._keras_2 = keras_2
        self._masks = False

    def root(self, model: SubModel, class_name: str, config: Any) -> Written:
        """The whole model."""
        name = str(config.get("name") or model.name or "model")
        entry = {"class_name": class_name, "name": name, "config": dict(config)}
        self._masks = any(map(_makes_masks, _all_layers(model)))
        return self._model(model, entry, name, True)

    # --- models -------------------------------------------------------------------

    def _model(
        self, model: SubModel, entry: Entry, path: str, trained: bool
    ) -> Written:
        trained = trained and model.trainable
        layers = dict(zip(model.captured.names, model.captured.layers, strict=True))
        config = dict(entry["config"])
        parts: list[Written] = []
        for item in config["layers"]:
            name = str(item.get("name", item["config"].get("name")))
            self._modes(layers[name], item, f"{path}/{name}")
            part = self._layer(layers[name], item, f"{path}/{name}", trained)
            parts.append(part)
        config["layers"] = [part.entry for part in parts]
        config["trainable"] = trained
        if entry["class_name"] == SEQUENTIAL:
            parts = [part for part in parts if part.class_name != "InputLayer"]
        else:
            _recount(config, model, parts)
        return Written({**entry, "config": config}, model, layers=tuple(parts))

    def _modes(self, layer: Layer, entry: Entry, path: str) -> None:
        """What becomes of `training` in a layer's calls."""
        nodes = sequence_of(entry.get("inbound_nodes")) or []
        given = [node[0][3].get("training") for node in nodes]
        if True in given:
            reason = "it is called with training=True, which Keras 3 heeds neither "
            self._refuse(layer, path, [f"{reason}in predict nor in fit"])
        elif False in given:
            self.notes.add(
                f"{path}: it is called with training=False, which Keras 3 heeds in "
                "predict but not in fit: there set trainable=False"
            )

    # --- layers -------------------------------------------------------------------

    def _layer(self, layer: Layer, entry: Entry, path: str, trained: bool) -> Written:
        if isinstance(layer, SubModel):
            return self._model(layer, entry, path, trained)
        if entry["class_name"] == "InputLayer":
            return Written(entry, layer)
        self.of_keras_2 |= type(layer).__name__ in KERAS_2_ONLY
        problems = list(class_problems(layer, self._keras_2))
        arguments = Arguments(dict(entry["config"]))
        if not problems:
            arguments = arguments_of(layer, entry["config"], self._masks)
            problems += arguments.problems
        trained = trained and layer.trainable
        arguments.config["trainable"] = trained
        for note in arguments.notes:
            self.notes.add(f"{path}: {note}")
        self.of_keras_3 |= arguments.of_keras_3
        if problems:
            self._refuse(layer, path, problems)
            return Written(entry, layer)
        return self._said(layer, {**entry, "config": arguments.config}, path, trained)

    def _refuse(self, layer: Layer, path: str, problems: Sequence[str]) -> None:
        where = path.partition("/")[2] or path
        self.problems += [f"{type(layer).__name__} {where!r}: {p}" for p in problems]

    def _said(self, layer: Layer, entry: Entry, path: str, trained: bool) -> Written:
        """A layer whose arguments are Keras's: as it is, or as a chain."""
        config = entry["config"]
        name = str(entry.get("name", config.get("name")) or layer.default_name())
        chain = chain_of(layer, name, config)
        if isinstance(chain, str):
            self._refuse(layer, path, [chain])
            return Written(entry, layer)
        scaling = None
        if type(layer).__name__ != "Activation":
            old = {key: _activation_of(layer, key) for key in config}
            scaling = scaling_of(type(layer).__name__, old)
        if isinstance(scaling, str):
            self._refuse(layer, path, [scaling])
            return Written(entry, layer)
        if scaling is not None:
            self.of_keras_3 = True
            self.notes.add(
                f"{path}: its hard_sigmoid is Keras 2's: weights are written 1.2 times "
                "as large, for which Keras 3's is the same"
            )
        made = self._as_it_is(layer, entry, path, trained, scaling)
        if chain is None:
            return made
        return self._chained(layer, made, chain, name, path)

    def _chained(
        self, layer: Layer, made: Written, chain: Chain, name: str, path: str
    ) -> Written:
        """The chain in the place of a layer, its weights with the carrier."""
        if any(call.given.arguments for call in layer.calls):
            reason = "Keras has no one layer for it, and it is called with arguments"
            self._refuse(layer, path, [reason])
        entries = chain.entries
        parts = [Written(entry, object()) for entry in entries]
        carrier = entries[chain.carrier]
        parts[chain.carrier] = Written(carrier, object(), made.weights, made.inside)
        if len(parts) == 1:
            config = {**carrier["config"], "name": name}
            return Written(
                {**made.entry, "class_name": carrier["class_name"], "config": config},
                layer,
                made.weights,
                made.inside,
            )
        self.notes.add(
            f"{path}: written as {', '.join(part.class_name for part in parts)}"
        )
        config = {
            "name": name,
            "trainable": made.config["trainable"],
            "layers": [part.entry for part in parts],
        }
        entry = {**made.entry, "class_name": SEQUENTIAL, "config": config}
        return Written(entry, layer, layers=tuple(parts))

    def _as_it_is(
        self,
        layer: Layer,
        entry: Entry,
        path: str,
        trained: bool,
        scaling: Scaling | None,
    ) -> Written:
        """A layer that Keras has under its class, with the layers inside of it."""
        weights = tuple(_own_weights(layer, trained, scaling))
        if type(layer).__name__ == "MultiHeadAttention":
            return Written(entry, layer, inside=tuple(_projections(weights)))
        if isinstance(layer, RNN):
            cell = self._inner(layer.cell, entry, "cell", path, trained)
            return Written(entry, layer, inside=(("cell", cell),))
        if isinstance(layer, RecurrentLayer):
            cell_entry = {"class_name": "Cell", "config": {"name": "cell"}}
            cell = Written(cell_entry, (layer, "cell"), weights)
            return Written(entry, layer, inside=(("cell", cell),))
        if isinstance(layer, StackedRNNCells):
            return Written(
                entry, layer, inside=self._cells(layer, entry, path, trained)
            )
        if isinstance(layer, TimeDistributed):
            part = self._inner(layer.layer, entry, "layer", path, trained)
            return Written(entry, layer, inside=(("layer", part),))
        if isinstance(layer, Bidirectional):
            return self._both_ways(layer, entry, path, trained)
        return Written(entry, layer, weights)

    def _inner(
        self, layer: Layer, entry: Entry, key: str, path: str, trained: bool
    ) -> Written:
        """A layer in an argument of another, whose entry is replaced."""
        found = dict(entry["config"][key])
        part = self._layer(layer, found, f"{path}/{key}", trained)
        entry["config"][key] = part.entry
        return part

    def _cells(
        self, layer: StackedRNNCells, entry: Entry, path: str, trained: bool
    ) -> tuple[tuple[str, Written], ...]:
        found = [dict(item) for item in entry["config"]["cells"]]
        made = [
            self._layer(cell, item, f"{path}/{at}", trained)
            for at, (cell, item) in enumerate(zip(layer.stack, found, strict=True))
        ]
        entry["config"]["cells"] = [part.entry for part in made]
        return tuple((f"cells/{name}", part) for name, part in numbered(made))

    def _both_ways(
        self, layer: Bidirectional, entry: Entry, path: str, trained: bool
    ) -> Written:
        config = entry["config"]
        made: list[tuple[str, Written]] = []
        parts = dict(
            zip(("forward_layer", "backward_layer"), layer.parts(), strict=True)
        )
        for place, (_, part) in parts.items():
            key = "layer" if place == "forward_layer" else "backward_layer"
            given = config.get(key) or config["layer"]
            said = self._layer(part, dict(given), f"{path}/{place}", trained)
            if config.get(key) is not None:
                # The way back without a layer of its own is made of the other's.
                config[key] = said.entry
            made.append((place, said))
        return Written(entry, layer, inside=tuple(made))


# --- weights ----------------------------------------------------------------------


def _own_weights(
    layer: Layer, trained: bool, scaling: Scaling | None
) -> Iterator[SavedWeight]:
    """A layer's own weights, in Keras's order: what it trains comes first."""
    cells = [(s, c) for s, c in layer.own_cells.items() if not c.param.recurrent]
    for slot, cell in sorted(cells, key=lambda item: not item[1].param.trainable):
        array = np.asarray(cell.array)
        if scaling is not None:
            array = scaling(slot, array)
        own = cell.param.trainable
        yield SavedWeight(slot, array, own, own and trained)


def _projections(weights: Sequence[SavedWeight]) -> Iterator[tuple[str, Written]]:
    """The layers inside of a MultiHeadAttention."""
    slots = dict.fromkeys(weight.name.split("/")[0] for weight in weights)
    for slot in slots:
        own = tuple(
            SavedWeight(w.name.partition("/")[2], w.array, w.own_trained, w.trained)
            for w in weights
            if w.name.startswith(f"{slot}/")
        )
        entry = {"class_name": "EinsumDense", "config": {"name": slot}}
        yield _PROJECTIONS[slot], Written(entry, object(), own)


def _activation_of(layer: Layer, key: str) -> Any:
    """The native name of a layer's activation; None for other arguments."""
    if not key.endswith("activation"):
        return None
    name = getattr(getattr(layer, key, None), "name", None)
    return None if name == NEW else name


# --- the whole model ----------------------------------------------------------------


def _all_layers(layer: Layer) -> Iterator[Layer]:
    yield layer
    inside = (
        layer.captured.layers
        if isinstance(layer, SubModel)
        else [part for _, part in layer.parts()]
    )
    for part in inside:
        yield from _all_layers(part)


def _makes_masks(layer: Layer) -> bool:
    return type(layer).__name__ == "Masking" or bool(getattr(layer, "mask_zero", False))


def _recount(config: dict[str, Any], model: SubModel, parts: Sequence[Written]) -> None:
    """Count the calls of layers that became chains from 1, as those of models are."""
    were = dict(zip(model.captured.names, model.captured.layers, strict=True))
    chains = {
        part.name
        for part in parts
        if part.class_name in MODELS and not isinstance(were.get(part.name), SubModel)
    }
    if not chains:
        return
    for entry in config["layers"]:
        entry["inbound_nodes"] = _from_one(entry["inbound_nodes"], chains)
    config["output_layers"] = _from_one(config["output_layers"], chains)


def _from_one(value: Any, chains: set[str]) -> Any:
    if isinstance(value, Mapping):
        found = cast("Mapping[str, Any]", value)
        return {key: _from_one(item, chains) for key, item in found.items()}
    items = sequence_of(value)
    if items is None:
        return value
    if is_reference(items) and items[0] in chains:
        items = [items[0], items[1] + 1, *items[2:]]
    return [_from_one(item, chains) for item in items]
