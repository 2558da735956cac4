"""Heaps of strings: looked through before HDF5 follows them."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import graphjit as gj
from graphjit.errors import FormatError
from graphjit.formats import hdf5
from graphjit.formats.hdf5_heaps import check_heaps
from graphjit.formats.limits import DEFAULT_LIMITS


def heap(*objects: tuple[int, int], size: int = 256) -> bytes:
    """A heap of these objects: index and declared size."""
    made = b"GCOL\x01\0\0\0" + size.to_bytes(8, "little")
    for index, length in objects:
        step = 0 if index == 0 else (length + 7) // 8 * 8
        made += struct.pack("<HHIQ", index, 1, 0, length) + bytes(min(step, 512))
    return made + bytes(max(size - len(made), 0))


def test_sound_heaps() -> None:
    check_heaps(b"")
    check_heaps(b"GCOL, which is no heap")
    rest = 256 - 16 - 24 - 40
    check_heaps(b"before" + heap((1, 5), (2, 20), (0, rest)) + b"after")
    # Less than an object's header is left: nothing stands for it.
    check_heaps(heap((1, 216)))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (heap((0, 0)), "the heap at 0: object 0 at 16 declares 0 bytes"),
        (heap((1, 8), (0, 8)), "object 0 at 40 declares 8 bytes"),
        (heap((1, 8), (0, 500)), "object 0 at 40 declares 500 bytes"),
        (heap((3, 2**64 - 16)), "object 3 at 16 declares 18446744073709551600 bytes"),
        (heap((1, 8))[:100], "it declares 256 bytes, and the file ends before"),
    ],
)
def test_heaps_that_lead_nowhere(data: bytes, text: str) -> None:
    with pytest.raises(FormatError, match=text):
        check_heaps(data)


@pytest.mark.parametrize("start", [*range(9), *(2**18 + at for at in range(-17, 3))])
def test_a_heap_is_found_wherever_it_stands(start: int) -> None:
    data = bytes(start) + heap((0, 0))
    with pytest.raises(FormatError, match=f"the heap at {start}: object 0 at"):
        check_heaps(data)
    check_heaps(data[: start + 7])  # no whole signature


def test_what_looks_like_a_heap_hides_none() -> None:
    words = b"GCOLCOL\x01OL\x01\0L\x01\0\0" * 3
    check_heaps(words)
    sound = heap((0, 240))
    with pytest.raises(FormatError, match=f"the heap at {len(words + sound * 2)}:"):
        check_heaps(words + sound * 2 + heap((0, 0)) + sound)


def test_every_heap_of_a_file_of_h5py_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        for at in range(300):
            file.attrs[f"text{at}"] = "x" * at
        file.attrs["list"] = ["some", "names"] * 400
        del file.attrs["text7"]
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        assert data.find(b"GCOL") > 0
        check_heaps(data)
    with hdf5.opened(path) as root:
        assert hdf5.text_attribute(root, "text299", DEFAULT_LIMITS) == "x" * 299
    with hdf5.opened_bytes(path.read_bytes(), "memory") as root:
        assert hdf5.text_list(root, "list", DEFAULT_LIMITS) == ["some", "names"] * 400


def test_a_file_without_strings_in_heaps_is_not_searched(tmp_path: Path) -> None:
    """Numbers that look like a broken heap are numbers."""
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file["numbers"] = np.frombuffer(heap((0, 0)), np.uint8)
        file.attrs["names"] = np.asarray([b"numbers"])
    with hdf5.opened(path) as root:
        assert hdf5.text_list(root, "names", DEFAULT_LIMITS) == ["numbers"]


def test_a_model_is_searched_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model and its weights are read one after the other from one file."""
    looked: list[int] = []

    def look(data: Any) -> None:
        looked.append(len(data))
        check_heaps(data)

    monkeypatch.setattr(hdf5, "check_heaps", look)
    x = gj.Input((3,))
    path = tmp_path / "m.h5"
    gj.keras.save_model(gj.Model(x, gj.layers.Dense(2)(x)), path)
    gj.keras.load_model(path)
    assert looked == [path.stat().st_size]
    gj.keras.load_model(path)
    assert looked == [path.stat().st_size] * 2
