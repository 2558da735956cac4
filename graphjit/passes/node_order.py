"""Another order of a graph's nodes that computes the same."""

from __future__ import annotations

from graphjit.ir import Graph, Node

__all__ = ["depth_first"]


def depth_first(graph: Graph) -> Graph:
    """The graph with every node right before the first one that needs it.

    A graph is captured in the order of depth, where what blocks compute of something
    else than the block before (keys of an encoder's output) may stand between others.
    """
    makers = {node.name: node for node in graph.nodes}
    placed: dict[str, Node] = {}
    wanted = [value.node for value in graph.results()]
    for name in [*wanted, *makers]:
        stack = [name] if name in makers else []
        while stack:
            node = makers[stack[-1]]
            before = [
                v.node
                for v in node.operands
                if v is not None and v.node in makers and v.node not in placed
            ]
            if before:
                stack.append(before[0])
            else:
                placed.setdefault(stack.pop(), node)
    return graph.replace(nodes=tuple(placed.values()))
