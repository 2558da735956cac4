"""Marking layers as frozen."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as replaced

from graphjit.becoming import frozen
from graphjit.builder import Rewriter
from graphjit.errors import PassError, nearest
from graphjit.ir import NO_CALL, Graph, Node
from graphjit.passes.base import Entry, Pass

__all__ = ["Freeze"]


@dataclass(frozen=True, slots=True)
class Freeze(Pass):
    """Mark the params of layers as not trainable, and let their ops act frozen.

    A frozen batch norm does what its origin did: by default it normalizes by its
    running statistics and leaves them as they are.

    Attributes:
        names: Paths of layers; a nested model's path stands for all inside it.
    """

    names: tuple[str, ...] = ()
    changes_meaning = True
    enters_bodies = False

    def rewrite(self, graph: Graph, entry: Entry) -> Graph:
        self._check_names(graph)
        rewriter = Rewriter(graph)
        params = [
            replaced(p, trainable=False) if p.trainable and self._covers(p.name) else p
            for p in graph.params
        ]
        for old, new in zip(graph.params, params, strict=True):
            if old is not new:
                entry.did(old.name, "not trainable")
        rewriter.set_params(params)
        for node in graph.nodes:
            if self._owns(graph, node):
                frozen(rewriter, node)
            else:
                rewriter.keep(node)
        return rewriter.finish()

    def _covers(self, path: str) -> bool:
        return any(path == name or path.startswith(f"{name}/") for name in self.names)

    def _owns(self, graph: Graph, node: Node) -> bool:
        return node.call != NO_CALL and self._covers(graph.layers[node.call].layer)

    def _check_names(self, graph: Graph) -> None:
        known = {call.layer for call in graph.layers}
        for name in self.names:
            if name not in known:
                guess = nearest(name, known)
                raise PassError(
                    f"Freeze: expected the path of a layer, received {name!r}",
                    hint=f"did you mean {guess!r}?" if guess else None,
                )
