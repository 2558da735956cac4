"""Computing inner values again for the gradient, instead of keeping them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from graphjit.bodies import bodies_of, with_bodies
from graphjit.builder import Rewriter
from graphjit.cost import size_bytes
from graphjit.errors import PassError, nearest
from graphjit.ir import NO_CALL, Graph, Node, Value
from graphjit.ops.checkpoint import Checkpoint
from graphjit.passes.base import Entry, Pass
from graphjit.passes.constants import constants_of
from graphjit.passes.outline import outlined, read_from_outside
from graphjit.types import TensorType

__all__ = ["Remat"]


@dataclass(frozen=True, slots=True)
class Remat(Pass):
    """Parts of the graph into `checkpoint` ops: less memory, a second forward pass.

    For a graph that trains. Without options the nodes are cut into about sqrt(n) parts
    of sqrt(n) nodes, each where the fewest bytes cross (arXiv:1604.06174); the last
    part stays as it is, since its gradient comes first. One turn of a loop (`scan`) is
    always a part: kept is what goes from turn to turn. Exact.

    Attributes:
        nodes: About how many nodes a part has; 0 for sqrt(n).
        layers: Paths of layers, each a part of its own, in place of all that; a nested
            model's path stands for all inside it.
    """

    nodes: int = 0
    layers: tuple[str, ...] = ()
    enters_bodies = False

    def rewrite(self, graph: Graph, entry: Entry) -> Graph:
        self._check_names(graph)
        if _has_checkpoints(graph):
            entry.refuse(graph.name, "it has checkpoints already")
            return graph
        if not self.layers:
            graph = _with_loops(graph, entry)
        constant = constants_of(graph)
        late = [node for node in graph.nodes if node.value not in constant]
        parts = self._named(graph, late) if self.layers else self._cut(graph, late)
        types = graph.types()
        chosen: list[_Part] = []
        for nodes in parts:
            part = _part(graph, nodes, types)
            if part.outputs and part.saved_bytes > 0:
                chosen.append(part)
            else:
                entry.refuse(nodes[0].name, "all it computes is read outside of it")
        if not chosen:
            return graph
        for part in chosen:
            _tell(part.nodes[0].name, part, entry, "row")
        return _wrapped(graph, chosen, constant, types)

    def _check_names(self, graph: Graph) -> None:
        if self.nodes < 0:
            raise PassError(f"Remat: nodes: expected an int >= 0, got {self.nodes}")
        known = {call.layer for call in graph.layers}
        for name in self.layers:
            if name not in known:
                guess = nearest(name, known)
                raise PassError(
                    f"Remat: expected the path of a layer, received {name!r}",
                    hint=f"did you mean {guess!r}?" if guess else None,
                )

    def _named(self, graph: Graph, late: Sequence[Node]) -> list[list[Node]]:
        """The nodes of every layer asked for, those that stand together."""
        parts: list[list[Node]] = []
        before: str | None = None
        for node in late:
            path = "" if node.call == NO_CALL else graph.layers[node.call].layer
            within = (n for n in self.layers if path == n or path.startswith(f"{n}/"))
            owner = next(within, None)
            if owner is not None:
                if owner != before:
                    parts.append([])
                parts[-1].append(node)
            before = owner
        return parts

    def _cut(self, graph: Graph, late: Sequence[Node]) -> list[list[Node]]:
        """The nodes in parts of about equal length, without the last one."""
        size = self.nodes or max(2, round(math.sqrt(len(late))))
        crossing = _crossing_bytes(graph, late)
        parts: list[list[Node]] = []
        start = 0
        walls = [at for at, node in enumerate(late) if bodies_of(node.op)]
        while len(late) - start > size:
            if start in walls:  # what a loop keeps is its own matter
                start += 1
                continue
            wanted = start + size
            stop = next((at for at in walls if at > start), len(late) - 1)
            first, last = start + (size + 1) // 2, min(start + 2 * size, stop)
            places = range(min(first, last), last + 1)
            end = min(places, key=lambda at: (crossing[at], abs(at - wanted)))
            parts.append(list(late[start:end]))
            start = end
        return parts


def _has_checkpoints(graph: Graph) -> bool:
    """Whether there is one, also inside a body."""
    return any(
        isinstance(node.op, Checkpoint)
        or any(_has_checkpoints(body) for _, body in bodies_of(node.op))
        for node in graph.nodes
    )


def _with_loops(graph: Graph, entry: Entry) -> Graph:
    """The graph with every loop's body as one part."""
    rewriter = Rewriter(graph)
    for node in graph.nodes:
        op = with_bodies(node.op, lambda body: _turn(body, entry))
        rewriter.keep(node, **({} if op is node.op else {"op": op}))
    return rewriter.finish()


