"""A graph as plain data, and back; format version 1. `docs/format.md` describes it.

Everything is by name: params and values by theirs, ops by (kind, version). The layer
table is included; `Node.loc`, which speaks of the user's disk, is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from graphjit.constraints import Constraint
from graphjit.errors import FormatError
from graphjit.formats import leaves, plain
from graphjit.formats.attributes import (
    LEAVES,
    Leaf,
    decode,
    decode_op,
    encode,
    encode_op,
)
from graphjit.formats.plain import refuse, shown
from graphjit.initializers import Initializer
from graphjit.ir import (
    NO_CALL,
    Config,
    Frozen,
    Graph,
    Input,
    LayerCall,
    Loss,
    Node,
    Output,
    Param,
    Ref,
    Update,
    Value,
)
from graphjit.narrow import mapping_of, sequence_of
from graphjit.regularizers import Regularizer

__all__ = ["decode_graph", "encode_graph"]

T = TypeVar("T")

_GRAPH: Final = (
    "name",
    "inputs",
    "params",
    "nodes",
    "outputs",
    "updates",
    "losses",
    "layers",
)
_PARAM: Final = (
    "name",
    "type",
    "initializer",
    "regularizer",
    "constraint",
    "collection",
    "trainable",
)
_NODE: Final = ("name", "op", "operands", "types", "epilogue", "kernel", "call")
_LAYER: Final = (
    "path",
    "layer",
    "class",
    "config",
    "call",
    "parent",
    "inputs",
    "results",
    "types",
    "params",
)


def encode_graph(graph: object, where: str = "graph") -> dict[str, Any]:
    """Plain data for a graph.

    Raises:
        FormatError: Something in it cannot be saved; the text names it.
    """
    if type(graph) is not Graph:
        refuse(where, "a graph", graph)
    values = (
        graph.name,
        _written(graph.inputs, f"{where}.inputs", _encode_input),
        _written(graph.params, f"{where}.params", _encode_param),
        _written(graph.nodes, f"{where}.nodes", _encode_node),
        _written(graph.outputs, f"{where}.outputs", _encode_output),
        [{"param": u.param, "value": _ref(u.value)} for u in graph.updates],
        [{"name": loss.name, "value": _ref(loss.value)} for loss in graph.losses],
        _written(graph.layers, f"{where}.layers", _encode_layer),
    )
    return dict(zip(_GRAPH, values, strict=True))


def decode_graph(data: object, where: str = "graph") -> Graph:
    """The graph that `encode_graph` wrote. It is not verified here.

    Raises:
        FormatError: The text names the node or param and the field.
    """
    name, inputs, params, nodes, outputs, updates, losses, layers = plain.record(
        data, _GRAPH, where
    )
    return Graph(
        inputs=_read(inputs, f"{where}.inputs", _decode_input),
        params=_read(params, f"{where}.params", _decode_param),
        nodes=_read(nodes, f"{where}.nodes", _decode_node),
        outputs=_read(outputs, f"{where}.outputs", _decode_output),
        updates=_read(updates, f"{where}.updates", _decode_update),
        losses=_read(losses, f"{where}.losses", _decode_loss),
        layers=_decode_layers(layers, f"{where}.layers"),
        name=plain.text(name, f"{where}.name"),
    )


LEAVES[Graph] = Leaf("a graph", encode_graph, decode_graph)


def _written(
    items: Sequence[T], where: str, step: Callable[[T, str], Any]
) -> list[Any]:
    return [step(item, f"{where}[{at}]") for at, item in enumerate(items)]


def _read(data: object, where: str, step: Callable[[Any, str], T]) -> tuple[T, ...]:
    items = plain.listing(data, where)
    return tuple(step(item, f"{where}[{at}]") for at, item in enumerate(items))


def _titled(data: object, key: str, where: str) -> str:
    """`where`, and the name an entry gives itself, for errors about its fields."""
    entries = mapping_of(data) or {}
    name: object = entries.get(key)
    return f"{where} {shown(name)}" if type(name) is str else where


# --- values ---------------------------------------------------------------------


def _ref(value: Value | Ref | None) -> list[Any] | None:
    if value is None:
        return None
    return [value.node if isinstance(value, Value) else value.call, value.index]


def _value(data: object, where: str) -> Value:
    name, index = plain.listing(data, where, count=2)
    return Value(plain.text(name, where), plain.integer(index, where, least=0))


def _optional_value(data: object, where: str) -> Value | None:
    return None if data is None else _value(data, where)


def _table_ref(data: object, where: str) -> Ref:
    call, index = plain.listing(data, where, count=2)
    return Ref(
        plain.integer(call, where, least=0), plain.integer(index, where, least=0)
    )


# --- entries --------------------------------------------------------------------


def _encode_input(entry: Input, where: str) -> dict[str, Any]:
    type_ = leaves.encode_type(entry.type, f"{where} {entry.name!r}.type")
    return {"name": entry.name, "type": type_}


def _decode_input(data: object, where: str) -> Input:
    title = _titled(data, "name", where)
    name, type_ = plain.record(data, ("name", "type"), title)
    return Input(
        plain.text(name, f"{where}.name"), leaves.decode_type(type_, f"{title}.type")
    )


_SETTINGS: Final = (
    ("initializer", Initializer | None),
    ("regularizer", Regularizer | None),
    ("constraint", Constraint | None),
)


def _encode_param(param: Param, where: str) -> dict[str, Any]:
    where = f"{where} {param.name!r}"
    settings = (
        encode(hint, getattr(param, field), f"{where}.{field}")
        for field, hint in _SETTINGS
    )
    values = (
        param.name,
        leaves.encode_type(param.type, f"{where}.type"),
        *settings,
        plain.text(param.collection, f"{where}.collection"),
        plain.boolean(param.trainable, f"{where}.trainable"),
    )
    entries: dict[str, Any] = dict(zip(_PARAM, values, strict=True))
    return {**entries, "recurrent": True} if param.recurrent else entries


def _decode_param(data: object, where: str) -> Param:
    title = _titled(data, "name", where)
    name, type_, *settings, collection, trainable, recurrent = plain.record(
        data, _PARAM, title, ("recurrent",)
    )
    initializer, regularizer, constraint = (
        decode(hint, value, f"{title}.{field}")
        for (field, hint), value in zip(_SETTINGS, settings, strict=True)
    )
    return Param(
        plain.text(name, f"{where}.name"),
        leaves.decode_type(type_, f"{title}.type"),
        initializer,
        regularizer,
        constraint,
        plain.text(collection, f"{title}.collection"),
        plain.boolean(trainable, f"{title}.trainable"),
        recurrent is not None and plain.boolean(recurrent, f"{title}.recurrent"),
    )


# --- nodes ----------------------------------------------------------------------


def _encode_node(node: Node, where: str) -> dict[str, Any]:
    where = f"{where} {node.name!r}"
    values = (
        node.name,
        encode_op(node.op, where),
        [_ref(operand) for operand in node.operands],
        _written(node.types, f"{where}.types", leaves.encode_type),
        _written(node.epilogue, f"{where}.epilogue", encode_op),
        plain.text(node.kernel, f"{where}.kernel"),
        plain.integer(node.call, f"{where}.call"),
    )
    return dict(zip(_NODE, values, strict=True))


def _decode_node(data: object, where: str) -> Node:
    title = _titled(data, "name", where)
    name, op, operands, types, epilogue, kernel, call = plain.record(data, _NODE, title)
    return Node(
        plain.text(name, f"{where}.name"),
        decode_op(op, title),
        _read(operands, f"{title}.operands", _optional_value),
        _read(types, f"{title}.types", leaves.decode_type),
        _read(epilogue, f"{title}.epilogue", decode_op),
        plain.text(kernel, f"{title}.kernel"),
        plain.integer(call, f"{title}.call", least=NO_CALL),
    )


# --- results --------------------------------------------------------------------


def _encode_output(output: Output, where: str) -> dict[str, Any]:
    name = plain.text(output.name, f"{where}.name")
    return {"name": name, "value": _ref(output.value), "mask": _ref(output.mask)}


def _decode_output(data: object, where: str) -> Output:
    title = _titled(data, "name", where)
    name, value, mask = plain.record(data, ("name", "value", "mask"), title)
    return Output(
        plain.text(name, f"{where}.name"),
        _value(value, f"{title}.value"),
        _optional_value(mask, f"{title}.mask"),
    )


def _decode_update(data: object, where: str) -> Update:
    title = _titled(data, "param", where)
    param, value = plain.record(data, ("param", "value"), title)
    return Update(plain.text(param, f"{where}.param"), _value(value, f"{title}.value"))


def _decode_loss(data: object, where: str) -> Loss:
    title = _titled(data, "name", where)
    name, value = plain.record(data, ("name", "value"), title)
    return Loss(plain.text(name, f"{where}.name"), _value(value, f"{title}.value"))


# --- the layer table ------------------------------------------------------------


def _encode_layer(call: LayerCall, where: str) -> dict[str, Any]:
    where = f"{where} {call.path!r}"
    values = (
        call.path,
        call.layer,
        call.cls,
        _encode_frozen(call.config, f"{where}.config"),
        call.call,
        call.parent,
        [_ref(ref) for ref in call.inputs],
        [_ref(ref) for ref in call.results],
        _written(call.types, f"{where}.types", leaves.encode_type),
        list(call.params),
    )
    entries: dict[str, Any] = dict(zip(_LAYER, values, strict=True))
    if call.arguments.items:
        entries["arguments"] = _encode_frozen(call.arguments, f"{where}.arguments")
    return entries


def _decode_layers(data: object, where: str) -> tuple[LayerCall, ...]:
    calls = _read(data, where, _decode_layer)
    for row, call in enumerate(calls):
        title = f"{where}[{row}] {shown(call.path)}"
        # Readers of the table walk up the parents, so there is no way round a circle.
        if call.parent >= row:
            refuse(f"{title}.parent", f"a row before {row}", call.parent)
        for ref in call.results:
            if ref.call >= len(calls) or ref.index >= len(calls[ref.call].types):
                refuse(f"{title}.results", "a tensor of the table", _ref(ref))
    return calls


def _decode_layer(data: object, where: str) -> LayerCall:
    title = _titled(data, "path", where)
    path, layer, cls, config, call, parent, inputs, results, types, params, given = (
        plain.record(data, _LAYER, title, ("arguments",))
    )
    settings = _decode_frozen(config, f"{title}.config")
    if not isinstance(settings, Config):
        refuse(f"{title}.config", "a map", config)
    arguments = (
        Config() if given is None else _decode_frozen(given, f"{title}.arguments")
    )
    if not isinstance(arguments, Config):
        refuse(f"{title}.arguments", "a map", given)
    return LayerCall(
        plain.text(path, f"{where}.path"),
        plain.text(layer, f"{title}.layer"),
        plain.text(cls, f"{title}.class"),
        settings,
        plain.integer(call, f"{title}.call", least=0),
        plain.integer(parent, f"{title}.parent", least=NO_CALL),
        _read(inputs, f"{title}.inputs", _table_ref),
        _read(results, f"{title}.results", _table_ref),
        _read(types, f"{title}.types", leaves.decode_type),
        _read(params, f"{title}.params", plain.text),
        arguments,
    )


def _encode_frozen(data: Frozen, where: str) -> Any:
    if isinstance(data, Config):
        entries: dict[str, Any] = {}
        for key, value in data.items:
            if key in entries:
                raise FormatError(f"{where}: the key {key!r} stands twice")
            entries[key] = _encode_frozen(value, f"{where}.{key}")
        return entries
    if isinstance(data, tuple):
        return _written(data, where, _encode_frozen)
    return encode(_SCALAR, data, where)


def _decode_frozen(data: object, where: str) -> Frozen:
    entries = mapping_of(data)
    if entries is not None:
        return Config(
            tuple(
                (key, _decode_frozen(value, f"{where}.{shown(key)}"))
                for key, value in entries.items()
            )
        )
    items = sequence_of(data)
    if items is not None:
        return _read(items, where, _decode_frozen)
    return decode(_SCALAR, data, where)


_SCALAR: Final = bool | int | float | str | None
