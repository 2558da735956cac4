"""Small graphs for the tests of passes, and their node lines."""

from __future__ import annotations

from graphjit.builder import Builder
from graphjit.capture.tensor import Tensor
from graphjit.capture.tracer import capture
from graphjit.ir import Graph, Param
from graphjit.passes.base import Entry, Pass
from graphjit.printer import print_node
from graphjit.types import TensorType


def graph_of(inputs: Tensor | list[Tensor], outputs: Tensor | list[Tensor]) -> Graph:
    """The training graph from inputs to outputs."""
    given = inputs if isinstance(inputs, list) else [inputs]
    made = outputs if isinstance(outputs, list) else [outputs]
    return capture(given, made, "test").graph


def lines(graph: Graph) -> list[str]:
    """The graph's nodes as text, without their types."""
    return [print_node(node).split(" : ")[0] for node in graph.nodes]


def kinds(graph: Graph) -> list[str]:
    return [node.op.kind for node in graph.nodes]


def rewritten(pass_: Pass, graph: Graph) -> tuple[Graph, Entry]:
    """The graph after one pass, and what the pass says of it."""
    entry = Entry(pass_.spec)
    return pass_.rewrite(graph, entry), entry


def reasons(entry: Entry) -> dict[str, str]:
    return {refusal.node: refusal.reason for refusal in entry.refused}


def ir(name: str = "test") -> Builder:
    """A builder for graphs no layer makes."""
    return Builder(name)


def param(
    name: str, *shape: int, collection: str = "params", trainable: bool = True
) -> Param:
    type_ = TensorType(shape, "float32")
    return Param(name, type_, collection=collection, trainable=trainable)
