"""Attacks by what a zip can say, in the place of a `.keras` file."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from tests.keras.attacks.base import Attack, secret_folder

__all__ = ["ATTACKS", "archive"]

_START: Final = {"batch_shape": [None, 3], "dtype": "float32", "name": "x"}
_DENSE: Final = {"units": 2, "use_bias": False, "name": "d"}
ROOT: Final[dict[str, Any]] = {
    "module": "keras",
    "class_name": "Sequential",
    "registered_name": None,
    "config": {
        "name": "s",
        "layers": [
            {"class_name": "InputLayer", "config": _START},
            {"class_name": "Dense", "config": _DENSE},
        ],
    },
}
_Change = Callable[[zipfile.ZipFile, Path], None]


def weights() -> bytes:
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file["layers/dense/vars/0"] = np.ones((3, 2), np.float32)
    return out.getvalue()


def archive(
    path: Path,
    change: _Change | None = None,
    config: Any = None,
    **members: bytes,
) -> Path:
    """A `.keras` file; `weights` is its member of that kind."""
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("config.json", json.dumps(config or ROOT))
        made.writestr("metadata.json", json.dumps({"keras_version": "3.1.0"}))
        made.writestr("model.weights.h5", members.get("weights", weights()))
        if change is not None:
            change(made, secret_folder(path.parent))
    return path


def _with(change: _Change) -> Callable[[Path], Path]:
    return lambda folder: archive(folder / "attack.keras", change)


def _member(name: str, content: bytes = b"x") -> Callable[[Path], Path]:
    return _with(lambda made, _: made.writestr(name, content))


def _holding(data: Callable[[], bytes]) -> Callable[[Path], Path]:
    """Something else in the place of the weights."""
    return lambda folder: archive(folder / "attack.keras", weights=data())


def _bytes_changed(change: Callable[[bytearray], None]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = archive(folder / "attack.keras")
        data = bytearray(path.read_bytes())
        change(data)
        path.write_bytes(data)
        return path

    return make


def _pickled() -> bytes:
    """Weights of NumPy that are a pickle; it would open a file."""

    class Opens:
        def __reduce__(self) -> Any:
            return open, ("/etc/passwd",)

    out = io.BytesIO()
    np.savez(out, np.asarray([1]))
    return out.getvalue() + pickle.dumps(Opens())


def _nested() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("config.json", json.dumps(ROOT))
    return out.getvalue()


def _bomb(folder: Path) -> Path:
    path = folder / "attack.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("config.json", b" " * 2**24)
    return path


def _symbolic_link(folder: Path) -> Path:
    """The weights as a link to a file beside."""
    elsewhere = secret_folder(folder)
    path = folder / "attack.keras"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("config.json", json.dumps(ROOT))
        info = zipfile.ZipInfo("model.weights.h5")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        made.writestr(info, str(elsewhere / "other.h5"))
    return path


def _first(data: bytearray, mark: bytes) -> int:
    return data.index(mark)


def _encrypted(data: bytearray) -> None:
    data[_first(data, b"PK\x01\x02") + 8] |= 1


def _method(data: bytearray) -> None:
    struct.pack_into("<H", data, _first(data, b"PK\x01\x02") + 10, 99)


def _other_name(data: bytearray) -> None:
    """The list at the end calls a member otherwise than the member itself."""
    data[_first(data, b"config.json") + 5] = ord("x")


def _larger(data: bytearray) -> None:
    struct.pack_into("<I", data, _first(data, b"PK\x01\x02") + 24, 2**20)


def _largest(data: bytearray) -> None:
    struct.pack_into(
        "<II", data, _first(data, b"PK\x01\x02") + 20, 2**32 - 2, 2**32 - 2
    )


def _same_place(data: bytearray) -> None:
    """The list's second member where the first is: two names of the same bytes."""
    second = data.index(b"PK\x01\x02", _first(data, b"PK\x01\x02") + 4)
    struct.pack_into("<I", data, second + 42, 0)


def _before_the_start(data: bytearray) -> None:
    struct.pack_into("<I", data, data.rindex(b"PK\x05\x06") + 16, 2**32 - 2)


def _many(data: bytearray) -> None:
    end = data.rindex(b"PK\x05\x06")
    struct.pack_into("<HH", data, end + 8, 2**16 - 2, 2**16 - 2)


