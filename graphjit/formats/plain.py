"""Reading plain data (what msgpack gives) strictly, with errors that say where.

A "record" is a map whose keys and their order are fixed. Types are exact: True is not
1, and 1 is not 1.0.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from typing import Any, Final, NoReturn, cast

from graphjit.errors import FormatError, nearest

__all__ = [
    "boolean",
    "integer",
    "listing",
    "real",
    "record",
    "refuse",
    "shown",
    "text",
]

_INT_RANGE: Final = (-(2**63), 2**64 - 1)

_shortened = reprlib.Repr()
_shortened.maxstring = _shortened.maxother = 80


def shown(value: object) -> str:
    """A repr that a hostile file cannot make long."""
    return _shortened.repr(value)


def refuse(
    where: str, wanted: str, received: object, hint: str | None = None
) -> NoReturn:
    """Raise "WHERE: expected WANTED, received RECEIVED"."""
    message = f"{where}: expected {wanted}, received {shown(received)}"
    raise FormatError(message, hint=hint)


def text(data: object, where: str) -> str:
    """A string."""
    if type(data) is not str:
        refuse(where, "a string", data)
    return data


def boolean(data: object, where: str) -> bool:
    """True or False."""
    if type(data) is not bool:
        refuse(where, "a bool", data)
    return data


def integer(data: object, where: str, least: int = _INT_RANGE[0]) -> int:
    """An int >= `least` that msgpack can hold."""
    if type(data) is not int:
        refuse(where, "an int", data)
    if not least <= data <= _INT_RANGE[1]:
        wanted = f"an int >= {least}" if data < least else "an int < 2**64"
        refuse(where, wanted, data)
    return data


def real(data: object, where: str) -> float:
    """A finite float. 0.0 and -0.0 are equal, so files hold only the first."""
    if type(data) is not float or not math.isfinite(data):
        refuse(where, "a finite float", data)
    if data == 0.0 and math.copysign(1.0, data) < 0.0:
        refuse(where, "0.0", data)
    return data


def listing(data: object, where: str, count: int | None = None) -> list[Any]:
    """A list, of `count` items where given."""
    if type(data) is not list:
        refuse(where, "a list", data)
    items = cast("list[Any]", data)
    if count is not None and len(items) != count:
        refuse(where, f"a list of {count}", items)
    return items


def record(
    data: object, fields: Sequence[str], where: str, optional: Sequence[str] = ()
) -> list[Any]:
    """The values of a map that has exactly these keys, in this order.

    The `optional` ones come last; one that is left out has the value None.

    Raises:
        FormatError: An unknown key, a missing one, or keys in another order; it names
            the key.
    """
    if type(data) is not dict:
        refuse(where, "a map", data)
    entries = cast("dict[str, Any]", data)
    left_out = [name for name in optional if name not in entries]
    fields = [*fields, *(name for name in optional if name in entries)]
    if list(entries) == list(fields):
        return [entries.get(name) for name in (*fields, *left_out)]
    known = ", ".join(map(repr, fields)) or "no fields"
    for key in entries:
        if key not in fields:
            guess = nearest(key[:80], fields)
            hint = f"did you mean {guess!r}?" if guess else None
            message = f"{where}: unknown field {shown(key)}"
            raise FormatError(message, details=[f"known: {known}"], hint=hint)
    for field in fields:
        if field not in entries:
            raise FormatError(f"{where}: field {field!r} is missing")
    raise FormatError(f"{where}: expected the fields in the order {known}")
