"""A diagram as Mermaid text, which GitHub and many editors draw."""

from __future__ import annotations

from collections.abc import Iterator

from graphjit.plot.diagram import Box, Diagram

__all__ = ["mermaid_text"]

#: Beside letters and digits, what has no meaning inside a quoted label. All else is
#: written as a number: quotes end a label, `%%{` begins a directive, `<` a tag.
_PLAIN = frozenset(" _-.,:=()[]/@+*?|→…×")


def mermaid_text(diagram: Diagram) -> str:
    """The whole picture."""
    return "\n".join(["flowchart TD", *_lines(diagram, "n", "  ")]) + "\n"


def _lines(diagram: Diagram, prefix: str, pad: str) -> Iterator[str]:
    for at, box in enumerate(diagram.boxes):
        name, label = f"{prefix}{at}", _label(box)
        if box.inside is None:
            yield f'{pad}{name}(["{label}"])' if box.end else f'{pad}{name}["{label}"]'
            continue
        yield f'{pad}subgraph {name}["{label}"]'
        yield from _lines(box.inside, f"{name}_", f"{pad}  ")
        yield f"{pad}end"
    for source, target in diagram.arrows:
        yield f"{pad}{prefix}{source} --> {prefix}{target}"


def _label(box: Box) -> str:
    return "<br/>".join(_escaped(text) for text in (box.title, *box.lines))


def _escaped(text: str) -> str:
    """`text` for inside a quoted label."""
    flat = " ".join(text.split())
    return "".join(c if c.isalnum() or c in _PLAIN else f"#{ord(c)};" for c in flat)
