"""Attacks by what HDF5 can say: links, storage, filters, heaps, sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from tests.keras.attacks.base import KERNEL, Attack, good_h5, h5_with, secret_folder

__all__ = ["ATTACKS"]

_LINK: Final = "received a link"
_ELSEWHERE: Final = "its data are in other files, which are not read"
#: Every step on the way to an array.
_STEPS: Final = ("model_weights", "model_weights/d", "model_weights/d/d", KERNEL)


def _linked(at: str, make: Callable[[Path], Any]) -> Callable[[Path], Path]:
    def change(file: Any, elsewhere: Path) -> None:
        del file[at]
        file[at] = make(elsewhere)

    return h5_with(change)


def _soft(_: Path) -> Any:
    return h5py.SoftLink("/anything")


def _external(elsewhere: Path) -> Any:
    return h5py.ExternalLink(str(elsewhere / "other.h5"), "/model_weights")


def _replaced(**options: Any) -> Callable[[Path], Path]:
    """The kernel as another dataset."""

    def change(file: Any, elsewhere: Path) -> None:
        del file[KERNEL]
        external = options.get("external")
        given = dict(options)
        if external:
            given["external"] = [(str(elsewhere / "secret"), 0, 24)]
        file.create_dataset(KERNEL, **given)

    return h5_with(change)


def _virtual(file: Any, elsewhere: Path) -> None:
    del file[KERNEL]
    layout = h5py.VirtualLayout((3, 2), np.float32)
    source = str(elsewhere / "other.h5")
    layout[:] = h5py.VirtualSource(source, f"/{KERNEL}", (3, 2))
    file.create_virtual_dataset(KERNEL, layout)


def _filtered(number: int) -> Callable[[Path], Path]:
    """The kernel behind a filter that is a plugin, or one of HDF5's stranger ones."""

    def change(file: Any, _: Path) -> None:
        del file[KERNEL]
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((3, 2))
        if number == h5py.h5z.FILTER_SCALEOFFSET:
            properties.set_scaleoffset(h5py.h5z.SO_FLOAT_DSCALE, 2)
        else:
            properties.set_filter(number, h5py.h5z.FLAG_OPTIONAL, (1,))
        space = h5py.h5s.create_simple((3, 2))
        group = file["model_weights/d/d"].id
        h5py.h5d.create(group, b"kernel:0", h5py.h5t.IEEE_F32LE, space, properties)

    return h5_with(change)


def _named_type(file: Any, _: Path) -> None:
    del file[KERNEL]
    file[KERNEL] = np.dtype("f4")


def _type_as_group(file: Any, _: Path) -> None:
    del file["model_weights/d"]
    file["model_weights/d"] = np.dtype("f4")


def _named_type_of_an_attribute(file: Any, _: Path) -> None:
    """A string attribute of a type that is committed elsewhere in the file: plain."""
    file["kind"] = h5py.string_dtype()
    text = file.attrs["model_config"]
    del file.attrs["model_config"]
    file.attrs.create("model_config", text, dtype=file["kind"])


def _attribute(name: str, make: Callable[[Any], Any]) -> Callable[[Path], Path]:
    def change(file: Any, _: Path) -> None:
        file.attrs[name] = make(file)

    return h5_with(change)


def _names(*names: bytes) -> Callable[[Path], Path]:
    def change(file: Any, _: Path) -> None:
        file["secret"] = np.ones((3, 2), np.float32)
        file["model_weights/d"].attrs["weight_names"] = np.asarray(names)

    return h5_with(change)


def _cycle(file: Any, _: Path) -> None:
    """A group that contains itself: harmless to who goes by names."""
    file["model_weights/d/d/again"] = file["model_weights/d"]
    file["model_weights/again"] = file["/"]


def _names_round_a_cycle(file: Any, folder: Path) -> None:
    _cycle(file, folder)
    name = b"d/" + b"again/d/" * 500 + b"kernel:0"
    file["model_weights/d"].attrs["weight_names"] = np.asarray([name])


def _crowd(folder: Path) -> Path:
    """Attributes and groups by the thousand, stored densely."""
    path = good_h5(folder / "attack.h5")
    with h5py.File(path, "r+", libver="latest") as file:
        group = file.create_group("crowd", track_order=True)
        for at in range(1000):
            group.attrs[f"a{at}"] = at
            group.create_group(f"g{at}")
        for at in range(1000):
            file["model_weights/d"].attrs[f"a{at}"] = at
    return path


def _endless_heap(folder: Path) -> Path:
    """Strings in a heap whose first object has no size: HDF5 2.0.0 never returns."""
    path = good_h5(folder / "attack.h5")
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL") + 16
    data[heap : heap + 16] = bytes(16)
    path.write_bytes(data)
    return path


def _heap_to_nowhere(folder: Path) -> Path:
    path = good_h5(folder / "attack.h5")
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL") + 16
    data[heap + 8 : heap + 16] = (2**64 - 16).to_bytes(8, "little")
    path.write_bytes(data)
    return path


def _long_string(folder: Path) -> Path:
    """A string that says it has 4 GiB, in a heap that holds a few bytes."""
    path = good_h5(folder / "attack.h5", text="[]" + " " * 18)
    data = path.read_bytes()
    heap = data.index(b"GCOL")
    # The string's descriptor: its length, the heap's address, its index there.
    where = data.index((20).to_bytes(4, "little") + heap.to_bytes(8, "little"))
    path.write_bytes(data[:where] + b"\xff\xff\xff\x0f" + data[where + 4 :])
    return path


