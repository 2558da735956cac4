"""What a reader assumed, chose or left out: sentences, each once, in order."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["Notes"]


class Notes:
    """Collects sentences.

    >>> notes = Notes()
    >>> notes.add("one"); notes.add("two"); notes.add("one")
    >>> list(notes)
    ['one', 'two']
    """

    def __init__(self) -> None:
        self._found: dict[str, None] = {}

    def add(self, note: str) -> None:
        """Add a sentence that is not there yet."""
        self._found[note] = None

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)
