"""Weights in HDF5, as Keras 2 lays them out.

A group for every layer, named in the attribute ``layer_names``; in it an array for
every weight, named in the group's ``weight_names``. A file of a whole model has the
same below ``model_weights``. Keras 3's ``.weights.h5`` is another layout.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from graphjit.errors import FormatError
from graphjit.formats import extras, hdf5
from graphjit.formats.atomic import replacing
from graphjit.formats.keras_form import BACKEND, KERAS_VERSION
from graphjit.formats.limits import Limits

__all__ = [
    "WHOLE_MODEL",
    "LayerWeights",
    "Stored",
    "StoredLayer",
    "StoredWeight",
    "check_names",
    "read",
    "save",
    "storable",
    "write",
]

#: What HDF5 holds in one attribute: 64 kB less what goes with it, as Keras has it.
_ATTRIBUTE_BYTES: Final = 64512
#: Where a file of a whole model has its weights.
WHOLE_MODEL: Final = "model_weights"
#: Weights that belong to no layer; here every weight belongs to one.
_TOP_LEVEL: Final = "top_level_model_weights"
#: What stands at the root of Keras 3's other layout.
#: What draws random numbers has a state, which is no weight.
_RANDOM: Final = ("StateVar", "seed_generator_state")
_KERAS_3: Final = ("layers", "_layer_checkpoint_dependencies", "vars")


# --- writing --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One layer to be written.

    Attributes:
        name: The layer's.
        weights: Arrays by name, such as "dense/kernel:0".
    """

    name: str
    weights: tuple[tuple[str, Any], ...]


def save(path: str | os.PathLike[str], layers: Sequence[LayerWeights]) -> None:
    """Write a file of weights; a crash leaves the old file or the new one.

    Raises:
        FormatError: A name cannot stand in such a file.
        ImportError: h5py is not installed.
        OSError: The file cannot be written.
    """
    h5py = extras.h5py()
    check_names(layers)
    with replacing(path) as file, h5py.File(file.name, "w") as root:
        write(root, layers, KERAS_VERSION)


def write(root: Any, layers: Sequence[LayerWeights], version: str) -> None:
    """Write the layers into an open group, as the Keras of that version does."""
    _write_texts(root, "layer_names", [layer.name for layer in layers])
    root.attrs["backend"] = np.bytes_(BACKEND)
    root.attrs["keras_version"] = np.bytes_(version)
    # In the order of names, so that "a" is a group before "a/b" is made in it.
    for layer in sorted(layers, key=lambda layer: layer.name):
        group = root.require_group(layer.name)
        _write_texts(group, "weight_names", [name for name, _ in layer.weights])
        for name, array in layer.weights:
            group.create_dataset(name, data=storable(array))
    _write_texts(root.create_group(_TOP_LEVEL), "weight_names", [])


def check_names(layers: Sequence[LayerWeights]) -> None:
    """Refuse names that cannot stand in such a file.

    Raises:
        FormatError: It says which.
    """
    names = [layer.name for layer in layers]
    paths = [f"{layer.name}/{name}" for layer in layers for name, _ in layer.weights]
    for name in (*names, *paths):
        if any(part in ("", ".") for part in name.split("/")):
            raise FormatError(f"{name!r} cannot be a name in HDF5", hint="rename it")
        if len(name.encode()) > _ATTRIBUTE_BYTES:
            raise FormatError(f"the name {name[:40]!r}… is too long for HDF5")
    taken = {_TOP_LEVEL, *paths}
    for name in names:
        if name in taken:
            raise FormatError(
                f"layer {name!r}: another entry of the file has that name",
                hint="rename the layer",
            )


def storable(array: Any) -> NDArray[Any]:
    """An array in a type that every reader of HDF5 knows."""
    found = np.asarray(array)
    # bfloat16 and its like are no types of NumPy's own; float32 holds their values.
    return found if found.dtype.kind in "fiub" else found.astype(np.float32)


