"""The files of one model on the command line, and reading them."""

from __future__ import annotations

import codecs
import dataclasses
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from graphjit.errors import DataError, FormatError, GraphJitError, expected
from graphjit.formats.foreign import HEAD_BYTES, not_ours
from graphjit.formats.header import is_gjit
from graphjit.formats.limits import DEFAULT_LIMITS, Limits
from graphjit.keras.loading import load_model
from graphjit.model import Model
from graphjit.saving import load

__all__ = ["Source"]

_SUFFIX: Final = ".gjit"
#: How files begin that Keras writes: HDF5 and zip. What else it writes is text.
_OF_KERAS: Final = (b"\x89HDF\r\n\x1a\n", b"PK\x03\x04")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model is.

    Attributes:
        path: Its file, or the one that describes it, or has its weights.
        weights: The file of weights beside it.
        config: The file that describes it.
        backend: What Keras ran on, where the file does not say.
        limits: Limits that are raised, by name.
    """

    path: Path
    weights: Path | None = None
    config: Path | None = None
    backend: str | None = None
    limits: tuple[tuple[str, int], ...] = ()

    def read(self) -> Model:
        """The model.

        Raises:
            GraphJitError: The file is damaged, or not safe, or needs what is not given;
                the message names the file.
            OSError: A file cannot be read.
        """
        try:
            limits = self.raised()
            if self.is_gjit():
                return load(self.path, limits=limits)
            return load_model(
                self.path, self.weights, self.config, self.backend, limits=limits
            )
        except GraphJitError as error:
            raise self.named(error) from error

    def raised(self) -> Limits:
        """What files may ask of the reader.

        Raises:
            DataError: There is no limit of a name that is given.
        """
        known = [field.name for field in dataclasses.fields(Limits)]
        for name, _ in self.limits:
            if name not in known:
                wanted = f"one of {', '.join(known)}"
                expected(DataError, "--limit", wanted, name, known=known)
        return dataclasses.replace(DEFAULT_LIMITS, **dict(self.limits))

    def is_gjit(self) -> bool:
        """Whether the file is a `.gjit` file, a damaged one included.

        Raises:
            FormatError: It is neither that nor one of Keras's.
            DataError: It is one, and another file is given beside it.
            OSError: It cannot be read.
        """
        head = self._head()
        keras = head.startswith(_OF_KERAS) or _is_text(head)
        if not is_gjit(head) and keras:
            return False
        if not is_gjit(head) and self.path.suffix != _SUFFIX:
            looks = not_ours(head).message.removeprefix("not a gjit file: ")
            raise FormatError(
                f"{self.path}: neither a gjit file nor one of Keras: {looks}"
            )
        if self.weights is not None or self.config is not None:
            option = "--weights" if self.config is None else "--config"
            raise DataError(
                f"{self.path}: {option}: a .gjit file has graph and weights, and takes "
                "no other file"
            )
        return True

    def _head(self) -> bytes:
        if self.path.is_dir():
            raise FormatError(
                f"{self.path}: expected a file, received a folder",
                hint="a SavedModel of TensorFlow holds a program, not layers: in "
                "Keras, model.save('model.keras')",
            )
        # Asked before it is opened: opening a pipe waits for a writer.
        if not stat.S_ISREG(os.stat(self.path).st_mode):
            raise FormatError(f"{self.path}: expected a regular file")
        with open(self.path, "rb") as file:
            return file.read(HEAD_BYTES)

    def named(self, error: GraphJitError) -> GraphJitError:
        """The error with the file's name before it."""
        if error.message.startswith((f"{self.path}: ", "--")):
            return error
        return error.reworded(f"{self.path}: {error.message}")

    def unnamed(self, error: GraphJitError) -> GraphJitError:
        """The error without the file's name, for where that stands above it."""
        return error.reworded(error.message.removeprefix(f"{self.path}: "))


def _is_text(head: bytes) -> bool:
    """Whether a file that begins so may be JSON or YAML."""
    try:
        # A decoder minds no character that is cut at the end.
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(head) and all(c.isprintable() or c in "\r\n\t" for c in text)
