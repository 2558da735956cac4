"""Models and `.gjit` files."""

from __future__ import annotations

import contextlib
from os import PathLike
from typing import Any, cast

import jax

from graphjit.capture.cell import Cell
from graphjit.capture.layer import LAYERS, Layer, layer_name
from graphjit.capture.model_config import config_of
from graphjit.capture.tracer import Captured
from graphjit.capture.trainable_flags import with_flags
from graphjit.errors import CaptureError, FormatError
from graphjit.formats import compiled_section, container, provenance_section
from graphjit.formats.container import Contents
from graphjit.formats.limits import DEFAULT_LIMITS, Limits
from graphjit.formats.provenance_section import decode_provenance, encode_provenance
from graphjit.formats.tuning_section import SECTION, decode_tuning, encode_tuning
from graphjit.ir import Graph
from graphjit.lower import x64_scope
from graphjit.model import Model
from graphjit.variables import device_copy

__all__ = ["from_bytes", "load", "model_of", "not_kept", "save", "to_bytes"]


def save(model: Model, path: str | PathLike[str]) -> None:
    """Write a model, graph and weights, into one `.gjit` file, atomically.

    Raises:
        FormatError: The model holds a function or a layer no file can name; nothing is
            written.
    """
    container.save(path, saved_graph(model), model.arrays(), _sections(model))


def load(
    path: str | PathLike[str], mmap: bool = False, *, limits: Limits | None = None
) -> Model:
    """Read a model from a `.gjit` file; every byte is verified before use.

    Args:
        path: The file.
        mmap: Map the file instead of reading it; each tensor is then verified when it
            is first used.
        limits: What a file may ask of the reader; None for the defaults.

    Raises:
        FormatError: The file is foreign, newer, truncated or corrupted.
    """
    contents = container.load(path, mmap=mmap, limits=limits or DEFAULT_LIMITS)
    return model_of(contents)


def to_bytes(model: Model) -> bytes:
    """What `save` writes. Equal models give equal bytes."""
    return container.encode(saved_graph(model), model.arrays(), _sections(model))


def from_bytes(data: bytes, *, limits: Limits | None = None) -> Model:
    """The model that `to_bytes` made the bytes from.

    Raises:
        FormatError: The bytes are foreign, newer, truncated or corrupted.
    """
    contents = container.decode(data, limits=limits or DEFAULT_LIMITS)
    return model_of(contents)


def saved_graph(model: Model) -> Graph:
    """The model's graph, its layer table with `trainable` as it is now."""
    _check_registered(model)
    return with_flags(model)


def _check_registered(layer: Layer) -> None:
    """Refuse layers of classes that no file can name, those inside others too."""
    if isinstance(layer, Model):
        for inner in layer.captured.layers:
            _check_registered(inner)
        return
    if not layer.is_registered():
        cls = type(layer).__name__
        raise FormatError(
            f"{layer_name(layer)}: the class {cls} is not registered, so a file "
            "cannot name it",
            hint=f'put @graphjit.register("mypackage>{cls}") above the class, here and '
            "where the file is loaded",
        )
    for _, part in layer.parts():
        _check_registered(part)


def _sections(model: Model) -> dict[str, Any]:
    """What a reader may ignore."""
    found: dict[str, Any] = {}
    if model.provenance is not None:
        found[provenance_section.SECTION] = encode_provenance(model.provenance)
    if model.tuning is not None:
        found[SECTION] = encode_tuning(model.tuning)
    with contextlib.suppress(CaptureError):  # `not_kept` says what
        compiled = model.compiled_as()
        if compiled is not None:
            found[compiled_section.SECTION] = compiled
    return found


def not_kept(model: Model) -> list[str]:
    """What of a model a `.gjit` file does not hold, a sentence each."""
    found: list[str] = []
    try:
        model.compiled_as()
    except CaptureError as error:
        found.append(f"how it is compiled is not kept: {error.message}")
    if model.has_optimizer_state:
        found.append("the state of the optimizer is not kept: it begins anew")
    return found


def model_of(contents: Contents) -> Model:
    """A model of a graph: with its layers, where they can be made again."""
    graph, tensors = contents.graph, contents.tensors
    model = _rebuilt(graph) or _opaque(graph)
    if SECTION in contents.optional:
        model.tuning = decode_tuning(contents.optional[SECTION])
    if provenance_section.SECTION in contents.optional:
        section = contents.optional[provenance_section.SECTION]
        model.provenance = decode_provenance(section)
    if compiled_section.SECTION in contents.optional:
        section = contents.optional[compiled_section.SECTION]
        model.compile_when_asked(compiled_section.decode_compiled(section))
    for name, cell in model.cells.items():
        type_ = cell.param.type
        cell.defer(lambda name=name, t=type_: _own(graph, tensors[name], t.dtype))
    return model


def _own(graph: Graph, tensor: Any, dtype: str) -> jax.Array:
    """A tensor of a file as an array nobody can change."""
    with x64_scope(graph):
        return device_copy(tensor, dtype)


def _rebuilt(graph: Graph) -> Model | None:
    """The model its layer table describes, if that captures to the very same graph."""
    try:
        made = LAYERS.get(graph.layers[-1].cls).from_config(config_of(graph))
    except CaptureError:
        return None
    model = cast("Model", made)
    return model if saved_graph(model) == graph else None


def _opaque(graph: Graph) -> Model:
    """A model that runs and trains as saved, but has no layer objects."""
    cells = {param.name: Cell(param) for param in graph.params}
    return Model.of_graph(Captured(graph, cells, (), ()))
