"""The graphs that ops own: the step of a `scan`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace as replaced

from graphjit.ir import Graph, Node
from graphjit.ops.base import Op, with_fields

__all__ = ["bodies_of", "map_bodies", "with_bodies"]


def bodies_of(op: Op) -> list[tuple[str, Graph]]:
    """The body graphs an op owns, by field name."""
    found: list[tuple[str, Graph]] = []
    for field in dataclasses.fields(op):  # pyright: ignore[reportArgumentType]
        value = getattr(op, field.name)
        if isinstance(value, Graph):
            found.append((field.name, value))
    return found


def with_bodies(op: Op, change: Callable[[Graph], Graph]) -> Op:
    """The op with `change` applied to its bodies; itself where they stay."""
    changed: dict[str, Graph] = {}
    for name, body in bodies_of(op):
        new = change(body)
        if new is not body:
            changed[name] = new
    return with_fields(op, **changed) if changed else op


def map_bodies(graph: Graph, change: Callable[[Graph], Graph]) -> Graph:
    """The graph with `change` applied to its nodes' bodies; itself where all stay."""
    nodes: list[Node] = []
    for node in graph.nodes:
        op = with_bodies(node.op, change)
        nodes.append(node if op is node.op else replaced(node, op=op))
    if all(new is old for new, old in zip(nodes, graph.nodes, strict=True)):
        return graph
    return graph.replace(nodes=tuple(nodes))
