"""Reading HDF5 without trusting it.

HDF5 can point: links and datasets may lie in other files, filters may be plugins, a
shape of petabytes may stand over no bytes at all. Everything is reached here by hard
links only, one step at a time, and looked at before it is read.
"""

from __future__ import annotations

import contextlib
import functools
import io
import mmap
import os
import stat
from collections.abc import Callable, Generator, Iterator
from contextvars import ContextVar
from typing import Any, Final

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from graphjit.errors import FormatError
from graphjit.formats import extras
from graphjit.formats.hdf5_heaps import check_heaps
from graphjit.formats.limits import Limits, check_size
from graphjit.formats.plain import shown

__all__ = [
    "array_type",
    "child",
    "has_child",
    "heaps_of",
    "opened",
    "opened_bytes",
    "read_array",
    "read_checked",
    "text_attribute",
    "text_list",
]

#: Filters that HDF5 and h5py bring along; others are plugins, loaded by number.
_FILTERS: Final = {1: "gzip", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}
_COMPRESSING: Final = (1, 32000)
#: How every HDF5 file begins that has no block of the user's before it.
_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
#: What h5py raises on damaged files; OverflowError where they lead beyond 64 bits.
_ERRORS: Final = (
    KeyError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
)
#: Steps on the way to anything: Keras takes one for each model in a model, and a few.
_MOST_STEPS: Final = 256
#: HDF5's number for a link that is a name of something in the same file.
_HARD_LINK: Final = 0
#: Below this many bytes neither a chunk nor a ratio does harm.
_SMALL_BYTES: Final = 2**20
#: In bytes; NumPy's arrays begin at multiples of 16.
_XLA_ALIGNMENT: Final = 64
#: Looks through the heaps of the file that is open, before the first is read.
_heaps: ContextVar[Callable[[], None]] = ContextVar("heaps")


@contextlib.contextmanager
def opened(
    path: str | os.PathLike[str], heaps: Callable[[], None] | None = None
) -> Generator[Any]:
    """The root group of a file; what goes wrong inside the block names the file.

    Args:
        path: The file.
        heaps: `heaps_of` it, for one that is opened more than once.

    Raises:
        FormatError: It is no HDF5 file, or a damaged one.
        ImportError: h5py is not installed.
        OSError: It is not there, or cannot be read.
    """
    h5py = extras.h5py()
    name = os.fspath(path)
    # Asked before it is opened: opening a pipe waits for a writer.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise FormatError(f"{name}: expected a regular file")
    with open(path, "rb") as file:
        head = file.read(64)
    if not h5py.is_hdf5(name):
        raise FormatError(f"{name}: not an HDF5 file: it begins with {shown(head[:8])}")
    checked = _heaps_checked_by(heaps or heaps_of(path))
    with _errors_of(name), checked, h5py.File(name, "r") as root:
        yield root


@contextlib.contextmanager
def opened_bytes(data: bytes, name: str) -> Generator[Any]:
    """The root group of a file in memory, which messages call `name`.

    Raises:
        FormatError: It is no HDF5 file, or a damaged one.
        ImportError: h5py is not installed.
    """
    h5py = extras.h5py()
    if not data.startswith(_SIGNATURE):
        message = f"not an HDF5 file: it begins with {shown(data[:8])}"
        raise FormatError(f"{name}: {message}")
    checked = _heaps_checked_by(functools.cache(lambda: check_heaps(data)))
    with _errors_of(name), checked, h5py.File(io.BytesIO(data), "r") as root:
        yield root


