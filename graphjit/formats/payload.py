"""Where tensors lie in a file, and moving their bytes.

The data of every tensor begins at a multiple of 64 and is a msgpack binary: nil bytes
fill the gap, and the five bytes before the data are the binary's marker and length.
A tensor longer than `SEGMENT_BYTES` is several such binaries. Where each one lies
follows from the sizes alone, so a reader knows every byte between the tensors too.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, cast

import numpy as np
from numpy.typing import NDArray

from graphjit.errors import FormatError
from graphjit.formats import leaves, plain
from graphjit.formats.limits import DEFAULT_LIMITS, Limits, check_size
from graphjit.formats.plain import refuse, shown
from graphjit.formats.sources import Source
from graphjit.host_random import numpy_dtype
from graphjit.types import DTYPE_BYTES, TensorType

__all__ = [
    "ALIGNMENT",
    "FRAME_BYTES",
    "Segment",
    "TensorEntry",
    "aligned",
    "decode_entry",
    "frame",
    "lay_out",
    "raw_bytes",
    "read_tensor",
    "verify_bytes",
    "write_tensor",
]

ALIGNMENT: Final = 64
#: A binary's marker and its length, written as 32 bits however short it is.
FRAME_BYTES: Final = 5
#: The longest binary: the last multiple of 64 that a msgpack length can say.
SEGMENT_BYTES = 2**32 - ALIGNMENT

_NIL: Final = b"\xc0"
_CHUNK_BYTES: Final = 2**22


def frame(size: int) -> bytes:
    """The bytes before a binary of `size` bytes."""
    return struct.pack(">BI", 0xC6, size)


def aligned(position: int) -> int:
    """The first place at or after `position` where data may begin."""
    return -(-position // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True, slots=True)
class Segment:
    """One binary: its data is `size` bytes from `offset` of the payload.

    `gap` is how many bytes lie between it and the binary before: nils, then its frame.
    """

    offset: int
    size: int
    gap: int

    def preamble(self) -> bytes:
        """The bytes of the gap."""
        return _NIL * (self.gap - FRAME_BYTES) + frame(self.size)


def lay_out(sizes: Iterable[int]) -> list[tuple[Segment, ...]]:
    """For tensors of these sizes, one after the other, their segments.

    The first data is at 0; the caller knows the gap before it, here `FRAME_BYTES`.
    """
    placed: list[tuple[Segment, ...]] = []
    end = -FRAME_BYTES
    for size in sizes:
        segments: list[Segment] = []
        rest = size
        while rest or not segments:
            offset = aligned(end + FRAME_BYTES)
            part = min(rest, SEGMENT_BYTES)
            segments.append(Segment(offset, part, offset - end))
            end = offset + part
            rest -= part
        placed.append(tuple(segments))
    return placed


# --- the tensor table -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """A row of the tensor table.

    Attributes:
        name: The param's name.
        type: Its type; every dim is an int.
        offset: Where its first byte lies, from the start of the payload.
        size: Its length in bytes, without what lies between segments.
        sha256: Of its bytes.
    """

    name: str
    type: TensorType
    offset: int
    size: int
    sha256: bytes

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(dim for dim in self.type.shape if isinstance(dim, int))

    @property
    def dtype(self) -> np.dtype[Any]:
        return numpy_dtype(self.type.dtype)

    def encode(self) -> dict[str, Any]:
        values = (
            self.name,
            self.type.dtype,
            list(self.shape),
            self.offset,
            self.size,
            self.sha256,
        )
        return dict(zip(_ENTRY, values, strict=True))


_ENTRY: Final = ("name", "dtype", "shape", "offset", "bytes", "sha256")
_HASH_BYTES: Final = 32


def decode_entry(
    data: object, where: str, limits: Limits = DEFAULT_LIMITS
) -> TensorEntry:
    """A row of the table, its size checked against its shape before it is believed.

    Raises:
        FormatError: Anything that does not fit.
    """
    name, dtype, dims, offset, size, sha256 = plain.record(data, _ENTRY, where)
    where = f"{where} {shown(plain.text(name, where))}"
    dtype = leaves.decode_dtype(dtype, f"{where}.dtype")
    shape = tuple(
        plain.integer(dim, f"{where}.shape", least=0)
        for dim in plain.listing(dims, f"{where}.shape")
    )
    if 0 in shape:
        check_size(shape, limits, where)
    plain.integer(offset, f"{where}.offset", least=0)
    plain.integer(size, f"{where}.bytes", least=0)
    # Python's ints do not overflow.
    wanted = math.prod(shape) * DTYPE_BYTES[dtype]
    if size != wanted:
        type_ = TensorType(shape, dtype)
        refuse(f"{where}.bytes", f"{wanted} for {shown(str(type_))}", size)
    if type(sha256) is not bytes or len(sha256) != _HASH_BYTES:
        refuse(f"{where}.sha256", f"{_HASH_BYTES} bytes", sha256)
    return TensorEntry(name, TensorType(shape, dtype), offset, size, sha256)


# --- bytes ----------------------------------------------------------------------


def raw_bytes(array: NDArray[Any]) -> memoryview:
    """The array's elements as bytes in C order, little-endian; a view where it can."""
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    flat = np.ascontiguousarray(array).reshape(-1)
    return memoryview(cast("Any", flat.view(np.uint8)))


def write_tensor(
    file: BinaryIO, segments: Sequence[Segment], array: NDArray[Any]
) -> bytes:
    """Write a tensor's gaps and data from where the file stands; returns its hash."""
    digest = hashlib.sha256()
    data = raw_bytes(array)
    begin = 0
    for segment in segments:
        file.write(segment.preamble())
        for start in range(begin, begin + segment.size, _CHUNK_BYTES):
            chunk = data[start : min(start + _CHUNK_BYTES, begin + segment.size)]
            digest.update(chunk)
            file.write(chunk)
        begin += segment.size
    return digest.digest()


def read_tensor(
    source: Source, payload: int, entry: TensorEntry, segments: Sequence[Segment]
) -> NDArray[Any]:
    """A tensor that owns its memory, verified.

    Raises:
        FormatError: Its bytes are not those that were written.
    """
    array = np.empty(entry.shape, entry.dtype)
    buffer = raw_bytes(array)
    digest = hashlib.sha256()
    begin = 0
    for segment in segments:
        for start in range(0, segment.size, _CHUNK_BYTES):
            # Hashed while it is still in the cache.
            stop = min(start + _CHUNK_BYTES, segment.size)
            chunk = buffer[begin + start : begin + stop]
            source.fill(payload + segment.offset + start, chunk)
            digest.update(chunk)
        begin += segment.size
    _verify(buffer, digest.digest(), entry)
    return array


def verify_bytes(data: memoryview, entry: TensorEntry) -> None:
    """Raise where the data of a tensor is not what its hash says.

    Raises:
        FormatError: It names the tensor.
    """
    _verify(data, hashlib.sha256(data).digest(), entry)


def _verify(data: memoryview, sha256: bytes, entry: TensorEntry) -> None:
    where = f"tensor {shown(entry.name)}"
    if sha256 != entry.sha256:
        raise FormatError(f"{where} is corrupted: its bytes do not match its hash")
    if entry.type.dtype == "bool" and np.frombuffer(data, np.uint8).max(initial=0) > 1:
        raise FormatError(f"{where}: a bool is neither 0 nor 1")
