"""Siblings that read one value, as one wider op."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphjit.builder import Rewriter
from graphjit.ir import Graph, Node, Value
from graphjit.ops.base import Op
from graphjit.ops.elementwise import Add
from graphjit.ops.joining import JoinsOutputs, Joint
from graphjit.ops.shape import Concatenate, Crop, Pad
from graphjit.passes.base import Entry, Pass
from graphjit.passes.constants import constants_of
from graphjit.passes.fold_norm import is_inference
from graphjit.types import TensorType

__all__ = ["MergeParallel"]


@dataclass(frozen=True, slots=True)
class MergeParallel(Pass):
    """op(x, k), op(x, k') -> parts of op(x, join(k, k')), for ops that say so.

    Convolutions with equal attributes and kernel sizes, denses and einsums on the same
    value: the branches of Inception, the query, key and value of attention. The weights
    are joined by ops on params, which `split_prologue` moves out of the graph; a bias
    that one of them lacks is zeros there. Exact, but for the order of sums inside one
    product.

    In no pipeline: on CPU 1x1 convolutions of up to 64 filters alone gain 1.1 to 1.3 at
    batch 8, but whole networks nothing (InceptionV3 1.01 at batch 1 and 0.97 at batch
    8, transformers 0.98 to 1.01, three denses of 256 0.93).

    Attributes:
        training: Also in a graph that trains, where weights are joined at every step.
    """

    training: bool = False

    def rewrite(self, graph: Graph, entry: Entry) -> Graph:
        siblings = _Finder(graph, entry).siblings()
        if not siblings:
            return graph
        if not self.training and not is_inference(graph):
            for group in siblings:
                entry.refuse(
                    group.nodes[0].name,
                    "weights that train would be joined at every step",
                )
            return graph
        return _merged(graph, siblings, entry)


@dataclass(frozen=True, slots=True)
class _Siblings:
    """Nodes that can be one, in the order of the graph, and where they are joined."""

    nodes: list[Node]
    joint: Joint


class _Finder:
    """Finds the siblings of a graph."""

    def __init__(self, graph: Graph, entry: Entry) -> None:
        self.graph = graph
        self.entry = entry
        self.types = graph.types()
        self.constant = constants_of(graph)

    def siblings(self) -> list[_Siblings]:
        found: dict[object, list[Node]] = {}
        readers: dict[Value, list[Node]] = {}
        for node in self.graph.nodes:
            x = node.operands[0] if node.operands else None
            if x is None or x in self.constant or not isinstance(node.op, JoinsOutputs):
                continue
            readers.setdefault(x, []).append(node)
            key = self._key(node, node.op)
            if key is not None:
                found.setdefault((x, key), []).append(node)
        groups = [s for nodes in found.values() if (s := self._agreed(nodes))]
        taken = {node.name for group in groups for node in group.nodes}
        for x, nodes in readers.items():
            for node in nodes if len(nodes) > 1 else ():
                if node.name not in taken:
                    self._refuse(x, node)
        return groups

    def _key(self, node: Node, op: JoinsOutputs) -> object | None:
        """Equal for nodes whose kernels can be joined; None for one that cannot be."""
        types = self._operand_types(node)
        joint = op.joint(types)
        if joint is None or len(types) < 2:
            return None
        if any(v is not None and v not in self.constant for v in node.operands[1:]):
            return None
        kernel = _open(types[1], joint.weights[0])
        return repr(node.op), joint.weights[0], joint.result, kernel

    def _agreed(self, nodes: list[Node]) -> _Siblings | None:
        """Those of the nodes whose biases can be joined as well."""
        joint: Joint | None = None
        shape: object = None
        kept: list[Node] = []
        for node in nodes:
            types = self._operand_types(node)
            assert isinstance(node.op, JoinsOutputs)
            own = node.op.joint(types)
            assert own is not None
            if len(types) > 2:
                joint = joint or own
                shape = shape or _open(types[2], own.weights[1])
                if own != joint or _open(types[2], own.weights[1]) != shape:
                    continue
            kept.append(node)
        if len(kept) < 2:
            return None
        first = kept[0].op
        assert isinstance(first, JoinsOutputs)
        plain = first.joint(self._operand_types(kept[0]))
        chosen = joint or plain
        return None if chosen is None else _Siblings(kept, chosen)

    def _refuse(self, x: Value, node: Node) -> None:
        why = f"no other reader of {x} has its attributes and kernel size"
        if any(v is not None and v not in self.constant for v in node.operands[1:]):
            why = "its weights are not constant"
        self.entry.refuse(node.name, why)

    def _operand_types(self, node: Node) -> list[TensorType | None]:
        return [None if value is None else self.types[value] for value in node.operands]


def _open(type_: TensorType | None, axis: int) -> tuple[object, ...] | None:
    """A type without its length along an axis, as a key."""
    if type_ is None:
        return None
    return type_.dtype, *type_.shape[:axis], *type_.shape[axis + 1 :]


def _merged(graph: Graph, groups: Sequence[_Siblings], entry: Entry) -> Graph:
    """The graph with every group as one op, and parts of it in its nodes' places."""
    rewriter = Rewriter(graph)
    constant = constants_of(graph)
    # Weights first: a group stands where its first node does, and reads all of theirs.
    for node in graph.nodes:
        if node.value in constant:
            rewriter.keep(node)
    place = {node.name: group for group in groups for node in group.nodes}
    made: dict[str, Value] = {}
    for node in graph.nodes:
        group = place.get(node.name)
        if group is None:
            if node.value not in constant:
                rewriter.keep(node)
            continue
        head = group.nodes[0]
        if head.name not in made:
            made[head.name] = _join(rewriter, group)
            names = ", ".join(other.name for other in group.nodes[1:])
            count = len(group.nodes)
            entry.did(head.name, f"one op with {names}: {count} -> 1 ops")
        _part(rewriter, group, node, made[head.name])
    return rewriter.finish()


