"""The genuine files that mutants are made of."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import h5py

import graphjit as gj
from graphjit.errors import GraphJitError

__all__ = ["Original", "fingerprint", "originals_in"]

ENDINGS: Final = (".h5", ".hdf5", ".keras")
#: Above this a mutant costs more than it finds.
_MOST_BYTES: Final = 8 * 2**20


@dataclass(frozen=True)
class Original:
    """A file that loads, and what it gives.

    Attributes:
        path: Of the file.
        backend: What `load_model` has to be told; None for nothing.
    """

    path: Path
    backend: str | None

    @cached_property
    def data(self) -> bytes:
        return self.path.read_bytes()

    @property
    def is_zip(self) -> bool:
        return self.data.startswith(b"PK")

    @cached_property
    def root(self) -> Any:
        """The configuration as plain data."""
        if self.is_zip:
            with zipfile.ZipFile(io.BytesIO(self.data)) as archive:
                found = json.loads(archive.read("config.json"))
                metadata = json.loads(archive.read("metadata.json"))
            return {**found, "keras_version": metadata["keras_version"]}
        with h5py.File(self.path) as file:
            text: Any = file.attrs["model_config"]
            told = {
                key: _text(file.attrs[key])
                for key in ("keras_version", "backend")
                if key in file.attrs
            }
        return {**json.loads(text), **told}

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.load())

    def load(self) -> gj.Model:
        return gj.keras.load_model(self.path, backend=self.backend)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def fingerprint(model: gj.Model) -> str:
    """Graph and weights: two models of one fingerprint compute the same."""
    made = hashlib.sha256(str(model.graph).encode())
    for array in model.get_weights():
        made.update(f"{array.shape} {array.dtype}".encode() + array.tobytes())
    return made.hexdigest()


def originals_in(folders: list[Path]) -> list[Original]:
    """Every file in the folders that loads as a whole model; each content once."""
    found: list[Original] = []
    seen: set[bytes] = set()
    paths = [path for folder in folders for path in sorted(folder.rglob("*"))]
    for path in paths:
        if path.suffix not in ENDINGS or not path.is_file():
            continue
        data = path.read_bytes()
        digest = hashlib.sha256(data).digest()
        if len(data) > _MOST_BYTES or digest in seen:
            continue
        seen.add(digest)
        for backend in (None, "tensorflow", "theano"):
            original = Original(path, backend)
            try:
                original.load()
                _ = original.root
            except (GraphJitError, OSError, ValueError, KeyError):
                continue
            found.append(original)
            break
    return found
