"""From the training graph to the inference graph."""

from __future__ import annotations

from dataclasses import dataclass

from graphjit.becoming import become
from graphjit.builder import Rewriter
from graphjit.ir import Graph
from graphjit.ops.base import Becomes
from graphjit.passes.base import Entry, Pass

__all__ = ["ToInference"]


@dataclass(frozen=True, slots=True)
class ToInference(Pass):
    """Replace every op by what it is in inference, as the op itself says.

    batch_norm(x, …) -> batch_norm_inference(x, …); dropout(x) -> x.
    Updates whose producer changed kind go; recurrent state stays. Losses go: they are
    terms of training.
    """

    changes_meaning = True

    def rewrite(self, graph: Graph, entry: Entry) -> Graph:
        rewriter = Rewriter(graph)
        for node in graph.nodes:
            becomes = node.op.to_inference()
            if becomes is None:
                rewriter.keep(node)
            else:
                become(rewriter, node, becomes)
                entry.did(node.name, f"{node.op.kind} -> {_kind(becomes)}")
        return rewriter.finish(losses=False)


def _kind(becomes: Becomes) -> str:
    return "its input" if becomes.op is None else becomes.op.kind
