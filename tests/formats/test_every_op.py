"""Every op in `OPS`, its attributes drawn by their declared types, comes back equal."""

from __future__ import annotations

import dataclasses
import enum
import importlib
import math
import pkgutil
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphjit.ops
from graphjit.errors import FormatError
from graphjit.formats import strict_msgpack
from graphjit.formats.attributes import decode_op, encode_op
from graphjit.formats.graph_codec import encode_graph
from graphjit.formats.limits import DEFAULT_LIMITS
from graphjit.functions import Function, function_of
from graphjit.ir import Graph
from graphjit.ops.base import ADDED, OPS, Op
from graphjit.ops.elementwise import Relu, Tanh
from graphjit.regularizers import L1, L2, OrthogonalRegularizer, Regularizer
from graphjit.types import DTYPE_BYTES, TensorType
from tests.formats import samples
from tests.profiles import examples

for _module in pkgutil.walk_packages(graphjit.ops.__path__, "graphjit.ops."):
    importlib.import_module(_module.name)

_DIMS = st.one_of(st.integers(0, 2**40), st.sampled_from(["batch", "time"]), st.none())
_KNOWN: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**63),
    float: st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0),
    bool: st.booleans(),
    str: st.text(max_size=8),
    type(None): st.none(),
    TensorType: st.builds(
        TensorType,
        st.lists(_DIMS, max_size=4).map(tuple),
        st.sampled_from(list(DTYPE_BYTES)),
    ),
    Graph: st.sampled_from([samples.scan(), samples.masked(), Graph()]),
    Function: st.just(function_of(samples.twice)),
    Regularizer: st.sampled_from([L1(0.5), L2(0.25), OrthogonalRegularizer(1.0)]),
    Op: st.sampled_from([Relu(max_value=6.0), Tanh()]),
}


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Values of an annotation; a new kind of attribute needs a line in `_KNOWN`."""
    if hint in _KNOWN:
        return _KNOWN[hint]
    origin, members = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return st.one_of([values_of(member) for member in members])
    if origin is Literal:
        return st.sampled_from(members)
    if origin is tuple and members[-1] is Ellipsis:
        return st.lists(values_of(members[0]), max_size=4).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values_of, members))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(list(hint))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return instances(hint)
    raise TypeError(f"no strategy for a field annotated {hint!r}")


def instances(cls: type[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(cls)
    fields = {f.name: values_of(hints[f.name]) for f in dataclasses.fields(cls)}
    return (
        st.fixed_dictionaries(fields)
        .map(lambda values: _made(cls, values))
        .filter(lambda made: made is not None)
    )


def _made(cls: type[Any], values: dict[str, Any]) -> Any:
    try:
        return cls(**values)
    except Exception:  # an op may refuse values in __post_init__
        return None


@pytest.mark.parametrize("kind", list(OPS))
def test_comes_back_equal(kind: str) -> None:
    @examples(25)
    @given(instances(OPS.get(kind)))
    def property_(op: Any) -> None:
        packed = strict_msgpack.pack(encode_op(op, "here"), DEFAULT_LIMITS, "op")
        data = strict_msgpack.unpack(packed, DEFAULT_LIMITS, "op")
        back = decode_op(data, "here")
        assert back == op
        assert type(back) is type(op)
        for field in dataclasses.fields(op):
            old, new = getattr(op, field.name), getattr(back, field.name)
            assert repr(old) == repr(new)
        again = strict_msgpack.pack(encode_op(back, "here"), DEFAULT_LIMITS, "op")
        assert again == packed

    property_()


@pytest.mark.parametrize("kind", list(OPS))
def test_every_field_is_needed_and_typed(kind: str) -> None:
    """A field left out, and a field of a type no attribute has, are refused by name."""
    cls = OPS.get(kind)
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        data = _example(cls, hints)
        found = data["attributes"].pop(field.name, None)
        if not field.metadata.get(ADDED):
            with pytest.raises(FormatError, match=f"{field.name!r} is miss"):
                decode_op(data, "here")
        elif found is not None:
            # A file from before the field was added means its default.
            assert getattr(decode_op(data, "here"), field.name) == field.default
        data = _example(cls, hints)
        data["attributes"][field.name] = math.inf
        with pytest.raises(FormatError, match=f"{kind}\\).{field.name}"):
            decode_op(data, "here")


def _example(cls: type[Any], hints: dict[str, Any]) -> Any:
    plainest: dict[Any, Any] = {
        int: 1,
        float: 1.0,
        bool: True,
        str: "x",
        TensorType: ["float32", []],
        Function: "tests>twice",
        Regularizer: {"class": "L2", "settings": {"l2": 0.5}},
        Graph: encode_graph(Graph()),
        Op: encode_op(Tanh(), "here"),
    }

    def plain(hint: Any) -> Any:
        if hint in plainest:
            return plainest[hint]
        origin, members = get_origin(hint), get_args(hint)
        if origin in (Union, types.UnionType):
            return plain(members[0])
        if origin is tuple:
            return [] if members[-1] is Ellipsis else [plain(m) for m in members]
        if isinstance(hint, type) and issubclass(hint, enum.Enum):
            return next(iter(hint)).value
        return members[0]

    fields = {f.name: plain(hints[f.name]) for f in dataclasses.fields(cls)}
    return {"kind": cls.kind, "version": cls.version, "attributes": fields}
