"""How a layer declares its arguments: `arg`, and the converters that read them.

A converter takes what the user wrote and returns the one form the layer works with;
it raises `Unfit` with what it expected, and the layer adds where.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from graphjit.narrow import sequence_of

__all__ = [
    "REQUIRED",
    "Argument",
    "Unfit",
    "arg",
    "boolean",
    "choice",
    "dtype_name",
    "ints",
    "number",
    "optional",
    "padding_name",
    "positive",
    "size",
    "text",
]

S = TypeVar("S")
T = TypeVar("T")


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Final[Any] = _Required()


class Unfit(Exception):  # noqa: N818 (it never leaves this module as an error)
    """A value that a converter cannot read; `expected` says what it can."""

    def __init__(self, expected: str) -> None:
        super().__init__(expected)
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Argument:
    """One declared argument of a layer."""

    name: str
    default: Any
    converter: Callable[[Any], Any]
    kw_only: bool
    ours: bool


@dataclass(frozen=True, slots=True)
class _Declared:
    """What `arg` leaves in the class body until the class is made."""

    default: Any
    converter: Callable[[Any], Any]
    kw_only: bool
    ours: bool


def arg(
    *,
    default: Any = REQUIRED,
    converter: Callable[[S], T],
    kw_only: bool = False,
    ours: bool = False,
) -> T:
    """Declare an argument: its default as a user would write it, and its reader.

    One that is `ours` and not Keras's goes into a config only when it is not at its
    default, so that Keras reads the others.
    """
    declared: Any = _Declared(default, converter, kw_only, ours)
    return declared


def declared_arguments(
    own: Mapping[str, Any], annotations: Sequence[str]
) -> dict[str, Argument]:
    """The arguments a class body declares, in order."""
    found: dict[str, Argument] = {}
    for name in annotations:
        spec = own.get(name)
        if isinstance(spec, _Declared):
            found[name] = Argument(
                name, spec.default, spec.converter, spec.kw_only, spec.ours
            )
    return found


# --- converters -----------------------------------------------------------------


def _index(value: Any) -> int | None:
    """A Python int for anything that is a whole number, else None."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def size(value: Any) -> int:
    """An int >= 1."""
    found = _index(value)
    if found is None or found < 1:
        raise Unfit("an int >= 1")
    return found


def integer(value: Any) -> int:
    """Any int."""
    found = _index(value)
    if found is None:
        raise Unfit("an int")
    return found


def number(value: float) -> float:
    """A finite number, as a float."""
    if isinstance(value, bool):
        raise Unfit("a number")
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise Unfit("a number") from None
    if found != found or found in (float("inf"), float("-inf")):
        raise Unfit("a finite number")
    return found


def positive(value: float) -> float:
    """A finite number > 0."""
    found = number(value)
    if found <= 0:
        raise Unfit("a number > 0")
    return found


def fraction(value: float) -> float:
    """A number from 0 to 1."""
    found = number(value)
    if not 0 <= found <= 1:
        raise Unfit("a number from 0 to 1")
    return found


def boolean(value: bool | int) -> bool:
    """True or False; 0 and 1 too, as old configs write them."""
    if isinstance(value, bool) or (_index(value) in (0, 1)):
        return bool(value)
    if type(value).__name__ == "bool":  # numpy.bool
        return bool(value)
    raise Unfit("True or False")


def text(value: str) -> str:
    """A string that is not empty."""
    if not isinstance(value, str) or not value:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise Unfit("a name")
    return value


def optional(converter: Callable[[S], T]) -> Callable[[S | None], T | None]:
    """None, or what `converter` reads."""

    def convert(value: S | None) -> T | None:
        return None if value is None else converter(value)

    return convert


def choice(*names: str) -> Callable[[str], str]:
    """One of `names`, in any case."""

    def convert(value: str) -> str:
        if isinstance(value, str) and value.lower() in names:  # pyright: ignore[reportUnnecessaryIsInstance]
            return value.lower()
        raise Unfit("one of " + ", ".join(repr(name) for name in names))

    return convert


padding_name = choice("valid", "same")


def ints(
    count: int, least: int = 1
) -> Callable[[int | Sequence[int]], tuple[int, ...]]:
    """An int for every axis, or `count` of them; a 1-element sequence counts as one."""

    def convert(value: int | Sequence[int]) -> tuple[int, ...]:
        one = _index(value)
        items = _items(value) if one is None else [one]
        if len(items) == 1:
            items = items * count
        found = [_index(item) for item in items]
        if len(found) != count or any(dim is None or dim < least for dim in found):
            many = f" or {count} of them" if count > 1 else ""
            raise Unfit(f"an int >= {least}{many}")
        return tuple(dim for dim in found if dim is not None)

    return convert


def shape_tuple(value: Sequence[int]) -> tuple[int, ...]:
    """A sequence of ints."""
    items = _items(value) or [value]
    found = [_index(item) for item in items]
    if any(dim is None for dim in found):
        raise Unfit("a sequence of ints")
    return tuple(dim for dim in found if dim is not None)


def input_dims(value: Any) -> tuple[int | str | None, ...]:
    """A shape: ints >= 1, names, or None."""
    items = _items(value)
    if not items and value != () and value != []:
        raise Unfit("a tuple of ints, names or None")
    dims: list[int | str | None] = []
    for item in items:
        dim = _index(item)
        if item is None or (isinstance(item, str) and item.isidentifier()):
            dims.append(item)
        elif dim is not None and dim >= 1:
            dims.append(dim)
        else:
            raise Unfit("a tuple of ints >= 1, names or None")
    return tuple(dims)


def dtype_name(value: Any) -> str:
    """The name of an element type: "float32", numpy.float32, jnp.bfloat16, …"""
    from graphjit.types import DTYPE_BYTES

    name = value if isinstance(value, str) else getattr(value, "__name__", None)
    name = name if isinstance(name, str) else getattr(value, "name", None)
    if name in DTYPE_BYTES:
        return str(name)
    raise Unfit("a dtype such as 'float32'")


def _items(value: Any) -> list[Any]:
    """The items of a list, a tuple or a vector; none for anything else."""
    if getattr(value, "ndim", None) == 1:
        return list(value)
    return sequence_of(value) or []
