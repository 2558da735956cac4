"""Where bytes are read from: memory or a file."""

from __future__ import annotations

import io
import os
from typing import Protocol

from graphjit.errors import FormatError

__all__ = ["FileSource", "MemorySource", "Source"]


class Source(Protocol):
    """Bytes at known positions. A reader checks positions against `size` first."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`; fewer only at the end."""
        ...

    def fill(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` with the bytes from `offset`."""
        ...


class MemorySource:
    """Bytes in memory, or a mapped file."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.size = data.nbytes

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self.data[offset : offset + size])

    def fill(self, offset: int, buffer: memoryview) -> None:
        buffer[:] = self.data[offset : offset + buffer.nbytes]


class FileSource:
    """An open file."""

    def __init__(self, file: io.BufferedReader) -> None:
        self.file = file
        self.size = os.fstat(file.fileno()).st_size

    def read(self, offset: int, size: int) -> bytes:
        self.file.seek(offset)
        return self.file.read(size)

    def fill(self, offset: int, buffer: memoryview) -> None:
        self.file.seek(offset)
        filled = 0
        while filled < buffer.nbytes:
            # readinto may stop early on large reads.
            count = self.file.readinto(buffer[filled:])
            if not count:
                raise FormatError("truncated while it was being read")
            filled += count
