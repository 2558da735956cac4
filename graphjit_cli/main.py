"""From arguments to an exit code; no traceback for what a user can put right."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Final

from graphjit_cli.parser import parser

__all__ = ["main"]

TROUBLE: Final = 2
#: As sysexits.h has it: an error of ours.
BUG: Final = 70
#: As shells say them: 128, and the number of the signal.
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141

_RED: Final = ("\x1b[1;31m", "\x1b[0m")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say.

    Args:
        arguments: Those after the program's name; None for `sys.argv`.

    Returns:
        The exit code: 0 done; 1 the answer is no (`check`, `diff`); 2 trouble; 70 an
        error in graphjit; 130 interrupted; 141 nobody reads the output any more.

    >>> main(["--version"])  # doctest: +ELLIPSIS
    graphjit ...
    0
    """
    _print_anything()
    try:
        code = _done(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("graphjit: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return PIPE_CLOSED
    except Exception as error:
        return _failed(error)
    return code


def _done(arguments: Sequence[str] | None) -> int:
    try:
        given = parser().parse_args(arguments)
    except SystemExit as end:  # --help, --version, or wrong usage, which it has said
        return end.code if isinstance(end.code, int) else TROUBLE
    code: int = given.act(given)
    return code


def _failed(error: Exception) -> int:
    """Say what went wrong; with a traceback only where we are to blame."""
    from graphjit.command_line.failures import told

    text = told(error)
    if text is not None:
        _complain(text)
        return TROUBLE
    import traceback

    traceback.print_exception(error)
    _complain("this is an error in graphjit, not in what you gave it: please report it")
    return BUG


def _complain(text: str) -> None:
    before, after = _RED if _coloured() else ("", "")
    sys.stdout.flush()
    print(f"{before}graphjit: error:{after} {text}", file=sys.stderr)


def _coloured() -> bool:
    """Whether errors are in colour: on a terminal, and not asked to be plain."""
    # https://no-color.org: set, and not empty.
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stderr.isatty() and not plain


def _print_anything() -> None:
    """Let no name stop the output that the terminal's encoding does not have."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _forget_output() -> None:
    """Give the rest of the output to nobody, so that closing does not fail too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    finally:
        os.close(nowhere)
