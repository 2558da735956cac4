"""Looking through HDF5's global heaps before the library reads them.

Strings of variable length stand in heaps, chains of objects that each say their size.
The library follows such a chain without asking whether it leads anywhere: an object of
size 0 holds it for ever (HDF5 2.0.0). Source: HDF5 File Format Specification 3.0,
III.E, "Global Heap".
"""

from __future__ import annotations

import re
import struct
from typing import Any, Final

from graphjit.errors import FormatError

__all__ = ["check_heaps"]

#: How every heap begins: its signature, version and three empty bytes.
_HEAP: Final = re.compile(rb"GCOL\x01\0\0\0")
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
    for match in _HEAP.finditer(data):
        _check_heap(data, match.start())


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
