"""The last line before the caller: what no check foresaw is still the file's fault."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from typing import Any, Final

from graphjit.errors import FormatError, GraphJitError

__all__ = ["malformed"]

#: What says what is wrong by itself.
_CLEAR: Final = (GraphJitError, ImportError, MemoryError, OSError, Warning)


@contextlib.contextmanager
def malformed(custom: Mapping[str, Any]) -> Generator[None]:
    """Raise a FormatError in the place of Python's own about values of a file.

    Files are checked where they are read, and no known file comes here. Where the user
    supplied code, the error may be from that, and is left as it is.

    Raises:
        FormatError: Its cause is what was raised.
    """
    try:
        yield
    except _CLEAR:
        raise
    except Exception as error:
        if custom:
            raise
        text = " ".join(str(error).split())[:200]
        raise FormatError(
            f"the configuration is malformed: {type(error).__name__}: {text}",
            hint="if Keras reads the file, please report it: the cause is above",
        ) from error
