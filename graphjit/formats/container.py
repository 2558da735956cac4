"""The `.gjit` file, version 1: a graph and its tensors in a stream of msgpack objects.

A header and its hash, then one binary per tensor, aligned to 64 bytes. Every byte is
verified before use, nothing in a file names code, and equal models are equal bytes.
`docs/format.md` has the layout byte by byte.
"""

from __future__ import annotations

import contextlib
import io
import mmap as mapping
import os
import stat
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from graphjit.errors import FormatError, nearest
from graphjit.formats.atomic import replacing
from graphjit.formats.header import (
    Header,
    encode_header,
    header_bytes,
    read_header,
    with_table,
)
from graphjit.formats.limits import DEFAULT_LIMITS, Limits
from graphjit.formats.payload import (
    FRAME_BYTES,
    Segment,
    TensorEntry,
    aligned,
    lay_out,
    read_tensor,
    verify_bytes,
    write_tensor,
)
from graphjit.formats.plain import shown
from graphjit.formats.sources import FileSource, MemorySource, Source
from graphjit.ir import Graph, Param
from graphjit.types import DTYPE_BYTES, TensorType, known_size

__all__ = ["Contents", "Limits", "decode", "encode", "load", "save"]


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds.

    Attributes:
        graph: Verified.
        tensors: An array for every param, by name and in the graph's order.
        optional: Sections that a reader may ignore: plain data by name.
        producer: What wrote the file, such as "graphjit 0.1.0".
    """

    graph: Graph
    tensors: Mapping[str, NDArray[Any]]
    optional: Mapping[str, Any]
    producer: str


def encode(
    graph: Graph,
    tensors: Mapping[str, Any],
    optional: Mapping[str, Any] | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> bytes:
    """A graph and its tensors as bytes; the same for equal graphs and tensors.

    Args:
        graph: A graph that verifies.
        tensors: An array (of NumPy or JAX) for every param, by name.
        optional: Plain data by section name: None, bool, int, float, str, bytes,
            lists and maps of these. Tuples come back as lists.
        limits: What a reader's limits are expected to be.

    Raises:
        FormatError: The tensors are not the graph's, or something cannot be saved.
    """
    plan = _plan(graph, tensors, optional or {}, limits)
    file = io.BytesIO()
    plan.write(file)
    return file.getvalue()


def decode(
    data: bytes | bytearray | memoryview, *, limits: Limits = DEFAULT_LIMITS
) -> Contents:
    """The inverse of `encode`; arrays are copies.

    Raises:
        FormatError: The bytes are not exactly what `encode` writes.
    """
    return _contents(MemorySource(memoryview(data).cast("B")), limits)


def save(
    path: str | os.PathLike[str],
    graph: Graph,
    tensors: Mapping[str, Any],
    optional: Mapping[str, Any] | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> None:
    """Write a file, tensor by tensor; the arguments are those of `encode`.

    A crash at any moment leaves the old file or the new one.

    Raises:
        FormatError: As for `encode`; nothing has been written then.
        OSError: The file cannot be written; the old one is as it was.
    """
    plan = _plan(graph, tensors, optional or {}, limits)
    with replacing(path) as file:
        plan.write(file)


def load(
    path: str | os.PathLike[str],
    mmap: bool = False,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> Contents:
    """Read and verify a file.

    Args:
        path: A regular file.
        mmap: Give read-only views of the mapped file instead of arrays; each tensor
            is verified when it is first taken from the mapping, and the file must not
            be written to in the meantime (`save` replaces files, which is safe).
        limits: What the file may ask for.

    Raises:
        FormatError: The file is not exactly what `save` writes.
        OSError: It cannot be read.
    """
    name = os.fspath(path)
    # Asked before it is opened: opening a pipe waits for a writer.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise FormatError(f"{name}: expected a regular file")
    with open(path, "rb") as file, _named(name):
        source = FileSource(file)
        if not mmap:
            return _contents(source, limits)
        opened = _open(source, limits)
        view = memoryview(
            mapping.mmap(file.fileno(), source.size, access=mapping.ACCESS_READ)
        )
    tensors = MappedTensors(view, opened, name)
    return _with(opened.header, tensors)


# --- writing --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Plan:
    """Everything decided before the first byte is written."""

    header: Mapping[str, Any]
    arrays: tuple[Any, ...]
    entries: tuple[TensorEntry, ...]
    segments: tuple[tuple[Segment, ...], ...]
    limits: Limits

    def prefix(self, entries: tuple[TensorEntry, ...]) -> bytes:
        """All bytes before the first tensor's frame."""
        begin = header_bytes(with_table(self.header, entries), self.limits)
        if not entries:
            return begin
        return begin.ljust(_payload_start(len(begin)) - FRAME_BYTES, b"\xc0")

    def write(self, file: BinaryIO) -> None:
        """Write to an empty file that can seek.

        The tensors go first, so that each is converted and read once, and hashed as
        it is written. The header then fills the room left for it: a hash has the same
        length whatever it says.
        """
        room = len(self.prefix(self.entries))
        file.write(bytes(room))
        entries = tuple(
            replace(entry, sha256=write_tensor(file, segments, np.asarray(array)))
            for entry, segments, array in zip(
                self.entries, self.segments, self.arrays, strict=True
            )
        )
        file.seek(0)
        file.write(self.prefix(entries))


