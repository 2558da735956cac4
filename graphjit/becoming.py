"""What nodes become when their op says so: in inference, or frozen."""

from __future__ import annotations

from graphjit.bodies import map_bodies, with_bodies
from graphjit.builder import Rewriter
from graphjit.errors import CaptureError
from graphjit.ir import Graph, Node, Value
from graphjit.ops.base import Becomes, Same

__all__ = ["become", "frozen", "inference_form", "training_form", "trains_always"]


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


def training_form(graph: Graph, title: str) -> Graph:
    """The graph with every op as it is in training, which inference leaves alone.

    Args:
        graph: A training graph.
        title: How messages name what it is of.

    Raises:
        CaptureError: An op has no such form.
    """
    rewriter = Rewriter(map_bodies(graph, lambda body: training_form(body, title)))
    for node in rewriter.graph.nodes:
        op = node.op.to_always()
        if op is None:
            raise CaptureError(
                f"{title}: training=True: op {node.op.kind!r} has no form that stays "
                "the same in inference",
                hint="give the op an attribute `always`, at which its `to_inference` "
                "returns None",
            )
        rewriter.keep(node, **({} if op is node.op else {"op": op}))
    return rewriter.finish()


def trains_always(graph: Graph) -> bool:
    """Whether a layer of the model was called with ``training=True``."""
    return any(row.arguments.thaw().get("training") is True for row in graph.layers)


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
