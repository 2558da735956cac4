"""What two graphs differ in: layers and their settings, weights' types, ops."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar

from graphjit.capture.keras_keys import FIRST_INPUT
from graphjit.formats.plain import shown
from graphjit.ir import Config, Graph, LayerCall, Param
from graphjit.narrow import mapping_of, sequence_of

__all__ = ["comparable", "layer_differences", "text_differences"]

T = TypeVar("T")

_INPUT: Final = "InputLayer"


def comparable(graph: Graph) -> Graph:
    """What is compared of a graph: all but what layers were told of their input.

    ``batch_input_shape`` and the like say again what the graph's inputs say, and depend
    on how a model was written down.
    """
    rows = (
        call
        if call.cls == _INPUT
        else dataclasses.replace(call, config=Config.freeze(_bare(call.config.thaw())))
        for call in graph.layers
    )
    return graph.replace(layers=tuple(rows))


def _bare(data: Any) -> Any:
    """A configuration, those in it too, without arguments about the input."""
    entries = mapping_of(data)
    if entries is not None:
        if entries.get("class_name") == _INPUT:
            return entries
        return {k: _bare(v) for k, v in entries.items() if k not in FIRST_INPUT}
    items = sequence_of(data)
    return data if items is None else [_bare(item) for item in items]


def layer_differences(first: Graph, second: Graph) -> list[str]:
    """A sentence for everything in which layers and weights differ.

    Empty for graphs that are equal, and only for these.
    """
    if first == second:
        return []
    found = [*_layers(first, second), *_params(first, second)]
    if first.name != second.name:
        found.insert(0, f"name: {first.name!r}, {second.name!r}")
    return found or ["the ops, or the order of layers"]


def text_differences(first: Graph, second: Graph) -> list[str]:
    """The lines in which the graphs' texts differ, as ``diff -U0`` has them."""
    one, other = (str(graph).splitlines() for graph in (first, second))
    return list(difflib.unified_diff(one, other, "A", "B", n=0, lineterm=""))


# --- by name --------------------------------------------------------------------


def _layers(first: Graph, second: Graph) -> Iterator[str]:
    rows = ({call.path: call for call in g.layers} for g in (first, second))
    for path, a, b in _paired(*rows):
        where = f"layer {path!r}"
        if a is None or b is None:
            found = a or b
            kind = f" ({found.cls})" if found else ""
            yield f"{where}{kind}: only in {'A' if b is None else 'B'}"
            continue
        if a.cls != b.cls:
            yield f"{where}: {a.cls}, {b.cls}"
            continue
        for title, one, other in (
            ("", a.config.thaw(), b.config.thaw()),
            ("called with ", a.arguments.thaw(), b.arguments.thaw()),
        ):
            for key, x, y in _settings(one, other):
                yield f"{where}: {title}{key}: {x}, {y}"
        one, other = _sources(first, a), _sources(second, b)
        if one != other:
            yield f"{where}: its inputs: {shown(one)}, {shown(other)}"
        if a.types != b.types:
            one, other = (", ".join(map(str, call.types)) for call in (a, b))
            yield f"{where}: its outputs: {one}; {other}"


def _params(first: Graph, second: Graph) -> Iterator[str]:
    """Where weights of one name are not of one kind; values are compared elsewhere."""
    tables = ({param.name: param for param in g.params} for g in (first, second))
    for name, a, b in _paired(*tables):
        if a is None or b is None or a == b:
            continue
        for field in dataclasses.fields(Param):
            one, other = getattr(a, field.name), getattr(b, field.name)
            if one != other:
                yield f"weight {name!r}: {field.name}: {one}, {other}"


def _paired(
    first: Mapping[str, T], second: Mapping[str, T]
) -> Iterator[tuple[str, T | None, T | None]]:
    """All names in order, those of the first before those of the second alone."""
    for name in dict.fromkeys([*first, *second]):
        yield name, first.get(name), second.get(name)


def _settings(
    first: Mapping[str, Any], second: Mapping[str, Any], inside: str = ""
) -> Iterator[tuple[str, str, str]]:
    """The settings that differ, by their path; 1, 1.0 and True are three values here.

    A setting may be a configuration again: of the layer in a wrapper, for one.
    """
    for key in dict.fromkeys([*first, *second]):
        maps = mapping_of(first.get(key)), mapping_of(second.get(key))
        if maps[0] is not None and maps[1] is not None:
            yield from _settings(maps[0], maps[1], f"{inside}{key}.")
            continue
        one, other = (
            repr(found[key]) if key in found else "absent" for found in (first, second)
        )
        if one != other:
            yield f"{inside}{key}", _short(one), _short(other)


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}…"


def _sources(graph: Graph, call: LayerCall) -> list[str]:
    """What a call was applied to."""
    return [
        f"{graph.layers[ref.call].path}#{ref.index}"
        if ref.index
        else graph.layers[ref.call].path
        for ref in call.inputs
    ]
