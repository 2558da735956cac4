"""A part of a graph as a body: closed, with inputs and outputs of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from graphjit.builder import Builder
from graphjit.ir import NO_CALL, Graph, Node, Value
from graphjit.types import TensorType

__all__ = ["outlined", "read_from_outside"]


def outlined(
    name: str,
    nodes: Sequence[Node],
    inputs: Mapping[Value, str],
    outputs: Iterable[Value],
    types: Mapping[Value, TensorType],
    *,
    canonical: bool = False,
) -> Graph:
    """The nodes as a body.

    Args:
        name: Of the body.
        nodes: In order; every value they read is one of theirs or in `inputs`.
        inputs: What they read from outside, and what to call it inside, in order.
        outputs: Values among them that the body returns, in order.
        types: Of the values in `inputs`.
        canonical: Whether nodes are called by their kinds: equal parts of a graph then
            give equal bodies.
    """
    body = Builder(name)
    inner = {value: body.input(as_, types[value]) for value, as_ in inputs.items()}
    for node in nodes:
        called = body.fresh(node.op.kind if canonical else node.name)
        operands = tuple(None if v is None else inner[v] for v in node.operands)
        # The layer table is the whole graph's: no row of it is known inside.
        moved = replace(node, name=called, operands=operands, call=NO_CALL)
        body.add(moved)
        inner.update(zip(node.values(), moved.values(), strict=True))
    for at, value in enumerate(outputs):
        body.output(f"out{at}", inner[value])
    return body.build()


def read_from_outside(graph: Graph, names: set[str]) -> set[Value]:
    """Values of the named nodes that another node or a result of the graph reads."""
    read = {value for value in graph.results() if value.node in names}
    for node in graph.nodes:
        if node.name not in names:
            read.update(v for v in node.operands if v is not None and v.node in names)
    return read
