"""Callbacks: what `fit` tells about its progress, and to whom (`gj.callbacks`).

A callback gets plain floats and dictionaries of its own. It never sees the arrays that
a step works on: those are given away at the next step.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graphjit.errors import CaptureError, expected
from graphjit.narrow import sequence_of

if TYPE_CHECKING:
    from graphjit.model import Model

__all__ = ["Callback", "CallbackList", "EarlyStopping", "History", "LambdaCallback"]

Logs = dict[str, float]


class Callback:
    """Base of callbacks: every method may be overridden, and does nothing.

    At the end of an epoch the model holds the epoch's weights; what a callback writes
    into it then (`set_weights`) is what training goes on with. Setting
    ``self.model.stop_training = True`` ends training after the epoch.

    Overriding one of the batch methods makes `fit` wait for every batch.

    Attributes:
        model: The model being trained.
        params: ``{"epochs": …, "steps": …, "verbose": …}``.
    """

    model: Model
    params: dict[str, Any]

    def set_model(self, model: Model) -> None:
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        self.params = dict(params)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch; `logs` are that epoch's."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before an epoch, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After an epoch; `logs` has its loss and metrics, and ``val_…`` ones."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch, counted from 0 in every epoch."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch; `logs` has the means since the epoch began."""


class CallbackList:
    """The callbacks of one `fit`, each given its own copy of the logs."""

    def __init__(
        self, callbacks: Sequence[Callback], model: Model, params: Mapping[str, Any]
    ) -> None:
        self._all = list(callbacks)
        for callback in self._all:
            callback.set_model(model)
            callback.set_params(params)
        self._begin = self._with("on_train_batch_begin")
        self._end = self._with("on_train_batch_end")

    def _with(self, method: str) -> list[Callback]:
        """The callbacks that override `method`, in their class or on the object."""
        plain = getattr(Callback, method)
        return [
            callback
            for callback in self._all
            if method in vars(callback) or getattr(type(callback), method) is not plain
        ]

    @property
    def wants_batches(self) -> bool:
        """Whether some callback looks at batches."""
        return bool(self._begin or self._end)

    def train_begin(self) -> None:
        for callback in self._all:
            callback.on_train_begin({})

    def train_end(self, logs: Logs) -> None:
        for callback in self._all:
            callback.on_train_end(dict(logs))

    def epoch_begin(self, epoch: int) -> None:
        for callback in self._all:
            callback.on_epoch_begin(epoch, {})

    def epoch_end(self, epoch: int, logs: Logs) -> None:
        for callback in self._all:
            callback.on_epoch_end(epoch, dict(logs))

    def batch_begin(self, batch: int) -> None:
        for callback in self._begin:
            callback.on_train_batch_begin(batch, {})

    def batch_end(self, batch: int, logs: Callable[[], Logs]) -> None:
        """`logs` is called only where somebody listens: reading them takes time."""
        if not self._end:
            return
        read = logs()
        for callback in self._end:
            callback.on_train_batch_end(batch, dict(read))


def checked(callbacks: object) -> list[Callback]:
    """The callbacks given to `fit`: None, one, or a sequence of them.

    Raises:
        CaptureError: Something else is among them.
    """
    if callbacks is None:
        return []
    items = sequence_of(callbacks)
    found: list[Callback] = []
    for item in [callbacks] if items is None else items:
        if not isinstance(item, Callback):
            wanted = "objects of gj.callbacks.Callback"
            expected(CaptureError, "callbacks", wanted, item)
        found.append(item)
    return found


class History(Callback):
    """What every epoch gave; `fit` returns one.

    Attributes:
        epoch: The epochs that ended.
        history: By name a list with a float per epoch.
    """

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class LambdaCallback(Callback):
    """A callback made of functions.

    Args:
        on_epoch_begin, on_epoch_end: Called as f(epoch, logs).
        on_train_batch_begin, on_train_batch_end: Called as f(batch, logs).
        on_train_begin, on_train_end: Called as f(logs).
    """

    def __init__(
        self,
        on_epoch_begin: Callable[[int, Any], Any] | None = None,
        on_epoch_end: Callable[[int, Any], Any] | None = None,
        on_train_batch_begin: Callable[[int, Any], Any] | None = None,
        on_train_batch_end: Callable[[int, Any], Any] | None = None,
        on_train_begin: Callable[[Any], Any] | None = None,
        on_train_end: Callable[[Any], Any] | None = None,
    ) -> None:
        given = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
        }
        for name, function in given.items():
            if function is not None:
                setattr(self, name, function)


class EarlyStopping(Callback):
    """Stop when a monitored number has stopped improving.

    Args:
        monitor: A name in the logs.
        min_delta: What counts as an improvement.
        patience: How many epochs without one to wait.
        verbose: 1 prints when it stops.
        mode: "min", "max", or "auto": the greatest for accuracies, else the least.
        baseline: A number that an epoch must improve on, too, to count as one.
        restore_best_weights: Whether the model gets the best epoch's weights back.
        start_from_epoch: Epochs before this one are not looked at.

    Attributes:
        stopped_epoch: The epoch at which it stopped; 0 if it did not.
        best: The best number seen.
        best_epoch: The epoch that gave it.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        if mode not in ("auto", "min", "max"):
            wanted = "'auto', 'min' or 'max'"
            expected(CaptureError, "EarlyStopping: mode", wanted, mode)
        self.monitor = monitor
        self.min_delta = abs(min_delta)
        self.patience = patience
        self.verbose = verbose
        grows = any(part in monitor for part in ("acc", "top_k", "cosine"))
        self._sign = 1 if mode == "max" or (mode == "auto" and grows) else -1
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._reset()

    def _reset(self) -> None:
        self.best = -self._sign * math.inf
        self.best_epoch = 0
        self.stopped_epoch = 0
        self._best_weights: list[Any] | None = None
        self._wait = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = (logs or {}).get(self.monitor)
        if value is None:
            warnings.warn(
                f"EarlyStopping: expected {self.monitor!r} in the logs, received "
                f"{sorted(logs or {})}",
                stacklevel=2,
            )
            return
        if epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self._best_weights is None:
            # Should every epoch give NaN, the first one is the best.
            self._keep(epoch)
        self._wait += 1
        if self._improves(value, self.best):
            self.best = value
            self._keep(epoch)
            if self.baseline is None or self._improves(value, self.baseline):
                self._wait = 0
        elif self._wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _improves(self, value: float, on: float) -> bool:
        return self._sign * (value - on) > self.min_delta

    def _keep(self, epoch: int) -> None:
        self.best_epoch = epoch
        if self.restore_best_weights:
            self._best_weights = self.model.get_weights()

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.verbose and self.stopped_epoch:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self._best_weights is not None:
            self.model.set_weights(self._best_weights)
