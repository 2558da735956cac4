"""Entries of Keras 1's configurations, by the tables of `graphjit.keras1`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from graphjit import config as settings
from graphjit.capture.keras_origin import Origin
from graphjit.capture.layer import Layer, layer_name
from graphjit.errors import CaptureError
from graphjit.keras.entries import entries_in, layers_of, name_of
from graphjit.keras.keras1_conv_lstm import ConvLSTM2D
from graphjit.keras.notes import Notes
from graphjit.keras1 import constraints, layers, regularizers
from graphjit.keras1.merge import Merge
from graphjit.keras1.spelling import Spelling
from graphjit.narrow import mapping_of, sequence_of
from graphjit.ops.shape_layers import Permute
from graphjit.sequential import Sequential
from graphjit.settings import DIM_ORDERINGS

__all__ = ["Keras1Entries"]

#: Keras 1's layers by name: the tables of `gj.keras1`, and one the documents lack.
_SPELLINGS: Final[dict[str, Spelling[Any]]] = {
    name: getattr(layers, name)
    for name in layers.__all__
    if issubclass(type(getattr(layers, name)), Spelling)
}
_SPELLINGS["ConvLSTM2D"] = ConvLSTM2D
#: Layers that Keras 2 kept as they were until 2.3, and an argument that tells them from
#: those that we write.
_IN_KERAS_2: Final = {"Highway": "init", "MaxoutDense": "init", "Merge": "mode"}
#: What a layer of Keras 1 says of its input beside `batch_input_shape`.
_INPUT: Final = ("input_dim", "input_length")
#: Keys of configurations that are no arguments, and change nothing that is stored.
_LEFT_OUT: Final[Mapping[str, tuple[str, ...]]] = {
    # Of the gate, before Keras 1.2: what the bias began as.
    "Highway": ("transform_bias",),
    "Merge": (
        "mode_type",
        "output_shape_type",
        "output_mask_type",
        "output_shape",
        "output_mask",
        "arguments",
    ),
}
#: Activations with weights: their shapes tell which axes are shared.
_SHARED_AXES: Final[Mapping[str, str]] = {
    "PReLU": "alphas",
    "ParametricSoftplus": "alphas",
    "SReLU": "t_left",
}

_Make = Callable[[Any], Layer]


class Keras1Entries:
    """Reads Keras 1's names and settings.

    Args:
        root: The whole configuration.
        custom: What the user supplied, by name.
        origin: Which Keras 1 wrote it.
        notes: What it assumes goes there.
        shapes: Of the arrays in the file by their names there.

    Attributes:
        merged: Of the model that a `Merge` of layers became, those layers.
    """

    def __init__(
        self,
        root: Any,
        custom: Mapping[str, Any],
        origin: Origin,
        notes: Notes,
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        self.merged: dict[Layer, list[Layer]] = {}
        self._custom = custom
        self._origin = origin
        self._notes = notes
        self._shapes = shapes
        self._orderings = _orderings(root)

    def spelling(self, entry: Mapping[str, Any]) -> Spelling[Any] | None:
        """The table of a layer; None for one that is spelled as it is today."""
        class_name = str(entry["class_name"])
        if self._origin.generation == 2:
            mark = _IN_KERAS_2.get(class_name)
            config = mapping_of(entry.get("config")) or {}
            return _SPELLINGS[class_name] if mark in config else None
        # What is said of a Lambda's function is the same in Keras 2.
        if self._origin.generation != 1 or class_name == "Lambda":
            return None
        return _SPELLINGS.get(class_name)

    # --- layers -------------------------------------------------------------------

    def made(
        self, spelling: Spelling[Any], entry: Mapping[str, Any], make: _Make
    ) -> Layer:
        """The native layer of an entry."""
        name = spelling.name
        config = dict(mapping_of(entry.get("config")) or {})
        left_out = (*_LEFT_OUT.get(name, ()), *(() if name == "Embedding" else _INPUT))
        given = {
            key: self._value(key, value, make)
            for key, value in config.items()
            if key not in left_out
        }
        self._fill(spelling, given)
        return spelling(**given)

    def _value(self, key: str, value: Any, make: _Make) -> Any:
        if isinstance(value, str) and key.endswith(("init", "activation")):
            return self._custom.get(value, value)
        found = mapping_of(value)
        if found is None:
            return value
        if set(found) == {"type", "value"}:
            return found["value"]
        if "class_name" in found:
            # Keras 2 writes what belongs to weights so, too.
            return make(found) if self._origin.generation == 1 else value
        return _setting(found) if "name" in found else value

    def _fill(self, spelling: Spelling[Any], given: dict[str, Any]) -> None:
        """What the configuration left unsaid, from elsewhere in the file."""
        arguments = {a.name for a in (*spelling.arguments, *spelling.keywords)}
        title = f"{spelling.name} {given.get('name')!r}"
        if "dim_ordering" in arguments and "dim_ordering" not in given:
            given["dim_ordering"] = self._dim_ordering(title)
        if spelling.name == "BatchNormalization" and "epsilon" not in given:
            old = bool(self._origin.version) and self._origin.version < (1, 2)
            given["epsilon"] = 1e-5 if old else 1e-3
            self._notes.add(f"{title}: epsilon is not said: {given['epsilon']} as then")
        if spelling.name in _SHARED_AXES and "shared_axes" not in given:
            shape = self._shape(given.get("name"), _SHARED_AXES[spelling.name])
            axes = [at for at, dim in enumerate(shape or (), start=1) if dim == 1]
            if axes:
                given["shared_axes"] = axes
                self._notes.add(f"{title}: shared_axes={axes}, by its weights' shape")

    def _shape(self, name: Any, slot: str) -> tuple[int, ...] | None:
        """The shape of a layer's array; Keras 1 calls it ``layer_slot``."""
        for suffix in ("", ":0"):
            found = self._shapes.get(f"{name}_{slot}{suffix}")
            if found is not None:
                return found
        return None

    def _dim_ordering(self, title: str) -> str:
        """That of the file's other layers: some of Keras 1's do not write theirs."""
        if len(self._orderings) == 1:
            (found,) = self._orderings
            self._notes.add(
                f"{title}: dim_ordering={found!r}, as the file's other layers have it"
            )
            return found
        if len(self._orderings) > 1:
            raise CaptureError(
                f"{title}: its configuration has no dim_ordering, and the file's other "
                "layers have both 'th' and 'tf'",
                hint="write the key into the configuration, and give it as config=",
            )
        (found,) = [
            key
            for key, value in DIM_ORDERINGS.items()
            if value == settings.image_data_format()
        ]
        self._notes.add(
            f"{title}: dim_ordering={found!r}, the setting here: the file says none"
        )
        return found

    # --- Merge, and chains --------------------------------------------------------

    def merge(self, entry: Mapping[str, Any], make: _Make) -> Layer:
        """A `Merge`: a layer to be called, or a model of the layers it merges."""
        config = dict(mapping_of(entry.get("config")) or {})
        given = {
            key: config[key]
            for key in ("name", "mode", "concat_axis", "dot_axes")
            if key in config
        }
        if config.get("mode_type", "raw") != "raw":
            given["mode"] = self._function_of(entry, config)
            given["arguments"] = config.get("arguments") or None
        if "layers" not in config:
            return Merge(**given)
        merged = [make(item) for item in sequence_of(config["layers"]) or []]
        made = Merge([self._without_mask(layer, entry) for layer in merged], **given)
        self.merged[made] = merged
        return made

    def _without_mask(self, layer: Layer, entry: Mapping[str, Any]) -> Any:
        """What is merged of a layer: of a chain, its output without the mask.

        Keras kept no mask for the node of a `Sequential`, and `Merge` asked that node.
        """
        if not isinstance(layer, Sequential) or layer.outputs[0].mask_type is None:
            return layer
        self._notes.add(
            f"Merge {name_of(entry)!r}: the mask of {layer_name(layer)} ends there, as "
            "it does in the Keras that wrote the file"
        )
        as_they_are = range(1, len(layer.outputs[0].shape))
        return Permute(tuple(as_they_are), drop_mask=True)(layer.outputs[0])

    def _function_of(self, entry: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
        """What the user supplied for a `Merge` by a function: by its name, or its."""
        title, name = f"Merge {name_of(entry)!r}", name_of(entry)
        mode = config.get("mode") if config["mode_type"] == "function" else None
        for key in (name, mode):
            supplied = self._custom.get(key) if isinstance(key, str) else None
            if callable(supplied):
                self._notes.add(f"{title}: its function is {key!r} of custom_layers")
                return supplied
        raise CaptureError(
            f"{title}: its mode is a function of the user's",
            hint=f'custom_layers={{"{name}": function}}, a function of the list of '
            "arrays, or a layer called on the list of tensors",
        )

    def chain(self, config: Any) -> Any:
        """A `Sequential`'s configuration whose first layer says its input in full."""
        entries = layers_of(config)
        first = mapping_of(entries[0]) if entries else None
        inner = None if first is None else mapping_of(first.get("config"))
        if first is None or inner is None or "batch_input_shape" in inner:
            return config
        dim, length = inner.get("input_dim"), inner.get("input_length")
        if dim is None or first.get("class_name") == "Embedding":
            return config
        sequences = "input_length" in inner
        shape = [None, length, dim] if sequences else [None, dim]
        told = {**first, "config": {**inner, "batch_input_shape": shape}}
        entries = [told, *entries[1:]]
        found = mapping_of(config)
        return entries if found is None else {**found, "layers": entries}


def _orderings(root: Any) -> set[str]:
    """Where the layers of a file have their channels."""
    found: set[str] = set()
    for entry in entries_in(root):
        config = mapping_of(entry.get("config")) or {}
        ordering = config.get("dim_ordering")
        if isinstance(ordering, str) and ordering in DIM_ORDERINGS:
            found.add(ordering)
    return found


# --- settings -------------------------------------------------------------------

#: A penalty or a constraint as Keras 1 writes it: its class under "name".
_SETTINGS: Final[Mapping[str, Callable[..., Any]]] = {
    **dict.fromkeys(
        ("ActivityRegularizer", "L1L2Regularizer", "WeightRegularizer", "L1L2"),
        regularizers.l1l2,
    ),
    "MaxNorm": constraints.maxnorm,
    "MinMaxNorm": constraints.min_max_norm,
    "NonNeg": constraints.nonneg,
    "UnitNorm": constraints.unitnorm,
}


def _setting(found: Mapping[str, Any]) -> Any:
    name = found["name"]
    make = _SETTINGS.get(str(name))
    if make is None:
        known: Sequence[str] = list(_SETTINGS)
        raise CaptureError(
            f"a penalty or constraint: expected one of {', '.join(known)}, received "
            f"{name!r}"
        )
    settings = {key: value for key, value in found.items() if key != "name"}
    unknown = set(settings) - set(inspect.signature(make).parameters)
    if unknown:
        raise CaptureError(f"{name}: there is no setting {min(unknown)!r}")
    return make(**settings)
