"""Finding repeated blocks: equal stretches of nodes, each reading the one before.

Nothing goes by names. Two nodes match when op, epilogue, kernel and types are equal and
their operands come from equal places: the same value, weights of one type, or nodes
equally far before them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace as replaced

from graphjit.ir import Graph, Node, Value
from graphjit.ops.base import Op, Random, Refusal, with_fields
from graphjit.passes.constants import constants_of

__all__ = [
    "Blocks",
    "Place",
    "blocks_of",
    "carry",
    "constant",
    "weight",
]


@dataclass(frozen=True, slots=True)
class Place:
    """Result `index` of node number `node` of a block."""

    node: int
    index: int


@dataclass(frozen=True, slots=True)
class Blocks:
    """A chain of equal blocks.

    Attributes:
        nodes: The nodes of every block.
        template: Those of one, reading `carry(i)`, `weight(i)` and `constant(i)`.
        carries: What a block reads of the one before, as (what the first block reads,
            where it is made).
        weights: For weights that differ, what each block reads.
        constants: What all blocks read alike.
    """

    nodes: list[list[Node]]
    template: list[Node]
    carries: list[tuple[Value, Place]]
    weights: list[tuple[Value, ...]]
    constants: list[Value]

    @property
    def saved(self) -> int:
        return (len(self.nodes) - 1) * len(self.nodes[0])


def carry(number: int) -> Value:
    """What stands in a template for a carry."""
    return Value(f"$carry{number}")


def weight(number: int) -> Value:
    """What stands in a template for a weight that differs from block to block."""
    return Value(f"$weight{number}")


def constant(number: int) -> Value:
    """What stands in a template for a value that all blocks read."""
    return Value(f"$constant{number}")


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Nodes `start` to `end` - `period` match those `period` further on."""

    start: int
    end: int
    period: int


def blocks_of(graph: Graph, least: int) -> tuple[Blocks | None, dict[str, str]]:
    """The chain of blocks that saves most nodes; None where there is none.

    Args:
        graph: Any graph; weights are what `constants_of` says.
        least: The fewest blocks worth it.

    Returns:
        The blocks, and for chains that were refused the first node with the reason.
    """
    finder = _Finder(graph, least)
    refused: dict[str, str] = {}
    best: Blocks | None = None
    for stretch in finder.stretches():
        if best is not None and best.saved >= finder.most(stretch):
            break
        found = finder.within(stretch)
        if isinstance(found, Refusal):
            refused.setdefault(finder.late[stretch.start].name, found.reason)
        elif best is None or found.saved > best.saved:
            best = found
    return best, refused