def _plan(
    graph: Graph,
    tensors: Mapping[str, Any],
    optional: Mapping[str, Any],
    limits: Limits,
) -> _Plan:
    """Check everything, so that nothing is refused once writing has begun."""
    arrays = _matched(graph.params, tensors)
    sizes = [_stored_bytes(param.type) for param in graph.params]
    placed = tuple(lay_out(sizes))
    entries = tuple(
        TensorEntry(param.name, param.type, segments[0].offset, size, bytes(32))
        for param, segments, size in zip(graph.params, placed, sizes, strict=True)
    )
    header = encode_header(graph, entries, optional)
    plan = _Plan(header, arrays, entries, placed, limits)
    # What this reader would refuse is not written.
    read_header(MemorySource(memoryview(plan.prefix(entries))), limits)
    return plan


def _matched(params: tuple[Param, ...], tensors: Mapping[str, Any]) -> tuple[Any, ...]:
    """The tensors in the params' order, checked against them."""
    known = {param.name: None for param in params}
    for name in tensors:
        if name not in known:
            guess = nearest(str(name), known)
            hint = f"did you mean {guess!r}?" if guess else None
            raise FormatError(f"tensor {name!r} is no param of the graph", hint=hint)
    for param in params:
        if param.name not in tensors:
            message = f"param {param.name!r}: expected a tensor, received none"
            raise FormatError(message)
        _check_array(param, tensors[param.name])
    return tuple(tensors[name] for name in known)


def _check_array(param: Param, array: Any) -> None:
    shape, dtype = getattr(array, "shape", None), getattr(array, "dtype", None)
    if not isinstance(shape, tuple) or dtype is None:
        received = type(array).__name__
    else:
        name = getattr(dtype, "name", str(dtype))
        if (shape, name) == (param.type.shape, param.type.dtype):
            return
        received = str(TensorType(tuple(map(int, shape)), name))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    raise FormatError(
        f"tensor {param.name!r}: expected {param.type}, received {received}"
    )


def _stored_bytes(type_: TensorType) -> int:
    elements = known_size(type_.shape)
    if elements is None:
        raise FormatError(f"expected a type whose dims are numbers, received {type_}")
    return elements * DTYPE_BYTES[type_.dtype]


# --- reading --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Opened:
    """A file whose header and framing are verified; its tensors' bytes are not."""

    header: Header
    segments: tuple[tuple[Segment, ...], ...]
    payload: int


def _payload_start(header_end: int) -> int:
    """Where the first tensor's data begins."""
    return aligned(header_end + FRAME_BYTES)


