"""Cancelling, moving and absorbing transposes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from graphjit.builder import Rewriter
from graphjit.ir import Graph, Node, Value
from graphjit.layout import AxisOrder, Layout, compose, invert
from graphjit.ops.base import Permuted
from graphjit.ops.shape import Reshape, Transpose
from graphjit.passes.base import Entry, Pass
from graphjit.passes.regions import (
    Regions,
    constant_values,
    is_plain_transpose,
    moved_elements,
)

__all__ = ["MoveTransposes"]


@dataclass(frozen=True, slots=True)
class MoveTransposes(Pass):
    """f(transpose(x)) -> transpose(f'(x)) where that leaves less to move.

    A transpose is a change of layout, done only where an op needs the original
    order. Regions of ops that run in any order (elementwise, norm, concat, pad, …)
    take the layout that is cheapest at their border; reductions, reshapes and denses
    take what comes, a dense by reordering its kernel, which costs nothing at run
    time. Done only if it moves fewer elements, or as many with fewer transposes.
    """

    def rewrite(self, graph: Graph, entry: Entry) -> Graph:
        moved = _moved_once(graph, entry)
        while moved is not graph:
            # What an op makes of a layout that comes to it (a reshape of channels-last
            # data) is known once it is there, and may let the next region move.
            graph, more = moved, Entry(entry.name)
            moved = _moved_once(graph, more)
            if moved is not graph:
                entry.done += more.done
        return graph


def _moved_once(graph: Graph, entry: Entry) -> Graph:
    """The graph after one round; the same where it would not move fewer elements."""
    if not any(is_plain_transpose(node) for node in graph.nodes):
        return graph
    moved = _Mover(graph, entry).run()
    if set(moved.nodes) == set(graph.nodes):
        return graph
    before, after = _moved_elements(graph), _moved_elements(moved)
    if after >= before:
        node = next(n for n in graph.nodes if is_plain_transpose(n))
        entry.done.clear()
        entry.refuse(node.name, "no other place would move fewer elements")
        return graph
    return moved


def _moved_elements(graph: Graph) -> tuple[int, int]:
    """Elements that transposes move at run time, and how many transposes there are."""
    constant = constant_values(graph)
    total = count = 0
    for node in graph.nodes:
        if is_plain_transpose(node) and node.value not in constant:
            total += moved_elements(node.types[0])
            count += 1
    return total, count


class _Mover:
    """One run of the pass: every old value with the layout its new one lies in."""

    def __init__(self, graph: Graph, entry: Entry) -> None:
        self.graph = graph
        self.entry = entry
        self.regions = Regions(graph)
        self.rewriter = Rewriter(graph)
        self.types = graph.types()
        self.nodes = {node.name: node for node in graph.nodes}
        self.lies: dict[Value, tuple[Layout, Value]] = {}
        self.made: dict[tuple[Value, Layout], Value] = {}
        self.moved: dict[tuple[Value, tuple[int, ...]], Value] = {}
        self.reader = graph.nodes[0]

    def run(self) -> Graph:
        for node in self.graph.nodes:
            if is_plain_transpose(node):
                self._defer(node)
            else:
                self._place(node)
        for value in self.graph.results():
            self.rewriter.replace(value, self.obtain(value, self._plain(value)))
        return self.rewriter.finish()

    def _plain(self, value: Value) -> Layout:
        return Layout.plain(self.types[value].rank)

    def _where(self, value: Value) -> tuple[Layout, Value]:
        return self.lies.get(value) or (self._plain(value), value)

    def _defer(self, node: Node) -> None:
        """A transpose is only a new name for what lies there already."""
        (source,) = node.operands
        assert source is not None
        assert isinstance(node.op, Transpose)
        layout, new = self._where(source)
        if not layout.is_permutation:
            layout, new = self._plain(source), self.obtain(source, self._plain(source))
        perm = compose(invert(node.op.perm), layout.perm)
        self.lies[node.value] = (Layout(perm), new)

    def _place(self, node: Node) -> None:
        self.reader = node
        answer = self._answer(node)
        if answer is None:
            operands = [
                None if v is None else self.obtain(v, self._plain(v))
                for v in node.operands
            ]
            same = tuple(operands) == node.operands
            kept = (
                self.rewriter.keep(node)
                if same
                else self.rewriter.keep(node, operands=tuple(operands))
            )
            for value in kept.values():
                self.lies[value] = (self._plain(value), value)
            return
        operands = [
            None if v is None else self.obtain(v, layout)
            for v, layout in zip(node.operands, answer.operands, strict=False)
        ]
        kept = self.rewriter.keep(
            node, op=answer.op, operands=tuple(operands), kernel=""
        )
        self.entry.did(node.name, f"runs on {_shown(answer.operands[0])}")
        for value, layout in zip(node.values(), answer.results, strict=True):
            self.lies[value] = (layout, value)

    def _answer(self, node: Node) -> Permuted | None:
        """How the node is to run on permuted operands; None: in the original order."""
        if not node.operands or node.operands[0] is None:
            return None
        chosen = self.regions.layout(node)
        if chosen is None and self.regions.holds(node):
            return None
        layout = chosen or self._where(node.operands[0])[0]
        if layout.is_plain:
            return None
        answer = node.op.permuted(layout, self.regions.operand_types(node))
        if answer is None or chosen is not None:
            return answer
        for value, wanted in zip(node.operands[1:], answer.operands[1:], strict=False):
            if value is None or value in self.regions.constant:
                continue
            if self._where(value)[0] != wanted:
                self.entry.refuse(node.name, f"{value} lies in another layout")
                return None
        return answer

    # --- getting a value in a layout ------------------------------------------------

    def obtain(self, value: Value, wanted: Layout) -> Value:
        """The new value that holds an old one in layout `wanted`."""
        layout, new = self._where(value)
        if layout == wanted:
            return new
        key = (value, wanted)
        if key not in self.made:
            self.made[key] = self._converted(value, layout, new, wanted)
        return self.made[key]

    def _converted(
        self, value: Value, layout: Layout, new: Value, wanted: Layout
    ) -> Value:
        node = self.nodes.get(value.node)
        emit = self.rewriter.at(node or self.reader)
        if layout.is_permutation and wanted.is_permutation:
            perm = compose(invert(layout.perm), wanted.perm)
            if (new, perm) in self.moved:
                return self.moved[new, perm]
            own = node is not None and is_plain_transpose(node) and wanted.is_plain
            if own and node is not None:
                kept = self.rewriter.keep(node, op=Transpose(perm), operands=(new,))
                made = kept.value
            else:
                made = emit(Transpose(perm), new, name=f"{value.node}/transpose")
            self.moved[new, perm] = made
            return made
        if not layout.is_plain:
            new = self._straightened(layout, new)
        return self._bent(wanted, new)

    def _straightened(self, layout: Layout, new: Value) -> Value:
        """From `layout` to the original order."""
        new = self._transposed(new, invert(layout.perm))
        for axis, order in enumerate(layout.inner):
            if order is not None:
                physical = tuple(order.factors[at] for at in order.order)
                new = self._reordered(new, axis, physical, invert(order.order))
        return new

    def _bent(self, layout: Layout, new: Value) -> Value:
        """From the original order to `layout`."""
        for axis, order in enumerate(layout.inner):
            if order is not None:
                new = self._reordered(new, axis, order.factors, order.order)
        return self._transposed(new, layout.perm)

    def _transposed(self, new: Value, perm: tuple[int, ...]) -> Value:
        if Layout(perm).is_plain:
            return new
        return self.rewriter(Transpose(perm), new)

    def _reordered(
        self,
        new: Value,
        axis: int,
        factors: tuple[int, ...],
        order: tuple[int, ...],
    ) -> Value:
        """Split an axis into factors, permute them, merge them again."""
        shape = self.rewriter.type_of(new).shape
        rest = tuple(dim if isinstance(dim, int) else -1 for dim in shape[axis + 1 :])
        count = len(factors)
        split = self.rewriter(Reshape(factors + rest, keep=axis), new)
        perm = (
            *range(axis),
            *(axis + at for at in order),
            *range(axis + count, axis + count + len(rest)),
        )
        moved = self.rewriter(Transpose(perm), split)
        return self.rewriter(Reshape((math.prod(factors), *rest), keep=axis), moved)


def _shown(layout: Layout) -> str:
    orders = [o for o in layout.inner if o is not None]
    text = f"perm {layout.perm}"
    return text + "".join(f", axis of {_factors(o)}" for o in orders)


def _factors(order: AxisOrder) -> str:
    return f"{order.factors} in order {order.order}"