def _turn(body: Graph, entry: Entry) -> Graph:
    """A body with all its nodes in one part, where that saves something."""
    types = body.types()
    part = _part(body, list(body.nodes), types)
    if not part.outputs or part.saved_bytes <= 0:
        return body
    _tell(body.name, part, entry, "turn")
    return _wrapped(body, [part], set(), types)


def _tell(name: str, part: _Part, entry: Entry, per: str) -> None:
    inner, kept = part.inner_bytes, part.kept_bytes
    count = f"{len(part.nodes)} ops computed again"
    entry.did(name, f"{count}, {inner:,} -> {kept:,} bytes of activations a {per}")


@dataclass(frozen=True, slots=True)
class _Part:
    """Nodes to be wrapped.

    Attributes:
        nodes: In order, with nothing but constants between them.
        outputs: What is read of them outside.
        inner_bytes: Size of all their results, for a batch of one.
        kept_bytes: Size of the outputs.
    """

    nodes: list[Node]
    outputs: list[Value]
    inner_bytes: int
    kept_bytes: int

    @property
    def saved_bytes(self) -> int:
        return self.inner_bytes - self.kept_bytes


def _part(graph: Graph, nodes: list[Node], types: Mapping[Value, TensorType]) -> _Part:
    read = read_from_outside(graph, {node.name for node in nodes})
    made = [value for node in nodes for value in node.values()]
    outputs = [value for value in made if value in read]
    sizes = (sum(size_bytes(types[value]) for value in v) for v in (made, outputs))
    return _Part(nodes, outputs, *sizes)


def _crossing_bytes(graph: Graph, late: Sequence[Node]) -> list[int]:
    """For every place between nodes the size of what is made before and read behind."""
    position = {node.name: at for at, node in enumerate(late)}
    last: dict[Value, int] = {}
    for at, node in enumerate(late):
        last.update((value, at) for value in node.operands if value is not None)
    change = [0] * (len(late) + 2)
    types = graph.types()
    for value, end in last.items():
        start = position.get(value.node)
        if start is not None:
            change[start + 1] += size_bytes(types[value])
            change[end + 1] -= size_bytes(types[value])
    total = 0
    return [total := total + delta for delta in change]


def _wrapped(
    graph: Graph,
    parts: Iterable[_Part],
    constant: set[Value],
    types: Mapping[Value, TensorType],
) -> Graph:
    """The graph with each part as one node, where its first node stood."""
    first = {part.nodes[0].name: part for part in parts}
    inside = {node.name for part in first.values() for node in part.nodes}
    rewriter = Rewriter(graph)
    for node in graph.nodes:  # a part reads weights that may be made further down
        if node.value in constant:
            rewriter.keep(node)
    for node in graph.nodes:
        part = first.get(node.name)
        if part is not None:
            _wrap(rewriter, part, types)
        elif node.value not in constant and node.name not in inside:
            rewriter.keep(node)
    return rewriter.finish()


def _wrap(rewriter: Rewriter, part: _Part, types: Mapping[Value, TensorType]) -> None:
    made = {node.name for node in part.nodes}
    reads: dict[Value, str] = {}
    for node in part.nodes:
        for value in node.operands:
            if value is not None and value.node not in made:
                index = f"#{value.index}" if value.index else ""
                reads[value] = f"{value.node}{index}"
    name = part.nodes[0].name
    body = outlined(name, part.nodes, reads, part.outputs, types)
    results = rewriter.node(
        Checkpoint(body),
        [rewriter.lookup(value) for value in reads],
        name=f"{name}/checkpoint",
        loc=part.nodes[0].loc,
    )
    for old, new in zip(part.outputs, results, strict=True):
        rewriter.replace(old, new)
