"""What commands print: lines fit for a terminal, or JSON for programs."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any, Final

from graphjit.printable import printable

__all__ = ["file_size", "line_length", "say", "say_json"]

#: Wide enough that no table is cut where its reader is a program.
_NO_TERMINAL: Final = 100_000


def say(text: str = "") -> None:
    """Print lines; what a terminal would obey is written as an escape."""
    print(printable(text, keep="\n"))


def say_json(data: dict[str, Any]) -> None:
    """Print plain data as JSON, in ASCII."""
    print(json.dumps(data, indent=2, allow_nan=False))


def line_length() -> int:
    """How many columns there are."""
    if sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    return _NO_TERMINAL


def file_size(size_bytes: int) -> str:
    """A size as people write it.

    >>> file_size(950), file_size(12_345_678)
    ('950 bytes', '12.3 MB')
    """
    if size_bytes < 1000:
        return f"{size_bytes} bytes"
    size = float(size_bytes)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000 or unit == "GB":
            break
    return f"{size:.1f} {unit}"
