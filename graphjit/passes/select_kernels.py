"""Choosing the lowering of every op for a platform."""

from __future__ import annotations

from dataclasses import dataclass

from graphjit.builder import Rewriter
from graphjit.ir import Graph, Node
from graphjit.passes.base import Entry, Pass
from graphjit.tuning import Tuning, at_batch
from graphjit.types import TensorType

__all__ = ["SelectKernels"]


@dataclass(frozen=True, slots=True)
class SelectKernels(Pass):
    """Give every node the first of its op's kernels that applies; else the plain one.

    Attributes:
        target: The platform: "cpu", "gpu", "tpu"; "" for the one JAX runs on.
        batch_hint: The batch size to choose for; None for any.
        training: Whether gradients are taken of the graph: rules may be for that
            alone.
        tuning: What was measured; it goes before the rules where it has a choice.
    """

    target: str = ""
    batch_hint: int | None = None
    training: bool = False
    tuning: Tuning | None = None

    def rewrite(self, graph: Graph, entry: Entry) -> Graph:
        rewriter = Rewriter(graph)
        types = graph.types()
        tuning = self._tuning_for(graph, entry)
        hint = self.batch_hint
        if hint is None and tuning is not None:
            hint = tuning.batch_size
        for node in graph.nodes:
            operands = [
                None if v is None else at_batch(types[v], hint) for v in node.operands
            ]
            name, why = self._choose(node, operands, tuning, entry)
            if name == node.kernel:
                rewriter.keep(node)
                continue
            if name:
                entry.did(node.name, f"{name} ({why})")
            rewriter.keep(node, kernel=name)
        return rewriter.finish()

    def _tuning_for(self, graph: Graph, entry: Entry) -> Tuning | None:
        """What was measured on this platform."""
        tuning = self.tuning
        if tuning is not None and tuning.platform != self.target:
            entry.refuse(graph.name, f"{tuning!r} is not for {self.target!r}")
            return None
        return tuning

    def _choose(
        self,
        node: Node,
        types: list[TensorType | None],
        tuning: Tuning | None,
        entry: Entry,
    ) -> tuple[str, str]:
        """The kernel's name, "" for the plain lowering, and why."""
        tuned = None if tuning is None else tuning.find(node.op, types)
        if tuned is not None:
            kernel = next((k for k in node.op.kernels if k.name == tuned.kernel), None)
            if not tuned.kernel or (kernel is not None and kernel.can(node.op, types)):
                return tuned.kernel, f"measured here: {tuned.gain:.2f}x"
            entry.refuse(node.name, f"the tuning's {tuned.kernel!r} cannot do it")
        for kernel in node.op.kernels:
            rule = kernel.rule_for(node.op, types, self.target, self.training)
            if rule is not None:
                return kernel.name, rule.measured
            platforms = {rule.platform for rule in kernel.rules}
            # One without rules is `autotune`'s to choose; one that cannot do it would
            # not do it anywhere.
            elsewhere = platforms and self.target not in platforms
            if elsewhere and kernel.can(node.op, types):
                entry.refuse(node.name, f"{kernel.name} is not for {self.target!r}")
        return "", ""
