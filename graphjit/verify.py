"""The checker: re-derives every type and checks every invariant of the IR.

It runs after capture, after every pass and after load; always.
"""

from __future__ import annotations

from typing import NoReturn

from graphjit.bodies import bodies_of
from graphjit.errors import ShapeError, VerifyError
from graphjit.ir import (
    NO_CALL,
    Graph,
    LayerCall,
    Node,
    Output,
    Value,
    infer_node,
)
from graphjit.ops.base import OPS, Elementwise
from graphjit.printer import print_node
from graphjit.types import DTYPE_BYTES, TensorType, unify_shapes

__all__ = ["verify"]

_NEIGHBOURS = 3


def verify(graph: Graph) -> Graph:
    """Check a graph and return it.

    Raises:
        VerifyError: An invariant is broken; the message shows the neighbourhood.
        ShapeError: The operands of a node do not fit its op.
    """
    types: dict[Value, TensorType] = {}
    _check_entries(graph, types)
    threaded: dict[Value, str] = {}
    for position, node in enumerate(graph.nodes):
        _check_node(graph, position, node, types)
        _check_threading(graph, position, node, threaded)
        for index, type_ in enumerate(node.types):
            types[Value(node.name, index)] = type_
    _check_results(graph, types)
    _check_layers(graph.layers)
    return graph


def _check_entries(graph: Graph, types: dict[Value, TensorType]) -> None:
    for entry in (*graph.inputs, *graph.params):
        if not entry.name:
            raise VerifyError("an input or param has an empty name")
        if Value(entry.name) in types:
            raise VerifyError(f"the name {entry.name!r} is used twice")
        if entry.type.dtype not in DTYPE_BYTES:
            raise VerifyError(f"%{entry.name}: unknown dtype {entry.type.dtype!r}")
        types[Value(entry.name)] = entry.type
    for param in graph.params:
        if param.collection not in ("params", "state"):
            raise VerifyError(f"%{param.name}: unknown collection {param.collection!r}")
        if not all(isinstance(dim, int) and dim >= 0 for dim in param.type.shape):
            raise VerifyError(
                f"%{param.name}: a param's dims are numbers, {param.type}"
            )


def _check_node(
    graph: Graph, position: int, node: Node, types: dict[Value, TensorType]
) -> None:
    if not node.name:
        raise VerifyError(f"node {position} ({node.op.kind}) has an empty name")
    if Value(node.name) in types:
        _broken(graph, position, f"the name {node.name!r} is used twice")
    if node.op.kind not in OPS:
        _broken(graph, position, f"op {node.op.kind!r} is not registered")
    if node.operands and node.operands[-1] is None:
        _broken(graph, position, "the last operand is left out; strip it instead")
    operand_types: list[TensorType | None] = []
    for value in node.operands:
        if value is None:
            operand_types.append(None)
            continue
        type_ = types.get(value)
        if type_ is None:
            _broken(graph, position, f"{value} is read before it is defined")
        operand_types.append(type_)
    _check_stages(graph, position, node)
    for name, body in bodies_of(node.op):
        _check_body(graph, position, name, body)
    inferred = infer_node(
        node.name, node.op, node.operands, operand_types, node.epilogue, node.loc
    )
    if inferred != node.types:
        now = ", ".join(map(str, inferred))
        stated = ", ".join(map(str, node.types))
        _broken(graph, position, f"it states ({stated}) but computes ({now})")


def _check_stages(graph: Graph, position: int, node: Node) -> None:
    for stage in node.epilogue:
        if not isinstance(stage, Elementwise) or len(stage.roles) != 1:
            _broken(
                graph, position, f"epilogue {stage.kind!r} is not unary elementwise"
            )
        if stage.roles[0].endswith("*"):
            _broken(graph, position, f"epilogue {stage.kind!r} is not unary")
    if node.kernel and all(kernel.name != node.kernel for kernel in node.op.kernels):
        _broken(graph, position, f"op {node.op.kind!r} has no kernel {node.kernel!r}")
    if not NO_CALL <= node.call < len(graph.layers):
        message = f"call {node.call} is not a row of the layer table"
        _broken(graph, position, f"{message} ({len(graph.layers)} rows)")


