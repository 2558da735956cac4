"""The first object of a file: what the graph and the tensors are, and where.

It is a binary that holds one msgpack map, and its SHA-256 follows as another binary.
Every version of the format keeps that, and the keys "format" and "version".
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from graphjit.errors import FormatError, nearest
from graphjit.formats import plain, strict_msgpack
from graphjit.formats.attributes import load_error
from graphjit.formats.foreign import HEAD_BYTES, not_ours
from graphjit.formats.graph_codec import decode_graph, encode_graph
from graphjit.formats.limits import Limits, check_graph
from graphjit.formats.payload import (
    FRAME_BYTES,
    TensorEntry,
    decode_entry,
    frame,
)
from graphjit.formats.plain import refuse, shown
from graphjit.formats.sources import Source
from graphjit.ir import Graph, Param
from graphjit.narrow import mapping_of, sequence_of
from graphjit.verify import verify

__all__ = [
    "VERSION",
    "Header",
    "encode_header",
    "header_bytes",
    "is_gjit",
    "read_header",
    "with_table",
]

FORMAT: Final = "gjit"
VERSION: Final = 1

_FIELDS: Final = ("format", "version", "producer", "graph", "tensors", "optional")
#: What stands after the frame and the map's marker, whatever the version.
_MAGIC: Final = b"\xa6format\xa4gjit"
_MAGIC_AT: Final = FRAME_BYTES + 1
_HASH_FRAME: Final = b"\xc4\x20"
_HASH_BYTES: Final = len(_HASH_FRAME) + 32


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says.

    Attributes:
        graph: Verified.
        entries: The tensor table, one row for every param and in their order.
        optional: Sections that a reader may ignore.
        producer: What wrote it.
        end: Where header and hash end in the file.
    """

    graph: Graph
    entries: tuple[TensorEntry, ...]
    optional: Mapping[str, Any]
    producer: str
    end: int


# --- writing --------------------------------------------------------------------


def encode_header(
    graph: Graph, entries: Sequence[TensorEntry], optional: Mapping[str, Any]
) -> dict[str, Any]:
    """The header as plain data.

    Raises:
        FormatError: The graph or a section holds something that cannot be saved.
    """
    values = (
        FORMAT,
        VERSION,
        _producer(),
        encode_graph(graph),
        [entry.encode() for entry in entries],
        _plain(optional, "optional"),
    )
    return dict(zip(_FIELDS, values, strict=True))


def with_table(
    header: Mapping[str, Any], entries: Sequence[TensorEntry]
) -> dict[str, Any]:
    """The header with another tensor table."""
    return {**header, "tensors": [entry.encode() for entry in entries]}


def header_bytes(header: Mapping[str, Any], limits: Limits) -> bytes:
    """The header and its hash as they stand in the file.

    Raises:
        FormatError: It is over the limits, or holds what msgpack cannot.
    """
    packed = strict_msgpack.pack(header, limits, "header")
    _check_length(len(packed), limits)
    digest = hashlib.sha256(packed).digest()
    return frame(len(packed)) + packed + _HASH_FRAME + digest


def _producer() -> str:
    try:
        return f"graphjit {importlib.metadata.version('graphjit')}"
    except importlib.metadata.PackageNotFoundError:
        return "graphjit"


def _plain(data: object, where: str) -> Any:
    """An optional section with lists for tuples and its maps sorted by key."""
    items = sequence_of(data)
    if items is not None:
        return [_plain(item, f"{where}[{at}]") for at, item in enumerate(items)]
    entries = mapping_of(data)
    if entries is None:
        return data
    for key in cast("Mapping[object, Any]", entries):
        plain.text(key, f"{where}: key")
    return {key: _plain(entries[key], f"{where}.{key}") for key in sorted(entries)}


# --- reading --------------------------------------------------------------------


def is_gjit(head: bytes) -> bool:
    """Whether a file whose first bytes these are is a `.gjit` file."""
    return head[:1] == frame(0)[:1] and head[_MAGIC_AT:].startswith(_MAGIC)


