"""Attributes: typed by declaration, strict both ways, one form each."""

from __future__ import annotations

import enum
import math
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest

import graphjit as gj
from graphjit.errors import FormatError
from graphjit.formats.attributes import decode, decode_op, encode, encode_op
from graphjit.functions import Function, function_of
from graphjit.initializers import INITIALIZERS, Initializer
from graphjit.ir import Graph
from graphjit.layout import AxisOrder, Layout
from graphjit.ops.base import Op
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.ops.elementwise import Elu, Relu
from graphjit.ops.function_op import FunctionOp
from graphjit.ops.penalty import Penalty
from graphjit.ops.shape import Pad, Transpose
from graphjit.regularizers import L2, OrthogonalRegularizer, Regularizer
from graphjit.types import TensorType
from tests.formats import samples


class Side(enum.Enum):
    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True, slots=True)
class Pair:
    first: int
    second: str | None = None


# (annotation, value, plain data)


def named(value: Any) -> str:
    """The name of a test's argument: the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


FORMS: list[tuple[Any, Any, Any]] = [
    (int, -3, -3),
    (int, 2**64 - 1, 2**64 - 1),
    (float, 0.1, 0.1),
    (float, -0.0, 0.0),
    (bool, True, True),
    (str, "é", "é"),
    (type(None), None, None),
    (float | None, None, None),
    (float | None, 2.5, 2.5),
    (tuple[int, ...], (), []),
    (tuple[int, ...], (3, 1), [3, 1]),
    (tuple[int, float], (1, 1.0), [1, 1.0]),
    (tuple[int | None, ...] | None, (1, None), [1, None]),
    (str | tuple[tuple[int, int], ...], "same", "same"),
    (str | tuple[tuple[int, int], ...], ((1, 2), (0, 3)), [[1, 2], [0, 3]]),
    (Literal["a", "b"], "b", "b"),
    (Side, Side.RIGHT, "right"),
    (Pair, Pair(1), {"first": 1, "second": None}),
    (TensorType, TensorType(("batch", None, 3), "int8"), ["int8", ["batch", None, 3]]),
    (Layout, Layout((0, 2, 1)), {"perm": [0, 2, 1], "inner": []}),
    (
        Layout | None,
        Layout((0, 1), (None, AxisOrder((2, 3), (1, 0)))),
        {"perm": [0, 1], "inner": [None, {"factors": [2, 3], "order": [1, 0]}]},
    ),
    (Function, function_of(samples.twice), "tests>twice"),
    (Regularizer, L2(0.5), {"class": "L2", "settings": {"l2": 0.5}}),
    (Op | None, Elu(0.5), {"kind": "elu", "version": 1, "attributes": {"alpha": 0.5}}),
]


@pytest.mark.parametrize(("hint", "value", "data"), FORMS, ids=named)
def test_every_form_goes_there_and_back(hint: Any, value: Any, data: Any) -> None:
    written = encode(hint, value, "here")
    assert written == data
    assert type(written) is type(data)
    back = decode(hint, data, "here")
    assert back == value
    assert type(back) is type(value)
    assert math.copysign(1, back) == 1 if value == 0.0 and hint is float else True


def test_a_body_graph_is_an_attribute() -> None:
    data = encode(Graph, samples.scan(), "here")
    assert decode(Graph, data, "here") == samples.scan()


REFUSED_VALUES: list[tuple[Any, Any, str]] = [
    (int, True, "here: expected an int, received True"),
    (int, 1.0, "here: expected an int, received 1.0"),
    (int, np.int64(1), "here: expected an int, received np.int64(1)"),
    (int, 2**64, "expected an int < 2**64"),
    (int, -(2**63) - 1, "expected an int >= -9223372036854775808"),
    (float, 1, "here: expected a finite float, received 1"),
    (float, True, "expected a finite float, received True"),
    (float, math.nan, "expected a finite float, received nan"),
    (float, math.inf, "expected a finite float, received inf"),
    (bool, 1, "here: expected a bool, received 1"),
    (str, None, "here: expected a string, received None"),
    (type(None), 0, "here: expected None, received 0"),
    (float | None, "x", "here: expected a finite float, received 'x'"),
    (int | str, 1.0, "here: expected an int or a string, received 1.0"),
    (tuple[int, ...], [1], "expected a tuple, each an int, received [1]"),
    (tuple[int, ...], (1, 2.0), "here[1]: expected an int, received 2.0"),
    (tuple[int, int], (1,), "expected a tuple (an int, an int), received (1,)"),
    (Literal["a", "b"], "c", "expected 'a' or 'b', received 'c'"),
    (Literal[1], True, "expected 1, received True"),
    (Side, "left", "expected 'left' or 'right', received 'left'"),
    (Pair, (1, "x"), "expected Pair, received (1, 'x')"),
    (Pair, Pair(1, 2), "here.second: expected a string, received 2"),  # pyright: ignore
    (TensorType, TensorType((-1,)), "expected an int >= 0, received -1"),
    (TensorType, TensorType((), "float8"), "expected a dtype, received 'float8'"),
    (TensorType, "float32[]", "expected a type, received 'float32[]'"),
    (Function, samples.twice, "expected a function, received"),
    (Regularizer, "l2", "expected a regularizer, received 'l2'"),
    (Op, Elu, "expected a registered op, received"),
    (Graph, "graph", "expected a graph, received 'graph'"),
]


@pytest.mark.parametrize(("hint", "value", "text"), REFUSED_VALUES, ids=named)
def test_a_wrong_value_is_not_written(hint: Any, value: Any, text: str) -> None:
    with pytest.raises(FormatError, match=re.escape(text)):
        encode(hint, value, "here")


REFUSED_DATA: list[tuple[Any, Any, str]] = [
    (int, True, "here: expected an int, received True"),
    (int, 1.0, "here: expected an int, received 1.0"),
    (float, 1, "here: expected a finite float, received 1"),
    (float, -0.0, "here: expected 0.0, received -0.0"),
    (float, math.nan, "expected a finite float, received nan"),
    (float, -math.inf, "expected a finite float, received -inf"),
    (bool, 0, "here: expected a bool, received 0"),
    (str, b"x", "here: expected a string, received b'x'"),
    (tuple[int, ...], "ab", "expected a tuple, each an int, received 'ab'"),
    (tuple[int, int], [1, 2, 3], "expected a tuple (an int, an int)"),
    (tuple[tuple[int, int], ...], [[1, 2], [3]], "here[1]: expected a tuple (an int"),
    (Literal["a"], "b", "expected 'a', received 'b'"),
    (Side, "LEFT", "expected 'left' or 'right', received 'LEFT'"),
    (Pair, [1, None], "here: expected a map, received [1, None]"),
    (Pair, {"first": 1}, "here: field 'second' is missing"),
    (Pair, {"first": 1, "secnd": None}, "here: unknown field 'secnd'"),
    (Pair, {"second": None, "first": 1}, "the order 'first', 'second'"),
    (TensorType, ["float32"], "here: expected a list of 2, received ['float32']"),
    (TensorType, ["float32", [1.0]], "expected a dim (an int, a name or nil)"),
    (TensorType, ["float32", [True]], "expected a dim (an int, a name or nil)"),
    (TensorType, ["float32", [""]], "expected a dim (an int, a name or nil)"),
    (TensorType, ["float32", [-1]], "expected an int >= 0, received -1"),
    (TensorType, ["object", []], "expected a dtype, received 'object'"),
    (Layout, {"perm": [0, 1], "inner": [None, None]}, "here: expected the form Layout"),
    (Regularizer, {"class": "l2", "settings": {}}, "expected a known regularizer"),
    (Regularizer, {"class": "L22", "settings": {}}, "did you mean 'L2'?"),
    (Regularizer, {"class": "os.system", "settings": {}}, "a known regularizer"),
    (Regularizer, {"class": "L2", "settings": {"l2": -1.0}}, "expected a number >= 0"),
    (Regularizer, {"class": "L2", "settings": {"l2": 1}}, "(L2).l2: expected a finite"),
    (Regularizer, {"class": "L2", "settings": {"l": 0.5}}, "unknown field 'l'"),
    (Function, "tests>twise", "no function is registered as 'tests>twise'"),
    (Function, "os.system", "no function is registered as 'os.system'"),
]


@pytest.mark.parametrize(("hint", "data", "text"), REFUSED_DATA, ids=named)
def test_wrong_data_is_not_read(hint: Any, data: Any, text: str) -> None:
    with pytest.raises(FormatError, match=re.escape(text)):
        decode(hint, data, "here")


def test_a_long_string_is_cut_in_errors() -> None:
    with pytest.raises(FormatError, match="expected an int, received 'xxx") as caught:
        decode(int, "x" * 10**6, "here")
    assert len(str(caught.value)) < 300


# --- ops --------------------------------------------------------------------------


def conv_data(**changes: Any) -> Any:
    data = encode_op(ConvOp((2, 1), "same", groups=2), "here")
    data["attributes"].update(changes)
    return data


def test_all_fields_are_written_defaults_too() -> None:
    assert encode_op(Relu(), "here") == {
        "kind": "relu",
        "version": 1,
        "attributes": {"negative_slope": 0.0, "max_value": None, "threshold": 0.0},
    }


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([], "here: expected a map, received []"),
        ({"kind": "relu", "attributes": {}}, "here: field 'version' is missing"),
        (
            {"kind": "rellu", "version": 1, "attributes": {}},
            "here: op: expected a known name, received 'rellu'\n  hint: did you mean",
        ),
        (
            {"kind": "tanh", "version": 2, "attributes": {}},
            "(tanh): expected version 1 of op 'tanh', received 2; a newer graphjit",
        ),
        ({"kind": "tanh", "version": 0, "attributes": {}}, "version 1 of op 'tanh'"),
        ({"kind": "tanh", "version": True, "attributes": {}}, "expected an int"),
        (conv_data(strides=[1, 1.0]), "here (conv).strides[1]: expected an int"),
        (conv_data(strides=None), "here (conv).strides: expected a tuple, each an int"),
        (conv_data(grops=1), "here (conv): unknown field 'grops'"),
        (conv_data(padding=[[1]]), "here (conv).padding: expected a string or a tuple"),
        (
            {"kind": "conv", "version": 1, "attributes": {"strides": [1, 1]}},
            "here (conv): field 'padding' is missing",
        ),
    ],
    ids=repr,
)
def test_a_wrong_op_is_not_read(data: Any, text: str) -> None:
    with pytest.raises(FormatError, match=re.escape(text)):
        decode_op(data, "here")


@pytest.mark.parametrize(
    ("op", "text"),
    [
        (
            Relu(max_value=6),
            "here (relu).max_value: expected a finite float",
        ),
        (Transpose([1, 0]), "here (transpose).perm: expected a tuple"),  # pyright: ignore
        (Pad(((0, True),)), "here (pad).pads[0][1]: expected an int, received True"),
        (Elu(math.nan), "here (elu).alpha: expected a finite float, received nan"),
    ],
    ids=repr,
)
def test_a_wrong_op_is_not_written(op: Op, text: str) -> None:
    with pytest.raises(FormatError, match=re.escape(text)):
        encode_op(op, "here")


def test_equal_ops_are_equal_bytes() -> None:
    assert Relu(-0.0) == Relu(0.0)
    assert repr(encode_op(Relu(-0.0), "here")) == repr(encode_op(Relu(0.0), "here"))


# --- functions and settings -------------------------------------------------------


def test_a_function_without_a_name_is_refused_with_the_fix() -> None:
    def mine(x: Any) -> Any:
        return x

    op = FunctionOp(function_of(mine), TensorType((3,)))
    with pytest.raises(
        FormatError, match=r"here \(function\).fn: the function 'mine'"
    ) as e:
        encode_op(op, "here")
    assert '@gj.register("name")' in str(e.value)


def test_a_function_registered_after_capture_can_be_saved() -> None:
    def late(x: Any) -> Any:
        return x

    before = function_of(late)
    gj.register("tests>late")(late)
    assert encode(Function, before, "here") == "tests>late"


def test_settings_take_back_all_their_fields() -> None:
    value = OrthogonalRegularizer(0.5, "columns")
    data = encode_op(Penalty(value), "here")
    settings = data["attributes"]["regularizer"]
    assert settings == {
        "class": "OrthogonalRegularizer",
        "settings": {"factor": 0.5, "mode": "columns"},
    }
    assert decode_op(data, "here") == Penalty(value)


@pytest.mark.parametrize("name", [n for n, c in INITIALIZERS.items() if n[0].isupper()])
def test_every_initializer(name: str) -> None:
    value = INITIALIZERS.get(name)()
    assert decode(Initializer, encode(Initializer, value, "x"), "x") == value


def test_an_alias_is_for_users_not_for_files() -> None:
    data = {"class": "zeros", "settings": {}}
    with pytest.raises(FormatError, match=r"here\.class: expected a known initializer"):
        decode(Initializer, data, "here")


def test_settings_in_another_than_the_canonical_form_are_refused() -> None:
    value = INITIALIZERS.get("VarianceScaling")()
    data = encode(Initializer, value, "here")
    data["settings"]["distribution"] = "normal"
    with pytest.raises(FormatError, match="expected the form VarianceScaling"):
        decode(Initializer, data, "here")


def test_a_callable_initializer_is_refused_with_the_fix() -> None:
    value = gj.initializers.get(lambda shape: np.zeros(shape))
    with pytest.raises(FormatError, match="received a Python callable") as caught:
        encode(Initializer, value, "graph.params[0] 'd/kernel'.initializer")
    assert "graph.params[0] 'd/kernel'.initializer" in str(caught.value)
    assert "use a named initializer" in str(caught.value)


def test_settings_outside_the_table_are_refused_with_the_fix() -> None:
    @dataclass(frozen=True, slots=True)
    class Mine(Regularizer):
        def penalty(self, w: Any) -> Any:
            return w.sum()

    with pytest.raises(FormatError, match="the regularizer Mine has no name") as caught:
        encode(Regularizer, Mine(), "here")
    assert 'REGULARIZERS.add("Mine", Mine)' in str(caught.value)