def heaps_of(path: str | os.PathLike[str]) -> Callable[[], None]:
    """What looks through all of a file's heaps, which takes long, in its first call."""

    @functools.cache
    def check() -> None:
        with (
            open(path, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            check_heaps(data)

    return check


@contextlib.contextmanager
def _heaps_checked_by(check: Callable[[], None]) -> Generator[None]:
    """Call `check` before a string in a heap is read."""
    token = _heaps.set(check)
    try:
        yield
    finally:
        _heaps.reset(token)


@contextlib.contextmanager
def _errors_of(name: str) -> Generator[None]:
    """Errors with the file's name before them; h5py's as ours."""
    try:
        yield
    except FormatError as error:
        raise error.reworded(f"{name}: {error.message}") from None
    except _ERRORS as error:
        text = " ".join(str(error).split())[:200]
        raise FormatError(f"{name}: corrupted HDF5: {text}") from None
    except MemoryError:
        # The library makes room for what a string declares before it looks for it.
        message = "corrupted HDF5: it declares more than there is memory for"
        raise FormatError(f"{name}: {message}") from None


def has_child(group: Any, name: str) -> bool:
    """Whether something is linked under `name`, of whatever kind."""
    if not isinstance(group, extras.h5py().Group):
        return False
    return bool(group.id.links.exists(name.encode()))


def child(group: Any, path: str) -> Any:
    """The group or dataset at `path`, by hard links alone.

    Raises:
        FormatError: It is not there, or a link leads elsewhere.
    """
    h5py = extras.h5py()
    where = shown(f"{group.name}/{path}".replace("//", "/"))
    found = group
    parts = path.split("/")
    if len(parts) > _MOST_STEPS:
        raise FormatError(f"{where}: {len(parts)} steps (at most {_MOST_STEPS})")
    for part in parts:
        encoded = part.encode()
        # HDF5's names end at a zero, so that one with more behind it is another's.
        is_name = part not in ("", ".") and "\0" not in part
        if not is_name or not isinstance(found, h5py.Group):
            raise FormatError(f"{where}: nothing is there")
        links = found.id.links
        if not links.exists(encoded):
            raise FormatError(f"{where}: nothing is there")
        if links.get_info(encoded).type != _HARD_LINK:
            raise FormatError(
                f"{where}: expected a group or dataset in this place, received a link",
                hint="links can lead to other files, so none is followed",
            )
        found = found[encoded]
    return found


# --- datasets -------------------------------------------------------------------


def array_type(dataset: Any, limits: Limits) -> tuple[tuple[int, ...], str]:
    """Shape and dtype of a dataset that is safe to read.

    Raises:
        FormatError: It is no array of numbers, its bytes are elsewhere, or it declares
            more than it holds.
    """
    h5py = extras.h5py()
    where = shown(dataset.name)
    if not isinstance(dataset, h5py.Dataset):
        raise FormatError(f"{where}: expected an array, received a group")
    dtype = _number_type(dataset)
    if dtype.kind not in "fiub" and dtype.name != "bfloat16":
        raise FormatError(f"{where}: expected an array of numbers, received {dtype}")
    if dataset.shape is None:
        raise FormatError(f"{where}: expected an array, received an empty dataspace")
    if dataset.is_virtual or dataset.external:
        raise FormatError(f"{where}: its data are in other files, which are not read")
    shape = tuple(int(dim) for dim in dataset.shape)
    check_size(shape, limits, where)
    _check_storage(dataset, _bytes_of(shape, dtype.itemsize), limits)
    return shape, dtype.name


def read_array(dataset: Any, limits: Limits) -> NDArray[Any]:
    """A dataset as an array; checked as `array_type` does."""
    array_type(dataset, limits)
    return read_checked(dataset)


def read_checked(dataset: Any) -> NDArray[Any]:
    """A dataset, which `array_type` has looked at, as an array."""
    found = _large(dataset) if dataset.nbytes > _SMALL_BYTES else dataset[()]
    found = np.asarray(found)
    return found.view(ml_dtypes.bfloat16) if found.dtype.kind == "V" else found


def _large(dataset: Any) -> NDArray[Any]:
    """A dataset as an array that begins where XLA's own do: it need not copy it."""
    room = np.empty(dataset.nbytes + _XLA_ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _XLA_ALIGNMENT
    found = room[start : start + dataset.nbytes].view(dataset.dtype)
    found = found.reshape(dataset.shape)
    dataset.read_direct(found)
    return found


def _number_type(dataset: Any) -> np.dtype[Any]:
    """A dataset's dtype; h5py writes bfloat16, and nothing else, as two raw bytes."""
    dtype = np.dtype(dataset.dtype)
    raw = dtype.kind == "V" and dtype.fields is None and dtype.subdtype is None
    return np.dtype(ml_dtypes.bfloat16) if raw and dtype.itemsize == 2 else dtype


def _check_storage(dataset: Any, size_bytes: int, limits: Limits) -> None:
    """Refuse what declares more bytes than its file could hold."""
    where = shown(dataset.name)
    stored = int(dataset.id.get_storage_size())
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(at)[0] for at in range(properties.get_nfilters())]
    for number in filters:
        if number not in _FILTERS:
            known = ", ".join(_FILTERS.values())
            message = f"filter {number} is not read (known here: {known})"
            raise FormatError(f"{where}: {message}")
    if dataset.chunks is not None:
        chunk = _bytes_of(dataset.chunks, dataset.dtype.itemsize)
        if chunk > max(size_bytes, _SMALL_BYTES):
            message = f"its chunks have {chunk} bytes, all of it has {size_bytes}"
            raise FormatError(f"{where}: {message}")
    if any(number in _COMPRESSING for number in filters):
        if size_bytes > max(stored * limits.ratio, _SMALL_BYTES):
            found = f"{size_bytes} bytes out of {stored}"
            limits.refuse("ratio", where, found)
    elif stored < size_bytes or (dataset.chunks is None and stored != size_bytes):
        message = f"declares {size_bytes} bytes, but the file holds {stored}"
        raise FormatError(f"{where}: {message}")


def _bytes_of(shape: tuple[int, ...], item_bytes: int) -> int:
    size = item_bytes
    for dim in shape:
        size *= int(dim)
    return size


# --- attributes -----------------------------------------------------------------


def text_attribute(group: Any, name: str, limits: Limits) -> str | None:
    """An attribute that is one string; None where there is none."""
    found = _texts(group, name, limits)
    if found is None:
        return None
    if len(found) != 1:
        raise FormatError(f"attribute {name!r}: expected one string, received more")
    return found[0]


def text_list(group: Any, name: str, limits: Limits) -> list[str] | None:
    """An attribute that is a list of names; None where there is none.

    HDF5 holds 64 kB in one attribute: Keras writes longer lists in parts, under
    ``name0``, ``name1``, …
    """
    found = _texts(group, name, limits)
    if found is not None:
        return found
    parts = list(_parts(group, name, limits))
    return [text for part in parts for text in part] if parts else None


def _parts(group: Any, name: str, limits: Limits) -> Iterator[list[str]]:
    for at in range(limits.tensors):
        part = _texts(group, f"{name}{at}", limits)
        if part is None:
            return
        yield part


def _texts(group: Any, name: str, limits: Limits) -> list[str] | None:
    """The strings of an attribute; an empty list may be of any type."""
    if name not in group.attrs:
        return None
    where = f"{shown(group.name)}: attribute {name!r}"
    h5py = extras.h5py()
    attribute = h5py.h5a.open(group.id, name.encode())
    shape: tuple[int, ...] = (0,) if attribute.shape is None else attribute.shape
    count = _bytes_of(shape, 1)
    if count == 0:
        return []
    if len(shape) > 1 or count > limits.tensors:
        raise FormatError(f"{where}: expected a list, received shape {shape}")
    if h5py.check_string_dtype(attribute.dtype) is None and attribute.dtype.kind != "S":
        raise FormatError(f"{where}: expected strings, received {attribute.dtype}")
    if count * attribute.dtype.itemsize > limits.header_bytes:
        limits.refuse("header_bytes", where, f"{count} strings")
    if attribute.dtype.kind == "O":
        _heaps.get()()
    value: Any = group.attrs[name]
    items: list[Any] = (
        [value] if isinstance(value, (str, bytes)) else np.ravel(value).tolist()
    )
    return [_decoded(item, where, limits) for item in items]


def _decoded(item: Any, where: str, limits: Limits) -> str:
    text = item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)
    if len(text) > limits.header_bytes:
        limits.refuse("header_bytes", where, f"{len(text)} characters")
    return text
