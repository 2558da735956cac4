"""Attributes as plain data, by their declared types.

The annotation of a dataclass field decides how its value is written and what a reader
accepts: int, float, bool, str, None, Literal, an Enum, tuples and unions of these, a
frozen dataclass (a map of its fields), and the leaf types of `LEAVES`. Every field is
always written, and a value has one form, so that equal ops are equal bytes.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import (
    Any,
    Final,
    Literal,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from graphjit.errors import FormatError
from graphjit.formats import plain
from graphjit.formats.plain import refuse
from graphjit.ops.base import ADDED, OPS, Op

__all__ = [
    "LEAVES",
    "Leaf",
    "decode",
    "decode_op",
    "encode",
    "encode_op",
    "load_error",
]


@dataclass(frozen=True, slots=True)
class Leaf:
    """How the values of one annotation are written.

    Attributes:
        noun: What errors say was expected: "a graph".
        encode: (value, where) -> plain data.
        decode: (plain data, where) -> value.
    """

    noun: str
    encode: Callable[[Any, str], Any]
    decode: Callable[[Any, str], Any]


def _none(value: object, where: str) -> None:
    if value is not None:
        refuse(where, "None", value)


def _write_real(value: object, where: str) -> float:
    # + 0.0 makes -0.0 into 0.0: the two are equal, so they must be equal bytes.
    return plain.real(value + 0.0 if type(value) is float else value, where)


#: Leaf types by annotation; modules of this package add those they write.
LEAVES: Final[dict[Any, Leaf]] = {
    int: Leaf("an int", plain.integer, plain.integer),
    float: Leaf("a finite float", _write_real, plain.real),
    bool: Leaf("a bool", plain.boolean, plain.boolean),
    str: Leaf("a string", plain.text, plain.text),
    type(None): Leaf("None", _none, _none),
}


def encode(hint: Any, value: object, where: str) -> Any:
    """Plain data for a value annotated `hint`.

    Raises:
        FormatError: The value is not of the declared type, or cannot be saved.
    """
    leaf = LEAVES.get(hint)
    if leaf is not None:
        return leaf.encode(value, where)
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _union(encode, hint, value, where)
    if origin is Literal:
        return _literal(hint, value, where)
    if origin is tuple:
        if type(value) is not tuple:
            refuse(where, _describe(hint), value)
        return _each(encode, hint, cast("tuple[object, ...]", value), where)
    if _is_a(hint, enum.Enum):
        if type(value) is not hint:
            refuse(where, _describe(hint), value)
        return cast("enum.Enum", value).value
    if type(value) is not _dataclass(hint):
        refuse(where, _describe(hint), value)
    return encode_fields(value, where)


def decode(hint: Any, data: object, where: str) -> Any:
    """The value annotated `hint` that `data` stands for.

    Raises:
        FormatError: `data` is not what `encode` writes for such a value.
    """
    leaf = LEAVES.get(hint)
    if leaf is not None:
        return leaf.decode(data, where)
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _union(decode, hint, data, where)
    if origin is Literal:
        return _literal(hint, data, where)
    if origin is tuple:
        if type(data) is not list:
            refuse(where, _describe(hint), data)
        return tuple(_each(decode, hint, cast("list[object]", data), where))
    if _is_a(hint, enum.Enum):
        known = {member.value: member for member in hint}
        if type(data) is not str or data not in known:
            refuse(where, _describe(hint), data)
        return known[data]
    return decode_fields(_dataclass(hint), data, where)


def encode_fields(value: object, where: str) -> dict[str, Any]:
    """All fields of a dataclass instance, as a record.

    A field that was `added` later is left out at its default, so that files written
    before it are still what is written now.
    """
    entries = {
        name: encode(hint, getattr(value, name), f"{where}.{name}")
        for name, hint in _field_hints(type(value)).items()
    }
    for name, default in _added(type(value)).items():
        if entries[name] == default and type(entries[name]) is type(default):
            del entries[name]
    return entries


def decode_fields(cls: type[Any], data: object, where: str) -> Any:
    """The instance of a dataclass from the record of its fields."""
    hints, added = _field_hints(cls), _added(cls)
    first = [name for name in hints if name not in added]
    values = plain.record(data, first, where, tuple(added))
    given = set(cast("dict[str, Any]", data))
    order = [*(n for n in hints if n in given), *(n for n in hints if n not in given)]
    fields = {
        name: decode(hints[name], value, f"{where}.{name}")
        for name, value in zip(order, values, strict=True)
        if name in given
    }
    try:
        made = cls(**fields)
    except Exception as error:
        raise load_error(where, error) from error
    # A class may bring its fields to one form; a file holds that form.
    if encode_fields(made, where) != data:
        refuse(where, f"the form {made!r}", data)
    return made


@functools.cache
def _added(cls: type[Any]) -> dict[str, Any]:
    """The fields that files written before them lack: what each is then, encoded."""
    hints = _field_hints(cls)
    return {
        field.name: encode(hints[field.name], field.default, field.name)
        for field in dataclasses.fields(cls)
        if field.metadata.get(ADDED)
    }


# --- ops ------------------------------------------------------------------------


def encode_op(op: object, where: str) -> dict[str, Any]:
    """An op: kind, version, attributes.

    Raises:
        FormatError: An attribute cannot be saved; the text names op and attribute.
    """
    if not isinstance(op, Op) or op.kind not in OPS or OPS.get(op.kind) is not type(op):
        refuse(where, "a registered op", op)
    attributes = encode_fields(op, f"{where} ({op.kind})")
    return {"kind": op.kind, "version": op.version, "attributes": attributes}


def decode_op(data: object, where: str) -> Op:
    """The op that `encode_op` wrote."""
    fields = plain.record(data, ("kind", "version", "attributes"), where)
    kind = plain.text(fields[0], f"{where}.kind")
    cls = OPS.get(kind[:80], where)
    where = f"{where} ({kind})"
    version = plain.integer(fields[1], f"{where}.version")
    if version != cls.version:
        newer = "; a newer graphjit wrote it" if version > cls.version else ""
        wanted = f"version {cls.version} of op {kind!r}"
        raise FormatError(f"{where}: expected {wanted}, received {version}{newer}")
    return decode_fields(cls, fields[2], where)


LEAVES[Op] = Leaf("an op", encode_op, decode_op)


def load_error(where: str, error: Exception) -> FormatError:
    """What a reader raises where a class refuses the values that a file gives it."""
    details = getattr(error, "details", ())
    hint = getattr(error, "hint", None)
    reason = getattr(error, "message", None) or f"{type(error).__name__}: {error}"
    return FormatError(f"{where}: {reason}", details=details, hint=hint)


# --- annotations ----------------------------------------------------------------


@functools.cache
def _field_hints(cls: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _dataclass(hint: Any) -> type[Any]:
    if isinstance(hint, type) and "__dataclass_fields__" in vars(hint):
        return hint
    raise TypeError(f"no rule for a field annotated {hint!r}")


def _is_a(hint: Any, base: type) -> bool:
    return isinstance(hint, type) and issubclass(hint, base)


def _union(step: Callable[..., Any], hint: Any, item: object, where: str) -> Any:
    members = get_args(hint)
    if type(item) in members:
        return step(type(item), item, where)
    refusals: list[FormatError] = []
    for member in members:
        try:
            return step(member, item, where)
        except FormatError as error:
            if member is not type(None):
                refusals.append(error)
    # "X or None": what X has to say is more than "expected X or None".
    if len(refusals) == 1 and item is not None:
        raise refusals[0]
    refuse(where, _describe(hint), item)


def _literal(hint: Any, item: object, where: str) -> Any:
    # By type too: 1 and True are equal.
    for member in get_args(hint):
        if type(member) is type(item) and member == item:
            return item
    refuse(where, _describe(hint), item)


def _each(
    step: Callable[..., Any], hint: Any, items: Sequence[object], where: str
) -> list[Any]:
    members = get_args(hint)
    if members[-1:] == (Ellipsis,):
        members = members[:1] * len(items)
    if len(members) != len(items):
        refuse(where, _describe(hint), items)
    return [
        step(member, item, f"{where}[{at}]")
        for at, (member, item) in enumerate(zip(members, items, strict=True))
    ]


def _describe(hint: Any) -> str:
    if hint in LEAVES:
        return LEAVES[hint].noun
    members = get_args(hint)
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(map(_describe, members))
    if origin is Literal:
        return " or ".join(map(repr, members))
    if origin is tuple and members[-1:] == (Ellipsis,):
        return f"a tuple, each {_describe(members[0])}"
    if origin is tuple:
        return f"a tuple ({', '.join(map(_describe, members))})"
    if _is_a(hint, enum.Enum):
        return " or ".join(repr(member.value) for member in hint)
    return getattr(hint, "__name__", repr(hint))