def _write_texts(group: Any, name: str, texts: Sequence[str]) -> None:
    """A list of names, in parts where one attribute cannot hold it."""
    data = np.asarray([text.encode() for text in texts])
    if data.nbytes <= _ATTRIBUTE_BYTES:
        group.attrs[name] = data
        return
    count = 2
    while any(part.nbytes > _ATTRIBUTE_BYTES for part in np.array_split(data, count)):
        count += 1
    for at, part in enumerate(np.array_split(data, count)):
        group.attrs[f"{name}{at}"] = part


# --- reading --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoredWeight:
    """One array of a file, not read yet.

    Attributes:
        name: As the file calls it.
        shape: Its shape.
        dataset: Where it is; checked.
    """

    name: str
    shape: tuple[int, ...]
    dataset: Any

    def read(self) -> NDArray[Any]:
        """The array."""
        return hdf5.read_checked(self.dataset)


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """One layer of a file."""

    name: str
    weights: tuple[StoredWeight, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """What a file holds.

    Attributes:
        layers: The layers that have weights, in the model's order.
        keras_version: Of its writer; None before Keras 1.2.
        backend: Its writer's; None before Keras 2.
    """

    layers: tuple[StoredLayer, ...]
    keras_version: str | None
    backend: str | None

    @property
    def generation(self) -> int:
        """The Keras the arrays are laid out for, 1, 2 or 3.

        Before Keras said its version, or where somebody took that away, the names of
        the arrays tell: Keras 1 has no slashes in them.
        """
        if self.keras_version is not None and self.keras_version[:1].isdigit():
            return min(int(self.keras_version.split(".")[0]), 3)
        names = [weight.name for layer in self.layers for weight in layer.weights]
        return 2 if any("/" in name for name in names) else 1


def read(root: Any, limits: Limits) -> Stored:
    """The weights in an open file; arrays are read one by one, later.

    Args:
        root: What `hdf5.opened` gives.
        limits: What the file may ask for.

    Raises:
        FormatError: The file has another layout, or something in it is not safe.
    """
    group = _weights_group(root, limits)
    names = hdf5.text_list(group, "layer_names", limits) or []
    stored = [
        StoredLayer(name, _stored_weights(hdf5.child(group, name), limits))
        for name in names
    ]
    if hdf5.has_child(group, _TOP_LEVEL):
        own = _stored_weights(hdf5.child(group, _TOP_LEVEL), limits)
        if own:
            raise FormatError(
                f"{_TOP_LEVEL!r}: the model has weights of its own ({own[0].name!r}, …)"
                ", which belong to no layer"
            )
    return Stored(
        tuple(layer for layer in stored if layer.weights),
        hdf5.text_attribute(group, "keras_version", limits),
        hdf5.text_attribute(group, "backend", limits),
    )


def _weights_group(root: Any, limits: Limits) -> Any:
    for group in _candidates(root):
        if hdf5.text_list(group, "layer_names", limits) is not None:
            return group
    if any(hdf5.has_child(root, name) for name in _KERAS_3):
        raise FormatError(
            "the weights are in Keras 3's .weights.h5 layout, not in Keras 2's",
            hint="in Keras 3: model.save('model.h5'), which writes Keras 2's layout",
        )
    raise FormatError("no weights of Keras: there is no attribute 'layer_names'")


def _candidates(root: Any) -> Iterator[Any]:
    yield root
    if hdf5.has_child(root, WHOLE_MODEL):
        yield hdf5.child(root, WHOLE_MODEL)


def _stored_weights(group: Any, limits: Limits) -> tuple[StoredWeight, ...]:
    names = hdf5.text_list(group, "weight_names", limits)
    if names is None:
        message = f"{group.name!r}: there is no attribute 'weight_names'"
        raise FormatError(message)
    found: list[StoredWeight] = []
    for name in names:
        if name.rpartition("/")[2].partition(":")[0] in _RANDOM:
            continue
        dataset = hdf5.child(group, name)
        shape, _ = hdf5.array_type(dataset, limits)
        found.append(StoredWeight(name, shape, dataset))
    return tuple(found)
