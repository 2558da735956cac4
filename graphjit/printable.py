"""Text from elsewhere, made fit for a terminal.

The names in a file may hold anything, escape sequences too: a terminal would obey them,
and what it then shows is not what the file says.
"""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: str, keep: str = "") -> str:
    """The text with every character that does not show as one written as an escape.

    Args:
        text: Any text.
        keep: Characters that stay as they are, such as newline.

    >>> printable("dense\\x1b[2J")
    'dense\\\\x1b[2J'
    >>> printable("größe × 2")
    'größe × 2'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
