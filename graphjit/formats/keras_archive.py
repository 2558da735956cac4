"""A `.keras` file: a zip of a configuration, what wrote it, and weights.

Nothing is written to disk, and a member is read only under its exact name: there is no
path in an archive to walk. What a member declares is checked before it is read, and is
all that is read.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import Final

from graphjit.errors import FormatError
from graphjit.formats.limits import Limits
from graphjit.formats.plain import shown

__all__ = ["Archive", "is_archive", "read_archive"]

_CONFIG: Final = "config.json"
_METADATA: Final = "metadata.json"
_WEIGHTS: Final = "model.weights.h5"
_MEMBERS: Final = (_CONFIG, _METADATA, _WEIGHTS)
_MAGIC: Final = b"PK\x03\x04"
_ENCRYPTED: Final = 0x1
#: Below this many bytes a ratio does no harm.
_SMALL_BYTES: Final = 2**20
#: What `zipfile` raises on damaged files; OSError where it seeks before the start.
_ERRORS: Final = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    NotImplementedError,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
)
_HINTS: Final = {
    "model.weights.npz": "in Keras 3: save the model again, with weights in HDF5",
    "model.weights.json": "in Keras 3: save the model again, without sharding",
    "assets": "layers with files of their own, such as vocabularies, are not supported",
}


@dataclass(frozen=True, slots=True)
class Archive:
    """The members of a `.keras` file.

    Attributes:
        config: JSON: the model's configuration.
        metadata: JSON: what wrote it; None where that is not there.
        weights: An HDF5 file; None where it is not there.
    """

    config: bytes
    metadata: bytes | None
    weights: bytes | None


def is_archive(head: bytes) -> bool:
    """Whether a file that begins so is a zip."""
    return head.startswith(_MAGIC)


def read_archive(path: str | os.PathLike[str], limits: Limits) -> Archive:
    """The members of a `.keras` file.

    Raises:
        FormatError: It is no such file, or one that nobody should unpack.
        OSError: It cannot be read.
    """
    name = os.fspath(path)
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return _members(archive, os.fstat(file.fileno()).st_size, limits)
        except FormatError as error:
            raise error.reworded(f"{name}: {error.message}") from None
        except _ERRORS as error:
            text = " ".join(str(error).split())[:200]
            raise FormatError(f"{name}: corrupted zip: {text}") from None


def _members(archive: zipfile.ZipFile, archive_bytes: int, limits: Limits) -> Archive:
    known: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if info.filename not in _MEMBERS:
            part = info.filename.replace("\\", "/").split("/")[0]
            raise FormatError(
                f"expected the members {', '.join(_MEMBERS)}, found "
                f"{shown(info.filename)}",
                hint=_HINTS.get(part),
            )
        if info.filename in known:
            raise FormatError(f"the member {info.filename} stands twice")
        if info.compress_size > archive_bytes:
            message = f"declares {info.compress_size} bytes, more than the file has"
            raise FormatError(f"{info.filename}: {message}")
        known[info.filename] = info
    if _CONFIG not in known:
        raise FormatError(f"the member {_CONFIG} is missing")

    def read(name: str) -> bytes | None:
        info = known.get(name)
        return None if info is None else _read(archive, info, limits)

    config = _read(archive, known[_CONFIG], limits)
    return Archive(config, read(_METADATA), read(_WEIGHTS))


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limits: Limits) -> bytes:
    where, size = info.filename, info.file_size
    if info.flag_bits & _ENCRYPTED:
        raise FormatError(f"{where}: it is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        message = f"expected it stored or deflated, found method {info.compress_type}"
        raise FormatError(f"{where}: {message}")
    if where != _WEIGHTS and size > limits.header_bytes:
        limits.refuse("header_bytes", where, f"declares {size} bytes")
    if size > max(info.compress_size * limits.ratio, _SMALL_BYTES):
        found = f"declares {size} bytes out of {info.compress_size}"
        limits.refuse("ratio", where, found)
    with archive.open(info) as member:
        data = member.read(size + 1)
        rest = member.read(1)  # where the checksum is looked at
    if len(data) != size or rest:
        raise FormatError(f"{where}: declares {size} bytes, holds {len(data)}")
    return data
