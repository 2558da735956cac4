"""Everything that depends on params only, moved into a graph of its own."""

from __future__ import annotations

from dataclasses import replace

from graphjit.ir import Graph, Node, Output, Param, Value
from graphjit.passes.constants import constants_of

__all__ = ["split_prologue"]


def split_prologue(graph: Graph) -> tuple[Graph, Graph]:
    """A graph as (prologue, main): main on what prologue makes of the params.

    The prologue runs once per set of weights; its outputs are called as the main
    graph's params that they become. Params that the graph itself updates do not
    count as weights. Params that main reads as they are stay params of main.

    Returns:
        The prologue, with no inputs and one output per packed param, and the main
        graph, whose params are those it reads, in order, then the packed ones.
    """
    updated = {update.param for update in graph.updates}
    constant = constants_of(graph)
    early = [node for node in graph.nodes if node.value in constant]
    late = [node for node in graph.nodes if node.value not in constant]
    if not early:
        return _empty(graph), graph
    types = graph.types()
    wanted: dict[Value, None] = {}
    for node in late:
        wanted.update((v, None) for v in node.operands if v is not None)
    wanted.update((value, None) for value in graph.results())
    made = {value for node in early for value in node.values()}
    packed = [value for value in wanted if value in made]
    renamed = {value: Value(_packed_name(value)) for value in packed}
    new_params = [
        Param(renamed[value].node, types[value], trainable=False) for value in packed
    ]
    kept = [p for p in graph.params if p.value in wanted or p.name in updated]
    prologue = graph.replace(
        name=f"{graph.name}/prologue",
        inputs=(),
        nodes=_needed(early, packed),
        outputs=tuple(Output(renamed[value].node, value) for value in packed),
        updates=(),
        losses=(),
    )
    main = _substituted(
        graph.replace(params=(*kept, *new_params), nodes=tuple(late)), renamed
    )
    return prologue, main


def _empty(graph: Graph) -> Graph:
    return graph.replace(
        name=f"{graph.name}/prologue",
        inputs=(),
        nodes=(),
        outputs=(),
        updates=(),
        losses=(),
    )


def _packed_name(value: Value) -> str:
    return value.node if value.index == 0 else f"{value.node}#{value.index}"


def _needed(nodes: list[Node], outputs: list[Value]) -> tuple[Node, ...]:
    needed = {value.node for value in outputs}
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(value.node for value in node.operands if value is not None)
    return tuple(node for node in nodes if node.name in needed)


def _substituted(graph: Graph, renamed: dict[Value, Value]) -> Graph:
    """The graph with values read under other names."""

    def new(value: Value) -> Value:
        return renamed.get(value, value)

    nodes = tuple(
        replace(n, operands=tuple(None if v is None else new(v) for v in n.operands))
        if any(v in renamed for v in n.operands)
        else n
        for n in graph.nodes
    )
    outputs = tuple(
        replace(o, value=new(o.value), mask=None if o.mask is None else new(o.mask))
        for o in graph.outputs
    )
    losses = tuple(replace(loss, value=new(loss.value)) for loss in graph.losses)
    updates = tuple(replace(u, value=new(u.value)) for u in graph.updates)
    return graph.replace(nodes=nodes, outputs=outputs, losses=losses, updates=updates)
