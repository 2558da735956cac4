"""What a file may ask of the machine that reads it. The user can raise each limit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NoReturn

from graphjit.bodies import bodies_of
from graphjit.errors import FormatError
from graphjit.formats.plain import shown
from graphjit.ir import Graph
from graphjit.types import Shape, TensorType

__all__ = ["DEFAULT_LIMITS", "Limits", "check_graph", "check_size"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps on what a file declares.

    Attributes:
        header_bytes: Size of the header: graph, layer table, tensor table.
        yaml_bytes: Size of a text in YAML; reading so much takes half a minute.
        values: Numbers, strings, … in the header.
        depth: Nesting of the header; a body graph in a body graph counts six or more.
        nodes: Nodes of a graph, those of its bodies included.
        tensors: Params.
        rank: Axes of any value.
        name_chars: Length of any name.
        elements: Elements of any input and any result of a node, for one row: the
            batch and unknown dims count as 1.
        ratio: How many times the size of its compressed bytes an array may have.
    """

    header_bytes: int = 32 * 2**20
    yaml_bytes: int = 2 * 2**20
    values: int = 4_000_000
    depth: int = 64
    nodes: int = 100_000
    tensors: int = 100_000
    rank: int = 32
    name_chars: int = 1024
    elements: int = 2**31
    ratio: int = 256

    def refuse(self, field: str, where: str, found: str) -> NoReturn:
        """Raise the FormatError for something over the limit `field`."""
        limit = getattr(self, field)
        raise FormatError(
            f"{where}: {found} (limit {field} = {limit})",
            hint=f"if you trust the file: limits=Limits({field}=…)",
        )


DEFAULT_LIMITS: Final = Limits()


def check_graph(graph: Graph, limits: Limits) -> None:
    """Refuse a graph over the limits, bodies included.

    Raises:
        FormatError: It names the value, what it declares and the limit.
    """
    if len(graph.params) > limits.tensors:
        limits.refuse("tensors", "graph.params", f"{len(graph.params)} tensors")
    _check_level(graph, limits, 0, "")


def _check_level(graph: Graph, limits: Limits, nodes: int, prefix: str) -> int:
    """Check one graph and its bodies; returns how many nodes there are so far."""
    nodes += len(graph.nodes)
    if nodes > limits.nodes:
        limits.refuse("nodes", f"{prefix}graph", f"at least {nodes} nodes")
    for name in _names(graph):
        if len(name) > limits.name_chars:
            where = f"{prefix}name {shown(name)}"
            limits.refuse("name_chars", where, f"{len(name)} characters")
    for entry in (*graph.inputs, *graph.params):
        check_rank(entry.type.shape, limits, f"{prefix}{shown(entry.name)}")
    for entry in graph.inputs:
        check_size(entry.type.shape, limits, f"{prefix}input {shown(entry.name)}")
    for node in graph.nodes:
        where = f"{prefix}{node.op.kind} {shown(node.name)}"
        for type_ in node.types:
            check_size(type_.shape, limits, where)
        for field, body in bodies_of(node.op):
            nodes = _check_level(body, limits, nodes, f"{where}.{field}: ")
    for type_ in _table_types(graph):
        check_rank(type_.shape, limits, "layer table")
    return nodes


def check_rank(shape: Shape, limits: Limits, where: str) -> None:
    """Refuse a shape of too many axes."""
    if len(shape) > limits.rank:
        limits.refuse("rank", where, f"{len(shape)} axes")


def check_size(shape: Shape, limits: Limits, where: str) -> None:
    """Refuse a shape of too many elements, counting batch and unknown dims as 1."""
    check_rank(shape, limits, where)
    # An axis of 0 must not hide the others: NumPy multiplies strides before it looks.
    dims = (max(dim, 1) for dim in shape if isinstance(dim, int))
    size = math.prod(dims)
    if size > limits.elements:
        limits.refuse("elements", where, f"shape {shown(shape)} declares {size}")


def _table_types(graph: Graph) -> Iterator[TensorType]:
    return (type_ for call in graph.layers for type_ in call.types)


def _names(graph: Graph) -> Iterator[str]:
    yield graph.name
    for entry in (*graph.inputs, *graph.params, *graph.nodes):
        yield entry.name
    for entry in (*graph.outputs, *graph.losses):
        yield entry.name
    for call in graph.layers:
        yield from (call.path, call.layer, call.cls)
