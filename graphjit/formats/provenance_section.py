"""The optional section of a `.gjit` file that says where the model is from."""

from __future__ import annotations

from typing import Any, Final

from graphjit.formats import plain
from graphjit.provenance import Provenance

__all__ = ["SECTION", "decode_provenance", "encode_provenance"]

#: Its key under `optional`; nothing that a model computes depends on it.
SECTION: Final = "provenance"

#: In the order in which an optional section stands in a file.
_FIELDS: Final = ("backend", "notes", "writer")


def encode_provenance(provenance: Provenance) -> dict[str, Any]:
    """The provenance as plain data."""
    values = (provenance.backend or "", list(provenance.notes), provenance.writer)
    return dict(zip(_FIELDS, values, strict=True))


def decode_provenance(data: object) -> Provenance:
    """The provenance in a section.

    Raises:
        FormatError: It is not what `encode_provenance` makes.
    """
    title = f"optional.{SECTION}"
    backend, notes, writer = plain.record(data, _FIELDS, title)
    return Provenance(
        plain.text(writer, f"{title}.writer"),
        plain.text(backend, f"{title}.backend") or None,
        tuple(
            plain.text(note, f"{title}.notes[{at}]")
            for at, note in enumerate(plain.listing(notes, f"{title}.notes"))
        ),
    )
