"""msgpack with one encoding per value, read under limits.

Extension types, repeated keys, keys that are not strings, and encodings longer than
needed are refused; nesting and the number of values are capped.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn, cast

import msgpack

from graphjit.errors import FormatError
from graphjit.formats.limits import Limits
from graphjit.formats.plain import shown

__all__ = ["pack", "unpack"]

# msgpack has no annotations.
_msgpack: Final[Any] = msgpack
_LEAVES = (type(None), bool, int, float, str, bytes)


def pack(data: object, limits: Limits, where: str) -> bytes:
    """`data` as msgpack; maps keep their order.

    Raises:
        FormatError: A value of a type that msgpack lacks, or one over the limits.
    """
    _check_nesting(data, limits, where)
    return _packed(data, where)


def unpack(data: bytes, limits: Limits, where: str) -> Any:
    """The one value that `data` encodes.

    Raises:
        FormatError: Not strict msgpack, or over the limits.
    """
    value = _parsed(data, limits, where)
    _check_nesting(value, limits, where)
    # One value has one encoding, so that equal contents are equal bytes.
    if _packed(value, where) != data:
        raise FormatError(f"{where}: expected the shortest msgpack encoding")
    return value


def _packed(data: object, where: str) -> bytes:
    try:
        return cast("bytes", _msgpack.packb(data, strict_types=True))
    except (TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"{where}: msgpack cannot hold it: {error}") from None


def _parsed(data: bytes, limits: Limits, where: str) -> Any:
    count = 0

    def add(items: int) -> None:
        nonlocal count
        count += items
        if count > limits.values:
            limits.refuse("values", where, f"more than {limits.values} values")

    def as_map(pairs: list[tuple[object, object]]) -> dict[str, object]:
        add(2 * len(pairs))
        entries: dict[str, object] = {}
        for key, value in pairs:
            if type(key) is not str:
                raise FormatError(f"{where}: a key is no string: {shown(key)}")
            if key in entries:
                raise FormatError(f"{where}: the key {shown(key)} stands twice")
            entries[key] = value
        return entries

    def as_list(items: list[object]) -> list[object]:
        add(len(items))
        return items

    def no_extension(code: int, _: bytes) -> NoReturn:
        raise FormatError(f"{where}: msgpack extension type {code} is not allowed")

    longest = min(len(data), limits.values)
    try:
        value: Any = _msgpack.unpackb(
            data,
            object_pairs_hook=as_map,
            list_hook=as_list,
            ext_hook=no_extension,
            max_array_len=longest,
            max_map_len=longest,
        )
    except FormatError:
        raise
    except UnicodeDecodeError as error:
        message = f"{where}: a string is not UTF-8: {error.reason}"
        raise FormatError(message) from None
    except (ValueError, MemoryError, _msgpack.exceptions.UnpackException) as error:
        reason = str(error) or type(error).__name__
        raise FormatError(f"{where}: not valid msgpack: {reason}") from None
    return value


def _check_nesting(data: object, limits: Limits, where: str) -> None:
    """Walk level by level, since recursion would trust the file's depth."""
    level = [data]
    depth = 0
    while level:
        depth += 1
        if depth > limits.depth:
            limits.refuse("depth", where, f"nested deeper than {limits.depth}")
        below: list[object] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(cast("dict[str, object]", value).values())
            elif isinstance(value, list):
                below.extend(cast("list[object]", value))
            elif type(value) not in _LEAVES:
                kind = type(value).__name__
                raise FormatError(f"{where}: a {kind} cannot stand in a file")
        level = below
