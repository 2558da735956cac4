"""The rows a measurement gives, kept in a file that later measurements add to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import environment
from graphjit.stopwatch import Timing

__all__ = ["Row", "in_words", "merge", "read", "rows_of"]


@dataclass(frozen=True, slots=True)
class Row:
    """One candidate, on one network, in one case.

    Attributes:
        mode: "inference", "training", "compiling", "memory" or "formats".
        case: A batch size, say.
        value: A median.
        least: The smallest of the rounds.
        unit: "ms", "s" or "MB".
        rounds: How many.
        error: How far its answer is from graphjit's, as a part of the largest element;
            None where answers are not compared.
        date: When it was measured.
    """

    mode: str
    net: str
    case: str
    candidate: str
    value: float
    least: float
    unit: str
    rounds: int
    error: float | None = None
    date: str = ""

    @property
    def place(self) -> tuple[str, str, str, str]:
        return self.mode, self.net, self.case, self.candidate


def rows_of(
    mode: str,
    net: str,
    case: str,
    timings: Mapping[str, Timing],
    errors: Mapping[str, float] | None = None,
    unit: str = "ms",
) -> list[Row]:
    """Rows of one contest."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return [
        Row(
            mode,
            net,
            case,
            name,
            timing.median_ms,
            timing.fastest_ms,
            unit,
            len(timing.rounds_ms),
            (errors or {}).get(name),
            now,
        )
        for name, timing in timings.items()
    ]


def in_words(rows: Iterable[Row]) -> str:
    """One contest on a line: graphjit's value, and how many times it others take."""
    table = {row.candidate: row for row in rows}
    first = next(iter(table.values()))
    own = table.get("graphjit", first)
    others = "  ".join(
        f"{name} {row.value / own.value:.3g}x"
        for name, row in table.items()
        if row is not own
    )
    what = f"{first.mode} {first.net} {first.case}"
    return f"{what:36} {own.candidate} {own.value:9.4g} {own.unit}   {others}"


def read(path: Path) -> list[Row]:
    """The rows of a file."""
    return [Row(**row) for row in json.loads(path.read_text())["rows"]]


def merge(path: Path, new: Iterable[Row]) -> None:
    """Write rows to a file; they take the places of older ones of the same case.

    All candidates of a case are replaced together: ratios are of one measurement.
    """
    given = list(new)
    cases = {row.place[:3] for row in given}
    kept: list[Row] = []
    if path.exists():
        kept = [row for row in read(path) if row.place[:3] not in cases]
    document: dict[str, Any] = {
        "environment": environment(),
        "rows": [asdict(row) for row in sorted([*kept, *given], key=_order)],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def _order(row: Row) -> tuple[Any, ...]:
    return row.mode, row.net, len(row.case), row.case, row.candidate