class _Finder:
    """Looks for blocks among the nodes that do not depend on weights alone."""

    def __init__(self, graph: Graph, least: int) -> None:
        self.least = least
        self.types = graph.types()
        constant = constants_of(graph)
        self.late = [n for n in graph.nodes if n.value not in constant]
        self.weights = constant | {param.value for param in graph.params}
        self.position = {node.name: at for at, node in enumerate(self.late)}
        self.signatures = self._signatures()
        self.results = set(graph.results())
        self.readers: dict[Value, list[int]] = {}
        for at, node in enumerate(self.late):
            for value in node.operands:
                if value is not None:
                    self.readers.setdefault(value, []).append(at)

    # --- matching nodes ---------------------------------------------------------------

    def _signatures(self) -> list[int]:
        """For every node a number: equal for equal nodes, whatever they read."""
        numbers: dict[object, int] = {}
        return [
            numbers.setdefault(self._signature(node), len(numbers))
            for node in self.late
        ]

    def _signature(self, node: Node) -> object:
        op = _without_seed(node.op)
        operands = tuple(
            None if v is None else (v in self.weights, self.types[v])
            for v in node.operands
        )
        # The text tells 1 from 1.0 and 0.0 from -0.0, which compare equal.
        text = repr((op, node.epilogue))
        return text, op, node.epilogue, node.kernel, node.types, operands

    def _match(self, at: int, period: int) -> bool:
        """Whether a node and its like `period` further on read from equal places."""
        here, there = self.late[at].operands, self.late[at + period].operands
        pairs = zip(here, there, strict=True)
        return all(self._same_place(a, b, period) for a, b in pairs)

    def _same_place(self, a: Value | None, b: Value | None, period: int) -> bool:
        if a == b:
            return True
        if a is None or b is None:
            return False
        if a in self.weights:
            return b in self.weights
        from_a, from_b = self.position.get(a.node), self.position.get(b.node)
        return (
            a.index == b.index
            and from_a is not None
            and from_b is not None
            and from_b - from_a == period
        )

    def stretches(self) -> list[_Stretch]:
        """Where nodes match for a period or more: those that may save most, first."""
        found: list[_Stretch] = []
        for period in range(1, len(self.late) // self.least + 1):
            for stretch in self._of_period(period):
                if not any(_is_multiple(stretch, other) for other in found):
                    found.append(stretch)
        return sorted(found, key=self.most, reverse=True)

    def _of_period(self, period: int) -> Iterator[_Stretch]:
        pairs = zip(self.signatures, self.signatures[period:], strict=False)
        alike = [a == b for a, b in pairs]
        if not _has_run(alike, period):
            return
        start: int | None = None
        for at, same in enumerate([*alike, False]):
            if same and self._match(at, period):
                start = at if start is None else start
            elif start is not None:
                # The first block may read something else than the others do.
                blocks = (at - start) // period + 2
                if at - start >= period and blocks >= self.least:
                    yield _Stretch(start, at + period, period)
                start = None

    def most(self, stretch: _Stretch) -> int:
        """The most nodes that blocks in a stretch can save."""
        return stretch.end - max(0, stretch.start - stretch.period) - stretch.period

    # --- from matching nodes to blocks ------------------------------------------------

    def within(self, stretch: _Stretch) -> Blocks | Refusal:
        """The blocks in a stretch that save most, with the fewest carries."""
        period = stretch.period
        first, last = max(0, stretch.start - period), stretch.start + period
        best: Blocks | None = None
        why: Refusal | None = None
        for start in range(first, last):
            count = (stretch.end - start) // period
            found = self._blocks(start, period, count)
            if isinstance(found, Refusal):
                # Of a block before the stretch nothing is known: no reason to tell.
                why = why or (found if start >= stretch.start else None)
            elif best is None or _rank(found) > _rank(best):
                best = found
        return best or why or Refusal("there are too few blocks")

    def _blocks(self, start: int, period: int, count: int) -> Blocks | Refusal:
        if count < self.least:
            return Refusal(
                f"{count} blocks in a row; at least {self.least} are asked for"
            )
        roles = self._roles(start, period, count)
        if isinstance(roles, Refusal):
            return roles
        first, count = self._unread(start, period, count, roles)
        if count < self.least:
            return Refusal("values inside the blocks are read outside of them")
        start += first * period
        roles = self._roles(start, period, count)
        if isinstance(roles, Refusal):
            return roles
        blocks = [
            self.late[start + t * period : start + (t + 1) * period]
            for t in range(count)
        ]
        for node in blocks[0]:
            if isinstance(node.op, Random):
                return Refusal(f"{node.op.kind} has another seed in every block")
        if not roles.weights:
            return Refusal("no weight differs from block to block")
        return Blocks(
            blocks,
            roles.template(blocks[0]),
            list(roles.carries),
            list(roles.weights),
            list(roles.constants),
        )

    def _roles(self, start: int, period: int, count: int) -> _Roles | Refusal:
        """What every operand of the blocks is: inner, carried, a weight, the same."""
        roles = _Roles({}, {}, {}, {})
        second = self.signatures[start + period : start + 2 * period]
        if self.signatures[start : start + period] != second:
            return Refusal("the first block is another one")
        for number in range(period):
            rows = [self.late[start + t * period + number] for t in range(count)]
            columns = zip(*(node.operands for node in rows), strict=True)
            for slot, values in enumerate(columns):
                if values[0] is None:
                    continue
                role = self._role(roles, values, start, period)
                if isinstance(role, Refusal):
                    return role
                roles.reads[number, slot] = role
        return roles

    def _role(
        self, roles: _Roles, values: tuple[Value, ...], start: int, period: int
    ) -> Value | Refusal:
        """What the template reads in the place of these values, one for every block."""
        first = values[0]
        if all(value == first for value in values):
            inside = self._inside(first, start, period)
            if inside is not None:
                return Refusal("all blocks read a value of the first")
            return constant(roles.constants.setdefault(first, len(roles.constants)))
        if first in self.weights:
            return weight(roles.weights.setdefault(values, len(roles.weights)))
        read = first
        place = self._inside(first, start, period)
        if place is None:  # the first block reads it, the others what takes its place
            place = self._inside(values[1], start, period)
            if place is None:
                return Refusal("a block reads a value from before the block before it")
            number = roles.carries.setdefault((first, place), len(roles.carries))
            read, values = carry(number), values[1:]
        for t, value in enumerate(values):
            if self._inside(value, start + t * period, period) != place:
                return Refusal("blocks read from different places")
        return read

    def _inside(self, value: Value, start: int, period: int) -> Place | None:
        """Where in the block that begins at `start` a value is made, if it is."""
        at = self.position.get(value.node)
        if at is None or not start <= at < start + period:
            return None
        return Place(at - start, value.index)

    def _unread(
        self, start: int, period: int, count: int, roles: _Roles
    ) -> tuple[int, int]:
        """The longest row of blocks whose values only the next block reads.

        Of the last one what is carried may be read by anything.
        """
        carried = {place for _, place in roles.carries}
        best = (0, 0)
        first = 0
        for t in range(count):
            read = self._read_places(start + t * period, period)
            last = t == count - 1
            beyond = {place for place, next_ in read if last or not next_}
            if not beyond and not last:
                continue
            if beyond <= carried:
                best = max(best, (t + 1 - first, -first))
            elif t > first:
                # The block before is the last: this one reads what it carries.
                best = max(best, (t - first, -first))
            first = t + 1
        return -best[1], best[0]

    def _read_places(self, start: int, period: int) -> Iterator[tuple[Place, bool]]:
        """What is read of a block outside it, and whether the next block reads it."""
        for number in range(period):
            node = self.late[start + number]
            for value in node.values():
                place = Place(number, value.index)
                if value in self.results:
                    yield place, False
                for at in self.readers.get(value, ()):
                    if at >= start + period:
                        yield place, at < start + 2 * period


@dataclass(frozen=True, slots=True)
class _Roles:
    """What the operands of blocks are, each with its number.

    `reads` has what operand `slot` of node `number` of the template is.
    """

    carries: dict[tuple[Value, Place], int]
    weights: dict[tuple[Value, ...], int]
    constants: dict[Value, int]
    reads: dict[tuple[int, int], Value]

    def template(self, nodes: list[Node]) -> list[Node]:
        return [
            replaced(
                node,
                operands=tuple(
                    None if value is None else self.reads[number, slot]
                    for slot, value in enumerate(node.operands)
                ),
            )
            for number, node in enumerate(nodes)
        ]


def _has_run(flags: list[bool], length: int) -> bool:
    """Whether `length` flags in a row are set."""
    count = 0
    for flag in flags:
        count = count + 1 if flag else 0
        if count >= length:
            return True
    return False


def _rank(blocks: Blocks) -> tuple[int, int]:
    return blocks.saved, -len(blocks.carries)


def _is_multiple(stretch: _Stretch, other: _Stretch) -> bool:
    """Whether a stretch says of some nodes what a shorter period says already."""
    return (
        stretch.period % other.period == 0
        and other.start <= stretch.start
        and stretch.end <= other.end
    )


def _without_seed(op: Op) -> Op:
    return with_fields(op, seed=0) if isinstance(op, Random) else op
