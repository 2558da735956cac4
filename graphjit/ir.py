"""The intermediate representation: an immutable graph of layer-sized nodes.

Everything here is plain Python and frozen; no jax, no arrays. Values are references by
name, weights are operands, state is threaded through `updates`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from graphjit.constraints import Constraint
from graphjit.errors import ShapeError, VerifyError
from graphjit.initializers import Initializer
from graphjit.ops.base import Op, operand_role, result_types
from graphjit.regularizers import Regularizer
from graphjit.types import TensorType

__all__ = [
    "NO_CALL",
    "Config",
    "Graph",
    "Input",
    "LayerCall",
    "Loc",
    "Loss",
    "Node",
    "Output",
    "Param",
    "Ref",
    "Update",
    "Value",
    "infer_node",
]

NO_CALL: Final = -1

#: A layer's configuration, frozen: JSON data with tuples for lists and
#: tuples of (key, value) pairs, wrapped in `Config`, for objects.
Frozen: TypeAlias = "bool | int | float | str | tuple[Frozen, ...] | Config | None"


@dataclass(frozen=True, slots=True, eq=False)
class Config:
    """An immutable JSON object, comparable and hashable.

    Two are equal when their texts are: 1, 1.0 and True are three values here.
    """

    items: tuple[tuple[str, Frozen], ...] = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Config):
            return NotImplemented
        return self.items is other.items or repr(self.items) == repr(other.items)

    def __hash__(self) -> int:
        return hash(repr(self.items))

    @classmethod
    def freeze(cls, data: dict[str, Any]) -> Config:
        """The frozen form of a plain dictionary."""
        return cls(tuple((key, _freeze(value)) for key, value in data.items()))

    def thaw(self) -> dict[str, Any]:
        """A fresh plain dictionary."""
        return {key: _thaw(value) for key, value in self.items}


def _freeze(data: Any) -> Frozen:
    if isinstance(data, dict):
        return Config.freeze(data)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(data, (list, tuple)):
        return tuple(_freeze(item) for item in data)  # pyright: ignore[reportUnknownVariableType]
    return data


def _thaw(data: Frozen) -> Any:
    if isinstance(data, Config):
        return data.thaw()
    if isinstance(data, tuple):
        return [_thaw(item) for item in data]
    return data


@dataclass(frozen=True, slots=True)
class Value:
    """A reference to result `index` of the input, param or node called `node`."""

    node: str
    index: int = 0

    def __str__(self) -> str:
        return f"%{self.node}" if self.index == 0 else f"%{self.node}#{self.index}"


@dataclass(frozen=True, slots=True)
class Loc:
    """Where in the user's code something was written; for error texts only."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Input:
    """An argument of the graph."""

    name: str
    type: TensorType

    @property
    def value(self) -> Value:
        return Value(self.name)


@dataclass(frozen=True, slots=True)
class Param:
    """A weight ("params") or a piece of state ("state"), named ``layer/slot``.

    Recurrent state is what a stateful layer carries from batch to batch: it can be
    reset to its first value, and it is not among a model's weights.
    """

    name: str
    type: TensorType
    initializer: Initializer | None = None
    regularizer: Regularizer | None = None
    constraint: Constraint | None = None
    collection: str = "params"
    trainable: bool = True
    recurrent: bool = False

    @property
    def value(self) -> Value:
        return Value(self.name)

    @property
    def is_state(self) -> bool:
        return self.collection == "state"


@dataclass(frozen=True, slots=True)
class Node:
    """One application of an op.

    Attributes:
        name: Unique among inputs, params and nodes.
        op: What is computed.
        operands: Values read; None for an optional operand left out.
        types: The results' types.
        epilogue: Unary elementwise ops applied to result 0, in order.
        kernel: Which of `op.kernels` lowers it; "" for the plain lowering.
        call: The row of `Graph.layers` it came from, or `NO_CALL`.
        loc: The user's file and line; neither compared nor saved.
    """

    name: str
    op: Op
    operands: tuple[Value | None, ...]
    types: tuple[TensorType, ...]
    epilogue: tuple[Op, ...] = ()
    kernel: str = ""
    call: int = NO_CALL
    loc: Loc | None = field(default=None, compare=False, repr=False)

    @property
    def value(self) -> Value:
        return Value(self.name)

    def values(self) -> Iterator[Value]:
        """All results."""
        return (Value(self.name, index) for index in range(len(self.types)))


@dataclass(frozen=True, slots=True)
class Output:
    """A result of the graph, with the mask that goes with it."""

    name: str
    value: Value
    mask: Value | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """The new value of a state param."""

    param: str
    value: Value


@dataclass(frozen=True, slots=True)
class Loss:
    """A scalar added to the training loss."""

    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class Ref:
    """Tensor `index` of the row `call` of the layer table."""

    call: int
    index: int = 0


