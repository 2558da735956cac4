"""Saying what a file is that is not one of ours."""

from __future__ import annotations

from typing import Final

from graphjit.errors import FormatError
from graphjit.formats.plain import shown

__all__ = ["HEAD_BYTES", "not_ours"]

#: How many of a file's first bytes `not_ours` looks at.
HEAD_BYTES: Final = 64

_KERAS_HINT: Final = "if it is a Keras file: gj.keras.load_model(path) reads those"
_JSON_HINT: Final = "if it is a Keras model: gj.model_from_json(text) reads those"

# (first bytes, what it is, hint)
_KNOWN: Final[tuple[tuple[bytes, str, str | None], ...]] = (
    (b"\x89HDF\r\n\x1a\n", "HDF5", _KERAS_HINT),
    (b"PK\x03\x04", "a zip archive", _KERAS_HINT),
    (b"\x89PNG\r\n\x1a\n", "a PNG image", None),
    (b"\xff\xd8\xff", "a JPEG image", None),
    (b"\x93NUMPY", "a NumPy array", None),
    (b"\x1f\x8b", "gzip", None),
    (b"\x80", "a Python pickle, which is never read", None),
    (b"{", "JSON", _JSON_HINT),
)


def not_ours(head: bytes) -> FormatError:
    """The error for something that begins with `head` and is no gjit file.

    >>> print(not_ours(b"\\x89HDF\\r\\n\\x1a\\n"))
    not a gjit file: it looks like HDF5
      hint: if it is a Keras file: gj.keras.load_model(path) reads those
    """
    if not head:
        return FormatError("not a gjit file: it is empty")
    for magic, kind, hint in _KNOWN:
        if head.startswith(magic):
            message = f"not a gjit file: it looks like {kind}"
            return FormatError(message, hint=hint)
    message = f"not a gjit file: it begins with {shown(head[:16])}"
    return FormatError(message)
