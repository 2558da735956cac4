"""Pictures as texts, and into files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from graphjit.capture.tracer import SubModel
from graphjit.errors import CaptureError, FormatError
from graphjit.executable import Executable
from graphjit.formats.atomic import replacing
from graphjit.ir import Graph
from graphjit.plot.diagram import Diagram, of_layers, of_nodes
from graphjit.plot.mermaid_text import mermaid_text
from graphjit.plot.svg_text import svg_text

__all__ = ["html", "mermaid", "plot_model", "svg"]


def plot_model(
    model: Any,
    path: str | os.PathLike[str] = "model.svg",
    show_shapes: bool = True,
    expand_nested: bool = True,
) -> None:
    """Draw a model's layers, or a graph's nodes, into a file.

    The ending of the path decides what is written: ``.svg``, ``.html`` (a page with the
    picture), ``.mmd`` (Mermaid text) or ``.md`` (the same, for Markdown). Equal graphs
    give equal files. A file is replaced whole or not at all.

    Args:
        model: A model, or a graph such as ``model.graph`` or ``exe.graph``.
        path: Where the picture goes.
        show_shapes: Whether boxes show the shapes of their results.
        expand_nested: Whether nested models and the bodies of loops are drawn.

    Raises:
        CaptureError: `model` is neither a model nor a graph.
        FormatError: The path ends otherwise.
    """
    ending = Path(path).suffix.lower()
    if ending == ".svg":
        text = svg(model, show_shapes, expand_nested)
    elif ending == ".html":
        picture = html(model, show_shapes, expand_nested)
        text = f'<!DOCTYPE html>\n<meta charset="utf-8">\n{picture}'
    elif ending in (".mmd", ".md"):
        text = mermaid(model, show_shapes, expand_nested)
        text = f"```mermaid\n{text}```\n" if ending == ".md" else text
    else:
        raise FormatError(
            "plot_model: expected a path that ends in .svg, .html, .mmd or .md, "
            f"received {os.fspath(path)!r}",
            hint="browsers turn an .svg into any other format",
        )
    with replacing(path) as file:
        file.write(text.encode())


def svg(model: Any, show_shapes: bool = True, expand_nested: bool = True) -> str:
    """The picture as SVG text.

    Args:
        model: A model or a graph.
        show_shapes: Whether boxes show the shapes of their results.
        expand_nested: Whether nested models and the bodies of loops are drawn.

    Raises:
        CaptureError: `model` is neither a model nor a graph.
    """
    name, diagram = _diagram(model, show_shapes, expand_nested)
    return svg_text(diagram, name)


def mermaid(model: Any, show_shapes: bool = True, expand_nested: bool = True) -> str:
    """The picture as Mermaid text, with the arguments of `svg`."""
    return mermaid_text(_diagram(model, show_shapes, expand_nested)[1])


def html(model: Any, show_shapes: bool = True, expand_nested: bool = True) -> str:
    """The picture as HTML for notebooks: it scrolls. Arguments are those of `svg`."""
    text = svg(model, show_shapes, expand_nested)
    return f'<div style="overflow:auto;max-height:40em">\n{text}</div>\n'


def _diagram(model: Any, shapes: bool, nested: bool) -> tuple[str, Diagram]:
    if isinstance(model, Graph):
        return model.name, of_nodes(model, shapes, nested)
    if isinstance(model, SubModel):
        graph = model.captured.graph
        return graph.name, of_layers(graph, shapes, nested)
    exe = isinstance(model, Executable)
    raise CaptureError(
        f"plot: expected a model or a graph, received a {type(model).__name__}",
        hint="exe.graph is the graph it runs" if exe else None,
    )
