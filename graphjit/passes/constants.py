"""Which values of a graph depend on its weights alone."""

from __future__ import annotations

from graphjit.ir import Graph, Value
from graphjit.ops.base import Random

__all__ = ["constants_of"]


def constants_of(graph: Graph) -> set[Value]:
    """Params, and what is computed from nothing else, without random numbers.

    Params that the graph itself updates do not count. A body has no params, so nothing
    is constant in it.
    """
    updated = {update.param for update in graph.updates}
    constant = {p.value for p in graph.params if p.name not in updated}
    for node in graph.nodes:
        reads = [value for value in node.operands if value is not None]
        if reads and not isinstance(node.op, Random) and constant.issuperset(reads):
            constant.update(node.values())
    return constant
