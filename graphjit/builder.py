"""Building graphs, and rebuilding them: the only way nodes come into being."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace as replaced
from typing import Any

from graphjit.errors import VerifyError
from graphjit.ir import (
    NO_CALL,
    Graph,
    Input,
    LayerCall,
    Loc,
    Loss,
    Node,
    Output,
    Param,
    Update,
    Value,
    infer_node,
)
from graphjit.ops.base import Op
from graphjit.types import TensorType

__all__ = ["Builder", "Rewriter", "live_nodes", "retyped"]


class Builder:
    """Collects the parts of a graph; types are inferred as nodes are added.

    Attributes:
        call: The layer-table row given to nodes that name none.
        loc: The user's line given to nodes that name none.
        labels: What to call values in errors, where not by their names.
        prefix: Put before node names in errors.
    """

    def __init__(self, name: str = "graph", layers: Sequence[LayerCall] = ()) -> None:
        self.name = name
        self.call = NO_CALL
        self.loc: Loc | None = None
        self.labels: dict[Value, str] = {}
        self.prefix = ""
        self.layers: list[LayerCall] = list(layers)
        self._inputs: list[Input] = []
        self._params: dict[str, Param] = {}
        self._nodes: list[Node] = []
        self._outputs: list[Output] = []
        self._updates: list[Update] = []
        self._losses: list[Loss] = []
        self._types: dict[Value, TensorType] = {}
        self._names: dict[str, int] = {}

    # --- entries ------------------------------------------------------------------

    def input(self, name: str, type_: TensorType) -> Value:
        """Add an argument."""
        self._claim(name)
        self._inputs.append(Input(name, type_))
        self._types[Value(name)] = type_
        return Value(name)

    def param(self, param: Param) -> Value:
        """Add a param, or refer to the equal one added before."""
        known = self._params.get(param.name)
        if known is None:
            self._claim(param.name)
            self._params[param.name] = param
            self._types[param.value] = param.type
        elif known != param:
            message = f"param {param.name!r} is declared twice, differently"
            raise VerifyError(message, details=[f"{known}", f"{param}"])
        return param.value

    def node(
        self,
        op: Op,
        operands: Iterable[Value | None],
        *,
        name: str | None = None,
        epilogue: tuple[Op, ...] = (),
        kernel: str = "",
        call: int | None = None,
        loc: Loc | None = None,
    ) -> tuple[Value, ...]:
        """Add a node and return its results; a taken name gets a number."""
        values = _stripped(operands)
        types = [None if value is None else self._types[value] for value in values]
        unique = self.fresh(name or op.kind)
        where = loc or self.loc
        title = self.prefix + unique
        results = infer_node(title, op, values, types, epilogue, where, self.labels)
        row = self.call if call is None else call
        self.add(Node(unique, op, values, results, epilogue, kernel, row, where))
        return tuple(Value(unique, index) for index in range(len(results)))

    def __call__(
        self, op: Op, *operands: Value | None, name: str | None = None
    ) -> Value:
        """Add a node and return its first result."""
        return self.node(op, operands, name=name)[0]

    def add(self, node: Node) -> None:
        """Add a finished node as it is; its name must be free."""
        self._claim(node.name)
        self._nodes.append(node)
        for index, type_ in enumerate(node.types):
            self._types[Value(node.name, index)] = type_

    def output(self, name: str, value: Value, mask: Value | None = None) -> None:
        self._outputs.append(Output(name, value, mask))

    def update(self, param: str, value: Value) -> None:
        self._updates.append(Update(param, value))

    def loss(self, name: str, value: Value) -> None:
        self._losses.append(Loss(name, value))

    # --- questions ----------------------------------------------------------------

    def type_of(self, value: Value) -> TensorType:
        return self._types[value]

    def fresh(self, name: str) -> str:
        """`name`, or `name_1`, `name_2`, … when it is taken."""
        if name not in self._names:
            return name
        count = self._names[name]
        while f"{name}_{count}" in self._names:
            count += 1
        self._names[name] = count
        return f"{name}_{count}"

    def build(self) -> Graph:
        return Graph(
            inputs=tuple(self._inputs),
            params=tuple(self._params.values()),
            nodes=tuple(self._nodes),
            outputs=tuple(self._outputs),
            updates=tuple(self._updates),
            losses=tuple(self._losses),
            layers=tuple(self.layers),
            name=self.name,
        )

    def _claim(self, name: str) -> None:
        if name in self._names:
            raise VerifyError(f"the name {name!r} is used twice")
        self._names[name] = 1


class Rewriter(Builder):
    """Rebuilds a graph node by node, with some values replaced by others.

    A pass walks `graph.nodes`, calling `keep` or emitting something else and
    `replace`-ing the old results, then returns `finish()`.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph.name, graph.layers)
        self.graph = graph
        self._new: dict[Value, Value] = {}
        self._made: dict[str, Node] = {}
        self._scope = ""
        self._old_names = {node.name for node in graph.nodes}
        for entry in graph.inputs:
            self.input(entry.name, entry.type)
        for param in graph.params:
            self.param(param)

    def lookup(self, value: Value) -> Value:
        """What stands for an old value in the new graph."""
        return self._new.get(value, value)

    def producer(self, value: Value) -> Node | None:
        """The new graph's node that makes `value`; None for an input or param."""
        return self._made.get(value.node)

    def add(self, node: Node) -> None:
        super().add(node)
        self._made[node.name] = node

    def operands(self, node: Node) -> tuple[Value | None, ...]:
        return tuple(None if v is None else self.lookup(v) for v in node.operands)

    def replace(self, old: Value, new: Value) -> None:
        """Let `new` (of the new graph) stand for `old` from here on."""
        if old != new:
            self._new[old] = new

    def keep(self, node: Node, **changes: Any) -> Node:
        """Add the old node with its operands looked up, and some fields changed."""
        operands = _stripped(self.operands(node))
        if operands != node.operands:
            changes.setdefault("operands", operands)
        if changes:
            changes["operands"] = _stripped(changes.get("operands", operands))
            node = replaced(node, **changes)
            types = [None if v is None else self._types[v] for v in node.operands]
            results = infer_node(
                node.name, node.op, node.operands, types, node.epilogue, node.loc
            )
            if results != node.types:
                node = replaced(node, types=results)
        self.add(node)
        return node

    def at(self, node: Node) -> Rewriter:
        """Give nodes emitted from here on the provenance and scope of `node`."""
        self.call, self.loc = node.call, node.loc
        self._scope = node.name
        return self

    def __call__(
        self, op: Op, *operands: Value | None, name: str | None = None
    ) -> Value:
        scoped = f"{self._scope}/{op.kind}" if self._scope else op.kind
        return self.node(op, operands, name=name or scoped)[0]

    def withdraw(self, node: Node) -> None:
        """Take back a node added before, which nothing reads; its name is free."""
        self._nodes.remove(node)
        del self._names[node.name], self._made[node.name]

    def fresh(self, name: str) -> str:
        # Names of old nodes that are still to be kept must stay free for them.
        base, count = name, 0
        while name in self._names or name in self._old_names:
            count += 1
            name = f"{base}_{count}"
        return name

    def set_params(self, params: Iterable[Param]) -> None:
        """Change attributes of params; names and types stay."""
        self._params = {param.name: param for param in params}

    def finish(self, losses: bool = True) -> Graph:
        """The new graph: the old one itself when nothing changed.

        An update whose state stays as it is goes. Without `losses` those go too.

        Nodes that lost their last reader are dropped; nodes that were dead before
        stay (removing them is Simplify's work, not every pass's).
        """
        old = self.graph
        for output in old.outputs:
            mask = None if output.mask is None else self.lookup(output.mask)
            self.output(output.name, self.lookup(output.value), mask)
        for update in old.updates:
            value = self.lookup(update.value)
            if value != Value(update.param):
                self.update(update.param, value)
        for loss in old.losses if losses else ():
            self.loss(loss.name, self.lookup(loss.value))
        new = self.build()
        live = live_nodes(new)
        if len(live) != len(new.nodes):
            was_dead = {n.name for n in old.nodes} - live_nodes(old)
            nodes = tuple(n for n in new.nodes if n.name in live or n.name in was_dead)
            new = new.replace(nodes=_closed(nodes, new))
        return old if new == old else new


