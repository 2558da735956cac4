"""What a pass is, and the log it writes.

A pass is a frozen dataclass whose fields are its options. It maps a graph to a graph
and never sees an array.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar

from graphjit.ir import Graph

__all__ = ["Entry", "Pass", "PassLog", "Refused"]


@dataclass(frozen=True, slots=True)
class Refused:
    """A rewrite that was looked at and not done."""

    node: str
    reason: str


@dataclass(slots=True)
class Entry:
    """What one pass did.

    Attributes:
        name: The pass, with its options.
        done: Node names that were rewritten, with how.
        refused: Rewrites not done, with why.
        nodes: Counts of op kinds before and after.
        changed: Whether the graph changed.
        time_ms: Wall time in milliseconds, the contract checks left out.
    """

    name: str
    done: list[tuple[str, str]] = field(default_factory=list["tuple[str, str]"])
    refused: list[Refused] = field(default_factory=list["Refused"])
    before: Counter[str] = field(default_factory=Counter[str])
    after: Counter[str] = field(default_factory=Counter[str])
    changed: bool = False
    time_ms: float = 0.0

    def did(self, node: str, what: str) -> None:
        self.done.append((node, what))

    def refuse(self, node: str, reason: str) -> None:
        refusal = Refused(node, reason)
        if refusal not in self.refused:
            self.refused.append(refusal)


@dataclass(slots=True)
class PassLog:
    """What a run of passes did and refused, in order."""

    entries: list[Entry] = field(default_factory=list["Entry"])

    def of(self, pass_name: str) -> list[Entry]:
        """The entries of one pass, by class name."""
        return [e for e in self.entries if e.name.split("(")[0] == pass_name]

    def refusals(self) -> list[Refused]:
        return [refusal for entry in self.entries for refusal in entry.refused]

    def __str__(self) -> str:
        lines: list[str] = []
        for entry in self.entries:
            lines.append(f"{entry.name}: {_summary(entry)}")
            lines += [f"    {node}: {what}" for node, what in entry.done]
            lines += [f"    {r.node}: refused, {r.reason}" for r in entry.refused]
        return "\n".join(lines)


def _summary(entry: Entry) -> str:
    if not entry.changed:
        return "nothing to do" if not entry.refused else "nothing done"
    before, after = sum(entry.before.values()), sum(entry.after.values())
    transposes = entry.before["transpose"], entry.after["transpose"]
    text = f"{before} -> {after} ops"
    if transposes[0] != transposes[1]:
        text += f", {transposes[0]} -> {transposes[1]} transposes"
    return text


class Pass:
    """Base of passes: a rewrite of one graph.

    Subclasses are frozen dataclasses. `rewrite` returns a graph with the same inputs
    and outputs that computes the same; the same object when there is nothing to do.
    """

    #: Whether the rewrite may change what the graph computes (another mode).
    changes_meaning: ClassVar[bool] = False
    #: Whether it is also run on the graphs that ops own; False where it is about
    #: what only a whole model has: layers, params, rows.
    enters_bodies: ClassVar[bool] = True

    def rewrite(self, graph: Graph, entry: Entry) -> Graph:
        """The rewritten graph; what was done and refused goes into `entry`."""
        raise NotImplementedError

    @property
    def spec(self) -> str:
        """The pass with the options that are not at their defaults."""
        options: list[str] = []
        for option in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            value = getattr(self, option.name)
            if value != option.default:
                options.append(f"{option.name}={value!r}")
        name = type(self).__name__
        return f"{name}({', '.join(options)})" if options else name
