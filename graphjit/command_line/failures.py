"""Errors as the command line says them: hints in its own words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from graphjit.errors import GraphJitError
from graphjit.printable import printable

__all__ = ["in_our_words", "told"]

_Replacement: TypeAlias = "str | Callable[[re.Match[str]], str]"

#: What hints say to those who write Python, and what that is here.
_WORDS: Final[tuple[tuple[str, _Replacement], ...]] = (
    (r"backend='(\w+)'", r"--backend \1"),
    (r"limits=Limits\((\w+)=…\)", r"--limit \1=N"),
    (r"config=…, a JSON or YAML file.*", "--config FILE, their JSON or YAML"),
    (r"weights=…", "--weights FILE"),
    (
        r"(supply \w+): (custom_layers=.*)",
        r"\1 in Python: gj.keras.load_model(path, \2), then model.save('model.gjit')",
    ),
    (r"model\.save\(path\) writes all of it, as .gjit", "a .gjit file holds all of it"),
    (r"gj\.keras\.load_model\(path\) reads those", "give it a name that says so"),
)


def told(error: Exception) -> str | None:
    """What to say of an error; None for one that is not the user's to put right."""
    if isinstance(error, GraphJitError):
        hint = in_our_words(error.hint)
        own = GraphJitError(error.message, details=error.details, hint=hint)
        return printable(str(own), keep="\n")
    if isinstance(error, OSError):
        if error.filename is None or error.strerror is None:
            return printable(str(error), keep="\n")
        name = error.filename
        shown = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        return printable(f"{shown}: {error.strerror}")
    if isinstance(error, ImportError) and "pip install" in str(error):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory for this model, or for its batches"
    return None


def in_our_words(hint: str | None) -> str | None:
    """A hint, with options for what it says of arguments."""
    if hint is None:
        return None
    for pattern, replacement in _WORDS:
        hint = re.sub(pattern, replacement, hint)
    return hint