def live_nodes(graph: Graph) -> set[str]:
    """Names of the nodes that some result of the graph depends on."""
    live = {value.node for value in graph.results()}
    for node in reversed(graph.nodes):
        if node.name in live:
            live.update(value.node for value in node.operands if value is not None)
    return live & {node.name for node in graph.nodes}


def _closed(kept: tuple[Node, ...], graph: Graph) -> tuple[Node, ...]:
    """`kept` and everything it reads, in the order of `graph`."""
    needed = {node.name for node in kept}
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(value.node for value in node.operands if value is not None)
    return tuple(node for node in graph.nodes if node.name in needed)


def _stripped(operands: Iterable[Value | None]) -> tuple[Value | None, ...]:
    """Operands without the trailing ones that were left out."""
    values = tuple(operands)
    while values and values[-1] is None:
        values = values[:-1]
    return values


def retyped(graph: Graph, types: Sequence[TensorType]) -> Graph:
    """The graph with other input types, everything inferred anew.

    Raises:
        ShapeError: A node does not fit its new operands.
    """
    if all(e.type == t for e, t in zip(graph.inputs, types, strict=True)):
        return graph
    rewriter = Rewriter(
        graph.replace(
            inputs=tuple(
                replaced(e, type=t) for e, t in zip(graph.inputs, types, strict=True)
            )
        )
    )
    for node in graph.nodes:
        rewriter.keep(node, operands=node.operands)
    return rewriter.finish()