def _join(rewriter: Rewriter, group: _Siblings) -> Value:
    """The wider op: the results of the nodes, one behind the other."""
    first = group.nodes[0]
    emit = rewriter.at(first)
    operands = [rewriter.operands(node) for node in group.nodes]
    kernels = [row[1] for row in operands]
    kernel = emit(Concatenate(group.joint.weights[0]), *kernels)
    biases = [row[2] if len(row) > 2 else None for row in operands]
    lengths = [_length(node, group.joint) for node in group.nodes]
    bias = _joined_biases(emit, biases, lengths, group.joint.weights[1])
    (value,) = rewriter.node(
        first.op,
        (operands[0][0], kernel, bias),
        name=f"{first.name}/joined",
        epilogue=_shared_epilogue(group),
        call=first.call,
        loc=first.loc,
    )
    return value


def _joined_biases(
    emit: Rewriter, biases: Sequence[Value | None], lengths: Sequence[int], axis: int
) -> Value | None:
    """The biases in a row, zeros where one is left out; None where all are."""
    present = [bias for bias in biases if bias is not None]
    if not present:
        return None
    if len(present) == len(biases):
        return emit(Concatenate(axis), *present)
    wide: list[Value] = []
    for at, bias in enumerate(biases):
        if bias is not None:
            pads = [(0, 0)] * emit.type_of(bias).rank
            pads[axis] = (sum(lengths[:at]), sum(lengths[at + 1 :]))
            wide.append(emit(Pad(tuple(pads)), bias))
    return wide[0] if len(wide) == 1 else emit(Add(), *wide)


def _part(rewriter: Rewriter, group: _Siblings, node: Node, whole: Value) -> None:
    """Put the node's part of the wider op in its place."""
    at = group.nodes.index(node)
    lengths = [_length(other, group.joint) for other in group.nodes]
    cuts = [(0, 0)] * node.types[0].rank
    cuts[group.joint.result] = (sum(lengths[:at]), sum(lengths[at + 1 :]))
    left = () if _shared_epilogue(group) else node.epilogue
    crop = Crop(tuple(cuts))
    rewriter.keep(node, op=crop, operands=(whole,), epilogue=left, kernel="")


def _shared_epilogue(group: _Siblings) -> tuple[Op, ...]:
    """The epilogue, where all nodes have the same."""
    first = group.nodes[0].epilogue
    same = all(repr(n.epilogue) == repr(first) for n in group.nodes)
    return first if same else ()


def _length(node: Node, joint: Joint) -> int:
    length = node.types[0].shape[joint.result]
    assert isinstance(length, int)
    return length
