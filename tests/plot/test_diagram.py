"""What pictures show: layers, nodes before and after passes, models inside models."""

from __future__ import annotations

import itertools
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.builder import Builder
from graphjit.capture.tracer import Captured
from graphjit.ir import Graph
from graphjit.ops import elementwise as ew
from graphjit.ops.scan import Scan
from graphjit.plot.diagram import Box, of_layers, of_nodes
from graphjit.types import TensorType
from tests.graphs import models
from tests.profiles import examples

SVG = "{http://www.w3.org/2000/svg}"


def two_inputs() -> gj.Model:
    """A nested model called twice, an input that skips it, two outputs."""
    e = gj.Input((8,), name="e")
    inner = gj.Model(e, L.Dense(4, "relu", name="p")(e), name="encoder")
    a, b = gj.Input((8,), name="a"), gj.Input((8,), name="b")
    joined = L.Concatenate(name="c")([inner(a), inner(b), a])
    return gj.Model([a, b], [joined, L.Add(name="twice")([b, b])], name="two")


TWO = """\
flowchart TD
  n0(["InputLayer<br/>a<br/>(None, 8)"])
  n1(["InputLayer<br/>b<br/>(None, 8)"])
  subgraph n2["Functional<br/>encoder<br/>(None, 4)"]
    n2_0(["InputLayer<br/>e<br/>(None, 8)"])
    n2_1["Dense<br/>p<br/>(None, 4)"]
    n2_0 --> n2_1
  end
  subgraph n3["Functional<br/>encoder@1<br/>(None, 4)"]
    n3_0(["InputLayer<br/>e<br/>(None, 8)"])
    n3_1["Dense<br/>p<br/>(None, 4)"]
    n3_0 --> n3_1
  end
  n4["Concatenate<br/>c<br/>(None, 16)"]
  n5["Add<br/>twice<br/>(None, 8)"]
  n0 --> n2
  n1 --> n3
  n2 --> n4
  n3 --> n4
  n0 --> n4
  n1 --> n5
"""


def test_layers_of_a_model() -> None:
    assert gj.plot.mermaid(two_inputs()) == TWO


def test_nested_models_may_stay_closed() -> None:
    found = gj.plot.mermaid(two_inputs(), show_shapes=False, expand_nested=False)
    assert found.splitlines()[:5] == [
        "flowchart TD",
        '  n0(["InputLayer<br/>a"])',
        '  n1(["InputLayer<br/>b"])',
        '  n2["Functional<br/>encoder"]',
        '  n3["Functional<br/>encoder@1"]',
    ]
    assert "subgraph" not in found


def conv_norm() -> gj.Model:
    x = gj.Input((3, 8, 8), name="x")
    first = {"data_format": "channels_first"}
    y = L.Conv2D(4, 3, name="conv", activity_regularizer="l2", **first)(x)
    y = L.ReLU(name="relu")(L.BatchNormalization(axis=1, name="norm")(y))
    return gj.Model(x, L.GlobalAveragePooling2D(name="pool", **first)(y))


def kinds(graph: Graph) -> list[str]:
    return [box.title for box in of_nodes(graph).boxes]


def test_nodes_before_and_after_passes() -> None:
    model = conv_norm()
    before, after = model.graph, gj.jit(model).graph
    for graph in (before, after):
        nodes = [node.op.kind for node in graph.nodes]
        losses = ["loss"] * len(graph.losses)
        assert kinds(graph) == ["input", *nodes, "output", *losses]
    assert "batch_norm" in kinds(before)
    assert "batch_norm" not in kinds(after)
    fused = next(box for box in of_nodes(after).boxes if box.title == "conv")
    assert "then relu" in fused.lines
    assert fused.note.startswith("%conv/conv = conv(")
    assert fused.lines[-1].startswith("float32[batch, ")


def test_a_graphs_text() -> None:
    x = gj.Input((4,), name="x")
    model = gj.Model(x, L.Dense(2, "softmax", name="d")(x))
    assert gj.plot.mermaid(model.graph) == (
        "flowchart TD\n"
        '  n0(["input<br/>x<br/>float32[batch, 4]"])\n'
        '  n1["dense<br/>d/dense<br/>float32[batch, 2]"]\n'
        '  n2["softmax<br/>d/softmax<br/>float32[batch, 2]"]\n'
        '  n3(["output<br/>d<br/>float32[batch, 2]"])\n'
        "  n0 --> n1\n"
        "  n1 --> n2\n"
        "  n2 --> n3\n"
    )


