"""The few error classes of graphjit, and the shape every message takes.

A message says what is wrong, where, what was expected and what was received; a
hint follows when one can be derived from the facts::

    ShapeError: conv 'stem/conv': kernel wants 3 input channels, x has 224
      x      %image       : float32[batch, 3, 224, 224]   read as NHWC
      kernel %stem/kernel : float32[7, 7, 3, 64]          HWIO
      at examples/resnet.py:41
      hint: the input looks channels_first; say data_format="channels_first"
"""

from __future__ import annotations

import copy
import difflib
import itertools
from collections.abc import Iterable, Sequence
from typing import Final, NoReturn, Self

__all__ = [
    "CaptureError",
    "DataError",
    "FormatError",
    "GraphJitError",
    "PassError",
    "ShapeError",
    "VerifyError",
    "expected",
    "nearest",
]


#: Texts quote what files and users give: longer ones lose their middle.
_MOST_CHARS: Final = 4000
_MOST_DETAILS: Final = 200
#: Longer names resemble nothing, and comparing them takes the square of their length.
_MOST_CHARS_COMPARED: Final = 100


class GraphJitError(Exception):
    """Base of every error graphjit raises on purpose.

    Every line can be printed, and none is longer than a screen, whatever it quotes.

    Args:
        message: One line: what is wrong, with expected and received.
        details: Further lines, printed indented below the message.
        hint: What to do about it, when that follows from the facts.
    """

    def __init__(
        self, message: str, *, details: Iterable[str] = (), hint: str | None = None
    ) -> None:
        self.message = _printable(message)
        super().__init__(self.message)
        lines = [_printable(line) for line in itertools.islice(details, _MOST_DETAILS)]
        self.details = tuple(lines)
        self.hint = None if hint is None else _printable(hint)

    def reworded(self, message: str) -> Self:
        """The same error with another message; what else it says stays."""
        other = copy.copy(self)
        other.message = _printable(message)
        other.args = (other.message,)
        return other

    def __str__(self) -> str:
        lines = [self.message, *(f"  {line}" for line in self.details)]
        if self.hint is not None:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


def _printable(text: str) -> str:
    """The text without halves of characters, and without the middle of a long one."""
    if len(text) > _MOST_CHARS:
        half = _MOST_CHARS // 2
        left_out = f" … ({len(text) - 2 * half} characters left out) … "
        text = text[:half] + left_out + text[-half:]
    return text.encode(errors="backslashreplace").decode()


class CaptureError(GraphJitError):
    """A model cannot be captured: a bad argument, a name clash, a missing input."""


class ShapeError(GraphJitError):
    """Operand types do not fit an op.

    Args:
        message: What does not fit.
        notes: For operands (by role, such as ``"x"``) how they were read.
        hint: What to do about it.
    """

    def __init__(
        self,
        message: str,
        *,
        notes: dict[str, str] | None = None,
        details: Iterable[str] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, details=details, hint=hint)
        self.notes = dict(notes or {})


class VerifyError(GraphJitError):
    """A graph breaks an invariant of the IR."""


class PassError(GraphJitError):
    """A pass broke its contract, or was given options it cannot honour."""


class FormatError(GraphJitError):
    """A file or byte string is not what its reader accepts."""


class DataError(GraphJitError):
    """Arrays given to a model do not fit it."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The entry of `known` that looks most like `name`, or None.

    >>> nearest("rellu", ["relu", "tanh"])
    'relu'
    """
    if len(name) > _MOST_CHARS_COMPARED:
        return None
    choices = {entry.lower(): entry for entry in known}
    found = difflib.get_close_matches(name.lower(), choices, n=1, cutoff=0.6)
    return choices[found[0]] if found else None


def expected(
    error: type[GraphJitError],
    where: str,
    wanted: str,
    received: object,
    *,
    known: Sequence[str] = (),
) -> NoReturn:
    """Raise `error` in the house form "WHERE: expected WANTED, received RECEIVED"."""
    guess = nearest(received, known) if isinstance(received, str) else None
    hint = f"did you mean {guess!r}?" if guess is not None else None
    raise error(f"{where}: expected {wanted}, received {received!r}", hint=hint)
