"""Which layout each part of a graph should be in, so that fewest elements move.

Ops that run as well on permuted operands form regions: sets of nodes that read each
other and must share one layout. Around a region stand ops that need the original
order, and transposes. For every region the layout is chosen for which the transposes
left at its border move the fewest elements; a tie keeps the original order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from graphjit.ir import Graph, Node, Value
from graphjit.layout import Layout, compose, identity, invert
from graphjit.ops.shape import Transpose
from graphjit.types import BATCH, TensorType

__all__ = ["Regions", "constant_values", "is_plain_transpose", "moved_elements"]

_SWEEPS = 4
#: Rows an open batch is taken to have: moving a batch of vectors costs more than
#: moving one vector of statistics.
_BATCH = 16


def constant_values(graph: Graph) -> set[Value]:
    """Params, and what is computed from params alone."""
    constant = {param.value for param in graph.params}
    for node in graph.nodes:
        reads = [value for value in node.operands if value is not None]
        if reads and constant.issuperset(reads):
            constant.update(node.values())
    return constant


def is_plain_transpose(node: Node) -> bool:
    return isinstance(node.op, Transpose) and not node.epilogue


@dataclass(slots=True)
class _Region:
    nodes: list[Node] = field(default_factory=list[Node])
    rank: int = 0
    perm: tuple[int, ...] = ()


class Regions:
    """The regions of a graph and the permutation chosen for each.

    Attributes:
        constant: Values that depend on params only; moving them costs nothing.
    """

    def __init__(self, graph: Graph) -> None:
        self.constant = constant_values(graph)
        self._graph = graph
        self._types = graph.types()
        self._users = graph.users()
        self._results = set(graph.results())
        self._producers = {node.name: node for node in graph.nodes}
        self._of: dict[str, _Region] = {}
        self._regions = self._find()
        for _ in range(_SWEEPS):
            changed = [region for region in self._regions if self._choose(region)]
            if not changed:
                break

    def layout(self, node: Node) -> Layout | None:
        """The layout chosen for a node's region; None: it stays in order."""
        region = self._of.get(node.name)
        if region is None or region.perm == identity(region.rank):
            return None
        return Layout(region.perm)

    def holds(self, node: Node) -> bool:
        """Whether a node is in some region."""
        return node.name in self._of

    # --- finding ------------------------------------------------------------------

    def operand_types(self, node: Node) -> list[TensorType | None]:
        return [None if v is None else self._types[v] for v in node.operands]

    def _find(self) -> list[_Region]:
        regions: list[_Region] = []
        for node in self._graph.nodes:
            if not self._is_flexible(node):
                continue
            region = _Region([node], node.types[0].rank)
            region.perm = identity(region.rank)
            for value in self._data_operands(node):
                other = self._of.get(value.node)
                if other is not None and other is not region:
                    region = self._merge(other, region, regions)
            for member in region.nodes:
                self._of[member.name] = region
            if region not in regions:
                regions.append(region)
        return regions

    def _merge(self, kept: _Region, gone: _Region, regions: list[_Region]) -> _Region:
        kept.nodes.extend(gone.nodes)
        for node in gone.nodes:
            self._of[node.name] = kept
        if gone in regions:
            regions.remove(gone)
        return kept

    def _is_flexible(self, node: Node) -> bool:
        """Whether the node runs in any order, all its tensors in the same one."""
        rank = node.types[0].rank
        if rank < 3 or not node.operands or isinstance(node.op, Transpose):
            return False
        first = node.operands[0]
        if first is None or first in self.constant:
            return False
        if self._types[first].rank != rank:
            return False  # a reduction without its axes, say
        probe = Layout((0, *reversed(range(1, rank))))
        answer = node.op.permuted(probe, self.operand_types(node))
        if answer is None or answer.results[0] != probe:
            return False
        return all(
            answer.operands[at] == probe
            for at, value in enumerate(node.operands)
            if value is not None
            and value not in self.constant
            and self._types[value].rank == rank
        )

    def _data_operands(self, node: Node) -> Iterator[Value]:
        rank = node.types[0].rank
        for value in node.operands:
            if value is None or value in self.constant:
                continue
            if self._types[value].rank == rank and value.index == 0:
                yield value

    # --- choosing -----------------------------------------------------------------

    def _choose(self, region: _Region) -> bool:
        """Choose a region's permutation; whether it is another than before."""
        before = region.perm
        plain = identity(region.rank)
        candidates = {plain: None, before: None}
        candidates.update((perm, None) for perm in self._wanted(region))
        best, best_cost = plain, self._cost(region, plain)
        for perm in candidates:
            if perm == plain or not self._accepted(region, perm):
                continue
            cost = self._cost(region, perm)
            if cost < best_cost:
                best, best_cost = perm, cost
        region.perm = best
        return best != before

    def _accepted(self, region: _Region, perm: Sequence[int]) -> bool:
        layout = Layout(tuple(perm))
        return all(
            node.op.permuted(layout, self.operand_types(node)) is not None
            for node in region.nodes
        )

    def _wanted(self, region: _Region) -> Iterator[tuple[int, ...]]:
        """Permutations that make some transpose at the border go away."""
        for value in self._entries(region):
            base, perm = self._source(value)
            for form in self._forms(base, region):
                yield compose(invert(perm), form)
        for node in region.nodes:
            yield from self._demands(node.value, region)

    def _cost(self, region: _Region, perm: tuple[int, ...]) -> int:
        """How many elements the transposes at the border move."""
        total = 0
        for value in self._entries(region):
            base, before = self._source(value)
            if compose(before, perm) not in self._forms(base, region):
                total += moved_elements(self._types[value])
        for node in region.nodes:
            for demand in set(self._demands(node.value, region, perm)):
                if perm != demand:
                    total += moved_elements(node.types[0])
        return total

    def _entries(self, region: _Region) -> set[Value]:
        """Values a region reads from outside itself."""
        return {
            value
            for node in region.nodes
            for value in self._data_operands(node)
            if self._of.get(value.node) is not region
        }

    def _source(self, value: Value) -> tuple[Value, tuple[int, ...]]:
        """What `value` is a transpose of, and by which permutation."""
        perm = identity(self._types[value].rank)
        node = self._producers.get(value.node)
        while node is not None and is_plain_transpose(node):
            assert isinstance(node.op, Transpose)
            source = node.operands[0]
            assert source is not None
            perm = compose(node.op.perm, perm)
            value, node = source, self._producers.get(source.node)
        return value, perm

    def _forms(self, base: Value, region: _Region) -> set[tuple[int, ...]]:
        """The orders a value lies in whatever `region` does."""
        own = self._of.get(base.node) if base.index == 0 else None
        forms = {identity(self._types[base].rank) if own is None else own.perm}
        forms.update(self._demands(base, own, apart_from=region))
        return forms

    def _demands(
        self,
        value: Value,
        region: _Region | None,
        perm: tuple[int, ...] | None = None,
        apart_from: _Region | None = None,
    ) -> Iterator[tuple[int, ...]]:
        """The orders in which readers outside `region` want a value of it.

        With `perm` given, readers that run on what lies in that order want nothing.
        """
        plain = identity(self._types[value].rank)
        stack = [(value, plain)]
        while stack:
            current, moved = stack.pop()
            if current in self._results:
                yield moved
            for reader in self._users.get(current, ()):
                if is_plain_transpose(reader):
                    assert isinstance(reader.op, Transpose)
                    stack.append((reader.value, compose(moved, reader.op.perm)))
                    continue
                other = self._of.get(reader.name)
                inside = other is not None and current in self._data_operands(reader)
                if other is not None and other is apart_from:
                    continue
                if other is region and region is not None and moved == plain:
                    continue
                if inside and other is not None:
                    yield compose(moved, other.perm)
                elif perm is None or not self._takes(reader, current, moved, perm):
                    yield moved

    def _takes(
        self,
        reader: Node,
        current: Value,
        moved: tuple[int, ...],
        perm: tuple[int, ...],
    ) -> bool:
        """Whether a reader outside runs on the value as the region leaves it."""
        if reader.operands[0] != current or reader.operands.count(current) > 1:
            return False
        lies = Layout(compose(invert(moved), perm))
        answer = reader.op.permuted(lies, self.operand_types(reader))
        if answer is None:
            return False
        return all(
            wanted.is_plain or value is None or value in self.constant
            for value, wanted in zip(
                reader.operands[1:], answer.operands[1:], strict=False
            )
        )


def moved_elements(type_: TensorType) -> int:
    """How many elements moving a value moves; an open batch counts as several."""
    size = 1
    for dim in type_.shape:
        size *= dim if isinstance(dim, int) else _BATCH if dim == BATCH else 1
    return size
