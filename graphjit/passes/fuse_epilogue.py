"""Activations into the op that makes their input."""

from __future__ import annotations

from dataclasses import dataclass

from graphjit.builder import Rewriter
from graphjit.ir import Graph, Node
from graphjit.ops.base import Elementwise, Op
from graphjit.passes.base import Entry, Pass

__all__ = ["FuseEpilogue", "is_unary"]


@dataclass(frozen=True, slots=True)
class FuseEpilogue(Pass):
    """relu(conv(x, k)) -> conv(x, k) |> relu, for every unary elementwise op.

    Refused where something else reads the producer's result: fusing would compute it
    twice.
    """

    def rewrite(self, graph: Graph, entry: Entry) -> Graph:
        users = graph.users()
        results = set(graph.results())
        rewriter = Rewriter(graph)
        fused: dict[str, list[Node]] = {}
        chains: set[str] = set()
        producers = {node.name: node for node in graph.nodes}
        heads: dict[str, str] = {}
        for node in graph.nodes:
            value = node.operands[0] if is_unary(node.op) and node.operands else None
            producer = None if value is None else producers.get(value.node)
            if producer is None or value is None:
                continue
            if value.index:
                entry.refuse(node.name, "it reads a further result of its producer")
            elif value in results:
                entry.refuse(node.name, f"{value} is a result of the graph")
            elif len(users[value]) > 1:
                entry.refuse(node.name, f"{value} has {len(users[value])} readers")
            else:
                head = heads.get(producer.name, producer.name)
                heads[node.name] = head
                fused.setdefault(head, []).append(node)
                chains.add(node.name)
        for node in graph.nodes:
            if node.name in chains:
                continue
            tail = fused.get(node.name, [])
            stages = node.epilogue
            for stage in tail:
                stages = (*stages, stage.op, *stage.epilogue)
                entry.did(stage.name, f"epilogue of {node.name}")
            kept = rewriter.keep(node, epilogue=stages) if tail else rewriter.keep(node)
            for stage in tail:
                rewriter.replace(stage.value, kept.value)
        return rewriter.finish()


def is_unary(op: Op) -> bool:
    """Whether an op is elementwise and reads one tensor."""
    one = len(op.roles) == 1 and not op.roles[0].endswith("*")
    return isinstance(op, Elementwise) and one