def test_bodies_are_drawn_inside() -> None:
    state = TensorType(("batch", 3), "float32")
    body = Builder("step")
    h, step = body.input("h", state), body.input("x", state)
    total = body(ew.Add(), h, step, name="total")
    body.output("h", total)
    builder = Builder("looped")
    start = builder.input("start", state)
    steps = builder.input("steps", TensorType(("batch", None, 3), "float32"))
    scanned = builder.node(Scan(body.build(), 1, 1), [start, steps])
    builder.output("last", scanned[0])
    diagram = of_nodes(builder.build())
    (loop,) = (box for box in diagram.boxes if box.inside is not None)
    assert loop.title == "scan"
    assert [box.title for box in loop.inside.boxes] == [  # type: ignore[union-attr]
        "input",
        "input",
        "add",
        "output",
    ]
    assert all(
        box.inside is None for box in of_nodes(builder.build(), True, False).boxes
    )


# --- names that would break a picture -------------------------------------------------

NAMES = [
    '<script>alert("1")</script>',
    "a & b",
    'quote"]; click n0 "javascript:alert(1)"',
    "%%{init: {'theme': 'dark'}}%%",
    "```",
    "line\nbreak\x00\x07\ud800",
    "#quot;end",
    "层",
    "x" * 300,
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_are_escaped(name: str) -> None:
    builder = Builder(name)
    value = builder.input(name, TensorType((2,), "float32"))
    builder.output("out", builder(ew.Tanh(), value, name=f"{name}/tanh"))
    graph = builder.build()
    root = ElementTree.fromstring(gj.plot.svg(graph))
    texts = [text.text or "" for text in root.iter(f"{SVG}text")]
    assert len(texts) == 9
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == {
        *("svg", "title", "defs", "marker", "path", "rect", "g", "text")
    }
    assert all(len(text) <= 48 for text in texts)
    lines = gj.plot.mermaid(graph).splitlines()
    assert len(lines) == 6
    for line in lines[1:4]:
        label = line.split('"')
        assert len(label) == 3
        assert not set(label[1].replace("<br/>", "")) & set('"<>&%`{}\\')
    assert lines[4:] == ["  n0 --> n1", "  n1 --> n2"]


def test_pictures_hold_nothing_that_runs_or_loads() -> None:
    for text in (gj.plot.svg(two_inputs()), gj.plot.html(conv_norm())):
        root = ElementTree.fromstring(text)
        for element in root.iter():
            assert element.tag.removeprefix(SVG) not in {"script", "image", "a", "use"}
            for name in element.attrib:
                assert not name.startswith("on")
                assert "href" not in name
    assert gj.plot.svg(two_inputs()).count("http") == 1  # the namespace


def test_texts_of_a_picture() -> None:
    root = ElementTree.fromstring(gj.plot.svg(two_inputs()))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts[:3] == ["InputLayer", "a", "(None, 8)"]
    assert root.find(f"{SVG}title").text == "two"  # type: ignore[union-attr]
    notes = [title.text for title in root.iter(f"{SVG}title")]
    assert "Dense encoder/p\nencoder/p/kernel\nencoder/p/bias" in notes
    # The second call names the params of the first.
    assert "Dense encoder@1/p\nencoder/p/kernel\nencoder/p/bias" in notes


# --- any model ------------------------------------------------------------------------


def nested(boxes: Any) -> Any:
    for box in boxes:
        yield box
        if box.inside is not None:
            yield from nested(box.inside.boxes)


@examples(15)
@given(models())
def test_any_model_can_be_drawn(captured: Captured) -> None:
    graph = captured.graph
    layers, nodes = of_layers(graph), of_nodes(graph)
    assert len(list(nested(layers.boxes))) == len(graph.layers) - 1
    found = [box for box in nodes.boxes if not box.end]
    assert [box.title for box in found] == [node.op.kind for node in graph.nodes]
    for diagram in (layers, nodes):
        assert all(isinstance(box, Box) for box in diagram.boxes)
        assert all(source < target for source, target in diagram.arrows)
        assert len(set(diagram.arrows)) == len(diagram.arrows)
    ElementTree.fromstring(gj.plot.svg(graph))


def test_a_large_graph_is_drawn() -> None:
    """As deep as ResNet-50, with a shortcut round every block."""
    x = image = gj.Input((32, 32, 4), name="image")
    for _ in range(50):
        y = L.ReLU()(L.BatchNormalization()(L.Conv2D(4, 3, padding="same")(x)))
        x = L.Add()([x, y])
    model = gj.Model(image, x)
    for drawn in (model, model.graph):
        root = ElementTree.fromstring(gj.plot.svg(drawn))
        assert len(list(root.iter(f"{SVG}g"))) >= 201
    names = itertools.chain.from_iterable(
        box.lines[:1] for box in of_layers(model.graph).boxes
    )
    assert len(set(names)) == 201
