"""Protobuf's bytes of TensorFlow's nodes: read strictly, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphjit.formats.node_def import read_node
from tests.profiles import examples

RECORDED = Path(__file__).parents[1] / "keras" / "recorded" / "tensorflow_nodes.json"
MUL = b"\n\x03mul\x12\x03Mul\x1a\x01a\x1a\x01b*\x07\n\x01T\x12\x020\x01"


def recorded() -> list[tuple[Any, bytes]]:
    """Nodes in protobuf's JSON, and their bytes; both of protobuf's own making."""
    data = json.loads(RECORDED.read_text())
    layers = data["config"]["config"]["layers"]
    nodes = {e["name"]: e["config"].get("node_def") for e in layers}
    return [(nodes[name], text.encode()) for name, text in data["texts"].items()]


def plain(value: Any) -> Any:
    """Whole numbers are texts in protobuf's JSON."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value if isinstance(value, (bool, float)) else str(value)


def test_bytes_say_what_json_says() -> None:
    for written, data in recorded():
        kept = {k: written.get(k, {}) for k in ("name", "op", "input", "attr")}
        assert plain(read_node(data)) == plain(kept)


def test_numbers_below_zero_and_floats() -> None:
    minus = b"\x18" + b"\xff" * 9 + b"\x01"
    attribute = b"\x0a\x01k\x12" + bytes([len(minus)]) + minus
    node = read_node(b"*" + bytes([len(attribute)]) + attribute)
    assert node["attr"] == {"k": {"i": -1}}
    packed = b"\x0a\x0e\x22\x08\x00\x00\x80?\x00\x00\x00@" + b"\x32\x02\x01\x09"
    attribute = b"\x0a\x01k\x12" + bytes([len(packed)]) + packed
    node = read_node(b"*" + bytes([len(attribute)]) + attribute)
    listed = {"f": [1.0, 2.0], "type": ["DT_FLOAT", "DT_INT64"]}
    assert node["attr"] == {"k": {"list": listed}}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (MUL[:-1], "it ends too early"),
        (b"\n", "it ends too early"),
        (b"\n" + b"\xff" * 10, "a whole number is too long"),
        (b"\n\xff\xff\xff\xff\x0f", "it ends too early"),
        (b"\x0b", "no wire type 3"),
        (b"\x08\x01", "expected bytes"),
        (b"\n\x01\xff", "codec can't decode"),
        (b"*\x07\n\x01T\x12\x02%\x01", "it ends too early"),
        (b"*\x09\n\x01T\x12\x040\x01\x1d\x00", "it ends too early"),
        (b"*\x08\n\x01T\x12\x03\x32\x01\x00", "expected a whole number"),
        (b"*\x07\n\x01T\x12\x02\x20\x01", "expected a float"),
    ],
)
def test_refused(data: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        read_node(data)


@examples(200)
@given(st.binary(max_size=60), st.integers(0, len(MUL)))
def test_any_bytes_are_a_node_or_refused(data: bytes, at: int) -> None:
    for text in (data, MUL[:at] + data + MUL[at:], MUL[:at] + data):
        try:
            assert set(read_node(text)) == {"name", "op", "input", "attr"}
        except ValueError:
            continue
