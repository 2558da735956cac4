"""The optional section of a `.gjit` file that holds a `Tuning`."""

from __future__ import annotations

from typing import Any, Final

from graphjit.formats import plain
from graphjit.formats.plain import refuse
from graphjit.tuning import Choice, Tuning

__all__ = ["SECTION", "decode_tuning", "encode_tuning"]

#: Its key under `optional`; a reader that does not know it loses only speed.
SECTION: Final = "tuning"

#: In the order in which an optional section stands in a file.
_FIELDS: Final = ("batch_size", "choices", "device", "platform")
_CHOICE: Final = ("gain", "kernel", "op", "operands")


def encode_tuning(tuning: Tuning) -> dict[str, Any]:
    """The tuning as plain data."""
    choices = [
        dict(zip(_CHOICE, (c.gain, c.kernel, c.op, list(c.operands)), strict=True))
        for c in tuning.choices
    ]
    values = (tuning.batch_size, choices, tuning.device, tuning.platform)
    return dict(zip(_FIELDS, values, strict=True))


def decode_tuning(data: object) -> Tuning:
    """The tuning in a section.

    Raises:
        FormatError: It is not what `encode_tuning` makes.
    """
    title = f"optional.{SECTION}"
    batch_size, choices, device, platform = plain.record(data, _FIELDS, title)
    return Tuning(
        plain.text(platform, f"{title}.platform"),
        plain.text(device, f"{title}.device"),
        plain.integer(batch_size, f"{title}.batch_size", 1),
        tuple(
            _choice(choice, f"{title}.choices[{at}]")
            for at, choice in enumerate(plain.listing(choices, f"{title}.choices"))
        ),
    )


def _choice(data: object, where: str) -> Choice:
    gain, kernel, op, operands = plain.record(data, _CHOICE, where)
    if plain.real(gain, f"{where}.gain") <= 0:
        refuse(f"{where}.gain", "a number above 0", gain)
    return Choice(
        plain.text(op, f"{where}.op"),
        tuple(
            plain.text(operand, f"{where}.operands[{at}]")
            for at, operand in enumerate(plain.listing(operands, f"{where}.operands"))
        ),
        plain.text(kernel, f"{where}.kernel"),
        gain,
    )
