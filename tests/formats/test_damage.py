"""Damage: no flipped bit and no missing byte goes unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphjit.errors import FormatError
from graphjit.formats import container
from graphjit.ir import Graph
from tests.formats import samples


def refused(data: bytes) -> str:
    with pytest.raises(FormatError, match=r"\S") as caught:
        container.decode(data)
    return str(caught.value)


def test_truncation_at_every_offset() -> None:
    data = samples.tiny_file()
    assert len(data) < 2500
    for length in range(len(data)):
        text = refused(data[:length])
        assert "empty" in text if length == 0 else "truncated" in text


def test_truncation_of_a_file_without_tensors() -> None:
    data = container.encode(Graph(), {})
    assert container.decode(data).graph == Graph()
    for length in range(1, len(data)):
        assert "truncated" in refused(data[:length])


def test_every_single_bit_flip() -> None:
    data = bytearray(samples.tiny_file())
    for at in range(len(data)):
        for bit in range(8):
            data[at] ^= 1 << bit
            refused(bytes(data))
            data[at] ^= 1 << bit
    assert bytes(data) == samples.tiny_file()


def test_every_single_bit_flip_of_a_mapped_file(tmp_path: Path) -> None:
    """In the tensors it is seen at the first touch, elsewhere at once."""
    data = bytearray(samples.tiny_file())
    path = tmp_path / "model.gjit"
    for at in range(0, len(data), 5):
        data[at] ^= 1 << at % 8
        path.write_bytes(data)
        with pytest.raises(FormatError, match=r"model\.gjit: "):
            dict(container.load(path, mmap=True).tensors)
        data[at] ^= 1 << at % 8


def test_every_byte_of_a_larger_file() -> None:
    graph = samples.digits()
    data = bytearray(container.encode(graph, samples.tensors_of(graph)))
    for at in range(0, len(data), 7):
        data[at] ^= 1 << at % 8
        refused(bytes(data))
        data[at] ^= 1 << at % 8


@pytest.mark.parametrize("extra", [b"\0", b"\xc0", b"\xc4\0", bytes(64)])
def test_something_after_the_end(extra: bytes) -> None:
    text = refused(samples.tiny_file() + extra)
    assert "something follows the end" in text
    assert "truncated" not in text
    refused(container.encode(Graph(), {}) + extra)


def test_damage_is_called_that() -> None:
    data = bytearray(samples.tiny_file())
    data[-1] ^= 1
    assert "tensor 'd/on' is corrupted: its bytes do not" in refused(bytes(data))
    data = bytearray(samples.tiny_file())
    data[200] ^= 1
    assert "the header is corrupted: its bytes do not" in refused(bytes(data))
    data = bytearray(samples.tiny_file())
    at = data.rindex(b"\xc0" * 4)
    data[at] = 0
    assert "corrupted: wrong framing before tensor 'd/on'" in refused(bytes(data))


def test_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.gjit"
    path.write_bytes(samples.tiny_file()[:-1])
    for mmap in (False, True):
        with pytest.raises(FormatError, match=r"model\.gjit: truncated: expected"):
            container.load(path, mmap=mmap)
