"""The commands: each imports what does its work when it is called, and not before."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from graphjit.command_line.source import Source

__all__ = ["check", "convert", "diff", "explain", "run", "summary"]


def convert(given: Namespace) -> int:
    """`graphjit convert`."""
    from graphjit.command_line.convert import convert

    return convert(_source(given.source, given), given.target, given.force)


def summary(given: Namespace) -> int:
    """`graphjit summary`."""
    from graphjit.command_line.summary import summary

    return summary(_source(given.file, given), given.json)


def explain(given: Namespace) -> int:
    """`graphjit explain`."""
    from graphjit.command_line.explain import explain

    source = _source(given.file, given)
    return explain(source, given.target, given.training, given.batch_size)


def run(given: Namespace) -> int:
    """`graphjit run`."""
    from graphjit.command_line.run import run

    source = _source(given.file, given)
    return run(source, given.input, given.output, given.batch_size)


def check(given: Namespace) -> int:
    """`graphjit check`."""
    from graphjit.command_line.check import check

    return check(_source(given.file, given), given.json)


def diff(given: Namespace) -> int:
    """`graphjit diff`."""
    from graphjit.command_line.diff import diff

    first, second = (_source(path, given) for path in (given.first, given.second))
    return diff(first, second, given.tolerance, given.json)


def _source(path: Path, given: Namespace) -> Source:
    """A model's files; a command of two models takes each in one file."""
    from graphjit.command_line.source import Source

    return Source(
        path,
        weights=getattr(given, "weights", None),
        config=getattr(given, "config", None),
        backend=given.backend,
        limits=tuple(given.limit),
    )
