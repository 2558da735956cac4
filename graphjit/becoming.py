"""What nodes become when their op says so: in inference, or frozen."""

from __future__ import annotations

from graphjit.bodies import map_bodies, with_bodies
from graphjit.builder import Rewriter
from graphjit.ir import Graph, Node, Value
from graphjit.ops.base import Becomes, Same

__all__ = ["become", "frozen", "inference_form"]


def become(rewriter: Rewriter, node: Node, becomes: Becomes) -> None:
    """Put what a node turns into in its place."""
    operands = rewriter.operands(node)
    made: tuple[Value, ...] = ()
    if becomes.op is not None:
        chosen = [operands[i] if i < len(operands) else None for i in becomes.operands]
        new = rewriter.keep(node, op=becomes.op, operands=tuple(chosen), kernel="")
        made = tuple(new.values())
    for old, result in zip(node.values(), becomes.results, strict=True):
        if isinstance(result, Same):
            operand = operands[result.operand]
            assert operand is not None
            rewriter.replace(old, operand)
        else:
            rewriter.replace(old, made[result.index])


def inference_form(graph: Graph) -> Graph:
    """The graph with every op as it is in inference; its losses stay."""
    rewriter = Rewriter(map_bodies(graph, inference_form))
    for node in rewriter.graph.nodes:
        becomes = node.op.to_inference()
        if becomes is None:
            rewriter.keep(node)
        else:
            become(rewriter, node, becomes)
    return rewriter.finish()


def frozen(rewriter: Rewriter, node: Node) -> None:
    """Add the node as it is while its layer is frozen, and its bodies' nodes too."""
    becomes = node.op.to_frozen()
    if becomes is not None:
        become(rewriter, node, becomes)
        return
    op = with_bodies(node.op, _frozen_body)
    rewriter.keep(node, **({} if op is node.op else {"op": op}))


def _frozen_body(graph: Graph) -> Graph:
    rewriter = Rewriter(graph)
    for node in graph.nodes:
        frozen(rewriter, node)
    return rewriter.finish()
