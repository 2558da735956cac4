"""How much a configuration asks for, counted before anything is made of it.

A model in a model that is called twice is made of twice its layers. Nested twenty deep
that is a million, out of a text of a few lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from graphjit.formats.limits import Limits
from graphjit.formats.plain import shown
from graphjit.keras.entries import PLACES, layers_of, name_of
from graphjit.narrow import mapping_of, sequence_of

__all__ = ["check_extent"]

#: Where the layers stand that a layer of Keras 1 merges, and those of a model.
_LAYERS: Final = "layers"


@dataclass(slots=True)
class _Extent:
    """Calls of layers, and the characters in the paths that name them."""

    calls: int = 0
    chars: int = 0

    def add(self, other: _Extent, times: int = 1, before: int = 0) -> None:
        """Count something so many times, with characters before each of its paths."""
        self.calls += times * other.calls
        self.chars += times * (other.chars + other.calls * before)


def check_extent(root: Any, limits: Limits) -> None:
    """Refuse a configuration that comes to more than the limits allow.

    Args:
        root: Of a model.
        limits: `nodes` caps the calls of layers once every model is written out where
            it is called; `header_bytes` the characters of their paths; `name_chars`
            any name.

    Raises:
        FormatError: It says what there is too much of.
    """
    extent = _of(root, limits)
    if extent.calls > limits.nodes:
        found = f"{extent.calls} calls of layers, those in models called again included"
        limits.refuse("nodes", "the configuration", found)
    if extent.chars > limits.header_bytes:
        found = f"paths of layers of {extent.chars} characters"
        limits.refuse("header_bytes", "the configuration", found)


def _of(value: Any, limits: Limits) -> _Extent:
    """Of an entry, or of everything in a list."""
    entry = mapping_of(value)
    total = _Extent()
    if entry is None:
        for item in sequence_of(value) or []:
            _add(total, item, limits)
        return total
    config: Any = entry.get("config", entry)
    found = mapping_of(config)
    inside = [config] if found is None else [found[k] for k in PLACES if k in found]
    for item in inside:
        _add(total, item, limits)
    # A layer is one call beside what is in it; a model is what is in it.
    is_model = bool(layers_of(config)) and "class_name" in entry
    return total if is_model else _Extent(total.calls + 1, total.chars)


def _add(total: _Extent, item: Any, limits: Limits) -> None:
    entry = mapping_of(item)
    if entry is None:
        total.add(_of(item, limits))
        return
    name = name_of(entry) or ""
    if len(name) > limits.name_chars:
        where = f"name {shown(name)}"
        limits.refuse("name_chars", where, f"{len(name)} characters")
    total.add(_of(entry, limits), max(_calls(entry), 1), len(name) + 1)


def _calls(entry: Mapping[str, Any]) -> int:
    return len(sequence_of(entry.get("inbound_nodes")) or [])
