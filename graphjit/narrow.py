"""Narrowing values of unknown type to containers of unknown items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

__all__ = ["mapping_of", "sequence_of"]


def sequence_of(value: object) -> list[Any] | None:
    """The items of a list or tuple; None for anything else."""
    if isinstance(value, (list, tuple)):
        return list(cast("list[Any]", value))
    return None


def mapping_of(value: object) -> Mapping[str, Any] | None:
    """The value as a mapping; None for anything else."""
    # Most are plain dictionaries: asking an abstract class takes ten times as long.
    found = isinstance(value, (dict, Mapping))
    return cast("Mapping[str, Any]", value) if found else None
