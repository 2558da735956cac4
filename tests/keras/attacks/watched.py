"""Loads files and reports what was opened, run or reached: ``watched.py FOLDER FILE…``.

Python's audit hook sees what Python does; inotify, a service of Linux, sees what C
libraries open in the folder of secrets. One line of JSON for each file.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import linecache
import os
import pkgutil
import sys
import typing
from pathlib import Path
from typing import Any, Final

#: Beginnings of events that stand for code, other processes, or the network.
_FORBIDDEN: Final = (
    *("exec", "compile", "import", "marshal.", "pickle.", "code.", "ctypes."),
    *("socket.", "urllib.", "http.", "ftplib.", "smtplib.", "webbrowser."),
    *("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.spawn"),
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink"),
    *("shutil.", "tempfile.", "glob.", "os.listdir", "os.scandir", "sys.setprofile"),
)
_IN_ALL_EVENTS: Final = 0x00000FFF
_IN_NONBLOCK: Final = 0x800

_LINES: Final = linecache.updatecache.__code__


def main() -> None:
    """Watch every file being loaded."""
    import graphjit as gj

    elsewhere, first, *files = map(Path, sys.argv[1:])
    library = ctypes.CDLL(None, use_errno=True)
    watch = library.inotify_init1(_IN_NONBLOCK)
    assert watch >= 0, "inotify is not there"
    added = library.inotify_add_watch(watch, os.fsencode(elsewhere), _IN_ALL_EVENTS)
    assert added >= 0, "the folder cannot be watched"
    (elsewhere / "secret").read_bytes()
    assert _seen(watch), "inotify sees nothing"
    # What is imported at first use is imported now.
    for module in pkgutil.walk_packages(gj.__path__, "graphjit."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for path in first.iterdir():
        try:
            gj.keras.load_model(path)
        except gj.errors.GraphJitError as error:
            str(error)
    found: list[str] = []
    current: list[Path] = []

    def hook(event: str, args: Any) -> None:
        if not current:
            return
        if event == "open":
            own = isinstance(args[0], int) or Path(os.fsdecode(args[0])) == current[0]
            if not own and not _is_python_itself():
                found.append(f"open {args[0]!r}")
        elif event.startswith(_FORBIDDEN) and not _is_python_itself():
            found.append(f"{event} {args!r}"[:200])

    sys.addaudithook(hook)
    current.append(first)
    (elsewhere / "secret").read_bytes()
    exec("1")
    assert len(found) >= 2, "the hook sees nothing"
    assert _seen(watch), "inotify sees nothing"
    found.clear()
    current.clear()
    for path in files:
        current.append(path)
        try:
            gj.keras.load_model(path)
            outcome = "a model"
        except gj.errors.GraphJitError as error:
            outcome = type(error).__name__
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
        current.clear()
        reached = [*found, *(["something elsewhere"] if _seen(watch) else [])]
        found.clear()
        print(json.dumps({"file": str(path), "outcome": outcome, "reached": reached}))


def _is_python_itself() -> bool:
    """Whether Python compiles annotations of a class, or reads source for a traceback.

    Both happen when they are first needed, and what they read is installed code.
    """
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code in (typing.get_type_hints.__code__, _LINES):
            return True
        frame = frame.f_back
    return False


def _seen(watch: int) -> bool:
    """Whether anything happened in the folder since it was last asked."""
    try:
        return bool(os.read(watch, 2**16))
    except BlockingIOError:
        return False


if __name__ == "__main__":
    main()
