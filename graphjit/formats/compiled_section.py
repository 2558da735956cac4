"""The optional section of a `.gjit` file that says how the model is compiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from graphjit.formats import plain
from graphjit.training.compiled import ARGUMENTS

__all__ = ["SECTION", "decode_compiled"]

#: Its key under `optional`; nothing that a model computes depends on it.
SECTION: Final = "compiled"


def decode_compiled(data: object) -> Mapping[str, Any]:
    """The data of `written_arguments` in a section.

    What it names is looked up when the model is first trained: a model that is only
    run needs no losses.

    Raises:
        FormatError: It has other keys than `compile` has arguments.
    """
    values = plain.record(data, ARGUMENTS, f"optional.{SECTION}")
    return dict(zip(ARGUMENTS, values, strict=True))
