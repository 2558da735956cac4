"""Settings objects: one form per value, configs there and back, resolution."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass
from typing import ClassVar, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphjit.configurable import (
    CallableSettings,
    Configurable,
    Family,
    is_plain_callable,
    resolve,
    serialize,
)
from graphjit.errors import CaptureError


@dataclass(frozen=True, slots=True)
class Shape(Configurable, ABC):
    @abstractmethod
    def area(self) -> float: ...


@dataclass(frozen=True, slots=True)
class RoundDisc(Shape):
    config_aliases: ClassVar[dict[str, str]] = {"r": "radius"}
    config_ignored: ClassVar[frozenset[str]] = frozenset({"colour"})
    config_optional: ClassVar[frozenset[str]] = frozenset({"note"})

    radius: float = 1.0
    note: str | None = None

    def check(self) -> None:
        if self.radius < 0:
            self.refuse("radius", "a number >= 0")

    def area(self) -> float:
        return 3.0 * self.radius


@dataclass(frozen=True, slots=True)
class Sheet(Shape):
    width: float
    count: int = 1
    solid: bool = True
    kind: Literal["a", "b"] = "a"
    axis: int | tuple[int, ...] = 0
    pair: tuple[int, float] = (0, 0.0)
    seed: int | None = None

    def area(self) -> float:
        return self.width


@dataclass(frozen=True, slots=True)
class Dot(Shape):
    def area(self) -> float:
        return 0.0


@dataclass(frozen=True, slots=True)
class ByArea(Shape):
    fn: Callable[..., float]

    def area(self) -> float:
        return self.fn()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FromCallable(CallableSettings, Shape):
    def area(self) -> float:
        return self.fn()


FAMILY: Family[Shape] = Family("shape", Shape)
FAMILY.add("RoundDisc", RoundDisc, "disc")
FAMILY.add("Sheet", Sheet)
FAMILY.add("Dot", Dot, "dot")


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


# --- fields ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [2, 2.0, np.float32(2), np.int64(2), np.array(2.0), np.float16(2)]
)
def test_numbers_become_python_floats(value: object) -> None:
    disc = RoundDisc(value)
    assert type(disc.radius) is float
    assert disc == RoundDisc(2.0)
    assert hash(disc) == hash(RoundDisc(2.0))


def test_every_field_takes_one_form() -> None:
    sheet = Sheet(
        np.float64(1),
        np.int8(3),
        np.bool_(False),
        np.str_("b"),
        [np.int32(1), 2],
        [1, 2],
        np.uint8(4),
    )
    assert sheet == Sheet(1.0, 3, False, "b", (1, 2), (1, 2.0), 4)
    kinds = [type(getattr(sheet, name)) for name in ("count", "solid", "seed", "width")]
    assert kinds == [int, bool, int, float]
    assert type(sheet.pair[1]) is float
    assert type(sheet.axis[0]) is int


def test_negative_zero_is_zero() -> None:
    assert str(RoundDisc(-0.0).radius) == "0.0"


def test_fields_are_frozen_and_slotted() -> None:
    disc = RoundDisc()
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'radius'"):
        disc.radius = 2.0
    assert not hasattr(disc, "__dict__")


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("width", "1", "a finite number, received '1'"),
        ("width", True, "a finite number, received True"),
        ("width", np.bool_(True), "a finite number, received np.True_"),
        ("width", float("nan"), "a finite number, received nan"),
        ("width", float("inf"), "a finite number, received inf"),
        ("width", 1j, "a finite number, received 1j"),
        ("width", None, "a finite number, received None"),
        ("width", 10**400, "a finite number, received 1"),
        ("count", 1.0, "an int, received 1.0"),
        ("count", False, "an int, received False"),
        ("solid", 1, "a bool, received 1"),
        ("kind", "c", "'a' or 'b', received 'c'"),
        ("kind", 1, "'a' or 'b', received 1"),
        ("axis", [0, 1.5], "an int or a tuple, each an int, received [0, 1.5]"),
        ("axis", "01", "an int or a tuple, each an int, received '01'"),
        ("pair", (1,), "a tuple (an int, a finite number), received (1,)"),
        ("seed", 0.5, "an int or None, received 0.5"),
    ],
)
def test_wrong_types_are_refused(field: str, value: object, wanted: str) -> None:
    settings = {"width": 1.0, field: value}
    text = f"^{re.escape(f'Sheet: {field}: expected {wanted}')}"
    with pytest.raises(CaptureError, match=text):
        Sheet(**settings)
    with pytest.raises(CaptureError, match=text):
        Sheet.from_config(settings)


def test_strings_and_callables_are_checked() -> None:
    text = "RoundDisc: note: expected a string or None, received 3"
    with pytest.raises(CaptureError, match=exactly(text)):
        RoundDisc(note=3)
    text = "ByArea: fn: expected a callable, received 3"
    with pytest.raises(CaptureError, match=exactly(text)):
        ByArea(3)
    assert ByArea(float).area() == 0.0


def test_check_refuses_senseless_values() -> None:
    text = "RoundDisc: radius: expected a number >= 0, received -1.0"
    with pytest.raises(CaptureError, match=exactly(text)):
        RoundDisc(-1)


def test_an_annotation_without_a_rule_is_a_programming_error() -> None:
    @dataclass(frozen=True, slots=True)
    class Odd(Configurable):
        field: complex = 1j

    with pytest.raises(TypeError, match="no rule for a field annotated"):
        Odd()


# --- configs --------------------------------------------------------------------------


@given(
    st.builds(
        Sheet,
        st.floats(allow_nan=False, allow_infinity=False),
        st.integers(),
        st.booleans(),
        st.sampled_from(["a", "b"]),
        st.integers() | st.lists(st.integers()),
        st.tuples(st.integers(), st.floats(allow_nan=False, allow_infinity=False)),
        st.none() | st.integers(),
    )
)
def test_configs_are_json_and_return_an_equal_object(sheet: Sheet) -> None:
    text = json.dumps(serialize(sheet))
    again = resolve(FAMILY, json.loads(text), "x")
    assert again == sheet
    assert hash(again) == hash(sheet)
    assert json.dumps(serialize(again)) == text


def test_get_config_lists_the_fields_in_order() -> None:
    config = Sheet(1, axis=(0, 1)).get_config()
    assert list(config) == ["width", "count", "solid", "kind", "axis", "pair", "seed"]
    assert config["axis"] == [0, 1]


def test_optional_keys_are_left_out_while_none() -> None:
    assert RoundDisc(2).get_config() == {"radius": 2.0}
    assert RoundDisc(2, "x").get_config() == {"radius": 2.0, "note": "x"}


def test_aliases_and_ignored_keys() -> None:
    assert RoundDisc.from_config({"r": 2, "colour": "red"}) == RoundDisc(2)
    text = "RoundDisc: expected 'radius' once, received twice"
    with pytest.raises(CaptureError, match=exactly(text)):
        RoundDisc.from_config({"r": 2, "radius": 2})


def test_unknown_keys_name_the_nearest() -> None:
    text = (
        "RoundDisc: expected 'radius' or 'note', received 'radios'\n"
        "  hint: did you mean 'radius'?"
    )
    with pytest.raises(CaptureError, match=exactly(text)):
        RoundDisc.from_config({"radios": 2})
    text = "Dot: expected no settings, received 'radius'"
    with pytest.raises(CaptureError, match=exactly(text)):
        Dot.from_config({"radius": 2})


def test_missing_keys() -> None:
    text = "Sheet: expected 'width', received {'count': 2}"
    with pytest.raises(CaptureError, match=exactly(text)):
        Sheet.from_config({"count": 2})


# --- resolve --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "identifier",
    [
        "RoundDisc",
        "disc",
        "round_disc",
        "Disc",
        RoundDisc,
        {"class_name": "RoundDisc"},
        {"class_name": "RoundDisc", "config": None},
        {"class_name": "disc", "config": {"r": 1}},
        {
            "class_name": "RoundDisc",
            "config": {"radius": 1.0},
            "module": "keras.shapes",
            "registered_name": None,
            "shared_object_id": 3,
        },
        {"name": "RoundDisc", "r": 1},
        {"name": "disc"},
    ],
)
def test_every_way_to_write_one(identifier: object) -> None:
    assert resolve(FAMILY, identifier, "x") == RoundDisc(1.0)


def test_an_instance_is_returned_unchanged() -> None:
    disc = RoundDisc(3)
    assert resolve(FAMILY, disc, "x") is disc


def test_an_exact_name_comes_first() -> None:
    family: Family[Shape] = Family("shape", Shape)
    family.add("Dot", Dot)
    family.add("dot", RoundDisc)
    assert resolve(family, "dot", "x") == RoundDisc()
    assert resolve(family, "Dot", "x") == Dot()


SETTINGS = "'class_name' or 'config'"
WAYS = "shape as a name, a dict, a class or an instance"


@pytest.mark.parametrize(
    ("identifier", "text"),
    [
        (
            "discc",
            "fc/k: shape: expected a known name, received 'discc'\n"
            "  hint: did you mean 'disc'?",
        ),
        (3, f"fc/k: expected {WAYS}, received 3"),
        (None, f"fc/k: expected {WAYS}, received None"),
        (dict, f"fc/k: expected {WAYS}, received <class 'dict'>"),
        ({}, "fc/k: expected a dict with 'class_name', received {}"),
        (
            {"class_name": "Dot", "confg": {}},
            f"fc/k: expected {SETTINGS}, received 'confg'\n"
            "  hint: did you mean 'config'?",
        ),
        (
            {"class_name": ["Dot"]},
            "fc/k: expected the name of shape in a dict, received ['Dot']",
        ),
        (
            {"class_name": "Dot", "config": "relu"},
            "fc/k: Dot: expected a dict of settings, received 'relu'",
        ),
        (
            {"class_name": "RoundDisc", "config": {"radius": "x"}},
            "fc/k: RoundDisc: radius: expected a finite number, received 'x'",
        ),
        (
            {"name": "RoundDisc", "radios": 1},
            "fc/k: RoundDisc: expected 'radius' or 'note', received 'radios'\n"
            "  hint: did you mean 'radius'?",
        ),
        ("Sheet", "fc/k: Sheet: expected 'width', received {}"),
        (Sheet, "fc/k: Sheet: expected 'width', received {}"),
    ],
)
def test_refusals_say_where(identifier: object, text: str) -> None:
    with pytest.raises(CaptureError, match=exactly(text)):
        resolve(FAMILY, identifier, "fc/k")


def test_an_abstract_class_is_refused() -> None:
    with pytest.raises(CaptureError, match=r"^x: expected a class that is not abst"):
        resolve(FAMILY, Shape, "x")


def test_where_equal_to_the_noun_is_said_once() -> None:
    text = "shape: expected a known name, received 'qqq'"
    with pytest.raises(CaptureError, match=exactly(text)):
        resolve(FAMILY, "qqq", "shape")


def test_a_subclass_must_be_a_dataclass() -> None:
    class Loose(Dot):
        def __init__(self, side: float) -> None:
            object.__setattr__(self, "side", side)

    text = r"^x: expected Loose to be a @dataclass\(frozen=True, slots=True\), received"
    with pytest.raises(CaptureError, match=text):
        resolve(FAMILY, Loose(1.0), "x")
    with pytest.raises(CaptureError, match=text):
        resolve(FAMILY, Loose, "x")


# --- callables ------------------------------------------------------------------------


class Meter:
    def measure(self) -> float:
        return 1.0

    def __call__(self) -> float:
        return 2.0

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None


def seven() -> float:
    return 7.0


def test_callables_compare_by_identity() -> None:
    meter = Meter()
    assert FromCallable(seven) == FromCallable(seven)
    assert hash(FromCallable(seven)) == hash(FromCallable(seven))
    assert FromCallable(seven) != FromCallable(lambda: 7.0)
    assert FromCallable(seven) != seven
    # Two accesses to a method are two objects, but one function.
    assert FromCallable(meter.measure) == FromCallable(meter.measure)
    assert FromCallable(meter.measure) != FromCallable(Meter().measure)
    assert hash(FromCallable(meter.measure)) == hash(FromCallable(meter.measure))
    # What the object says of its own equality does not count.
    assert FromCallable(meter) != FromCallable(Meter())
    assert len({FromCallable(meter), FromCallable(meter)}) == 1


def test_callables_print_without_an_address() -> None:
    assert repr(FromCallable(seven)) == "FromCallable(seven)"
    assert repr(FromCallable(Meter())) == "FromCallable(Meter)"


def test_callables_cannot_be_saved() -> None:
    text = (
        "FromCallable(seven): expected settings to save, received a Python callable\n"
        "  hint: use a member of the family with settings"
    )
    with pytest.raises(CaptureError, match=exactly(text)):
        serialize(FromCallable(seven))


def test_is_plain_callable() -> None:
    assert is_plain_callable(seven)
    assert is_plain_callable(Meter())
    assert not is_plain_callable(Meter)
    assert not is_plain_callable(Dot())
    assert not is_plain_callable("seven")
