"""From the entries of a file's configuration to layers, whichever Keras wrote it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from graphjit.capture.keras_calls import functional_form
from graphjit.capture.keras_config import ConfigReader
from graphjit.capture.keras_origin import Origin
from graphjit.capture.layer import Layer, layer_name
from graphjit.capture.tracer import SubModel
from graphjit.errors import FormatError
from graphjit.initializers import INITIALIZERS
from graphjit.keras.entries import AUGMENTING, layers_of, modern, name_of
from graphjit.keras.keras1_entries import Keras1Entries
from graphjit.keras.lambdas import with_function
from graphjit.keras.notes import Notes
from graphjit.keras.theano_windows import as_on_theano, differs_on_theano
from graphjit.keras1.merge import Merge
from graphjit.keras1.spelling import Spelling
from graphjit.narrow import mapping_of, sequence_of
from graphjit.ops.recurrent.parts import copied

__all__ = ["KerasReader", "Part"]


@dataclass(frozen=True, slots=True)
class Part:
    """A layer of a model, as the file has it.

    Attributes:
        name: The layer's.
        class_name: As the file calls it.
        layer: The native layer.
    """

    name: str
    class_name: str
    layer: Layer


class KerasReader(ConfigReader):
    """A `ConfigReader` of files: it knows Keras 1 and Theano, and remembers order.

    Args:
        custom: What the user supplied, by the names of classes and of layers.
        origin: Who wrote the file.
        notes: What it assumes goes there.
        keras1: Reads entries of Keras 1.
    """

    def __init__(
        self,
        custom: Mapping[str, Any],
        origin: Origin,
        notes: Notes,
        keras1: Keras1Entries,
    ) -> None:
        super().__init__(custom, origin)
        self._notes = notes
        self._keras1 = keras1
        self._parts: dict[Layer, list[Part]] = {}
        self._made_layers: list[Layer] = []

    # --- what was made ------------------------------------------------------------

    def parts(self, model: SubModel) -> list[Part]:
        """A model's layers in the order of the file; those merged one after another.

        A chain of Keras 1 that begins with a `Merge` has the layers of what is merged
        as its own.
        """
        return list({part.layer: part for part in self._flat(model)}.values())

    def _flat(self, model: SubModel) -> Iterator[Part]:
        for part in self._parts[model]:
            merged = self._keras1.merged.get(part.layer)
            if merged is None:
                yield part
                continue
            for layer in merged:
                if isinstance(layer, SubModel) and layer in self._parts:
                    yield from self._flat(layer)
                else:
                    yield Part(layer.name or "", type(layer).__name__, layer)

    def order(self, model: SubModel) -> list[tuple[str, Layer]]:
        """`parts` as `owners_of` takes them."""
        return [(part.name, part.layer) for part in self.parts(model)]

    def note_drops(self) -> None:
        """Say where masks ended."""
        for layer in self._made_layers:
            if layer.drop_mask:
                self._notes.add(
                    f"{layer_name(layer)} cannot carry a mask: the mask of its input "
                    "ends there, as it does in the Keras that wrote the file"
                )

    # --- making -------------------------------------------------------------------

    def layer(self, entry: Any) -> Layer:
        """The layer that an entry describes."""
        found = mapping_of(entry)
        if found is not None and isinstance(found.get("class_name"), str):
            if found["class_name"] in AUGMENTING:
                self._notes.add(
                    f"{found['class_name']} {name_of(found)!r} augments in training in "
                    "Keras: here it passes its input on"
                )
            entry = modern(with_function(found, self._custom, self._notes))
        return super().layer(entry)

    def _value(self, key: str, value: Any, title: str) -> Any:
        policy = _policy_of(value) if key == "dtype" else None
        if policy is not None:
            self._notes.add(
                f"{title}: computed in float32, where the file says {policy!r}"
            )
            return "float32"
        if key == "interpolation" and value == "bilinear":
            return self._bilinear(title)
        if key.endswith("initializer") and self._is_unknown_start(value):
            self._notes.add(
                f"{title}: {key}: {_class_of(value)!r} is not known: weights that no "
                "file gives begin as zeros"
            )
            return "zeros"
        return super()._value(key, value, title)

    def _bilinear(self, title: str) -> str:
        """What the writer's backend did to enlarge images by interpolation."""
        origin = self._origin
        if origin.generation != 2 or origin.version >= (2, 4):
            return "bilinear"
        if origin.in_tensorflow or not origin.version:
            self._notes.add(
                f"{title}: 'bilinear' is between the centres of pixels, as in "
                "TensorFlow from 1.14 on; before, it was between their corners"
            )
            return "bilinear"
        if origin.backend == "theano":
            raise FormatError(
                f"{title}: interpolation: what Theano made of 'bilinear' is not known"
            )
        self._notes.add(
            f"{title}: 'bilinear' is between the corners of pixels, as in Keras then"
        )
        return "bilinear_corners"

    def _is_unknown_start(self, value: Any) -> bool:
        name = _class_of(value)
        if name is None or self._setting(value) is not value:
            return False
        return name not in INITIALIZERS and _folded(name) not in map(
            _folded, INITIALIZERS
        )

    def _named(self, entry: Mapping[str, Any]) -> Callable[..., Any]:
        supplied = self._custom.get(name_of(entry) or "")
        if isinstance(supplied, Layer) and not _merges_layers(entry):
            return type(supplied)
        if self._custom_object(entry) is None:
            spelling = self._keras1.spelling(entry)
            if spelling is not None:
                return spelling
        return super()._named(entry)

    def _made(self, make: Callable[..., Any], entry: Mapping[str, Any]) -> Layer:
        supplied = self._custom.get(name_of(entry) or "")
        if isinstance(supplied, Layer) and not _merges_layers(entry):
            made = supplied
        elif isinstance(make, Spelling):
            # No `isinstance` of its own tells what it makes.
            made = self._spelled(cast("Spelling[Layer]", make), entry)
        else:
            made = super()._made(make, entry)
        if self._origin.drops_masks:
            made.may_drop_mask = True
        made = self._windows(made)
        self._made_layers.append(made)
        return made

    def _spelled(self, make: Spelling[Layer], entry: Mapping[str, Any]) -> Layer:
        if make is Merge:
            return self._keras1.merge(entry, self.layer)
        return self._keras1.made(make, entry, self.layer)

    def _windows(self, layer: Layer) -> Layer:
        """The layer with the windows that the file's backend gave it."""
        if self._origin.generation not in (1, 2) or self._origin.is_tensorflow:
            return layer
        if self._origin.backend is None and differs_on_theano(layer):
            raise FormatError(
                f"{layer_name(layer)}: padding 'same' has other windows under Theano, "
                "and the file does not say which backend wrote it",
                hint="say backend='tensorflow', or backend='theano'",
            )
        if self._origin.backend != "theano":
            return layer
        changes = as_on_theano(layer, self._origin.generation)
        if not changes:
            return layer
        self._notes.add(
            f"{layer_name(layer)}: 'same' is Theano's, written out as "
            f"{', '.join(f'{key}={value}' for key, value in changes.items())}"
        )
        first = layer.first_input
        told = {"batch_input_shape": first.shape, "input_dtype": first.dtype}
        changes.update({key: value for key, value in told.items() if value is not None})
        return copied(layer, **changes)

    # --- models -------------------------------------------------------------------

    def model(self, cls: type[SubModel], config: Any) -> SubModel:
        """A model of `cls`; what it is made of is remembered in order."""
        found = mapping_of(config)
        if found is not None and "input_layers" in found:
            self._note_unheeded(found)
            config = functional_form(found)
        elif self._origin.generation == 1:
            config = self._keras1.chain(config)
        names = [name_of(entry) for entry in layers_of(config)]
        repeated = self._origin.generation == 1 and len(set(names)) < len(names)
        parts: list[Part] = []
        known: dict[str, Layer] = {}

        def make(entry: Mapping[str, Any]) -> Layer:
            name = name_of(entry)
            # A chain of Keras 1 has a layer that stands in it twice under one name.
            again = known.get(name or "") if repeated else None
            made = self.layer(entry) if again is None else again
            known[name or ""] = made
            parts.append(
                Part(name or made.name or "", str(entry.get("class_name")), made)
            )
            return made

        model = cls.rebuilt(config, make)
        self._parts[model] = parts
        return model

    def _note_unheeded(self, config: Mapping[str, Any]) -> None:
        """Say where Keras 3 has a mode in a call that it never looks at."""
        for entry in map(mapping_of, layers_of(config)):
            nodes = sequence_of((entry or {}).get("inbound_nodes")) or []
            if entry is not None and any(map(_asks_in_keras_3, nodes)):
                self._notes.add(
                    f"{entry.get('class_name')} {name_of(entry)!r}: it is called with "
                    "training=True, which Keras 3 heeds neither in predict nor in fit: "
                    "nor is it here"
                )


def _merges_layers(entry: Mapping[str, Any]) -> bool:
    """Whether it is a `Merge` that begins a chain: its layers are in it."""
    return "layers" in (mapping_of(entry.get("config")) or {}) and (
        entry.get("class_name") == "Merge"
    )


def _asks_in_keras_3(node: Any) -> bool:
    """Whether a call in Keras 3's form has training=True."""
    arguments = mapping_of((mapping_of(node) or {}).get("kwargs")) or {}
    return arguments.get("training") in (True, 1)


def _policy_of(value: Any) -> str | None:
    """The name of a policy of mixed precision; None for anything else."""
    config = mapping_of((mapping_of(value) or {}).get("config")) or {}
    name = config.get("name", value)
    return name if isinstance(name, str) and name.startswith("mixed_") else None


def _folded(name: str) -> str:
    return name.replace("_", "").lower()


def _class_of(value: Any) -> str | None:
    found = mapping_of(value)
    name = value if found is None else found.get("class_name")
    return name if isinstance(name, str) else None
