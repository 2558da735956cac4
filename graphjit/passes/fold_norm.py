"""Normalization by known statistics into the weights beside it."""

from __future__ import annotations

from dataclasses import dataclass

from graphjit.builder import Rewriter
from graphjit.ir import Graph, Node, Value
from graphjit.ops.base import ChannelAffine, Refusal, ScalesOutput
from graphjit.passes.base import Entry, Pass

__all__ = ["FoldNorm", "is_inference"]


@dataclass(frozen=True, slots=True)
class FoldNorm(Pass):
    """norm(conv(x, k, b)) -> conv(x, k * s, b * s + t), and conv(norm(x), …) likewise.

    s = gamma * rsqrt(variance + epsilon), t = beta - mean * s: ops on params, which
    `split_prologue` moves out of the graph. Exact cases only; in a graph that trains
    only where every param involved is frozen.
    """

    def rewrite(self, graph: Graph, entry: Entry) -> Graph:
        state = _State(graph, entry)
        for node in graph.nodes:
            if isinstance(node.op, ChannelAffine):
                if not state.fold_after(node, node.op):
                    state.rewriter.keep(node)
            elif isinstance(node.op, ScalesOutput):
                state.fold_before(node, node.op)
            else:
                state.rewriter.keep(node)
        return state.rewriter.finish()


def is_inference(graph: Graph) -> bool:
    """Whether no op of the graph is one of training."""
    return all(node.op.to_inference() is None for node in graph.nodes)


class _State:
    """One run of the pass over one graph."""

    def __init__(self, graph: Graph, entry: Entry) -> None:
        self.graph = graph
        self.entry = entry
        self.rewriter = Rewriter(graph)
        self.readers = {value: len(nodes) for value, nodes in graph.users().items()}
        self.results = set(graph.results())
        updated = {update.param for update in graph.updates}
        inference = is_inference(graph)
        self.fixed = {
            param.value
            for param in graph.params
            if param.name not in updated and (inference or not param.trainable)
        }
        self.fixed_nodes: dict[str, bool] = {}

    def fold_after(self, norm: Node, op: ChannelAffine) -> bool:
        """norm(linear(x)) into the linear op; whether it was done."""
        linear = self._producer(norm)
        if linear is None or not isinstance(linear.op, ScalesOutput):
            return False
        if not self._may_fold(norm, linear, linear, op):
            return False
        emit = self.rewriter.at(linear)
        scale, shift = op.scale_and_shift(emit, self._all_operands(norm))
        operands = linear.op.scale_output(emit, linear.operands, scale, shift)
        if isinstance(operands, Refusal):
            self.entry.refuse(norm.name, operands.reason)
            return False
        self.rewriter.withdraw(linear)
        folded = self.rewriter.keep(linear, operands=operands, epilogue=norm.epilogue)
        self.rewriter.replace(norm.value, folded.value)
        # From here on the folded op is what the norm's readers read.
        self.readers[folded.value] = self.readers.get(norm.value, 0)
        if norm.value in self.results:
            self.results.add(folded.value)
        self.entry.did(norm.name, f"into {linear.name}")
        return True

    def fold_before(self, node: Node, op: ScalesOutput) -> None:
        """linear(norm(x)) into the linear op, as often as a norm comes before it."""
        operands = self.rewriter.operands(node)
        while True:
            norm = self._producer_of(operands[0])
            if norm is None or not isinstance(norm.op, ChannelAffine):
                break
            if not self._may_fold(norm, node, norm, norm.op):
                break
            emit = self.rewriter.at(node)
            scale, shift = norm.op.scale_and_shift(emit, self._all_operands(norm))
            answer = op.scale_input(
                emit, (norm.operands[0], *operands[1:]), scale, shift
            )
            if isinstance(answer, Refusal):
                self.entry.refuse(norm.name, f"{node.name}: {answer.reason}")
                break
            operands = answer
            self.rewriter.withdraw(norm)
            self.entry.did(norm.name, f"into {node.name}")
        self.rewriter.keep(node, operands=operands)

    def _producer(self, node: Node) -> Node | None:
        """The new graph's node that makes operand 0 of an old node."""
        value = node.operands[0]
        return None if value is None else self._producer_of(self.rewriter.lookup(value))

    def _producer_of(self, value: Value | None) -> Node | None:
        return None if value is None else self.rewriter.producer(value)

    def _all_operands(self, norm: Node) -> tuple[Value | None, ...]:
        """The norm's operands in the new graph, those left out included."""
        operands = self.rewriter.operands(norm)
        return operands + (None,) * (len(norm.op.roles) - len(operands))

    def _may_fold(
        self, norm: Node, linear: Node, first: Node, op: ChannelAffine
    ) -> bool:
        """Whether two neighbours, of which `first` comes first, fold into one."""
        rank = norm.types[0].rank
        readers = self.readers.get(first.value, 0)
        params = [*norm.operands[1:], *linear.operands[1:]]
        reason = None
        if first.epilogue:
            reason = f"{first.epilogue[0].kind} stands between it and its neighbour"
        elif first.value in self.results:
            reason = f"{first.value} is a result of the graph"
        elif readers > 1:
            reason = f"{first.value} has {readers} readers"
        elif op.axis != rank - 1:
            reason = f"it normalizes axis {op.axis}, channels are axis {rank - 1}"
        elif not all(self._is_fixed(v) for v in params if v is not None):
            reason = "a param of the norm or of the weights is trained"
        if reason is not None:
            self.entry.refuse(norm.name, reason)
        return reason is None

    def _is_fixed(self, value: Value) -> bool:
        """Whether a value of the new graph depends on fixed params only."""
        node = self.rewriter.producer(value)
        if node is None:
            return value in self.fixed
        known = self.fixed_nodes.get(node.name)
        if known is None:
            reads = [v for v in node.operands if v is not None]
            known = bool(reads) and all(map(self._is_fixed, reads))
            self.fixed_nodes[node.name] = known
        return known
