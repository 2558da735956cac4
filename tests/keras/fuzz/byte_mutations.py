"""Files changed at random as bytes, and zips by their members."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from typing import Final

__all__ = ["mutated_bytes", "mutated_zip"]

#: Where HDF5 and zips keep their structure is at the ends, mostly.
_ENDS_BYTES: Final = 4096
#: Above this the slow ways to compress take seconds.
_SLOW_BYTES: Final = 2**20
_NUMBERS: Final = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 2**31, 2**32 - 1, 2**63, 2**64 - 1)


def mutated_bytes(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Bits turned, parts cut out, doubled, emptied, or numbers made extreme."""
    made = bytearray(data)
    kind = rng.choice(("flips", "flips", "flips", "number", "cut", "zero", "copy"))
    if kind == "flips":
        count = rng.choice((1, 1, 2, 8, 50))
        for _ in range(count):
            made[_place(made, rng)] ^= 1 << rng.randrange(8)
        return bytes(made), f"{count} bits"
    at = _place(made, rng)
    if kind == "number":
        size, form = rng.choice(((2, "<H"), (4, "<I"), (8, "<Q")))
        number = rng.choice(_NUMBERS) & (2 ** (8 * size) - 1)
        made[at : at + size] = struct.pack(form, number)
    elif kind == "cut":
        end = rng.choice((len(made), at + rng.choice((1, 8, 512))))
        del made[at:end]
    elif kind == "zero":
        size = min(rng.choice((1, 8, 512, 4096)), len(made) - at)
        made[at : at + size] = rng.choice((b"\0", b"\xff")) * size
    else:
        source = _place(made, rng)
        made[at:at] = made[source : source + rng.choice((1, 8, 512))]
    return bytes(made), f"{kind} at {at} of {len(data)}"


def _place(data: bytearray, rng: random.Random) -> int:
    size = len(data)
    near = min(size, _ENDS_BYTES)
    kind = rng.random()
    if kind < 0.5:
        return rng.randrange(near)
    return size - 1 - rng.randrange(near) if kind < 0.7 else rng.randrange(size)


def mutated_zip(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Members doubled, added, left out, emptied, or declared otherwise."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    kind = rng.choice(("twice", "more", "less", "swap", "empty", "nested", "header"))
    at = rng.randrange(len(members))
    if kind == "twice":
        members.append(members[at])
    elif kind == "more":
        name = rng.choice(
            ("../x", "/x", "code.py", "x.pkl", "assets/a", "config.json/")
        )
        members.append((name, b"x"))
    elif kind == "less":
        del members[at]
    elif kind == "swap":
        other = rng.randrange(len(members))
        one, two = members[at], members[other]
        members[at], members[other] = (one[0], two[1]), (two[0], one[1])
    elif kind == "empty":
        members[at] = (members[at][0], rng.choice((b"", b"{}", b"null", b"\0" * 2**22)))
    elif kind == "nested":
        members[at] = (members[at][0], data)
    out = io.BytesIO()
    method = rng.choice(
        (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
        if len(data) < _SLOW_BYTES
        else (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    )
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    made = bytearray(out.getvalue())
    if kind == "header":
        # A field of a header in the list at the end, or of one before a member.
        mark = rng.choice((b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"))
        start = made.find(mark) if rng.random() < 0.5 else made.rfind(mark)
        field = start + rng.randrange(4, 40)
        if field + 4 <= len(made):
            made[field : field + 4] = struct.pack(
                "<I", rng.choice(_NUMBERS) & 0xFFFFFFFF
            )
    return bytes(made), f"{kind} {members[at][0] if at < len(members) else ''} {method}"