def read_header(source: Source, limits: Limits) -> Header:
    """Read and verify everything before the payload.

    Raises:
        FormatError: Not a gjit file, of a newer version, damaged, over the limits, or
            a graph that does not verify.
    """
    packed = _intact(source, limits)
    data = strict_msgpack.unpack(packed, limits, "header")
    try:
        header = decode_header(data, limits)
    except RecursionError:
        # Only where the user has raised the limit.
        raise FormatError("header: nested too deep for Python's stack") from None
    return Header(*header, end=FRAME_BYTES + len(packed) + _HASH_BYTES)


def decode_header(
    data: object, limits: Limits
) -> tuple[Graph, tuple[TensorEntry, ...], Mapping[str, Any], str]:
    """Graph, tensor table, optional sections and producer."""
    entries = mapping_of(data) or {}
    if entries.get("format") != FORMAT:
        refuse("header.format", repr(FORMAT), entries.get("format"))
    version = plain.integer(entries.get("version"), "header.version")
    if version != VERSION:
        message = f"the file has format version {version}, this reader knows {VERSION}"
        hint = "a newer graphjit reads it" if version > VERSION else None
        raise FormatError(message, hint=hint)
    _, _, producer, graph, table, optional = plain.record(data, _FIELDS, "header")
    decoded = _verified(decode_graph(graph), limits)
    rows = tuple(
        decode_entry(row, f"tensors[{at}]", limits)
        for at, row in enumerate(plain.listing(table, "tensors"))
    )
    _check_table(decoded.params, rows)
    if type(optional) is not dict:
        refuse("optional", "a map", optional)
    sections = cast("dict[str, Any]", optional)
    return decoded, rows, sections, plain.text(producer, "producer")


def _intact(source: Source, limits: Limits) -> bytes:
    """The header's bytes, its hash checked."""
    head = source.read(0, max(HEAD_BYTES, _MAGIC_AT + len(_MAGIC)))
    magic = head[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)]
    if head[:1] != frame(0)[:1] or not _MAGIC.startswith(magic):
        raise not_ours(head)
    if len(magic) < len(_MAGIC):
        raise FormatError(f"truncated: expected a header, received {len(head)} bytes")
    length = int.from_bytes(head[1:FRAME_BYTES], "big")
    _check_length(length, limits)
    end = FRAME_BYTES + length + _HASH_BYTES
    if end > source.size:
        wanted = f"a header that ends at byte {end}"
        raise FormatError(f"truncated: expected {wanted}, received {source.size} bytes")
    data = source.read(FRAME_BYTES, length + _HASH_BYTES)
    packed, rest = data[:length], data[length:]
    if rest != _HASH_FRAME + hashlib.sha256(packed).digest():
        raise FormatError("the header is corrupted: its bytes do not match its hash")
    return packed


def _check_length(length: int, limits: Limits) -> None:
    if length > limits.header_bytes:
        limits.refuse("header_bytes", "header", f"{length} bytes")


def _verified(graph: Graph, limits: Limits) -> Graph:
    check_graph(graph, limits)
    try:
        return verify(graph)
    except Exception as error:
        # An op's `infer` may stumble over attributes that no layer would give it.
        raise load_error("the graph does not verify", error) from error


def _check_table(params: Sequence[Param], entries: Sequence[TensorEntry]) -> None:
    """The table has a row for every param, in order, of its type."""
    declared = [param.name for param in params]
    stored = [entry.name for entry in entries]
    for name in sorted(set(stored).difference(declared)):
        guess = nearest(name[:80], declared)
        hint = f"did you mean {guess!r}?" if guess else None
        raise FormatError(f"tensor {shown(name)} is no param of the graph", hint=hint)
    for name in sorted(set(declared).difference(stored)):
        raise FormatError(f"param {shown(name)} has no tensor in the file")
    if stored != declared:
        raise FormatError("expected one tensor for each param, in the graph's order")
    for param, entry in zip(params, entries, strict=True):
        if param.type != entry.type:
            received = f"expected {param.type}, received {entry.type}"
            raise FormatError(f"tensor {shown(param.name)}: {received}")