def _doubling(folder: Path) -> Path:
    """Keras 3's tree, forty levels deep, each level's group under two names."""
    from tests.keras.attacks.zip_files import archive

    with h5py.File(folder / "inner.h5", "w") as file:
        file["layers/dense/vars/0"] = np.ones((3, 2), np.float32)
        group = file.create_group("layers/dense_1")
        for _ in range(40):
            group["b"] = group.create_group("a")
            group = group["a"]
    weights = (folder / "inner.h5").read_bytes()
    (folder / "inner.h5").unlink()
    return archive(folder / "attack.keras", weights=weights)


ATTACKS: Final[dict[str, Attack]] = {
    **{f"soft link at {at}": Attack(_linked(at, _soft), _LINK) for at in _STEPS},
    **{
        f"external link at {at}": Attack(_linked(at, _external), _LINK) for at in _STEPS
    },
    "external storage": Attack(
        _replaced(shape=(3, 2), dtype="f4", external=True), _ELSEWHERE
    ),
    "virtual dataset": Attack(h5_with(_virtual), _ELSEWHERE),
    "plugin filter": Attack(_filtered(32013), "filter 32013 is not read"),
    "szip": Attack(_filtered(h5py.h5z.FILTER_SZIP), "filter 4 is not read"),
    "n-bit": Attack(_filtered(h5py.h5z.FILTER_NBIT), "filter 5 is not read"),
    "scale-offset": Attack(
        _filtered(h5py.h5z.FILTER_SCALEOFFSET), "filter 6 is not read"
    ),
    "shape bomb": Attack(
        _replaced(shape=(2**40, 2**20), dtype="f4"), r"limit elements"
    ),
    "petabytes behind an axis of 0": Attack(
        _replaced(shape=(0, 2**50), dtype="f4"), r"limit elements"
    ),
    "bytes that were never written": Attack(
        _replaced(shape=(2**20, 2**10), dtype="f4"),
        "declares 4294967296 bytes, but the file holds 0",
    ),
    "chunks that are not there": Attack(
        _replaced(shape=(2**20, 2**10), dtype="f4", chunks=(1, 2**10)),
        "declares 4294967296 bytes, but the file holds 0",
    ),
    "chunks filled by a value": Attack(
        _replaced(shape=(2**20, 2**10), dtype="f4", chunks=(1, 2**10), fillvalue=7.0),
        "declares 4294967296 bytes, but the file holds 0",
    ),
    "compressed chunks that are not there": Attack(
        _replaced(
            shape=(2**20, 2**10), dtype="f4", chunks=(1, 2**10), compression="gzip"
        ),
        r"4294967296 bytes out of 0 \(limit ratio",
    ),
    "compression bomb": Attack(
        _replaced(data=np.zeros((2**11, 2**10), "f4"), compression="gzip"),
        r"8388608 bytes out of \d+ \(limit ratio",
    ),
    "chunks larger than everything": Attack(
        _replaced(
            shape=(3, 2), maxshape=(None, None), chunks=(2**10, 2**10), dtype="f4"
        ),
        "its chunks have 4194304 bytes, all of it has 24",
    ),
    "object references": Attack(
        _replaced(shape=(3, 2), dtype=h5py.ref_dtype), "expected an array of numbers"
    ),
    "region references": Attack(
        _replaced(shape=(3, 2), dtype=h5py.regionref_dtype),
        "expected an array of numbers",
    ),
    "arrays of arrays": Attack(
        _replaced(shape=(3, 2), dtype=h5py.vlen_dtype("f4")),
        "expected an array of numbers",
    ),
    "strings for numbers": Attack(
        _replaced(data=np.asarray([["a", "b"]] * 3, h5py.string_dtype())),
        "expected an array of numbers",
    ),
    "compound numbers": Attack(
        _replaced(shape=(3, 2), dtype=[("a", "f4")]), "expected an array of numbers"
    ),
    "no dataspace": Attack(
        _replaced(data=h5py.Empty("f4")), "received an empty dataspace"
    ),
    "a type for an array": Attack(
        h5_with(_named_type), "expected an array, received a"
    ),
    "a type for a group": Attack(
        h5_with(_type_as_group), "there is no attribute 'weight_names'"
    ),
    "an attribute of a named type": Attack(h5_with(_named_type_of_an_attribute), None),
    "a reference for the configuration": Attack(
        _attribute("model_config", lambda file: file.ref), "expected strings"
    ),
    "numbers for the configuration": Attack(
        _attribute("model_config", lambda _: np.zeros(3)), "expected strings"
    ),
    "a name from the root": Attack(_names(b"/secret"), "'/model_weights/d/secret'"),
    "a name with dots": Attack(_names(b"../../secret"), "nothing is there"),
    "a name that is a dot": Attack(_names(b"./d/kernel:0"), "nothing is there"),
    "a name that is empty": Attack(_names(b""), "nothing is there"),
    "a group in itself": Attack(h5_with(_cycle), None),
    "a name round and round": Attack(
        h5_with(_names_round_a_cycle), r"1002 steps \(at most 256\)"
    ),
    "a crowd of attributes and groups": Attack(_crowd, None),
    "a heap without an end": Attack(
        _endless_heap, r"the heap at \d+: object 0 at \d+ declares 0 bytes"
    ),
    "a heap that leads nowhere": Attack(
        _heap_to_nowhere, r"declares 18446744073709551600 bytes"
    ),
    "a string of 256 MiB": Attack(_long_string, "corrupted HDF5"),
    "groups under two names each": Attack(_doubling, None),
}
_ = secret_folder