@dataclass(frozen=True, slots=True)
class LayerCall:
    """One row of the layer table: one call of one layer.

    The table speaks of layers, not of nodes: it stays true when passes rewrite the
    nodes, so summary, get_config and per-layer weights work on any graph.

    Attributes:
        path: Unique name of this call: ``encoder/conv``, ``encoder/conv@1``.
        layer: Path of the layer; calls of a shared layer have the same.
        cls: The layer's class name.
        config: The layer's configuration.
        call: 0 for the first call of the layer, 1 for the second, …
        parent: The row of the model this call is inside of, or `NO_CALL`.
        inputs: What the call was applied to.
        results: For a nested model, which inner tensors are its outputs.
        types: The types of its outputs.
        params: Names of the params the layer owns, in `get_weights` order.
        arguments: What the call was given beside its inputs; ``{"tensor": i}`` stands
            for ``inputs[i]``.
    """

    path: str
    layer: str
    cls: str
    config: Config
    call: int = 0
    parent: int = NO_CALL
    inputs: tuple[Ref, ...] = ()
    results: tuple[Ref, ...] = ()
    types: tuple[TensorType, ...] = ()
    params: tuple[str, ...] = ()
    arguments: Config = Config()


@dataclass(frozen=True, slots=True)
class Graph:
    """An immutable program: flat tuples, nodes in topological order."""

    inputs: tuple[Input, ...] = ()
    params: tuple[Param, ...] = ()
    nodes: tuple[Node, ...] = ()
    outputs: tuple[Output, ...] = ()
    updates: tuple[Update, ...] = ()
    losses: tuple[Loss, ...] = ()
    layers: tuple[LayerCall, ...] = ()
    name: str = "graph"

    def __str__(self) -> str:
        # The printer stands above the IR; this is the one deferred import upwards.
        from graphjit.printer import print_graph

        return print_graph(self)

    def replace(self, **changes: Any) -> Graph:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def types(self) -> dict[Value, TensorType]:
        """The type of every value."""
        table: dict[Value, TensorType] = {}
        for entry in (*self.inputs, *self.params):
            table[Value(entry.name)] = entry.type
        for node in self.nodes:
            for index, type_ in enumerate(node.types):
                table[Value(node.name, index)] = type_
        return table

    def results(self) -> Iterator[Value]:
        """Every value the graph hands out: outputs, masks, updates, losses."""
        for output in self.outputs:
            yield output.value
            if output.mask is not None:
                yield output.mask
        for update in self.updates:
            yield update.value
        for loss in self.losses:
            yield loss.value

    def users(self) -> dict[Value, list[Node]]:
        """For every value the nodes that read it (once per operand)."""
        table: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for operand in node.operands:
                if operand is not None:
                    table.setdefault(operand, []).append(node)
        return table

    def count(self, kind: str) -> int:
        """How many nodes are of this kind."""
        return sum(node.op.kind == kind for node in self.nodes)


def infer_node(
    name: str,
    op: Op,
    operands: Sequence[Value | None],
    types: Sequence[TensorType | None],
    epilogue: Sequence[Op] = (),
    loc: Loc | None = None,
    labels: Mapping[Value, str] | None = None,
) -> tuple[TensorType, ...]:
    """The result types of a node, with errors that say which node and operands.

    `labels` are names to show for values, where their own say too little.

    Raises:
        ShapeError: The operands do not fit the op.
    """
    try:
        results = result_types(op, types)
    except ShapeError as error:
        shown = [_label(value, labels) for value in operands]
        raise _located(error, name, op, shown, types, loc) from None
    except TypeError as error:
        message = f"{op.kind} {name!r}: {len(types)} operands do not fit: {error}"
        raise VerifyError(message) from error
    for stage in epilogue:
        head = result_types(stage, results[:1])
        results = head + results[1:]
    return results


def _label(value: Value | None, labels: Mapping[Value, str] | None) -> str | None:
    if value is None:
        return None
    return labels[value] if labels and value in labels else str(value)


def _located(
    error: ShapeError,
    name: str,
    op: Op,
    operands: Sequence[str | None],
    types: Sequence[TensorType | None],
    loc: Loc | None,
) -> ShapeError:
    rows = [
        (operand_role(op, at), value, str(type_))
        for at, (value, type_) in enumerate(zip(operands, types, strict=True))
        if value is not None
    ]
    role_width = max((len(role) for role, _, _ in rows), default=0)
    value_width = max((len(value) for _, value, _ in rows), default=0)
    type_width = max((len(type_) for _, _, type_ in rows), default=0)
    lines: list[str] = []
    for role, value, type_ in rows:
        note = error.notes.get(role, "")
        line = f"{role:<{role_width}} {value:<{value_width}} : "
        lines.append(line + (f"{type_:<{type_width}}   {note}" if note else type_))
    if loc is not None:
        lines.append(f"at {loc}")
    message = f"{op.kind} {name!r}: {error.message}"
    return ShapeError(message, details=lines, hint=error.hint)
