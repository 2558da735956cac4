"""`graphjit summary`: what a model is, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphjit.command_line.output import line_length, say, say_json
from graphjit.command_line.source import Source
from graphjit.ir import Graph, Input
from graphjit.model import Model
from graphjit.summary import counts_of
from graphjit.types import TensorType

__all__ = ["summary"]


def summary(source: Source, as_json: bool) -> int:
    """Print a model's origin, inputs, outputs, layers and sizes."""
    model = source.read()
    if as_json:
        say_json(_data(source, model))
        return 0
    if model.provenance is not None:
        say(f"{model.provenance}\n")
    model.summary(line_length=line_length(), print_fn=say)
    say()
    _say_ends("inputs", model.graph.inputs)
    _say_ends("outputs", _outputs(model.graph))
    return 0


def _outputs(graph: Graph) -> list[Input]:
    types = graph.types()
    return [Input(output.name, types[output.value]) for output in graph.outputs]


def _say_ends(title: str, ends: Sequence[Input]) -> None:
    say(f"{title}:")
    for end in ends:
        say(f"  {end.name} : {end.type}")


def _data(source: Source, model: Model) -> dict[str, Any]:
    origin = model.provenance
    total, trainable = counts_of(model.graph, model.frozen_layers())
    return {
        "file": str(source.path),
        "name": model.graph.name,
        "writer": None if origin is None else origin.writer,
        "backend": None if origin is None else origin.backend,
        "notes": [] if origin is None else list(origin.notes),
        "inputs": [_end(end.name, end.type) for end in model.graph.inputs],
        "outputs": [_end(end.name, end.type) for end in _outputs(model.graph)],
        "layers": _layers(model.graph),
        "parameters": {
            "total": total,
            "trainable": trainable,
            "non_trainable": total - trainable,
        },
    }


def _end(name: str, type_: TensorType) -> dict[str, Any]:
    return {"name": name, **_type(type_)}


def _type(type_: TensorType) -> dict[str, Any]:
    return {"dtype": type_.dtype, "shape": list(type_.user_shape())}


def _layers(graph: Graph) -> list[dict[str, Any]]:
    """The rows of the layer table, those inside models too; not the model's own."""
    rows = graph.layers
    return [
        {
            "name": call.path,
            "class": call.cls,
            "inside": None if call.parent < 0 else rows[call.parent].path,
            "outputs": [_type(type_) for type_ in call.types],
            "weights": list(call.params),
            "connected_to": [rows[ref.call].path for ref in call.inputs],
        }
        for call in rows[:-1]
    ]
