"""Which inputs of a graph hold ids, and from where to where these go."""

from __future__ import annotations

from graphjit.ir import Graph, Node, Value
from graphjit.ops.base import KeepsElements, ReadsIds

__all__ = ["IdRanges", "id_ranges"]

#: For inputs that hold ids, by name: the lowest, and one past the highest.
IdRanges = dict[str, tuple[int, int]]


def id_ranges(graph: Graph) -> IdRanges:
    """For inputs that hold ids the range of these, as (lowest, one past the highest).

    An input is followed to the ops that look its elements up through ops that keep
    every element: reshapes, transposes, casts, concatenations. Where a float input is
    cast, what must lie in the range is its whole part. An input of two tables has the
    range that both allow.

    Args:
        graph: Training or inference, with the names of its inputs.

    Returns:
        Only inputs of which something is known.
    """
    types = graph.types()
    ranges: dict[Value, tuple[int, int]] = {}
    for node in reversed(graph.nodes):
        if isinstance(node.op, ReadsIds):
            operands = [None if v is None else types[v] for v in node.operands]
            count = node.op.id_count(operands)
            if count is not None:
                _narrow(ranges, node.operands[0], (0, count))
        elif node.value in ranges and _keeps(node):
            for value in node.operands:
                _narrow(ranges, value, ranges[node.value])
    return {e.name: ranges[e.value] for e in graph.inputs if e.value in ranges}


def _narrow(
    ranges: dict[Value, tuple[int, int]], value: Value | None, found: tuple[int, int]
) -> None:
    if value is not None:
        known = ranges.get(value, found)
        ranges[value] = (max(known[0], found[0]), min(known[1], found[1]))


def _keeps(node: Node) -> bool:
    """Whether all elements of the operands reach the node's result."""
    steps = (node.op, *node.epilogue)
    # A cast to bool keeps no more than whether an element is 0.
    return node.types[0].dtype != "bool" and all(
        isinstance(op, KeepsElements) for op in steps
    )
