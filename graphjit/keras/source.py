"""The files of one model: what describes it, what holds its weights, who wrote it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias, cast

from graphjit.capture.keras_origin import NATIVE, Origin, origin_of
from graphjit.errors import FormatError
from graphjit.formats import extras, hdf5, keras_archive, keras_weights, model_text
from graphjit.formats.keras3_weights import is_keras_3
from graphjit.formats.limits import Limits
from graphjit.formats.plain import shown
from graphjit.keras.entries import entries_in, layers_of
from graphjit.keras.notes import Notes
from graphjit.narrow import mapping_of, sequence_of

__all__ = ["Described", "Path", "Weights", "described_by", "weights_in"]

Path: TypeAlias = str | os.PathLike[str]

#: What any file of a model may be longer than before it says what it is.
_HEAD_BYTES = 4096
#: Keys of Keras 1's configurations, and of Keras 2's, that the other has not.
_OF_KERAS_1 = frozenset(
    "nb_filter output_dim border_mode W_regularizer dim_ordering inner_activation "
    "init p dropout_W nb_row pool_length bias".split()
)
_OF_KERAS_2 = frozenset(
    "units filters padding kernel_initializer data_format use_bias rate "
    "embeddings_initializer recurrent_activation beta_initializer".split()
)


@dataclass(frozen=True, slots=True)
class Weights:
    """A file of weights, or one in memory.

    Attributes:
        name: What messages call it.
        path: The file's; None for one in memory.
        data: What is in memory.
        heaps: Of a file that has been opened before; see `hdf5.heaps_of`.
    """

    name: str
    path: Path | None = None
    data: bytes = b""
    heaps: Callable[[], None] | None = None

    def opened(self) -> Any:
        """The root group, as a context."""
        if self.path is None:
            return hdf5.opened_bytes(self.data, self.name)
        return hdf5.opened(self.path, self.heaps)


@dataclass(frozen=True, slots=True)
class Described:
    """What describes a model.

    Attributes:
        root: A dictionary with class_name and config.
        origin: Who wrote it.
        training: How it was compiled; None where that is not said.
        weights: Where the weights are that came with it.
    """

    root: Mapping[str, Any]
    origin: Origin
    training: Mapping[str, Any] | None = None
    weights: Weights | None = None


def described_by(given: Any, limits: Limits, notes: Notes) -> Described:
    """What a file, a text or a dictionary says of a model.

    Raises:
        FormatError: It describes none, or not safely.
        OSError: A file cannot be read.
    """
    data = mapping_of(given)
    if data is not None or sequence_of(given) is not None:
        return _plain(given if data is None else data, "config", notes)
    if isinstance(given, bytes) or (isinstance(given, str) and _is_text(given)):
        return _plain(_text(given, limits), "config", notes)
    if not isinstance(given, (str, os.PathLike)):
        raise FormatError(
            f"expected a path, a text or a dictionary, received {type(given).__name__}"
        )
    path = cast("Path", given)
    name = os.fspath(path)
    head = _head(path)
    if keras_archive.is_archive(head):
        return _archived(path, limits, notes)
    if extras.h5py().is_hdf5(name) if b"HDF" in head[:8] else False:
        return _hdf5(path, limits, notes)
    with open(path, "rb") as file:
        text = file.read(limits.header_bytes + 1)
    try:
        data = _text(text, limits)
    except FormatError as error:
        raise error.reworded(f"{name}: {error.message}") from None
    return _plain(data, name, notes)


def weights_in(path: Path, limits: Limits) -> Weights:
    """A file of weights: HDF5, or the one in a `.keras` file."""
    if keras_archive.is_archive(_head(path)):
        data = keras_archive.read_archive(path, limits).weights
        if data is None:
            raise FormatError(f"{os.fspath(path)}: it holds no weights")
        return Weights(os.fspath(path), data=data)
    return Weights(os.fspath(path), path)


def _head(path: Path) -> bytes:
    name = os.fspath(path)
    if os.path.isdir(path):
        raise FormatError(
            f"{name}: expected a file, received a folder",
            hint="a SavedModel of TensorFlow holds a program, not layers: in Keras, "
            "model.save('model.keras')",
        )
    with open(path, "rb") as file:
        return file.read(_HEAD_BYTES)


# --- kinds of files -------------------------------------------------------------


def _archived(path: Path, limits: Limits, notes: Notes) -> Described:
    archive = keras_archive.read_archive(path, limits)
    name = os.fspath(path)
    root = _object(model_text.read_json(archive.config, limits), f"{name}: config.json")
    if archive.metadata is not None:
        metadata = mapping_of(model_text.read_json(archive.metadata, limits)) or {}
        root = {**root, "keras_version": metadata.get("keras_version")}
    described = _plain(root, name, notes)
    weights = None
    if archive.weights is not None:
        weights = Weights(f"{name}: model.weights.h5", data=archive.weights)
    # Such files are Keras 3's, and tf.keras's from 2.12 on, which counts as that.
    return replace(described, weights=weights)


def _hdf5(path: Path, limits: Limits, notes: Notes) -> Described:
    name = os.fspath(path)
    heaps = hdf5.heaps_of(path)
    with hdf5.opened(path, heaps) as root:
        text = hdf5.text_attribute(root, "model_config", limits)
        if text is None:
            kind = "Keras 3's" if is_keras_3(root) else "a file of"
            raise FormatError(
                f"there is no model_config: it is {kind} weights alone",
                hint="say what they belong to: config=…, a JSON or YAML file, a text "
                "or a dictionary; or model.load_weights(path) into a model",
            )
        training = hdf5.text_attribute(root, "training_config", limits)
        told = {key: _said(root, key, limits) for key in ("keras_version", "backend")}
    found: dict[str, Any] = {k: text for k, text in told.items() if text is not None}
    config = _object(model_text.read_json(text, limits), f"{name}: model_config")
    if training is not None:
        found["training_config"] = model_text.read_json(training, limits)
    described = _plain({**config, **found}, name, notes)
    return replace(described, weights=Weights(name, path, heaps=heaps))


def _said(root: Any, key: str, limits: Limits) -> str | None:
    """An attribute at the root, or beside the weights."""
    found = hdf5.text_attribute(root, key, limits)
    if found is None and hdf5.has_child(root, keras_weights.WHOLE_MODEL):
        group = hdf5.child(root, keras_weights.WHOLE_MODEL)
        found = hdf5.text_attribute(group, key, limits)
    return found


# --- plain data -----------------------------------------------------------------


def _is_text(given: str) -> bool:
    return "\n" in given or given.lstrip()[:1] in ("{", "[", '"')


def _text(text: str | bytes, limits: Limits) -> Any:
    """The data of a JSON or YAML text."""
    start = (
        text[:64].lstrip()
        if isinstance(text, str)
        else text[:64].lstrip().decode("utf-8-sig", "replace")
    )
    if start[:1] in ("{", "[", '"'):
        return model_text.read_json(text, limits)
    return model_text.read_yaml(text, limits)


def _object(data: Any, where: str) -> Mapping[str, Any]:
    found = mapping_of(data)
    if found is None:
        raise FormatError(f"{where}: expected an object, received {shown(data)}")
    return found


def _plain(data: Any, where: str, notes: Notes) -> Described:
    """Data as a dictionary with class_name and config, and who wrote it."""
    found = _inside(mapping_of(data), where, notes)
    if found is None or "class_name" not in found:
        found = _bare(data if found is None else found, where)
    if "config" not in found:
        raise FormatError(
            f'{where}: expected an object with "class_name" and "config", received '
            f"{shown(list(found))}"
        )
    origin = origin_of(found)
    if origin is NATIVE:
        origin = _sniffed(found, notes)
    backend = found.get("backend")
    if origin.backend is None and isinstance(backend, str):
        origin = replace(origin, backend=backend)
    compiled = found.get("training_config") or found.get("compile_config")
    return Described(found, origin, mapping_of(compiled))


#: Where TensorFlow.js has the model; where it and HDF5 have it beside other things.
_TFJS: Final = "modelTopology"
_MODEL: Final = "model_config"


def _inside(
    found: Mapping[str, Any] | None, where: str, notes: Notes
) -> Mapping[str, Any] | None:
    """The model in what was written around it."""
    if found is not None and _TFJS in found:
        notes.add(
            "it is TensorFlow.js's: its weights stand in other files, which are not "
            "opened"
        )
        found = _object(found[_TFJS], f"{where}: {_TFJS}")
    if found is not None and _MODEL in found and "class_name" not in found:
        model = _object(found[_MODEL], f"{where}: {_MODEL}")
        found = {**found, **model}
    return found


def _bare(data: Any, where: str) -> Mapping[str, Any]:
    """What `get_config` of a model gave, without the class."""
    found = mapping_of(data)
    if found is None and sequence_of(data) is not None:
        return {"class_name": "Sequential", "config": data}
    if found is None or "layers" not in found:
        raise FormatError(
            f'{where}: expected an object with "class_name" and "config", received '
            f"{shown(data if found is None else list(found))}"
        )
    entries = [mapping_of(entry) or {} for entry in layers_of(found)]
    if any("config" not in entry for entry in entries):
        raise FormatError(
            f"{where}: its layers have no class_name and config: it is of a Keras "
            "before 1.0, which is not read",
            hint='write each as {"class_name": its name, "config": its arguments}; '
            "most of them are spelled as in Keras 1",
        )
    name = "Functional" if "input_layers" in found else "Sequential"
    return {"class_name": name, "config": found}


def _sniffed(root: Mapping[str, Any], notes: Notes) -> Origin:
    """The generation of a configuration that does not say it."""
    keys = {
        key
        for entry in entries_in(root)
        for key in mapping_of(entry.get("config")) or {}
    }
    ones, twos = len(keys & _OF_KERAS_1), len(keys & _OF_KERAS_2)
    if not ones and not twos:
        notes.add(
            "the file does not say which Keras wrote it, and no name in it tells: "
            "taken as Keras 2"
        )
        return Origin(2)
    generation = 1 if ones > twos else 2
    notes.add(
        "the file does not say which Keras wrote it: by the names of its arguments, "
        f"Keras {generation}"
    )
    return Origin(generation, (generation,))
