"""What a file may ask of its reader, and msgpack without its freedoms."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import pytest

from graphjit.builder import Builder
from graphjit.errors import FormatError
from graphjit.formats import container
from graphjit.formats.container import Limits
from graphjit.ir import Graph, Param
from graphjit.ops.shape import Upsample
from graphjit.types import TensorType
from graphjit.verify import verify
from tests.formats import samples
from tests.formats.samples import assembled, file_of, forged, header_of, refused

# --- limits -----------------------------------------------------------------------


def test_a_huge_header_is_refused_by_its_length() -> None:
    data = bytearray(samples.tiny_file())
    data[1:5] = b"\xff\xff\xff\xff"
    error = refused(bytes(data), r"header: 4294967295 bytes \(limit header_bytes = 335")
    assert "limits=Limits(header_bytes=…)" in str(error)
    refused(bytes(data), "truncated", Limits(header_bytes=2**40))


@pytest.mark.parametrize(
    ("limits", "name", "text"),
    [
        (Limits(nodes=2), "digits", r"at least 10 nodes \(limit nodes = 2\)"),
        (Limits(nodes=3), "scan", r"scan 'rnn/scan'.body: graph: at least 4 nodes"),
        (Limits(tensors=1), "tiny", r"2 tensors \(limit tensors = 1\)"),
        (Limits(rank=3), "digits", r"'image': 4 axes \(limit rank = 3\)"),
        (Limits(rank=1), "tiny", r"axes \(limit rank = 1\)"),
        (Limits(name_chars=7), "tiny", r"name 'd/kernel': 8 characters"),
        (Limits(values=100), "tiny", "more than 100 values"),
        (Limits(depth=4), "tiny", "nested deeper than 4"),
        (Limits(elements=63), "digits", r"declares 64 \(limit elements = 63\)"),
        (Limits(elements=100), "digits", r"conv 'conv/conv': shape .* declares 128"),
    ],
)
def test_limits(limits: Limits, name: str, text: str) -> None:
    error = refused(file_of(name), text, limits)
    assert "if you trust the file: limits=Limits(" in str(error)


def test_a_name_may_not_be_endless() -> None:
    def change(header: Any) -> None:
        header["graph"]["nodes"][0]["name"] = "n" * 100_000
        header["graph"]["outputs"][0]["value"][0] = "n" * 100_000

    error = refused(forged(samples.tiny_file(), change), "100000 characters")
    assert len(str(error)) < 500


def test_an_activation_bomb_is_refused_and_the_limit_can_be_raised() -> None:
    """A few nodes, each of which makes the image 1024 times larger per axis."""
    builder = Builder("bomb")
    value = builder.input("x", TensorType(("batch", 4, 4, 1)))
    for _ in range(3):
        value = builder(Upsample((1, 1024, 1024, 1)), value)
    builder.output("y", value)
    graph = verify(builder.build())
    limits = Limits(elements=2**70)
    data = container.encode(graph, {}, limits=limits)
    refused(data, r"upsample 'upsample_1': shape .* declares 17592186044416 \(limit el")
    assert container.decode(data, limits=limits).graph == graph


def test_deep_nesting_is_refused_without_recursion() -> None:
    for depth in (100, 1000, 5000, 100_000):
        bomb = b"\x91" * depth + b"\xc0"
        head = b"\x86\xa6format\xa4gjit\xa7version\x01\xa8producer\xa0\xa5graph"
        rest = b"\xa7tensors\x90\xa8optional\x80"
        refused(assembled(head + bomb + rest), "nested deeper|not valid msgpack")


def test_many_small_values_are_refused_by_count() -> None:
    bomb = msgpack.packb([[{}] * 1000] * 100)
    head = b"\x86\xa6format\xa4gjit\xa7version\x01\xa8producer\xa0\xa5graph"
    data = assembled(head + bomb + b"\xa7tensors\x90\xa8optional\x80")
    refused(data, "more than 50000 values", Limits(values=50_000))
    refused(data, "graph: expected a map")


# --- msgpack ----------------------------------------------------------------------


def with_producer(raw: bytes) -> bytes:
    """A file whose header holds `raw` as the value of "producer"."""
    header, payload = header_of(samples.tiny_file())
    marker = "PRODUCER"
    header["producer"] = marker
    packed = msgpack.packb(header).replace(msgpack.packb(marker), raw)
    return assembled(packed, payload, 24)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\x82\xa1a\x01\xa1a\x02", "header: the key 'a' stands twice"),
        (b"\x81\x01\x02", "not valid msgpack: int is not allowed for map key"),
        (b"\x81\xc4\x01a\x02", "a key is no string: b'a'"),
        (b"\xc7\x00\x05", "msgpack extension type 5 is not allowed"),
        (b"\xd6\xff\0\0\0\0", "a Timestamp cannot stand in a file"),
        (b"\xd4\x01\x00", "msgpack extension type 1 is not allowed"),
        (b"\xa1\xff", "a string is not UTF-8: invalid start byte"),
        (b"\xa3\xed\xa0\x80", "a string is not UTF-8"),
        (b"\xd9\x01x", "expected the shortest msgpack encoding"),
        (b"\xca\x3f\x80\0\0", "expected the shortest msgpack encoding"),
        (b"\xd1\0\x01", "expected the shortest msgpack encoding"),
        (b"\xc1", "not valid msgpack"),
        (b"\xdd\xff\xff\xff\xff", "not valid msgpack"),
        (b"\xdf\xff\xff\xff\xff", "not valid msgpack"),
        (b"\xa0\xc0", "not valid msgpack"),
        (b"", "not valid msgpack"),
        (b"\xa1x\xa1y\xc0", "not valid msgpack"),
        (b"\xa1x", None),
    ],
    ids=repr,
)
def test_msgpack_is_strict(raw: bytes, text: str | None) -> None:
    if text is None:
        assert container.decode(with_producer(raw)).producer == "x"
        return
    refused(with_producer(raw), text)


def test_the_key_of_a_field_is_not_taken_twice() -> None:
    header, payload = header_of(samples.tiny_file())
    packed = msgpack.packb(header)
    assert packed[0] == 0x86
    packed = b"\x87" + packed[1:] + b"\xa7version\x01"
    refused(assembled(packed, payload, 24), "header: the key 'version' stands twice")


def test_an_empty_axis_hides_nothing() -> None:
    graph = Graph(params=(Param("w", TensorType((0, 2**40))),))
    with pytest.raises(FormatError, match=r"declares 1099511627776"):
        container.encode(graph, {"w": np.empty((0, 2**40), np.float32)})


def test_a_raised_depth_ends_in_an_error_all_the_same() -> None:
    def change(header: Any) -> None:
        nested: Any = []
        for _ in range(450):
            nested = [nested]
        header["graph"]["layers"][0]["config"] = {"x": nested}

    data = forged(file_of("masked"), change)
    refused(data, r"nested deeper than 64 \(limit depth = 64\)")
    refused(data, "nested too deep for Python's stack", Limits(depth=10**6))
