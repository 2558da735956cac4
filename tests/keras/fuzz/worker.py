"""The process that loads mutants: one line of JSON before each and one after."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import numpy as np

import graphjit as gj
from graphjit.errors import GraphJitError
from graphjit.types import BATCH
from tests.keras.fuzz.mutants import Mutant, mutant
from tests.keras.fuzz.originals import Original, fingerprint

__all__ = ["judged", "run"]

#: What a mutant may use beyond what the process has when it starts.
MOST_MEMORY_BYTES: Final = 3 * 2**30
#: CPU time, after which Python is interrupted; a small file takes a hundredth of it.
MOST_CPU_S: Final = 12.0
#: No text of an error is longer.
MOST_CHARS: Final = 20_000
#: One accepted model in so many is also run.
_RUN_ONE_IN: Final = 40
_MOST_ELEMENTS: Final = 10**6


#: Events of Python's audit that no reading of a file should raise.
_FORBIDDEN: Final = (
    *("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.remove"),
    *("pickle.", "ctypes.", "code.", "urllib."),
)


class _TooLongError(BaseException):
    """The mutant takes too much CPU time."""


class _Watch:
    """Notes what is opened, imported or started that has no business there."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.allowed: Path | None = None
        self.more: Path | None = None
        self._roots = tuple(
            str(Path(root).resolve()) for root in (sys.prefix, sys.base_prefix, ".")
        )
        sys.addaudithook(self._hook)

    @contextlib.contextmanager
    def on(self, made: Mutant) -> Generator[None]:
        """Watch while that file is being loaded."""
        self.found.clear()
        self.allowed, self.more = made.path, made.given.get("weights")
        try:
            yield
        finally:
            self.allowed = None

    def _hook(self, event: str, args: Any) -> None:
        if self.allowed is None:
            return
        if event == "open":
            name = args[0]
            if isinstance(name, (str, bytes, os.PathLike)):
                path = os.path.abspath(os.fsdecode(name))
                mine = {str(self.allowed), str(self.more)}
                if path not in mine and not path.startswith(self._roots):
                    self.found.append(f"opened {path}")
        elif event == "marshal.loads":
            if not sys._getframe(1).f_code.co_filename.startswith("<frozen importlib"):
                self.found.append(event)
        elif event.startswith(_FORBIDDEN):
            self.found.append(event)


def run(originals: list[Original], seed: int, numbers: range, folder: Path) -> None:
    """Load the mutants of these numbers, and write what became of each."""
    faulthandler.enable()
    warnings.simplefilter("always")
    for original in originals:
        _ = original.fingerprint
    used = _address_space()
    limit = used + MOST_MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGPROF, _interrupt)
    watch = _Watch()
    for number in numbers:
        _say({"begins": number})
        made = mutant(number, seed, originals, folder)
        _say({"begins": number, "kind": made.kind})
        before = time.process_time()
        with watch.on(made), _limited():
            found = judged(made, number)
        if watch.found:
            found.update(_finding(f"it {watch.found[0]}", made))
        found["cpu_s"] = round(time.process_time() - before, 3)
        found["peak_bytes"] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        _say(
            {"ends": number, "kind": made.kind, "of": made.original.path.name, **found}
        )


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


@contextlib.contextmanager
def _limited() -> Generator[None]:
    """Interrupt what takes too much CPU time."""
    signal.setitimer(signal.ITIMER_PROF, MOST_CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _interrupt(*_: Any) -> None:
    raise _TooLongError


def judged(made: Mutant, number: int = -1) -> dict[str, Any]:
    """What becomes of a mutant: a `verdict`, or a `finding` where it should not have.

    Args:
        made: The mutant.
        number: Its number; some models are also run, by that.
    """
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            model = gj.keras.load_model(made.path, **made.given)
            found = _judged_model(model, made, number)
        except _TooLongError as error:
            found = {**_finding("too long", made), "where": _where(error)}
        except GraphJitError as error:
            found = _judged_error(error, made)
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"[:300]
            found = {**_finding(text, made), "where": _where(error)}
    if warned:
        found.update(_finding(f"a warning: {warned[0].message}"[:300], made))
        found["where"] = f"{warned[0].filename}:{warned[0].lineno}"
    return found


def _judged_error(error: GraphJitError, made: Mutant) -> dict[str, Any]:
    text = str(error)
    found = {"verdict": type(error).__name__, "text": text[:300]}
    try:
        text.encode()
    except UnicodeEncodeError:
        found["text"] = ""
        found.update(_finding("the error's text cannot be printed", made))
    if len(text) > MOST_CHARS:
        found.update(_finding(f"the error's text has {len(text)} characters", made))
    if made.is_harmless:
        found.update(_finding(f"harmless, but {error}"[:300], made))
    cause = error.__cause__
    if cause is not None and "is malformed" in text:
        found.update(_finding(f"nobody foresaw {cause!r}"[:300], made))
        found["where"] = _where(cause)
    return found


def _finding(what: str, made: Mutant) -> dict[str, Any]:
    return {"finding": what, "done": made.done[:500]}


def _judged_model(model: gj.Model, made: Mutant, number: int) -> dict[str, Any]:
    gj.verify(model.graph)
    mark = fingerprint(model)
    if mark == made.original.fingerprint:
        return {"verdict": "the same model", "done": made.done[:200]}
    if made.is_harmless:
        return _finding("harmless, but another model", made)
    if number % _RUN_ONE_IN == 0 and _is_small(model):
        model.predict([_zeros(entry) for entry in model.graph.inputs])
        return {"verdict": "a model that runs"}
    return {"verdict": "a model"}


def _is_small(model: gj.Model) -> bool:
    types = [type_ for node in model.graph.nodes for type_ in node.types]
    types += [param.type for param in model.graph.params]
    sizes = [
        np.prod([d for d in t.shape if isinstance(d, int)], dtype=float) for t in types
    ]
    return len(sizes) < 100 and max(sizes, default=0) < _MOST_ELEMENTS


def _zeros(entry: Any) -> Any:
    shape = [
        dim if isinstance(dim, int) else 2 if dim == BATCH else 5
        for dim in entry.type.shape
    ]
    return np.zeros(shape, entry.type.dtype)


def _where(error: BaseException) -> str:
    """The innermost line of ours that raised."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/graphjit/" in f.filename] or frames
    last = ours[-1] if ours else None
    return (
        "" if last is None else f"{Path(last.filename).name}:{last.lineno} {last.name}"
    )
