"""Texts are read strictly: nothing that names code, nothing without end."""

from __future__ import annotations

import json
import sys

import pytest
import yaml

import graphjit as gj
from graphjit.errors import FormatError
from graphjit.formats.limits import DEFAULT_LIMITS, Limits
from graphjit.formats.model_text import json_text, read_json, read_yaml, yaml_text

DATA = {"a": [1, 2.5, None, True, {"b": "c, 'd' no yes 1.0"}], "e": {}, "on": []}


def test_there_and_back() -> None:
    assert read_json(json_text(DATA), DEFAULT_LIMITS) == DATA
    assert read_yaml(yaml_text(DATA), DEFAULT_LIMITS) == DATA
    assert read_json(json_text(DATA).encode(), DEFAULT_LIMITS) == DATA
    assert read_yaml(yaml_text(DATA).encode(), DEFAULT_LIMITS) == DATA


def test_yaml_has_plain_tags_and_no_aliases() -> None:
    twice = [1, 2]
    text = yaml_text({"a": twice, "b": twice, "c": (3, 4)})
    assert "&" not in text
    assert "!" not in text
    assert yaml.safe_load(text) == {"a": [1, 2], "b": [1, 2], "c": [3, 4]}


def test_json_in_json() -> None:
    text = json.dumps(json_text(DATA))
    assert read_json(text, DEFAULT_LIMITS) == DATA


def test_a_byte_order_mark_is_no_matter() -> None:
    assert read_json("\ufeff[1]".encode(), DEFAULT_LIMITS) == [1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON: Expecting property name"),
        ('{"a": NaN}', "not valid JSON: NaN is no number"),
        ('{"a": -Infinity}', "not valid JSON: -Infinity is no number"),
        ('{"a": 1e999}', "JSON: expected finite numbers, received inf"),
        ('{"a": 1, "a": 2}', "not valid JSON: key 'a' stands twice"),
        ('"not json"', "not valid JSON: Expecting value"),
        ("1" * 5000, "not valid JSON: Exceeds the limit"),
        (b"\xff{}", "JSON: expected UTF-8: invalid start byte"),
        (3, "JSON: expected a text, received int"),
        (f'{{"a": {2**64}}}', "JSON: expected integers of 64 bits, received 184467"),
        (f'{{"a": {-(2**63) - 1}}}', "JSON: expected integers of 64 bits, received -9"),
        ('{"a": "\\ud800"}', "JSON: expected whole characters, received '.ud800'"),
        ('{"\\udfffb": 1}', "JSON: expected whole characters"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_json_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_json(text, DEFAULT_LIMITS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML: while parsing"),
        (
            "a: !!python/object/apply:os.system ['true']",
            "YAML: the tag 'tag:yaml.org,2002:python/object/apply:os.system' is never "
            "read: it could name code",
        ),
        ("a: !!python/name:os.system", "YAML: the tag 'tag:.*' is never read"),
        ("a: !!python/unicode 'b'", "YAML: the tag 'tag:.*unicode' is never read"),
        ("a: !mine b", "YAML: the tag '!mine' is never read"),
        ("a: 1\na: 2", "YAML: key 'a' stands twice"),
        ("a: .nan", "YAML: expected finite numbers, received nan"),
        ("a: 2001-01-01", "YAML: expected numbers, strings, lists and objects, rec"),
        ("a: !!binary aGk=", "YAML: expected numbers, strings, .*received b'hi'"),
        ("a: !!set {b}", "YAML: expected numbers, strings"),
        ("a: &a {b: 1}\nc: {<<: *a}", r"YAML: merge keys \(<<\) are not read"),
        ("&a !!python/tuple [*a]", "YAML: found unconstructable recursive node"),
        ("1: 2", "YAML: expected strings as keys, received 1"),
        ("a: 1" + ":59" * 40, "YAML: a number of 121 digits"),
        ("a: 1." + "0" * 100, "YAML: a number of 102 digits"),
        ("a: 1\n--- \nb: 2", "not valid YAML: expected a single document"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_yaml_refused(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_yaml(text, DEFAULT_LIMITS)


def test_the_one_tag_that_keras_1_wrote() -> None:
    text = "a: !!python/tuple [1, !!python/tuple [2, null]]\nb: !!python/tuple []"
    assert read_yaml(text, DEFAULT_LIMITS) == {"a": [1, [2, None]], "b": []}
    again = "a: &id001 !!python/tuple [1, 2]\nb: *id001"
    assert read_yaml(again, DEFAULT_LIMITS) == {"a": [1, 2], "b": [1, 2]}


def test_aliases_count_where_they_stand() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for at in range(1, 9):
        items = ", ".join([f"*a{at - 1}"] * 10)
        lines.append(f"a{at}: &a{at} [{items}]")
    with pytest.raises(
        FormatError, match=r"11111111 values, aliases written out \(limit values = 4"
    ):
        read_yaml("\n".join(lines), DEFAULT_LIMITS)
    with pytest.raises(FormatError, match=r"nested deeper \(limit depth = 64"):
        read_yaml("&a [*a]", DEFAULT_LIMITS)


def test_limits_can_be_raised() -> None:
    deep = "[" * 70 + "]" * 70
    with pytest.raises(FormatError, match=r"hint: .*limits=Limits\(depth=…\)"):
        read_json(deep, DEFAULT_LIMITS)
    assert read_json(deep, Limits(depth=100))
    with pytest.raises(FormatError, match="a text of 140 characters"):
        read_json(deep, Limits(header_bytes=100))
    with pytest.raises(FormatError, match=r"140 characters \(limit yaml_bytes = 100"):
        read_yaml(deep, Limits(yaml_bytes=100))
    numbers = {"a": [2**64 - 1, -(2**63), 1.5]}
    assert read_json(json.dumps(numbers), DEFAULT_LIMITS) == numbers
    assert read_yaml(json.dumps(numbers), DEFAULT_LIMITS) == numbers


@pytest.mark.parametrize("kind", ["json", "yaml"])
def test_nesting_beyond_python(kind: str) -> None:
    deep = "[" * 5 * sys.getrecursionlimit()
    read = {"json": read_json, "yaml": read_yaml}[kind]
    with pytest.raises(FormatError, match=f"not valid {kind.upper()}: maximum recurs"):
        read(deep, DEFAULT_LIMITS)


def test_limits_of_models() -> None:
    x = gj.Input((4,))
    text = gj.Model(x, gj.layers.Dense(2)(x)).to_json()
    with pytest.raises(FormatError, match="limit values = 10"):
        gj.model_from_json(text, limits=Limits(values=10))
    assert gj.model_from_json(text, limits=Limits(values=1000)).count_params() == 10
