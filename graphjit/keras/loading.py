"""`load_model`: a model from the files of any Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from graphjit.capture.keras_origin import Origin
from graphjit.capture.tracer import SubModel
from graphjit.errors import DataError, FormatError
from graphjit.formats import keras_weights
from graphjit.formats.keras3_weights import is_keras_3
from graphjit.formats.keras_arrays import Writer
from graphjit.formats.keras_weights import Stored
from graphjit.formats.limits import DEFAULT_LIMITS, Limits, check_graph, check_size
from graphjit.keras.extent import check_extent
from graphjit.keras.guard import malformed
from graphjit.keras.keras1_entries import Keras1Entries
from graphjit.keras.keras3_tree import pairs
from graphjit.keras.lost_inputs import lacks_input, with_input
from graphjit.keras.notes import Notes
from graphjit.keras.operations import with_operations
from graphjit.keras.optimizer_state import read_slots, resume
from graphjit.keras.reader import KerasReader
from graphjit.keras.screening import check_supplied
from graphjit.keras.source import Described, Path, Weights, described_by, weights_in
from graphjit.keras.training_config import compiled_as
from graphjit.model import Model
from graphjit.provenance import Provenance
from graphjit.weight_loading import Loader, by_name, checked_backend
from graphjit.weight_owners import owners_of

__all__ = ["load_model"]


def load_model(
    path: Any,
    weights: Path | None = None,
    config: Any = None,
    backend: str | None = None,
    custom_layers: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
) -> Model:
    """A model from the files of Keras 1, Keras 2, tf.keras or Keras 3.

    `path` is a whole model (HDF5, or ``.keras``); or what describes one (JSON or YAML:
    a file, a text, or a dictionary), with fresh weights or those of `weights`; or
    weights alone, with `config`.

    What the file's version meant by what it says holds here: its hard_sigmoid, its
    padding, the layout of its kernels. `model.provenance` says who wrote the file, and
    every assumption made. No code in a file is run, nothing is imported by name, and no
    other file is opened.

    Args:
        path: The model.
        weights: A file of weights, in place of those that came with the model.
        config: What describes the model, in place of what came with it.
        backend: What Keras ran on, where the files do not say: "tensorflow" or
            "theano". Kernels and padding depend on it.
        custom_layers: What only the user has: classes of layers, and functions, by the
            names the file calls them; and for a `Lambda` held as code a function by
            the layer's name.
        limits: What the files may ask of the reader; None for the defaults.

    Returns:
        The model, compiled where the file says how it was.

    Raises:
        FormatError: A file is damaged, or not safe; or it needs what is not supplied:
            the message names all of it, and says how to supply it.
        CaptureError: The configuration has what no layer here has.
        DataError: Weights do not fit the model; the message says which, what was
            expected, and what was found.
        OSError: A file cannot be read.
    """
    limits = limits or DEFAULT_LIMITS
    notes = Notes()
    backend = checked_backend(backend, "load_model")
    described = described_by(path if config is None else config, limits, notes)
    stored_in = described.weights if config is None else weights_in(path, limits)
    if weights is not None:
        stored_in = weights_in(weights, limits)
    origin = _with_backend(described.origin, backend, notes)
    custom = dict(custom_layers or {})
    check_extent(described.root, limits)
    with malformed(custom):
        described = replace(described, root=with_operations(described.root, custom))
        lost = origin.generation == 2 and lacks_input(described.root)
        asked = lost or origin.generation == 1
        shapes = _shapes_in(stored_in, limits) if asked else {}
        if lost:
            described = replace(
                described, root=with_input(described.root, shapes, notes)
            )
        keras1 = Keras1Entries(described.root, custom, origin, notes, shapes)
        check_supplied(described.root, custom, keras1)
        reader = KerasReader(custom, origin, notes, keras1)
        model = _made(reader, described)
        _check_size(model, limits)
        reader.note_drops()
        if stored_in is None:
            notes.add("no weights were given: they are fresh ones")
        else:
            apart = stored_in is not described.weights
            _load_weights(model, stored_in, apart, reader, origin, limits, notes)
        if described.training:  # Keras 3 writes {} for a model that is not compiled
            compiled_as(model, described.training, custom, notes)
            if stored_in is not None and stored_in is described.weights:
                _resume(model, stored_in, reader, origin, limits, notes)
    model.provenance = Provenance(str(origin), origin.backend, tuple(notes))
    return model


def _with_backend(origin: Origin, backend: str | None, notes: Notes) -> Origin:
    """The origin with what the caller says of its backend, where the file does not."""
    if backend is None:
        return origin
    if origin.backend is None:
        notes.add(f"the backend was {backend}, as the caller said")
        return replace(origin, backend=backend)
    if origin.backend != backend:
        raise DataError(
            f"load_model: backend: the file says that {origin.backend!r} wrote it, "
            f"received {backend!r}"
        )
    return origin


def _made(reader: KerasReader, described: Described) -> Model:
    made = reader.layer(described.root)
    if not isinstance(made, SubModel):
        raise FormatError(
            f"expected the configuration of a model, received a {type(made).__name__}"
        )
    model = cast("Model", made)
    _ = model.captured  # a chain that does not know its input says so here
    return model


def _check_size(model: Model, limits: Limits) -> None:
    """Refuse a model that declares more than the limits allow."""
    check_graph(model.graph, limits)
    for param in model.graph.params:
        check_size(param.type.shape, limits, f"weight {param.name!r}")


# --- weights --------------------------------------------------------------------


def _shapes_in(weights: Weights | None, limits: Limits) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays of a file in Keras 2's layout, by their names."""
    if weights is None:
        return {}
    with weights.opened() as root:
        if is_keras_3(root):
            return {}
        stored = keras_weights.read(root, limits)
        return {w.name: w.shape for layer in stored.layers for w in layer.weights}


