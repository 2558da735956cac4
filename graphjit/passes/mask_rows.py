"""Making a training graph ignore the rows that pad a partial batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graphjit.bodies import bodies_of
from graphjit.builder import Rewriter
from graphjit.ir import Graph, Node, Value
from graphjit.ops.base import MixesRows
from graphjit.passes.base import Entry, Pass
from graphjit.types import BATCH, TensorType

__all__ = ["ROW_MASK", "MaskRows", "can_mask_rows", "wants_mask"]

#: The name of the added input.
ROW_MASK = "row_mask"


@dataclass(frozen=True, slots=True)
class MaskRows(Pass):
    """Add an input ``row_mask : bool[batch]`` and give it to every op that mixes rows.

    With it a batch may be padded to a fixed size: statistics and penalties count the
    valid rows only. A graph with an op that cannot take the mask is left as it is.
    """

    changes_meaning = True
    enters_bodies = False

    def rewrite(self, graph: Graph, entry: Entry) -> Graph:
        if any(input_.name == ROW_MASK for input_ in graph.inputs):
            return graph
        blocking = can_mask_rows(graph)
        if blocking is not None:
            entry.refuse(blocking, "it mixes rows and takes no row mask")
            return graph
        rewriter = Rewriter(graph)
        mask = rewriter.input(ROW_MASK, TensorType((BATCH,), "bool"))
        for node in graph.nodes:
            op = node.op
            position = op.row_mask if isinstance(op, MixesRows) else None
            if position is None:
                rewriter.keep(node)
                continue
            operands = list(rewriter.operands(node))
            operands += [None] * (position + 1 - len(operands))
            operands[position] = mask
            rewriter.keep(node, operands=tuple(operands))
            entry.did(node.name, "takes the row mask")
        return rewriter.finish()


def can_mask_rows(graph: Graph) -> str | None:
    """The first node that mixes rows and cannot take a row mask; None: all can.

    A node whose result no longer has the batch as its axis 0 (a sum over rows, time
    folded into the batch) counts as one: the mask's rows are not those of its result.
    """
    types = graph.types()
    for node in graph.nodes:
        if isinstance(node.op, MixesRows):
            if not node.op.masks_rows():
                return node.name
        elif not _keeps_rows(node, types):
            return node.name
        for _, body in bodies_of(node.op):
            if any(wants_mask(inner) for inner in body.nodes):
                return node.name
    return None


def wants_mask(node: Node) -> bool:
    """Whether a node of a body mixes rows so that it needs a mask, or none helps."""
    op = node.op
    if not isinstance(op, MixesRows):
        return any(wants_mask(n) for _, body in bodies_of(op) for n in body.nodes)
    return op.row_mask is not None or not op.masks_rows()


def _keeps_rows(node: Node, types: Mapping[Value, TensorType]) -> bool:
    operands = [types[value] for value in node.operands if value is not None]
    if not any(BATCH in type_.shape for type_ in operands):
        return True
    return all(type_.shape[:1] == (BATCH,) for type_ in node.types)
