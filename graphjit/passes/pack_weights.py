"""Weights in the form that kernels read, made once and not in every call."""

from __future__ import annotations

from dataclasses import dataclass

from graphjit.builder import Rewriter
from graphjit.ir import Graph, Node, Value
from graphjit.ops.base import PackedForm, Refusal
from graphjit.passes.base import Entry, Pass
from graphjit.passes.constants import constants_of
from graphjit.types import TensorType

__all__ = ["PackWeights", "keep_packed"]


@dataclass(frozen=True, slots=True)
class PackWeights(Pass):
    """conv(x, k) by a kernel that packs k -> its packed form on pack(k).

    `split_prologue` then moves the packing out of the graph: it is neither compiled
    with it nor run in every call. Comes after `SelectKernels`; for inference.
    """

    enters_bodies = False

    def rewrite(self, graph: Graph, entry: Entry) -> Graph:
        constant, types = constants_of(graph), graph.types()
        rewriter = Rewriter(graph)
        for node in graph.nodes:
            form = _form(node, constant, types) if node.kernel else None
            if isinstance(form, PackedForm):
                keep_packed(rewriter, node, form)
                kinds = ", ".join(op.kind for op in form.weights)
                entry.did(node.name, f"weights packed ahead ({kinds})")
                continue
            if form is not None:
                entry.refuse(node.name, form.reason)
            rewriter.keep(node)
        return rewriter.finish()


def keep_packed(rewriter: Rewriter, node: Node, form: PackedForm) -> None:
    """Keep a node in its packed form, with what packs its operand 1 before it."""
    x, packed, *others = rewriter.operands(node)
    emit = rewriter.at(node)
    for op in form.weights:
        packed = emit(op, packed)
    rewriter.keep(node, op=form.op, operands=(x, packed, *others), kernel=form.kernel)


def _form(
    node: Node, constant: set[Value], types: dict[Value, TensorType]
) -> PackedForm | Refusal | None:
    """The packed form of a node's kernel; why not; None: it has none."""
    kernel = next(k for k in node.op.kernels if k.name == node.kernel)
    if kernel.packed is None:
        return None
    form = kernel.packed(
        node.op, [None if v is None else types[v] for v in node.operands]
    )
    if form is not None and node.operands[1] not in constant:
        return Refusal("its weights are not constant")
    return form
