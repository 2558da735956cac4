"""The loops over batches and epochs: one dispatch per batch, no wait for the device."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from graphjit.callbacks import CallbackList
from graphjit.training.batches import Batches, shuffled
from graphjit.training.objective import Objective
from graphjit.training.progress import Progress
from graphjit.training.state import Batch, TrainState

__all__ = ["Epochs", "Program", "Weights", "score_batches"]

#: A compiled step with its totals: (state, total, batch) -> (state, total). It gives
#: the state and the total away. A program of several steps per dispatch would fit
#: `Epochs._train` in the place of the loop body.
Program: TypeAlias = Callable[[TrainState, Any, Batch], tuple[TrainState, Any]]


class Weights(Protocol):
    """Where the values of training live between epochs: the model."""

    def commit(self, state: TrainState) -> None:
        """Keep a copy of the state, and write its variables into the model."""
        ...

    def refreshed(self, state: TrainState) -> TrainState:
        """The state, with the model's variables if somebody changed them since."""
        ...

    def stopped(self) -> bool:
        """Whether a callback asked to stop."""
        ...


@dataclass
class Epochs:
    """One `fit`: its data, programs, and listeners.

    Attributes:
        program: The compiled step.
        zeros: Makes the totals before the first batch.
        objective: What the totals mean.
        batches: The data.
        weights: Where values go after each epoch.
        callbacks: Who is told.
        progress: What a person sees.
        validate: Gives the validation logs; None for no validation.
        seed: Of the shuffling; None for the order as given.
    """

    program: Program
    zeros: Callable[[], Any]
    objective: Objective
    batches: Batches
    weights: Weights
    callbacks: CallbackList
    progress: Progress
    validate: Callable[[], dict[str, float]] | None
    seed: int | None

    def run(self, state: TrainState, first: int, last: int) -> None:
        """Train from epoch `first` up to, not including, `last`.

        `state` must be nobody else's: its buffers are given away.
        """
        self.callbacks.train_begin()
        logs: dict[str, float] = {}
        warned = False
        try:
            for epoch in range(first, last):
                self.callbacks.epoch_begin(epoch)
                self.progress.begin(f"Epoch {epoch + 1}/{last}", len(self.batches))
                state, total = self._train(state, epoch)
                sums = np.asarray(total)
                logs = self.objective.read(sums)
                warned = warned or self._warn_not_finite(sums, epoch)
                self.weights.commit(state)
                if self.validate is not None:
                    of_validation = self.validate()
                    logs |= {f"val_{name}": v for name, v in of_validation.items()}
                self.progress.end(logs)
                self.callbacks.epoch_end(epoch, logs)
                if self.weights.stopped():
                    break
                state = self.weights.refreshed(state)
        finally:
            self.progress.close()
        self.callbacks.train_end(logs)

    def _train(self, state: TrainState, epoch: int) -> tuple[TrainState, Any]:
        order = None
        if self.seed is not None:
            order = shuffled(self.batches.table.rows, self.seed, epoch)
        program, batch, total = self.program, self.batches.batch, self.zeros()
        if not (self.callbacks.wants_batches or self.progress.wants_batches):
            for at in range(len(self.batches)):
                state, total = program(state, total, batch(at, order))
            return state, total
        for at in range(len(self.batches)):
            self.callbacks.batch_begin(at)
            state, total = program(state, total, batch(at, order))
            read = _reader(self.objective, total)
            self.callbacks.batch_end(at, read)
            self.progress.update(at + 1, read)
        return state, total

    def _warn_not_finite(self, sums: np.ndarray[Any, Any], epoch: int) -> bool:
        batch = self.objective.batches_until_bad(sums)
        if batch is None:
            return False
        warnings.warn(
            f"the loss is not finite since epoch {epoch + 1}, batch {batch + 1} of "
            f"{len(self.batches)}",
            RuntimeWarning,
            stacklevel=5,
        )
        return True


def _reader(objective: Objective, total: Any) -> Callable[[], dict[str, float]]:
    return lambda: objective.read(total)


def score_batches(
    score: Callable[[Any, Batch], Any],
    total: Any,
    batches: Batches,
    update: Callable[[int, Any], None],
) -> np.ndarray[Any, Any]:
    """The sums of all batches, nothing trained; `update` is called after each one."""
    for at in range(len(batches)):
        total = score(total, batches.batch(at))
        update(at + 1, total)
    return np.asarray(total)
