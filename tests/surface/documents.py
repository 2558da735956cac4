"""What the documents name: layers and their arguments, with defaults."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import graphjit as gj

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Document:
    """A list of signatures, and where the code has them.

    Attributes:
        title: How the table names it.
        file: The signatures as the document writes them, one a line.
        source: The document's name among the references.
        owner: The module whose names they are.
    """

    title: str
    file: str
    source: str
    owner: Any


@dataclass(frozen=True)
class Signature:
    """One documented layer: its arguments in order, and their defaults as written."""

    layer: str
    arguments: tuple[tuple[str, str | None], ...]


DOCUMENTS: Final = (
    Document("Keras 1", "keras1.txt", "004_1d585b61e92a493a.txt", gj.keras1),
    Document("Keras 2", "keras2.txt", "003_65f3b0c353b77e2a.txt", gj.layers),
)


def signatures(document: Document) -> list[Signature]:
    """The signatures a document lists."""
    return [parsed(line) for line in (HERE / document.file).read_text().splitlines()]


def parsed(line: str) -> Signature:
    """A signature from ``Name(a, b='c')``."""
    definition = ast.parse(f"def {line}: ...").body[0]
    assert isinstance(definition, ast.FunctionDef)
    names = [argument.arg for argument in definition.args.args]
    written = [ast.unparse(default) for default in definition.args.defaults]
    defaults = [None] * (len(names) - len(written)) + written
    return Signature(definition.name, tuple(zip(names, defaults, strict=True)))


def parameters(layer: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """What the code takes, in order."""
    return dict(inspect.signature(layer).parameters)
