"""Looking through HDF5's global heaps before the library reads them.

Strings of variable length stand in heaps, chains of objects that each say their size.
The library follows such a chain without asking whether it leads anywhere: an object of
size 0 holds it for ever (HDF5 2.0.0). Source: HDF5 File Format Specification 3.0,
III.E, "Global Heap".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from graphjit.errors import FormatError

__all__ = ["check_heaps"]

#: How every heap begins: its signature, version and three empty bytes.
_SIGNATURE: Final = b"GCOL\x01\0\0\0"
#: Wherever that stands, one of these four bytes of it stand at a multiple of four.
_WORDS: Final = tuple(
    int.from_bytes(_SIGNATURE[at : at + 4], "little") for at in range(4)
)
#: What is looked at together: it stays in the processor's cache.
_BLOCK_BYTES: Final = 2**18
_HEADER_BYTES: Final = 16
#: Index, references, four empty bytes, size.
_OBJECT: Final = struct.Struct("<HHIQ")


def check_heaps(data: Any) -> None:
    """Refuse a file with a heap that leads outside of itself, or nowhere.

    Args:
        data: The file's bytes; they may be mapped.

    Raises:
        FormatError: It says where the heap is, and what is wrong there.
    """
    for start in _starts(data):
        _check_heap(data, start)


def _starts(data: Any) -> Iterator[int]:
    """Where heaps begin.

    Nearly all of a file is weights. NumPy sees twice as fast as a search for bytes that
    a block of them holds no heap.
    """
    for at in range(0, len(data), _BLOCK_BYTES):
        block: bytes = data[at : at + _BLOCK_BYTES + len(_SIGNATURE) - 1]
        words = np.frombuffer(block, "<u4", len(block) // 4)
        if any((words == word).any() for word in _WORDS):
            found = block.find(_SIGNATURE)
            while found >= 0:
                yield at + found
                found = block.find(_SIGNATURE, found + 1)


def _check_heap(data: Any, start: int) -> None:
    size = int.from_bytes(data[start + 8 : start + _HEADER_BYTES], "little")
    end = start + size
    if end > len(data):
        _refuse(start, f"it declares {size} bytes, and the file ends before")
    at = start + _HEADER_BYTES
    # What is left at the end and cannot hold an object's header is empty.
    while at + _OBJECT.size <= end:
        index, _, _, length = _OBJECT.unpack_from(data, at)
        # The last object, 0, is the space that is left, and counts its header.
        step = length if index == 0 else _OBJECT.size + (length + 7) // 8 * 8
        if step < _OBJECT.size or at + step > end:
            _refuse(start, f"object {index} at {at} declares {length} bytes")
        at += step


def _refuse(start: int, what: str) -> None:
    raise FormatError(f"corrupted HDF5: the heap at {start}: {what}")
