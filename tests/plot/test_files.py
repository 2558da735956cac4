"""`plot_model`: what goes into a file, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.errors import CaptureError, FormatError


def small() -> gj.Model:
    x = gj.Input((4,), name="x")
    return gj.Model(x, L.Dense(2, name="d")(x), name="small")


def test_the_ending_decides(tmp_path: Path) -> None:
    model = small()
    for name in ("a.svg", "b.html", "c.mmd", "d.md", "E.SVG"):
        gj.plot_model(model, tmp_path / name)
    texts = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert sorted(texts) == ["E.SVG", "a.svg", "b.html", "c.mmd", "d.md"]
    assert texts["a.svg"] == texts["E.SVG"] == gj.plot.svg(model)
    assert texts["b.html"].startswith('<!DOCTYPE html>\n<meta charset="utf-8">\n<div')
    assert texts["a.svg"] in texts["b.html"]
    assert texts["c.mmd"] == gj.plot.mermaid(model)
    assert texts["d.md"] == f"```mermaid\n{texts['c.mmd']}```\n"


def test_strings_are_paths(tmp_path: Path) -> None:
    gj.plot_model(small(), str(tmp_path / "a.svg"))
    ElementTree.parse(tmp_path / "a.svg")


@pytest.mark.parametrize("name", ["model.png", "model", "model.svg.gz", ".svg"])
def test_other_endings_are_refused(tmp_path: Path, name: str) -> None:
    text = (
        r"^plot_model: expected a path that ends in \.svg, \.html, \.mmd or \.md, "
        r"received '.*'\n  hint: browsers turn an \.svg into any other format$"
    )
    with pytest.raises(FormatError, match=text):
        gj.plot_model(small(), tmp_path / name)
    assert not os.listdir(tmp_path)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    path.write_text("old")
    with pytest.raises(CaptureError, match=r"^plot: expected a model or a graph"):
        gj.plot_model("model", path)
    assert path.read_text() == "old"
    gj.plot_model(small(), path)
    assert path.read_text().startswith("<svg")
    assert os.listdir(tmp_path) == ["a.svg"]


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (lambda: None, r"^plot: expected a model or a graph, received a NoneType$"),
        (
            lambda: gj.jit(small()),
            r"received a Executable\n  hint: exe\.graph is the graph it runs$",
        ),
        (lambda: L.Dense(2), r"^plot: expected a model or a graph, received a Dense$"),
    ],
)
def test_what_can_be_drawn(made: Any, text: str) -> None:
    with pytest.raises(CaptureError, match=text):
        gj.plot.svg(made())


def test_notebooks_get_a_picture_that_scrolls() -> None:
    found = gj.plot.html(small())
    assert found.startswith('<div style="overflow:auto;max-height:40em">\n<svg ')
    assert found.endswith("</svg>\n</div>\n")
    ElementTree.fromstring(found)


def test_equal_graphs_give_equal_pictures() -> None:
    first, second = small(), small()
    assert gj.plot.svg(first) == gj.plot.svg(second)
    assert gj.plot.mermaid(first.graph) == gj.plot.mermaid(second.graph)
    loaded = gj.from_bytes(gj.to_bytes(first))
    assert gj.plot.svg(loaded) == gj.plot.svg(first)