def _check_body(graph: Graph, position: int, name: str, body: Graph) -> None:
    if body.params:
        names = ", ".join(param.name for param in body.params)
        _broken(graph, position, f"body {name!r} is not closed: it has params {names}")
    if body.updates or body.losses:
        _broken(graph, position, f"body {name!r} has updates or losses")
    try:
        verify(body)
    except (VerifyError, ShapeError) as error:
        message = f"in body {name!r} of {node_title(graph.nodes[position])}: {error}"
        raise VerifyError(message) from error


def _check_threading(
    graph: Graph, position: int, node: Node, threaded: dict[Value, str]
) -> None:
    for operand, _ in node.op.threads:
        value = node.operands[operand] if operand < len(node.operands) else None
        if value is None:
            continue
        earlier = threaded.setdefault(value, node.name)
        if earlier != node.name:
            message = f"state {value} is threaded through {earlier!r} already"
            _broken(graph, position, f"{message}; read the new value it returns")


def _check_results(graph: Graph, types: dict[Value, TensorType]) -> None:
    names: set[str] = set()
    for output in graph.outputs:
        _check_output(output, types)
        if output.name in names:
            raise VerifyError(f"two outputs are called {output.name!r}")
        names.add(output.name)
    states = {param.name: param.type for param in graph.params if param.is_state}
    updated: set[str] = set()
    for update in graph.updates:
        if update.param not in states:
            raise VerifyError(f"update of %{update.param}: not a state param")
        if update.param in updated:
            raise VerifyError(f"state %{update.param} is updated twice")
        updated.add(update.param)
        type_ = _defined(types, update.value, f"update of %{update.param}")
        if not _fits(type_, states[update.param]):
            stated = f"expected {states[update.param]}, received {type_}"
            raise VerifyError(f"update of %{update.param}: {stated}")
    losses: set[str] = set()
    for loss in graph.losses:
        if loss.name in losses:
            raise VerifyError(f"two losses are called {loss.name!r}")
        losses.add(loss.name)
        type_ = _defined(types, loss.value, f"loss {loss.name!r}")
        if type_.shape != ():
            raise VerifyError(
                f"loss {loss.name!r}: expected a scalar, received {type_}"
            )


def _check_output(output: Output, types: dict[Value, TensorType]) -> None:
    _defined(types, output.value, f"output {output.name!r}")
    if output.mask is None:
        return
    mask = _defined(types, output.mask, f"mask of output {output.name!r}")
    if mask.dtype != "bool":
        what = f"mask of output {output.name!r}"
        raise VerifyError(f"{what}: expected bool, received {mask}")


def _check_layers(layers: tuple[LayerCall, ...]) -> None:
    paths: set[str] = set()
    for row, call in enumerate(layers):
        if call.path in paths:
            raise VerifyError(f"layer table: two calls have the path {call.path!r}")
        paths.add(call.path)
        if not NO_CALL <= call.parent < row:
            raise VerifyError(f"layer call {call.path!r}: no row {call.parent} before")
        for ref in (*call.inputs, *call.results):
            if not 0 <= ref.call < len(layers) or ref.call == row:
                raise VerifyError(f"layer call {call.path!r}: no row {ref.call}")
            if not 0 <= ref.index < len(layers[ref.call].types):
                source = layers[ref.call].path
                message = f"{source!r} has no tensor {ref.index}"
                raise VerifyError(f"layer call {call.path!r}: {message}")


def _fits(found: TensorType, wanted: TensorType) -> bool:
    if found.dtype != wanted.dtype:
        return False
    try:
        unify_shapes(found.shape, wanted.shape)
    except ShapeError:
        return False
    return True


def _defined(types: dict[Value, TensorType], value: Value, what: str) -> TensorType:
    type_ = types.get(value)
    if type_ is None:
        raise VerifyError(f"{what}: {value} is not defined")
    return type_


def node_title(node: Node) -> str:
    """How messages name a node: kind and name."""
    return f"{node.op.kind} {node.name!r}"


def _broken(graph: Graph, position: int, message: str) -> NoReturn:
    first = max(0, position - _NEIGHBOURS)
    lines = [
        ("> " if at == position else "  ") + print_node(graph.nodes[at])
        for at in range(first, min(position + _NEIGHBOURS + 1, len(graph.nodes)))
    ]
    node = graph.nodes[position]
    if node.loc is not None:
        lines.append(f"at {node.loc}")
    raise VerifyError(f"{node_title(node)}: {message}", details=lines)