def _open(source: Source, limits: Limits) -> _Opened:
    """Read the header, and check where every binary must lie and the bytes between."""
    header = read_header(source, limits)
    entries = header.entries
    # Before anything is laid out: declared petabytes would be many segments.
    least = header.end + sum(entry.size for entry in entries)
    if source.size < least:
        wanted = f"expected at least {least} bytes"
        raise FormatError(f"truncated: {wanted}, received {source.size}")
    placed = tuple(lay_out(entry.size for entry in entries))
    for entry, segments in zip(entries, placed, strict=True):
        if entry.offset != segments[0].offset:
            wanted = f"expected offset {segments[0].offset}, received {entry.offset}"
            where = f"tensor {shown(entry.name)}"
            raise FormatError(f"{where}: {wanted}", hint="tensors leave no holes")
    payload = _payload_start(header.end) if entries else header.end
    end = payload
    if placed:
        end += placed[-1][-1].offset + placed[-1][-1].size
    if source.size != end:
        word = "truncated" if source.size < end else "something follows the end"
        raise FormatError(f"{word}: expected {end} bytes, received {source.size}")
    _check_framing(source, header, placed, payload)
    return _Opened(header, placed, payload)


def _check_framing(
    source: Source,
    header: Header,
    placed: tuple[tuple[Segment, ...], ...],
    payload: int,
) -> None:
    """Every byte between the binaries is the one that belongs there."""
    begin = header.end
    padding = b"\xc0" * (payload - begin - FRAME_BYTES) if placed else b""
    if source.read(begin, len(padding)) != padding:
        raise FormatError(f"corrupted: expected nil from byte {begin}")
    for entry, segments in zip(header.entries, placed, strict=True):
        for segment in segments:
            wanted = segment.preamble()
            at = payload + segment.offset - len(wanted)
            if source.read(at, len(wanted)) != wanted:
                where = f"before tensor {shown(entry.name)}"
                raise FormatError(f"corrupted: wrong framing {where}, from byte {at}")


def _contents(source: Source, limits: Limits) -> Contents:
    opened = _open(source, limits)
    tensors = {
        entry.name: read_tensor(source, opened.payload, entry, segments)
        for entry, segments in zip(opened.header.entries, opened.segments, strict=True)
    }
    return _with(opened.header, tensors)


def _with(header: Header, tensors: Mapping[str, NDArray[Any]]) -> Contents:
    return Contents(header.graph, tensors, header.optional, header.producer)


class MappedTensors(Mapping[str, NDArray[Any]]):
    """Tensors of a mapped file: read-only views, each verified at its first touch.

    A tensor that is stored in several segments is copied instead.
    """

    def __init__(self, data: memoryview, opened: _Opened, name: str) -> None:
        self._data = data
        self._payload = opened.payload
        self._name = name
        rows = zip(opened.header.entries, opened.segments, strict=True)
        self._rows = {entry.name: (entry, segments) for entry, segments in rows}
        self._verified: dict[str, NDArray[Any]] = {}

    def __getitem__(self, key: str) -> NDArray[Any]:
        found = self._verified.get(key)
        if found is None:
            with _named(self._name):
                found = self._take(*self._rows[key])
            self._verified[key] = found
        return found

    def _take(self, entry: TensorEntry, segments: tuple[Segment, ...]) -> NDArray[Any]:
        if len(segments) > 1:
            source = MemorySource(self._data)
            array = read_tensor(source, self._payload, entry, segments)
        else:
            begin = self._payload + entry.offset
            data = self._data[begin : begin + entry.size]
            verify_bytes(data, entry)
            array = np.frombuffer(data, np.uint8).view(entry.dtype)
            array = array.reshape(entry.shape)
        array.flags.writeable = False
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


@contextlib.contextmanager
def _named(name: object) -> Generator[None]:
    """Put the file's name before what a reader says about it."""
    try:
        yield
    except FormatError as error:
        raise error.reworded(f"{name}: {error.message}") from error
