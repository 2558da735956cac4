"""The loops over batches and epochs, which never wait for the device."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from graphjit.callbacks import CallbackList
from graphjit.training.batches import Batches, shuffled
from graphjit.training.objective import Objective
from graphjit.training.programs import Run, StepProgram
from graphjit.training.progress import Progress
from graphjit.training.state import Batch, TrainState

__all__ = ["Epochs", "Weights", "score_batches"]


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
        room: Steps per dispatch; 1 where the program is not to loop.
        zeros: Makes the totals before the first batch.
        objective: What the totals mean.
        batches: The data.
        weights: Where values go after each epoch.
        callbacks: Who is told.
        progress: What a person sees.
        validate: Gives the validation logs; None for no validation.
        seed: Of the shuffling; None for the order as given.
    """

    program: StepProgram
    room: int
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
        run = self.program.open(state, self.zeros())
        watched = self.callbacks.wants_batches
        looped = self.batches.equal if self.room > 1 else 0
        at = 0
        while at < len(self.batches):
            count = 1
            if watched:
                self.callbacks.batch_begin(at)
            elif at < looped:
                count = min(self.room, looped - at)
            # The same program for one step and for several: the same numbers.
            if at < looped:
                stack = self.batches.stack(at, count, self.room, order)
                self.program.several(run, stack, count)
            else:
                self.program.one(run, self.batches.batch(at, order))
            at += count
            if watched:
                self.callbacks.batch_end(at - 1, _reader(self.objective, run))
            if self.progress.wants_batches:
                self.progress.update(at, _reader(self.objective, run))
        return self.program.close(run), run.total

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


def _reader(objective: Objective, run: Run) -> Callable[[], dict[str, float]]:
    return lambda: objective.read(run.total)


def score_batches(
    score: Callable[[Any, Batch], Any],
    total: Any,
    batches: Batches,
    progress: Progress,
    objective: Objective,
) -> dict[str, float]:
    """The means over all batches, nothing trained."""
    progress.begin("Evaluate", len(batches))
    try:
        for at in range(len(batches)):
            total = score(total, batches.batch(at))
            if progress.wants_batches:
                progress.update(at + 1, lambda sums=total: objective.read(sums))
        logs = objective.read(total)
        progress.end(logs)
    finally:
        progress.close()
    return logs
