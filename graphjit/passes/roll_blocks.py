"""Chains of equal blocks as one loop over stacked weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphjit.builder import Rewriter
from graphjit.cost import size_bytes
from graphjit.errors import PassError
from graphjit.ir import NO_CALL, Graph, Value
from graphjit.ops.scan import Scan
from graphjit.ops.shape import Concatenate, Reshape
from graphjit.passes.base import Entry, Pass
from graphjit.passes.constants import constants_of
from graphjit.passes.node_order import depth_first
from graphjit.passes.outline import outlined
from graphjit.passes.repeats import Blocks, blocks_of, carry, constant, weight
from graphjit.types import TensorType

__all__ = ["RollBlocks"]


@dataclass(frozen=True, slots=True)
class RollBlocks(Pass):
    """block(…block(block(x, w0), w1)…, wn) -> scan(block, x, stack(w0 … wn)).

    A program of one block compiles many times faster than one of all; it may run
    slower, for every turn of the loop reads its weights out of the stack. So it is
    never run unless asked for. Blocks are found by what they compute (see `repeats`),
    not by names; weights are stacked by ops on params, which `split_prologue` moves out
    of the graph. Exact.

    Not rolled: blocks that draw random numbers (each has a seed of its own), that share
    all weights, that update state, or whose inner values are read outside of them.

    Attributes:
        least: The fewest blocks worth a loop.
    """

    least: int = 4
    enters_bodies = False

    def rewrite(self, graph: Graph, entry: Entry) -> Graph:
        if self.least < 2:
            raise PassError(f"RollBlocks: least: expected >= 2, received {self.least}")
        while True:
            ordered = graph
            blocks, refused = blocks_of(graph, self.least)
            if blocks is None or 2 * blocks.saved < len(graph.nodes):
                other = depth_first(graph)
                better, _ = blocks_of(other, self.least)
                if better and (blocks is None or better.saved > blocks.saved):
                    ordered, blocks = other, better
            if blocks is None:
                for name, reason in refused.items():
                    entry.refuse(name, reason)
                return graph
            graph = self._rolled(ordered, blocks, entry)

    def _rolled(self, graph: Graph, blocks: Blocks, entry: Entry) -> Graph:
        """The graph with one chain of blocks as a loop."""
        rewriter = Rewriter(graph)
        constant = constants_of(graph)
        for node in graph.nodes:  # the first block stands before some of the weights
            if node.value in constant:
                rewriter.keep(node)
        head = blocks.nodes[0][0]
        inside = {node.name for block in blocks.nodes for node in block}
        for node in graph.nodes:
            if node is head:
                self._loop(rewriter, blocks)
            elif node.value not in constant and node.name not in inside:
                rewriter.keep(node)
        types = graph.types()
        stacked = sum(size_bytes(types[v]) for row in blocks.weights for v in row)
        count, size = len(blocks.nodes), len(blocks.nodes[0])
        text = f"{count} blocks of {size} ops as a loop: {count * size} -> {size} ops"
        entry.did(head.name, f"{text}, {stacked:,} bytes of weights stacked")
        return rewriter.finish()

    def _loop(self, rewriter: Rewriter, blocks: Blocks) -> None:
        """Emit the loop where the first block stood."""
        first, last = blocks.nodes[0], blocks.nodes[-1]
        emit = rewriter.at(first[0])
        emit.call = NO_CALL  # of all blocks, not of the first one's layer
        starts = [rewriter.lookup(start) for start, _ in blocks.carries]
        stacks = [_stacked(emit, row) for row in blocks.weights]
        constants = [rewriter.lookup(value) for value in blocks.constants]
        op = Scan(_body(rewriter, blocks), len(starts), len(stacks), axis=0)
        name = f"{first[0].name}/blocks"
        ends = rewriter.node(op, (*starts, *stacks, *constants), name=name)
        for (_, place), end in zip(blocks.carries, ends, strict=True):
            rewriter.replace(Value(last[place.node].name, place.index), end)


def _body(rewriter: Rewriter, blocks: Blocks) -> Graph:
    """One block as a graph of its own."""
    kinds = (
        ("carry", carry, [start for start, _ in blocks.carries]),
        ("weight", weight, [row[0] for row in blocks.weights]),
        ("constant", constant, blocks.constants),
    )
    inputs: dict[Value, str] = {}
    types: dict[Value, TensorType] = {}
    for word, stand_in, values in kinds:
        for number, value in enumerate(values):
            inputs[stand_in(number)] = f"{word}{number}"
            types[stand_in(number)] = rewriter.type_of(rewriter.lookup(value))
    names = [node.name for node in blocks.template]
    made = [Value(names[place.node], place.index) for _, place in blocks.carries]
    return outlined("block", blocks.template, inputs, made, types, canonical=True)


def _stacked(emit: Rewriter, row: Sequence[Value]) -> Value:
    """Weights (…) of one type as one (n, …)."""
    values = [emit.lookup(value) for value in row]
    shape = tuple(dim for dim in emit.type_of(values[0]).shape if isinstance(dim, int))
    if not shape:
        values = [emit(Reshape((1,), keep=0), value) for value in values]
        return emit(Concatenate(0), *values)
    joined = emit(Concatenate(0), *values)
    return emit(Reshape((len(row), *shape), keep=0), joined)
