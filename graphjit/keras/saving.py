"""`save_model`: a model in the files of Keras."""

from __future__ import annotations

import os
from typing import Any, Final

from graphjit.capture.trainable_flags import with_flags
from graphjit.errors import FormatError
from graphjit.keras.saving_archive import number_shared, save_archive
from graphjit.keras.saving_form import keras_3_form
from graphjit.keras.saving_hdf5 import keras_2_can_say, note_copies, save_hdf5
from graphjit.keras.saving_layers import Speaker
from graphjit.keras.saving_training import compile_config, optimizer_variables
from graphjit.keras.saving_written import Written
from graphjit.model import Model
from graphjit.sequential import Sequential

__all__ = ["save_model"]

_ARCHIVE: Final = ".keras"
_HDF5: Final = (".h5", ".hdf5")
_WEIGHTS: Final = ".weights.h5"


def save_model(model: Model, path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Write a model into a file that Keras loads, and that gives equal outputs there.

    ``.keras`` is Keras 3's format. ``.h5`` and ``.hdf5`` are Keras 2's: Keras 3 reads
    it too, and tf.keras 2.15, unless only Keras 3 can say what the model means.

    Weights, configuration, what is frozen, and how the model is compiled are written;
    the state of the optimizer and of stateful layers is not. What Keras has no word for
    is written in other layers, where that is exact; what it cannot say is refused
    before anything is written. The file takes the place of an old one at once, and
    equal models give equal bytes.

    Args:
        model: The model.
        path: A name that ends in .keras, .h5 or .hdf5.

    Returns:
        A sentence for everything that is written otherwise than the model has it.

    Raises:
        FormatError: The name is of another format, the model is a graph without layers,
            or it has layers that Keras cannot say; the message names them all.
        ImportError: h5py is not installed.
        OSError: The file cannot be written.

    >>> import graphjit as gj, tempfile, os
    >>> model = gj.Sequential([gj.layers.Dense(2, input_shape=(3,))])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = os.path.join(folder, "model.keras")
    ...     notes = gj.keras.save_model(model, file)
    ...     print(gj.keras.load_model(file).provenance)
    written by Keras 3.15.0
    """
    name = os.fspath(path)
    archive = _is_archive(name)
    speaker, written = _said(model, keras_2=not archive)
    training = compile_config(model, speaker.notes)
    modern = archive or speaker.of_keras_3 or not keras_2_can_say(written)
    if modern and speaker.of_keras_2:
        _refuse_both(name)
    if archive:
        shared = number_shared(written, speaker.notes)
        root: dict[str, Any] = keras_3_form(written)
        if training is not None:
            root["compile_config"] = training.keras_3
        variables = None
        if training is not None:
            variables = optimizer_variables(model, written, shared)
        save_archive(path, root, written, shared, variables)
    else:
        keras_2 = None if training is None else training.keras_2
        note_copies(written, speaker.notes)
        save_hdf5(path, written, modern, keras_2)
    return tuple(speaker.notes)


def _is_archive(name: str) -> bool:
    if name.endswith(_ARCHIVE):
        return True
    if name.endswith(_HDF5) and not name.endswith(_WEIGHTS):
        return False
    raise FormatError(
        f"{name}: expected a name that ends in .keras, .h5 or .hdf5",
        hint="model.save_weights(path) writes weights alone"
        if name.endswith(_WEIGHTS)
        else "model.save(path) writes the whole model, as .gjit",
    )


def _said(model: Model, keras_2: bool) -> tuple[Speaker, Written]:
    """The model in the words of Keras; or all that it has none for."""
    if not model.captured.layers:
        raise FormatError(
            "the model is a graph without layers, as a file had it whose layers are "
            "not known here: Keras cannot say it",
            hint="register its layers before gj.load, or save it as .gjit",
        )
    model.arrays()  # those that have no value yet get their first one
    speaker = Speaker(keras_2)
    if isinstance(model, Sequential) and len(model.graph.inputs) > 1:
        # One that begins with a Merge: Keras 1's alone.
        model = Model(model.inputs, model.outputs, name=model.graph.name)
        speaker.notes.add("its chain has several inputs: it is written as a graph")
    config = model.get_config()
    graph = with_flags(model)
    written = speaker.root(model, graph.layers[-1].cls, config)
    if speaker.problems:
        count = len(speaker.problems)
        raise FormatError(
            f"Keras cannot say {count} of the model's layers"
            if count > 1
            else "Keras cannot say one of the model's layers",
            details=speaker.problems,
            hint="model.save(path) writes all of it, as .gjit",
        )
    if any(getattr(layer, "stateful", False) for layer in model.captured.layers):
        speaker.notes.add("states of stateful layers are not written: they begin at 0")
    return speaker, written


def _refuse_both(name: str) -> None:
    raise FormatError(
        f"{name}: one part of the model only Keras 2 can say (LocallyConnected), "
        "another only Keras 3",
        hint="model.save(path) writes all of it, as .gjit",
    )
