"""The file that a command writes, looked at before any work is done."""

from __future__ import annotations

from pathlib import Path

from graphjit.errors import DataError

__all__ = ["check_target"]


def check_target(path: Path, replace: bool) -> None:
    """Refuse a file that cannot be written, or that is there and not to be replaced.

    Raises:
        DataError: It is a folder, a device, or in no folder; or it exists.
    """
    if path.is_dir():
        raise DataError(f"{path}: expected a file to write, received a folder")
    if path.exists() and not path.is_file():
        # As root it would be replaced by a file, /dev/null for one.
        raise DataError(f"{path}: expected a regular file to write")
    if not path.parent.is_dir():
        raise DataError(f"{path}: there is no folder {path.parent}")
    if path.exists() and not replace:
        raise DataError(f"{path}: it exists", hint="--force replaces it")
