"""What a picture shows: boxes, arrows between them, and boxes inside boxes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from graphjit.bodies import bodies_of
from graphjit.ir import NO_CALL, Graph, LayerCall, Node, Value
from graphjit.printer import print_node
from graphjit.types import TensorType

__all__ = ["Box", "Diagram", "of_layers", "of_nodes"]


@dataclass(frozen=True, slots=True)
class Box:
    """One box.

    Attributes:
        title: The layer's class, or the op's kind.
        lines: What stands below it: name, shapes.
        note: More, for who points at the box.
        end: Whether it is where data comes in or goes out.
        inside: What a nested model or a loop's body holds.
    """

    title: str
    lines: tuple[str, ...]
    note: str = ""
    end: bool = False
    inside: Diagram | None = None


@dataclass(frozen=True, slots=True)
class Diagram:
    """Boxes, and arrows as pairs of their places."""

    boxes: tuple[Box, ...]
    arrows: tuple[tuple[int, int], ...]


def of_layers(graph: Graph, shapes: bool = True, nested: bool = True) -> Diagram:
    """The layers a graph was captured from.

    Args:
        graph: A graph with a layer table.
        shapes: Whether boxes show the shapes of their outputs.
        nested: Whether nested models show their layers.
    """
    inside: dict[int, list[int]] = {}
    for at, row in enumerate(graph.layers[:-1]):
        inside.setdefault(row.parent, []).append(at)
    return _Layers(graph.layers, inside, shapes, nested).diagram(NO_CALL)


@dataclass(frozen=True, slots=True)
class _Layers:
    """A layer table on its way to boxes; `inside` has the rows of every parent."""

    rows: Sequence[LayerCall]
    inside: Mapping[int, Sequence[int]]
    shapes: bool
    nested: bool

    def diagram(self, parent: int) -> Diagram:
        """The calls inside a call, `NO_CALL` for those of the model itself."""
        scope = "" if parent == NO_CALL else f"{self.rows[parent].path}/"
        calls = self.inside.get(parent, ())
        places = {at: place for place, at in enumerate(calls)}
        arrows = (
            (places[ref.call], places[at])
            for at in calls
            for ref in self.rows[at].inputs
            if ref.call in places
        )
        boxes = tuple(self._box(at, scope) for at in calls)
        return Diagram(boxes, _once(arrows))

    def _box(self, at: int, scope: str) -> Box:
        row = self.rows[at]
        lines = [row.path.removeprefix(scope)]
        if self.shapes:
            lines += [str(type_.user_shape()) for type_ in row.types]
        holds = self.nested and at in self.inside
        return Box(
            row.cls,
            tuple(lines),
            "\n".join([f"{row.cls} {row.path}", *row.params]),
            row.cls == "InputLayer",
            self.diagram(at) if holds else None,
        )


def of_nodes(graph: Graph, shapes: bool = True, nested: bool = True) -> Diagram:
    """The nodes of a graph, with its inputs, outputs and losses.

    Params are no boxes: what a node reads of them stands in its note.

    Args:
        graph: Any graph.
        shapes: Whether boxes show the types of their results.
        nested: Whether loops show their bodies.
    """
    boxes: list[Box] = []
    places: dict[str, int] = {}
    arrows: list[tuple[int, int]] = []

    def end(title: str, name: str, type_: TensorType, source: Value | None) -> None:
        if source is None:
            places[name] = len(boxes)
        elif source.node in places:
            arrows.append((places[source.node], len(boxes)))
        types = [type_] if shapes else []
        boxes.append(Box(title, (name, *map(str, types)), f"{title} {name}", True))

    for entry in graph.inputs:
        end("input", entry.name, entry.type, None)
    for node in graph.nodes:
        places[node.name] = len(boxes)
        read = [v.node for v in node.operands if v is not None and v.node in places]
        arrows += [(places[name], len(boxes)) for name in read]
        boxes.append(_node_box(node, shapes, nested))
    types = graph.types()
    for output in graph.outputs:
        end("output", output.name, types[output.value], output.value)
    for loss in graph.losses:
        end("loss", loss.name, types[loss.value], loss.value)
    return Diagram(tuple(boxes), _once(arrows))


def _node_box(node: Node, shapes: bool, nested: bool) -> Box:
    lines = [node.name]
    if node.epilogue:
        lines.append("then " + ", ".join(op.kind for op in node.epilogue))
    if node.kernel:
        lines.append(f"kernel {node.kernel}")
    if shapes:
        lines += map(str, node.types)
    body = next((body for _, body in bodies_of(node.op)), None)
    inside = of_nodes(body, shapes) if nested and body is not None else None
    return Box(node.op.kind, tuple(lines), print_node(node), inside=inside)


def _once(arrows: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Every arrow once: a layer may read a tensor twice."""
    return tuple(dict.fromkeys(arrows))