def _zip64(folder: Path) -> Path:
    """Sizes in the fields for large files: 2^62 bytes."""
    path = archive(folder / "attack.keras")
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    struct.pack_into("<II", data, at + 20, 2**32 - 1, 2**32 - 1)
    name = struct.unpack_from("<H", data, at + 28)[0]
    extra = struct.pack("<HHQQ", 1, 16, 2**62, 2**62)
    struct.pack_into("<H", data, at + 30, len(extra))
    data[at + 46 + name : at + 46 + name] = extra
    end = data.rindex(b"PK\x05\x06")
    size = struct.unpack_from("<I", data, end + 12)[0]
    struct.pack_into("<I", data, end + 12, size + len(extra))
    path.write_bytes(data)
    return path


def _config(root: Any) -> Callable[[Path], Path]:
    return lambda folder: archive(folder / "attack.keras", config=root)


def _dense_with(**more: Any) -> Callable[[Path], Path]:
    entry = {"class_name": "Dense", "config": _DENSE, **more}
    layers = [{"class_name": "InputLayer", "config": _START}, entry]
    return _config({**ROOT, "config": {"name": "s", "layers": layers}})


_LAMBDA: Final = {
    "class_name": "__lambda__",
    "config": {"code": "4wEAAAA=", "defaults": None, "closure": None},
}

ATTACKS: Final[dict[str, Attack]] = {
    "zip traversal": Attack(_member("../../etc/x"), r"found '\.\./\.\./etc/x'"),
    "zip with an absolute path": Attack(_member("/etc/x"), "found '/etc/x'"),
    "zip with a path of Windows": Attack(_member("..\\x"), r"expected the members"),
    "zip with code": Attack(_member("code.py"), "found 'code.py'"),
    "zip with a pickle": Attack(_member("weights.pkl"), "found 'weights.pkl'"),
    "zip with weights of NumPy": Attack(
        _member("model.weights.npz"), "with weights in HDF5"
    ),
    "zip with assets": Attack(
        _member("assets/words.txt"), "layers with files of their"
    ),
    "zip bomb": Attack(_bomb, r"declares 16777216 bytes out of \d+ \(limit ratio"),
    "zip with a link": Attack(_symbolic_link, "not an HDF5 file"),
    "zip that is encrypted": Attack(_bytes_changed(_encrypted), "it is encrypted"),
    "zip of an unknown method": Attack(_bytes_changed(_method), "found method 99"),
    "zip with two names of a member": Attack(
        _bytes_changed(_other_name), "corrupted zip|expected the members"
    ),
    "zip that declares more": Attack(
        _bytes_changed(_larger), "declares 1048576 bytes, holds|corrupted zip"
    ),
    "zip that declares 4 GiB": Attack(
        _bytes_changed(_largest), "4294967294 bytes, more than the file has"
    ),
    "zip with members in one place": Attack(
        _bytes_changed(_same_place), "corrupted zip"
    ),
    "zip that begins before itself": Attack(
        _bytes_changed(_before_the_start), "corrupted zip"
    ),
    "zip that counts too many": Attack(_bytes_changed(_many), None),
    "zip64 of 2^62 bytes": Attack(
        _zip64, "declares 4611686018427387904 bytes, more than the file"
    ),
    "a pickle for the weights": Attack(_holding(_pickled), "not an HDF5 file"),
    "a zip for the weights": Attack(_holding(_nested), "not an HDF5 file"),
    "nothing for the weights": Attack(_holding(bytes), "not an HDF5 file"),
    "code as __lambda__": Attack(
        _dense_with(class_name="Lambda", config={"name": "l", "function": _LAMBDA}),
        "Lambda 'l': a function held as code",
    ),
    "code as an activation": Attack(
        _dense_with(config={**_DENSE, "activation": _LAMBDA}), "activation"
    ),
    "code as an initializer": Attack(
        _dense_with(config={**_DENSE, "kernel_initializer": _LAMBDA}), None
    ),
    "a module that is named": Attack(
        _dense_with(module="os", class_name="system"), "system: 'd'"
    ),
    "a module beside a known class": Attack(_dense_with(module="os"), None),
    "a package that is named": Attack(
        _dense_with(class_name="x", registered_name="os>system"), "x: 'd'"
    ),
    "a module for a setting": Attack(
        _dense_with(
            config={
                **_DENSE,
                "kernel_regularizer": {
                    "module": "os",
                    "class_name": "system",
                    "config": {"command": "true"},
                },
            }
        ),
        "system",
    ),
    "safe_mode beside the model": Attack(_config({**ROOT, "safe_mode": False}), None),
    "safe_mode in a layer": Attack(
        _dense_with(config={**_DENSE, "safe_mode": False}), "has the key 'safe_mode'"
    ),
    "safe_mode with code": Attack(
        _dense_with(
            class_name="Lambda",
            config={"name": "l", "function": _LAMBDA, "safe_mode": False},
        ),
        "Lambda 'l': a function held as code",
    ),
}
