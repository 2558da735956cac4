"""Reading ``graphjit.json``: where it lies, and what in it is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from graphjit.errors import FormatError
from graphjit.settings import settings_from

__all__ = ["config_path", "read_config"]

_NAME: Final = "graphjit.json"
#: A file of settings is some hundred bytes long.
_MOST_BYTES: Final = 65_536


def config_path(
    environment: Mapping[str, str] | None = None, windows: bool = os.name == "nt"
) -> Path | None:
    """Where the config file is looked for; None where there is no home folder.

    It is ``$GRAPHJIT_HOME/graphjit.json``, or ``.graphjit/graphjit.json`` in the home
    folder, which on Windows is ``%USERPROFILE%``.

    >>> config_path({"GRAPHJIT_HOME": "/etc/graphjit"}).as_posix()
    '/etc/graphjit/graphjit.json'
    """
    known = os.environ if environment is None else environment
    named = known.get("GRAPHJIT_HOME")
    if named:
        return Path(named) / _NAME
    home = known.get("USERPROFILE" if windows else "HOME") or os.path.expanduser("~")
    return None if home == "~" else Path(home) / ".graphjit" / _NAME


def read_config() -> dict[str, Any]:
    """The settings in the config file, by field of `Settings`; none without a file.

    Raises:
        FormatError: The file cannot be read, is no JSON object, or holds a key or a
            value that is not known. The message names the file.
    """
    path = config_path()
    if path is None:
        return {}
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > _MOST_BYTES:
        raise FormatError(f"{path}: expected at most {_MOST_BYTES} bytes of settings")
    return settings_from(_json_object(data, path), FormatError, f"{path}: ")


def _json_object(data: bytes, path: Path) -> dict[str, Any]:
    try:
        # Editors on Windows begin a file with a byte order mark.
        found = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(found, dict):
        received = type(found).__name__
        raise FormatError(f"{path}: expected a JSON object, received a {received}")
    return cast("dict[str, Any]", found)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {repeated!r} stands twice")
    return found
