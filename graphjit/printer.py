"""The text of a graph: the debugging interface, stable enough for tests.

One line per node::

    %y = kind(%x, %k) {attrs} |> relu @kernel : float32[batch, 28, 28, 64]
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator
from typing import Any

from graphjit.bodies import bodies_of
from graphjit.ir import Graph, Node, Param
from graphjit.ops.base import Op

__all__ = ["attributes_text", "op_text", "print_graph", "print_node"]

_INDENT = "  "


def print_graph(graph: Graph) -> str:
    """The whole graph, bodies included."""
    return "\n".join(_graph_lines(graph, ""))


def _graph_lines(graph: Graph, pad: str) -> Iterator[str]:
    arguments = ", ".join(f"%{entry.name} : {entry.type}" for entry in graph.inputs)
    yield f"{pad}graph {graph.name}({arguments}) {{"
    inner = pad + _INDENT
    for param in graph.params:
        yield inner + _param_text(param)
    for node in graph.nodes:
        yield inner + print_node(node)
        for name, body in bodies_of(node.op):
            yield f"{inner}{_INDENT}{name}:"
            yield from _graph_lines(body, inner + _INDENT)
    outputs = ", ".join(
        f"{output.name}={output.value}"
        + ("" if output.mask is None else f" masked by {output.mask}")
        for output in graph.outputs
    )
    yield f"{inner}return {outputs}"
    for update in graph.updates:
        yield f"{inner}update %{update.param} <- {update.value}"
    for loss in graph.losses:
        yield f"{inner}loss {loss.name} = {loss.value}"
    yield f"{pad}}}"


def _param_text(param: Param) -> str:
    word = "state" if param.is_state else "param"
    text = f"{word} %{param.name} : {param.type}"
    if not param.trainable and not param.is_state:
        text += " frozen"
    for setting in (param.regularizer, param.constraint):
        if setting is not None:
            text += f" {setting}"
    return text


def print_node(node: Node) -> str:
    """One node on one line."""
    operands = ", ".join("_" if v is None else str(v) for v in node.operands)
    text = f"%{node.name} = {node.op.kind}({operands})"
    attributes = attributes_text(node.op)
    if attributes:
        text += f" {{{attributes}}}"
    for stage in node.epilogue:
        text += f" |> {op_text(stage)}"
    if node.kernel:
        text += f" @{node.kernel}"
    types = ", ".join(str(type_) for type_ in node.types)
    return f"{text} : {types if len(node.types) == 1 else f'({types})'}"


def op_text(op: Op) -> str:
    """An op with its attributes, as in an epilogue: ``relu(max_value=6.0)``."""
    attributes = attributes_text(op)
    return f"{op.kind}({attributes})" if attributes else op.kind


def attributes_text(op: Op) -> str:
    """The attributes that differ from their defaults, bodies left out."""
    parts: list[str] = []
    for field in dataclasses.fields(op):  # pyright: ignore[reportArgumentType]
        value = getattr(op, field.name)
        default = field.default
        # As texts: 1, 1.0 and True are equal, and so are 0.0 and -0.0.
        same = type(value) is type(default) and repr(value) == repr(default)
        if same or isinstance(value, Graph):
            continue
        parts.append(f"{field.name}={_attribute(value)}")
    return ", ".join(parts)


def _attribute(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return str(value.value)
    return repr(value)
