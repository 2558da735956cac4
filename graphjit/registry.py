"""Closed tables of named things: initializers, activations, layers, losses, …

One mechanism for every table that a user addresses by name: exact lookup, aliases, and
an error that names the nearest entry. Nothing is ever imported by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar, cast

from graphjit.errors import CaptureError, GraphJitError, expected

__all__ = ["Registry"]

T = TypeVar("T")
U = TypeVar("U")


class Registry(Generic[T]):
    """A table from name to entry.

    Args:
        noun: What an entry is called in errors: "activation", "initializer".
        error: The class of error raised for an unknown name.
    """

    def __init__(self, noun: str, error: type[GraphJitError] = CaptureError) -> None:
        self.noun = noun
        self._error = error
        self._entries: dict[str, T] = {}
        self._canonical: dict[str, str] = {}

    def add(self, name: str, entry: T, *aliases: str) -> T:
        """Enter `entry` under `name` and `aliases`; a name is taken once."""
        for spelling in (name, *aliases):
            if spelling in self._entries:
                raise self._error(f"{self.noun} {spelling!r} is registered already")
            self._entries[spelling] = entry
            self._canonical[spelling] = name
        return entry

    def register(self, name: str, *aliases: str) -> Callable[[U], U]:
        """A decorator form of `add`; the entry keeps its own, narrower type."""

        def decorate(entry: U) -> U:
            self.add(name, cast(T, entry), *aliases)
            return entry

        return decorate

    def get(self, name: str, where: str | None = None) -> T:
        """The entry called `name`; otherwise an error that names the nearest one."""
        entry = self._entries.get(name)
        if entry is None:
            at = f"{where}: {self.noun}" if where else self.noun
            expected(self._error, at, "a known name", name, known=list(self))
        return entry

    def canonical(self, name: str) -> str:
        """The name under which the entry called `name` was first registered."""
        return self._canonical.get(name, name)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def items(self) -> Iterator[tuple[str, T]]:
        return iter(self._entries.items())
