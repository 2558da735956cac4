"""Writing a whole model into one HDF5 file, as Keras 2 lays it out.

Where only Keras 3 can say what the model means (its hard_sigmoid, calls with named
tensors, functional models inside of others) the configuration is of its form, and the
file says that version; otherwise it is tf.keras 2.15's, which both read.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from graphjit.capture.model_config import MODELS, SEQUENTIAL
from graphjit.formats import extras, keras_weights, model_text
from graphjit.formats.atomic import replacing
from graphjit.formats.keras_form import BACKEND, KERAS_VERSION, keras_form
from graphjit.formats.keras_weights import LayerWeights
from graphjit.keras.notes import Notes
from graphjit.keras.saving_archive import apart
from graphjit.keras.saving_form import KERAS_3_VERSION, ends, keras_3_form
from graphjit.keras.saving_written import Written
from graphjit.narrow import mapping_of, sequence_of

__all__ = ["keras_2_can_say", "note_copies", "save_hdf5"]


def save_hdf5(
    path: str | os.PathLike[str],
    written: Written,
    of_keras_3: bool,
    training: Mapping[str, Any] | None,
) -> None:
    """Write the file; a crash leaves the old one or the new one.

    Args:
        path: Where.
        written: The model.
        of_keras_3: Whether its configuration is in the form of Keras 3.
        training: How it is compiled; None where it is not.

    Raises:
        FormatError: A layer's name cannot stand in HDF5.
        ImportError: h5py is not installed.
        OSError: The file cannot be written.
    """
    version = KERAS_3_VERSION if of_keras_3 else KERAS_VERSION
    layers = list(_layers(written))
    keras_weights.check_names(layers)
    config = keras_3_form(written) if of_keras_3 else _keras_2_form(written)
    with replacing(path) as file, extras.h5py().File(file.name, "w") as root:
        root.attrs["keras_version"] = np.bytes_(version)
        root.attrs["backend"] = np.bytes_(BACKEND)
        root.attrs["model_config"] = model_text.json_text(config).encode()
        if training is not None:
            root.attrs["training_config"] = model_text.json_text(training).encode()
        group = root.create_group(keras_weights.WHOLE_MODEL)
        keras_weights.write(group, layers, version)


def _layers(written: Written) -> Iterator[LayerWeights]:
    """The model's layers; of each what is trained comes first."""
    for part in written.layers or ():
        weights = sorted(part.all_weights(), key=lambda item: not item[1].trained)
        prefix = "" if part.layers is not None else f"{part.name}/"
        yield LayerWeights(
            part.name,
            tuple((f"{prefix}{path}:0", weight.array) for path, weight in weights),
        )


# --- configurations ---------------------------------------------------------------


def _keras_2_form(written: Written) -> dict[str, Any]:
    """The form of `to_json`; a single input or output stands by itself."""
    form = keras_form(written.class_name, written.config)
    config = dict(form["config"])
    for key in ("input_layers", "output_layers"):
        if key in config:
            config[key] = ends(config[key])
    return {**form, "config": config}


def note_copies(written: Written, notes: Notes) -> None:
    """Say which layers become several: HDF5 has no way to say that they are one."""
    places = Counter(part.source for part in written.everything())
    for part in written.everything():
        if places[part.source] > 1 and part.name:
            notes.add(apart(part.name))


def keras_2_can_say(written: Written) -> bool:
    """Whether both Keras 2 and Keras 3 read the calls in Keras 2's form alike."""
    for part in written.everything():
        inner = part is not written and part.class_name in MODELS
        if inner and part.class_name != SEQUENTIAL:
            return False
        if part.class_name in MODELS and part.class_name != SEQUENTIAL:
            entries: Sequence[Any] = part.config["layers"]
            if any(map(_has_arguments, entries)):
                return False
    return True


def _has_arguments(entry: Any) -> bool:
    """Whether a layer is called with more than tensors in place."""
    for node in sequence_of(entry.get("inbound_nodes")) or []:
        references = sequence_of(node) or []
        if references and mapping_of(references[0][3]):
            return True
        if len(references) > 1 and entry["class_name"].endswith(("RNN", "LSTM", "GRU")):
            return True
    return False
