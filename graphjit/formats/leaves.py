"""How the values that are no plain dataclasses are written: types, settings, functions.

Importing this module enters them into `attributes.LEAVES`.
"""

from __future__ import annotations

from typing import Any, Final

from graphjit.configurable import CallableSettings, Configurable, Family
from graphjit.constraints import CONSTRAINTS, Constraint
from graphjit.errors import CaptureError, FormatError, nearest
from graphjit.formats import plain
from graphjit.formats.attributes import (
    LEAVES,
    Leaf,
    decode_fields,
    encode_fields,
)
from graphjit.formats.plain import refuse, shown
from graphjit.functions import FUNCTIONS, Function, function_of
from graphjit.initializers import INITIALIZERS, Initializer
from graphjit.regularizers import REGULARIZERS, Regularizer
from graphjit.types import DTYPE_BYTES, Dim, TensorType

__all__ = ["decode_dtype", "decode_type", "encode_type"]


# --- types of values ------------------------------------------------------------


def encode_type(type_: object, where: str) -> list[Any]:
    """``[dtype, dims]``; a dim is an int, a name, or nil."""
    if type(type_) is not TensorType:
        refuse(where, "a type", type_)
    data = [type_.dtype, list(type_.shape)]
    decode_type(data, where)
    return data


def decode_type(data: object, where: str) -> TensorType:
    """The type of a value."""
    dtype, dims = plain.listing(data, where, count=2)
    shape = tuple(_dim(dim, where) for dim in plain.listing(dims, where))
    return TensorType(shape, decode_dtype(dtype, where))


def decode_dtype(data: object, where: str) -> str:
    """The name of an element type."""
    if type(data) is not str or data not in DTYPE_BYTES:
        refuse(where, "a dtype", data)
    return data


def _dim(data: object, where: str) -> Dim:
    if data is None or (type(data) is str and data):
        return data
    if type(data) is not int:
        refuse(where, "a dim (an int, a name or nil)", data)
    return plain.integer(data, where, least=0)


LEAVES[TensorType] = Leaf("a type", encode_type, decode_type)


# --- functions ------------------------------------------------------------------


def _encode_function(value: object, where: str) -> str:
    if type(value) is not Function:
        refuse(where, "a function", value)
    # Asked again: it may have been registered since it was captured.
    function = function_of(value.fn)
    if not function.registered:
        raise FormatError(
            f"{where}: the function {value.name!r} has no name in files",
            details=["a file never holds code, only names that its reader knows too"],
            hint='register it: @gj.register("name")',
        )
    return function.name


def _decode_function(data: object, where: str) -> Function:
    name = plain.text(data, where)
    if name in FUNCTIONS:
        return Function(FUNCTIONS.get(name), name, registered=True)
    guess = nearest(name[:80], FUNCTIONS)
    near = f" (the nearest known name is {guess!r})" if guess else ""
    raise FormatError(
        f"{where}: no function is registered as {shown(name)}{near}",
        hint="before loading, define it under @gj.register with that name",
    )


LEAVES[Function] = Leaf("a registered function", _encode_function, _decode_function)


# --- initializers, regularizers, constraints ------------------------------------


def _settings_leaf(family: Family[Any]) -> Leaf:
    noun = family.noun

    def encode(value: object, where: str) -> dict[str, Any]:
        if not isinstance(value, Configurable) or not isinstance(value, family.base):
            refuse(where, f"a {noun}", value)
        return {
            "class": _registered_name(family, value, where),
            "settings": encode_fields(value, where),
        }

    def decode(data: object, where: str) -> Configurable:
        name, settings = plain.record(data, ("class", "settings"), where)
        plain.text(name, f"{where}.class")
        # Exactly the first name: aliases are for users.
        if name not in family or family.canonical(name) != name:
            guess = nearest(name[:80], map(family.canonical, family))
            hint = f"did you mean {guess!r}?" if guess else None
            refuse(f"{where}.class", f"a known {noun}", name, hint)
        return decode_fields(family.get(name), settings, f"{where} ({name})")

    return Leaf(f"a {noun}", encode, decode)


def _registered_name(family: Family[Any], value: Configurable, where: str) -> str:
    if isinstance(value, CallableSettings):
        try:
            value.get_config()
        except CaptureError as error:
            raise FormatError(f"{where}: {error.message}", hint=error.hint) from error
    for name, cls in family.items():
        if cls is type(value):
            return family.canonical(name)
    name = type(value).__name__
    table = f"{family.noun}s.{family.noun.upper()}S"
    raise FormatError(
        f"{where}: the {family.noun} {name} has no name in files",
        hint=f'enter it: gj.{table}.add("{name}", {name})',
    )


_FAMILIES: Final[dict[type[Configurable], Family[Any]]] = {
    Initializer: INITIALIZERS,
    Regularizer: REGULARIZERS,
    Constraint: CONSTRAINTS,
}
LEAVES.update({base: _settings_leaf(family) for base, family in _FAMILIES.items()})