def _load_weights(
    model: Model,
    weights: Weights,
    apart: bool,
    reader: KerasReader,
    origin: Origin,
    limits: Limits,
    notes: Notes,
) -> None:
    """Write the weights of a file, one that came apart from the model or with it."""
    with weights.opened() as root:
        if is_keras_3(root):
            loader = Loader(weights.name, Writer(3, None))
            for owner, layer in pairs(model, root, reader.parts, limits, notes):
                loader.take(owner, layer)
        else:
            stored = keras_weights.read(root, limits)
            if apart and stored.keras_version is None:
                notes.add(
                    "the weights do not say which Keras wrote them: by their names, "
                    f"Keras {stored.generation}"
                )
            loader = _taken(model, weights.name, stored, reader, origin, notes)
    loader.write()


def _resume(
    model: Model,
    weights: Weights,
    reader: KerasReader,
    origin: Origin,
    limits: Limits,
    notes: Notes,
) -> None:
    """Give the optimizer the state that it had, as far as it can be told."""
    with weights.opened() as root:
        slots = read_slots(root, limits)
    owners = [owner for owner in owners_of(model, reader.order) if owner.leaves]
    backend = "tensorflow" if origin.is_tensorflow else origin.backend
    writer = Writer(origin.generation, backend)
    resume(model, slots, owners, writer, origin.version, notes)


def _taken(
    model: Model,
    name: str,
    stored: Stored,
    reader: KerasReader,
    origin: Origin,
    notes: Notes,
) -> Loader:
    """A loader that has taken a file in Keras 2's layout."""
    owners = [owner for owner in owners_of(model, reader.order) if owner.leaves]
    backend = "tensorflow" if origin.is_tensorflow else origin.backend
    loader = Loader.of(name, stored, owners, backend)
    ours = {owner.name for owner in owners}
    theirs = [layer.name for layer in stored.layers]
    if len(theirs) == len(owners) and ours == set(theirs):
        matched = by_name(owners, stored.layers)
    else:
        matched = loader.in_order(owners, stored.layers)
        notes.add("weights are matched to layers by their order: names differ")
    for owner, layer in matched:
        loader.take(owner, layer)
    if loader.writer.backend == "theano" and loader.writer.generation == 1:
        notes.add("kernels of convolutions are turned round: Theano convolves")
    return loader
