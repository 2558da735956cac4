"""`graphjit check`: whether a file is whole and safe to load; what is wrong, where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np

from graphjit.command_line.failures import in_our_words, told
from graphjit.command_line.output import file_size, say, say_json
from graphjit.command_line.source import Source
from graphjit.errors import FormatError, GraphJitError
from graphjit.formats import container
from graphjit.formats.header import VERSION
from graphjit.formats.limits import Limits
from graphjit.model import Model
from graphjit.saving import model_of

__all__ = ["check"]

BAD = 1


@dataclass(slots=True)
class _Report:
    """What was found.

    Attributes:
        kind: "gjit" or "keras".
        facts: What is so, by what it is about.
        notes: What is not wrong, yet worth knowing.
        problems: What is wrong.
    """

    kind: str
    facts: dict[str, str] = field(default_factory=dict[str, str])
    notes: list[str] = field(default_factory=list[str])
    problems: list[GraphJitError] = field(default_factory=list[GraphJitError])


def check(source: Source, as_json: bool) -> int:
    """Print whether a file is good, and why not.

    Returns:
        0 where it is, 1 where it is not.

    Raises:
        DataError: An option has no meaning for it.
        OSError: It cannot be read.
    """
    limits = source.raised()
    try:
        is_gjit = source.is_gjit()
    except FormatError as error:
        report = _Report("unknown", problems=[source.unnamed(error)])
    else:
        report = _gjit(source, limits) if is_gjit else _keras(source)
    if as_json:
        say_json(_data(source, report))
    else:
        _say(source, report)
    return BAD if report.problems else 0


# --- the two kinds --------------------------------------------------------------


def _gjit(source: Source, limits: Limits) -> _Report:
    """Check the header, then every tensor, then whether it makes a model."""
    report = _Report("gjit")
    try:
        contents = container.load(source.path, mmap=True, limits=limits)
    except FormatError as error:
        report.problems.append(source.unnamed(error))
        return report
    report.facts["format"] = f"gjit {VERSION}, written by {contents.producer}"
    for name in contents.tensors:
        # One damaged tensor does not hide the next.
        try:
            array = contents.tensors[name]
        except FormatError as error:
            report.problems.append(source.unnamed(error))
        else:
            _note_not_finite(report, {name: array})
    if report.problems:
        return report
    size = file_size(source.path.stat().st_size)
    report.facts["bytes"] = f"{size}: header and tensors match their hashes"
    try:
        model = model_of(contents)
    except FormatError as error:
        report.problems.append(source.unnamed(error))
        return report
    _describe(report, model)
    if not model.layers:
        report.notes.append(
            "it runs and trains as saved, but some layers are of classes that are not "
            "registered here"
        )
    return report


def _keras(source: Source) -> _Report:
    report = _Report("keras")
    try:
        model = source.read()
    except GraphJitError as error:
        report.problems.append(source.unnamed(error))
        return report
    _describe(report, model)
    _note_not_finite(report, model.arrays())
    return report


def _describe(report: _Report, model: Model) -> None:
    graph = model.graph
    report.facts["graph"] = (
        f"{len(graph.nodes)} ops and {len(graph.params)} weights "
        f"({model.count_params():,} parameters), verified"
    )
    if model.provenance is not None:
        report.facts["origin"] = str(model.provenance).splitlines()[0]
        report.notes += model.provenance.notes


def _note_not_finite(report: _Report, arrays: Mapping[str, Any]) -> None:
    for name, array in arrays.items():
        if not jnp.issubdtype(array.dtype, jnp.floating):
            continue
        wrong = int(np.count_nonzero(~np.isfinite(np.asarray(array))))
        if wrong:
            report.notes.append(f"weight {name!r}: {wrong:,} numbers are not finite")


# --- saying it ------------------------------------------------------------------


def _say(source: Source, report: _Report) -> None:
    say(f"{source.path}: {'not good' if report.problems else 'good'}")
    for title, fact in report.facts.items():
        say(f"  {title}: {fact}")
    _say_all("note", report.notes)
    _say_all("wrong", [told(error) or "" for error in report.problems])


def _say_all(title: str, texts: Iterable[str]) -> None:
    for text in texts:
        first, *rest = text.splitlines()
        say(f"  {title}: {first}")
        for line in rest:
            say(f"    {line}")


def _data(source: Source, report: _Report) -> dict[str, Any]:
    problems = [
        {
            "message": error.message,
            "details": list(error.details),
            "hint": in_our_words(error.hint),
        }
        for error in report.problems
    ]
    return {
        "file": str(source.path),
        "good": not problems,
        "kind": report.kind,
        "facts": report.facts,
        "notes": report.notes,
        "problems": problems,
    }
