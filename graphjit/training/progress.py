"""How training tells a person how far it is: nothing, a bar, or a line per epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from graphjit.errors import CaptureError, expected

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

__all__ = ["Bar", "Lines", "Progress", "progress_of"]

Logs = Mapping[str, float]

#: Reading the numbers waits for the device, so a bar does it this rarely.
_REFRESH_S: Final = 0.25


class Progress:
    """Base: says nothing."""

    #: Whether `update` wants to be called at all.
    wants_batches: bool = False

    def begin(self, title: str, batches: int) -> None:
        """Something of so many batches begins."""

    def update(self, done: int, read: Callable[[], Logs]) -> None:
        """So many batches are done; `read` gives the means so far."""

    def end(self, logs: Logs) -> None:
        """It is over."""

    def close(self) -> None:
        """Leave the terminal as it was, whatever happened."""


class Lines(Progress):
    """One line at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._title = ""
        self._start_s = 0.0

    def begin(self, title: str, batches: int) -> None:
        self._title = title
        self._start_s = time.perf_counter()

    def end(self, logs: Logs) -> None:
        taken = f"{time.perf_counter() - self._start_s:.1f}s"
        text = " - ".join([self._title, taken, *_shown(logs)])
        self._console.print(text, highlight=False, soft_wrap=True)


class Bar(Progress):
    """A bar that moves, with the means so far."""

    wants_batches = True

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._next_s = 0.0
        self._batches = 0

    def begin(self, title: str, batches: int) -> None:
        from rich import progress

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=24),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("{task.fields[logs]}"),
            console=self._console,
            auto_refresh=False,
        )
        self._batches = batches
        self._bar.start()
        self._task = self._bar.add_task(title, total=batches, logs="")
        self._next_s = time.perf_counter() + _REFRESH_S

    def update(self, done: int, read: Callable[[], Logs]) -> None:
        if time.perf_counter() < self._next_s:
            return
        self._show(done, read())
        self._next_s = time.perf_counter() + _REFRESH_S

    def end(self, logs: Logs) -> None:
        self._show(self._batches, logs)
        self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self, done: int, logs: Logs) -> None:
        if self._bar is None or self._task is None:
            return
        text = " - ".join(_shown(logs))
        self._bar.update(self._task, completed=done, logs=text, refresh=True)


def progress_of(verbose: Any) -> Progress:
    """The progress that `verbose` asks for.

    Args:
        verbose: 0 for silence, 1 or "auto" for a bar (for lines where the output is no
            terminal), 2 for a line per epoch.

    Raises:
        CaptureError: It is something else.
    """
    if verbose not in (0, 1, 2, "auto"):
        expected(CaptureError, "verbose", "0, 1, 2 or 'auto'", verbose)
    if verbose == 0:
        return Progress()
    from rich.console import Console

    console = Console()
    return Lines(console) if verbose == 2 or not console.is_terminal else Bar(console)


def _shown(logs: Logs) -> list[str]:
    return [f"{name}: {_number(value)}" for name, value in logs.items()]


def _number(value: float) -> str:
    small = value != 0 and abs(value) < 1e-3
    return f"{value:.4e}" if small else f"{value:.4f}"
