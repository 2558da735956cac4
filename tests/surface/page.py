"""The page docs/surface.md: every layer and argument, and where it is tested."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import graphjit as gj
from tests.conformance.layer_table import NOT_LAYERS
from tests.conftest import ROOT
from tests.surface.documents import DOCUMENTS, parameters, signatures
from tests.surface.usage import Usage, used

PAGE: Final = ROOT / "docs" / "surface.md"

HEAD = """# The surface

Every layer and argument that the Keras 1 and Keras 2 documents name, and every other
layer graphjit has: whether it works, and which test gives it. Written by
``python -m tests.surface`` from the code and the tests; a test fails where a line is
missing, an argument stands in another place or has another default than the document
says, or no test gives it.
"""
#: Arguments that every layer takes.
EVERYWHERE: Final = ("name", "trainable", "dtype")


def rendered() -> str:
    """The page."""
    parts = [HEAD]
    for document in DOCUMENTS:
        names = [signature.layer for signature in signatures(document)]
        owner = document.owner
        layers = {name: getattr(owner, name) for name in names if hasattr(owner, name)}
        usage = used(layers, keras1=owner is gj.keras1)
        parts.append(f"## {document.title}\n")
        for signature in signatures(document):
            arguments = [name for name, _ in signature.arguments]
            parts.append(_section(signature.layer, arguments, layers, usage))
    parts.append("## Layers of other documents\n")
    others = other_layers()
    usage = used(others, keras1=False)
    for name in sorted(others):
        arguments = [n for n in parameters(others[name]) if n not in EVERYWHERE]
        parts.append(_section(name, arguments, others, usage))
    return "\n".join(parts)


def other_layers() -> dict[str, Any]:
    """Layers that the Keras 2 document does not list, aliases left out."""
    listed = {signature.layer for signature in signatures(DOCUMENTS[1])}
    return {
        name: layer
        for name in gj.layers.__all__
        if name not in listed | NOT_LAYERS
        if isinstance(layer := getattr(gj.layers, name), type)
        if layer.__name__ == name
    }


def _section(
    layer: str, arguments: Iterable[str], layers: dict[str, Any], usage: Usage
) -> str:
    if layer not in layers:
        return f"### {layer}\n\nmissing\n"
    taken = parameters(layers[layer])
    lines = ["| argument | works | tested in |", "|---|---|---|"]
    for argument in arguments:
        works = "yes" if argument in taken else "missing"
        where = ", ".join(sorted(usage.get((layer, argument), ()))[:2])
        lines.append(f"| {argument} | {works} | {where or 'nowhere'} |")
    if len(lines) == 2:
        lines = ["No arguments."]
    return f"### {layer}\n\n" + "\n".join(lines) + "\n"
