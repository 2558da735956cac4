"""Nodes of TensorFlow's graph in protobuf's binary form, read as data.

A strict reader of the fields that a `NodeDef` has (tensorflow/core/framework/
node_def.proto and attr_value.proto), into what protobuf's own JSON says. TensorFlow
1.15 to 2.1 write these bytes into a model's configuration, as a text.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["read_node"]

_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_FIXED32: Final = 5
_MOST_VARINT_BYTES: Final = 10

#: Element types by number (types.proto); others have no name here.
_TYPES: Final[Mapping[int, str]] = {
    1: "DT_FLOAT",
    2: "DT_DOUBLE",
    3: "DT_INT32",
    4: "DT_UINT8",
    7: "DT_STRING",
    9: "DT_INT64",
    10: "DT_BOOL",
    14: "DT_BFLOAT16",
    19: "DT_HALF",
}
#: Fields of an attribute's value, and of a list of them.
_KINDS: Final[Mapping[int, str]] = {
    1: "list",
    2: "s",
    3: "i",
    4: "f",
    5: "b",
    6: "type",
}


def read_node(data: bytes) -> dict[str, Any]:
    """A node: its name, op, input and attr.

    Args:
        data: A serialized NodeDef.

    Raises:
        ValueError: The data is none, or ends too early.

    >>> read_node(b"\\n\\x03mul\\x12\\x03Mul\\x1a\\x01a*\\x07\\n\\x01T\\x12\\x020\\x01")
    {'name': 'mul', 'op': 'Mul', 'input': ['a'], 'attr': {'T': {'type': 'DT_FLOAT'}}}
    """
    node: dict[str, Any] = {"name": "", "op": "", "input": [], "attr": {}}
    for field, value in _fields(data):
        if field == 1:
            node["name"] = _text(value)
        elif field == 2:
            node["op"] = _text(value)
        elif field == 3:
            node["input"].append(_text(value))
        elif field == 5:
            entry = dict(_fields(_part(value)))
            name = _text(entry.get(1, b""))
            node["attr"][name] = _attribute(_part(entry.get(2, b"")))
    return node


def _attribute(data: bytes) -> dict[str, Any]:
    """The value of an attribute; {} where it is of a kind not known here."""
    made: dict[str, Any] = {}
    for field, value in _fields(data):
        kind = _KINDS.get(field)
        if kind == "list":
            made = {"list": _list(_part(value))}
        elif kind is not None:
            made = {kind: _single(kind, value)}
    return made


def _list(data: bytes) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for field, value in _fields(data):
        kind = _KINDS.get(field)
        if kind is None or kind == "list":
            continue
        items = made.setdefault(kind, [])
        if isinstance(value, bytes) and kind != "s":
            items += [_single(kind, item) for item in _packed(kind, value)]
        else:
            items.append(_single(kind, value))
    return made


def _single(kind: str, value: Any) -> Any:
    if kind == "s":
        return base64.b64encode(_part(value)).decode("ascii")
    if kind == "f":
        if not isinstance(value, float):
            raise ValueError("expected a float")
        return value
    if not isinstance(value, int):
        raise ValueError("expected a whole number")
    if kind == "type":
        return _TYPES.get(value, f"DT_{value}")
    if kind == "b":
        return bool(value)
    return value - (1 << 64) if value >= 1 << 63 else value


# --- the wire -------------------------------------------------------------------


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers of fields, and their values: whole numbers, floats or bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        field, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield field, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"no wire type {wire}")
        if size > len(data) - at:
            raise ValueError("it ends too early")
        part = data[at : at + size]
        at += size
        yield field, struct.unpack("<f", part)[0] if wire == _FIXED32 else part


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for count in range(_MOST_VARINT_BYTES):
        if at + count >= len(data):
            raise ValueError("it ends too early")
        byte = data[at + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, at + count + 1
    raise ValueError("a whole number is too long")


def _packed(kind: str, data: bytes) -> Iterator[Any]:
    """The numbers of a list that stand in one run."""
    at = 0
    if kind == "f":
        for (value,) in struct.iter_unpack("<f", data[: len(data) // 4 * 4]):
            yield value
        return
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _part(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("expected bytes")
    return value


def _text(value: Any) -> str:
    return _part(value).decode("utf-8")
