"""Pads into the convolutions that read them."""

from __future__ import annotations

from dataclasses import dataclass

from graphjit.builder import Rewriter
from graphjit.ir import Graph, Node, Value
from graphjit.ops.base import Op, Refusal
from graphjit.ops.shape import Pad
from graphjit.passes.base import Entry, Pass
from graphjit.types import TensorType

__all__ = ["FoldPadding"]


@dataclass(frozen=True, slots=True)
class FoldPadding(Pass):
    """conv(pad(x, p), k) -> conv(x, k) {padding = p + its own}.

    Refused unless every reader of the pad can pad itself, as the op says: with one
    left the pad would stay, and be done twice.
    """

    def rewrite(self, graph: Graph, entry: Entry) -> Graph:
        users = graph.users()
        results = set(graph.results())
        types = graph.types()
        folded: dict[str, Op] = {}
        dropped: dict[Value, Value] = {}
        for node in graph.nodes:
            pad = node.op
            if not isinstance(pad, Pad):
                continue
            readers = users.get(node.value, [])
            taken = self._taken(node, pad, readers, results, types, entry)
            source = node.operands[0]
            if taken is None or source is None:
                continue
            folded.update(taken)
            dropped[node.value] = source
        if not folded:
            return graph
        rewriter = Rewriter(graph)
        for node in graph.nodes:
            if node.value in dropped:
                source = dropped[node.value]
                rewriter.replace(node.value, rewriter.lookup(source))
            elif node.name in folded:
                rewriter.keep(node, op=folded[node.name], kernel="")
            else:
                rewriter.keep(node)
        return rewriter.finish()

    def _taken(
        self,
        node: Node,
        pad: Pad,
        readers: list[Node],
        results: set[Value],
        types: dict[Value, TensorType],
        entry: Entry,
    ) -> dict[str, Op] | None:
        """For every reader the op that pads itself; None when one cannot."""
        source = node.operands[0]
        if source is None or not readers:
            return None
        if node.epilogue or node.value in results:
            why = "has an epilogue" if node.epilogue else "is a result of the graph"
            entry.refuse(node.name, f"the padded value {why}")
            return None
        taken: dict[str, Op] = {}
        for reader in readers:
            operands = [None if v is None else types[v] for v in reader.operands]
            operands[0] = types[source]
            answer = reader.op.padded(pad.pads, pad.value, operands)
            if (
                reader.operands.count(node.value) > 1
                or reader.operands[0] != node.value
            ):
                answer = None
            if answer is None or isinstance(answer, Refusal):
                why = "it does not pad" if answer is None else answer.reason
                entry.refuse(node.name, f"{reader.op.kind} {reader.name!r}: {why}")
                return None
            taken[reader.name] = answer
        for name in taken:
            entry.did(node.name, f"into {name}")
        return taken
