"""Choosing the lowering of every op for a platform."""

from __future__ import annotations

from dataclasses import dataclass

from graphjit.builder import Rewriter
from graphjit.ir import Graph, Node
from graphjit.passes.base import Entry, Pass
from graphjit.types import BATCH, TensorType

__all__ = ["SelectKernels"]


@dataclass(frozen=True, slots=True)
class SelectKernels(Pass):
    """Give every node the first of its op's kernels that applies; else the plain one.

    Attributes:
        target: The platform: "cpu", "gpu", "tpu"; "" for the one JAX runs on.
        batch_hint: The batch size to choose for; None for any.
        training: Whether gradients are taken of the graph: rules may be for that
            alone.
    """

    target: str = ""
    batch_hint: int | None = None
    training: bool = False

    def rewrite(self, graph: Graph, entry: Entry) -> Graph:
        rewriter = Rewriter(graph)
        types = graph.types()
        for node in graph.nodes:
            operands = [
                None if v is None else self._hinted(types[v]) for v in node.operands
            ]
            name, why = self._choose(node, operands, entry)
            if name == node.kernel:
                rewriter.keep(node)
                continue
            if name:
                entry.did(node.name, f"{name} ({why})")
            rewriter.keep(node, kernel=name)
        return rewriter.finish()

    def _choose(
        self, node: Node, types: list[TensorType | None], entry: Entry
    ) -> tuple[str, str]:
        """The kernel's name, "" for the plain lowering, and why."""
        for kernel in node.op.kernels:
            rule = kernel.rule_for(node.op, types, self.target, self.training)
            if rule is not None:
                return kernel.name, rule.measured
            platforms = {rule.platform for rule in kernel.rules}
            if self.target not in platforms:
                entry.refuse(node.name, f"{kernel.name} is not for {self.target!r}")
        return "", ""

    def _hinted(self, type_: TensorType) -> TensorType:
        if self.batch_hint is None or BATCH not in type_.shape:
            return type_
        return type_.with_shape(
            self.batch_hint if dim == BATCH else dim for dim in type_.shape
        )
