"""Identities, composed ops, common and dead nodes."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as replaced

from graphjit.builder import Rewriter, live_nodes
from graphjit.ir import Graph, Node, Value
from graphjit.ops.base import Random
from graphjit.passes.base import Entry, Pass

__all__ = ["Simplify"]


@dataclass(frozen=True, slots=True)
class Simplify(Pass):
    """Drop what does nothing and what is done twice.

    f(x) = x is x; g(f(x)) is h(x) where the ops know such an h (transposes, reshapes,
    pads); equal nodes are one node; nodes nobody reads go.
    """

    def rewrite(self, graph: Graph, entry: Entry) -> Graph:
        live = live_nodes(graph)
        if len(live) != len(graph.nodes):
            for node in graph.nodes:
                if node.name not in live:
                    entry.did(node.name, "dead")
            graph = graph.replace(nodes=tuple(n for n in graph.nodes if n.name in live))
        rewriter = Rewriter(graph)
        seen: dict[object, Node] = {}
        for node in graph.nodes:
            self._visit(rewriter, node, seen, entry)
        return rewriter.finish()

    def _visit(
        self, rewriter: Rewriter, node: Node, seen: dict[object, Node], entry: Entry
    ) -> None:
        node = self._composed(rewriter, node, entry)
        operands = rewriter.operands(node)
        types = [None if v is None else rewriter.type_of(v) for v in operands]
        if not node.epilogue and node.op.is_identity(types) and operands[0] is not None:
            entry.did(node.name, f"{node.op.kind} is its input")
            rewriter.replace(node.value, operands[0])
            return
        key = _key(node, operands)
        twin = None if key is None else seen.get(key)
        if twin is not None:
            entry.did(node.name, f"same as {twin.name}")
            for old, new in zip(node.values(), twin.values(), strict=True):
                rewriter.replace(old, new)
            return
        kept = rewriter.keep(node)
        if key is not None:
            seen[key] = kept

    def _composed(self, rewriter: Rewriter, node: Node, entry: Entry) -> Node:
        """The node, reading past producers that its op can take over."""
        while len(node.operands) == 1:
            (value,) = rewriter.operands(node)
            producer = None if value is None else rewriter.producer(value)
            if producer is None or producer.epilogue or len(producer.operands) != 1:
                return node
            source = producer.operands[0]
            assert source is not None
            merged = node.op.after(producer.op, [rewriter.type_of(source)])
            if merged is None:
                return node
            entry.did(node.name, f"{producer.op.kind} and {node.op.kind} are one")
            node = replaced(node, op=merged, operands=(source,), kernel="")
        return node


def _key(node: Node, operands: tuple[Value | None, ...]) -> object | None:
    """Equal for nodes that compute the same; None for those that must stay apart.

    The text tells 1 from 1.0 and 0.0 from -0.0, which compare equal; the ops
    themselves tell functions of one name apart.
    """
    if isinstance(node.op, Random) or node.op.threads:
        return None
    text = repr((node.op, node.epilogue))
    return text, node.op, node.epilogue, operands, node.kernel
