"""Candidates that take turns, at most one of them working at a time."""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import numpy as np

from graphjit.stopwatch import Timing

__all__ = ["Candidate", "Contest", "Here", "alone", "check", "hold"]

#: Fewer rounds than this say nothing on a shared machine; slow candidates get `FEWEST`,
#: and short calls, which vary most, `MOST`.
ROUNDS = 11
FEWEST = 3
MOST = 31

#: A candidate that takes longer than this for a call gets the fewest rounds.
SLOW_S = 1.5

#: How long a turn should last at least: short calls are repeated. How often says the
#: fastest of several looks: the first is slow, and calls of a short turn are, too.
TURN_S = 0.01
LOOKS = 3

#: After each turn, so that the pools of threads of the last candidate go to sleep.
PAUSE_S = 0.003


class Candidate(Protocol):
    """Something that is timed."""

    name: str

    def turn(self, calls: int) -> float:
        """Make calls one after the other; the seconds they took together."""
        ...


@dataclass
class Here:
    """A candidate in this process: a function of nothing."""

    name: str
    call: Callable[[], Any]

    def turn(self, calls: int) -> float:
        result: Any = None
        start = time.perf_counter()
        for _ in range(calls):
            result = self.call()
        jax.block_until_ready(result)
        return time.perf_counter() - start


@dataclass
class Contest:
    """One network at one size, with everybody who can run it.

    Attributes:
        case: "b8", say.
        candidates: Ready to run: compiled, and called once.
        errors: By candidate, how far its answer is from graphjit's, as a part of the
            largest element.
        notes: Who is missing, and why.
        rounds: How often each takes its turn; None: by how long its calls take.
    """

    case: str
    candidates: list[Candidate] = field(default_factory=list["Candidate"])
    errors: dict[str, float] = field(default_factory=dict[str, float])
    notes: list[str] = field(default_factory=list[str])
    rounds: int | None = None

    def timings(self, quick: bool = False) -> dict[str, Timing]:
        """Every candidate's times, in ms for one call.

        The order is another one in every round: who comes behind whom matters for short
        calls. Slow candidates take part in the first rounds only.
        """
        calls: dict[str, int] = {}
        rounds: dict[str, int] = {}
        for candidate in self.candidates:
            once = candidate.turn(1)
            if once < TURN_S and not quick:
                once = min(once, *(candidate.turn(1) for _ in range(LOOKS)))
            calls[candidate.name] = 1 if quick else max(1, math.ceil(TURN_S / once))
            rounds[candidate.name] = self.rounds or _rounds(once)
        times: dict[str, list[float]] = {c.name: [] for c in self.candidates}
        order = random.Random(0)
        for at in range(1 if quick else max(rounds.values())):
            for candidate in order.sample(self.candidates, len(self.candidates)):
                name = candidate.name
                if at < rounds[name]:
                    taken = candidate.turn(calls[name])
                    times[name].append(taken * 1e3 / calls[name])
                    time.sleep(PAUSE_S)
        return {name: Timing(tuple(values)) for name, values in times.items()}


def _rounds(once_s: float) -> int:
    if once_s < TURN_S:
        return MOST
    return FEWEST if once_s > SLOW_S else ROUNDS


def check(
    contest: Contest, answers: Mapping[str, Any], base: str, tolerance: float = 1e-4
) -> None:
    """Compare everybody's answers before anything is timed.

    Raises:
        RuntimeError: One differs from the base's by more than a part of its largest
            element.
    """
    reference = np.asarray(answers[base], np.float64)
    largest = np.abs(reference).max()
    for name, answer in answers.items():
        difference = np.abs(np.asarray(answer, np.float64) - reference).max()
        contest.errors[name] = float(difference / largest)
        if not contest.errors[name] < tolerance:
            raise RuntimeError(
                f"{name} and {base} differ by {contest.errors[name]:.1e} of the "
                "largest element: nothing timed"
            )


def hold() -> contextlib.AbstractContextManager[Any]:
    """What measurements run inside of: nothing.

    A workplace where several share a machine puts its lock in this place.
    """
    return contextlib.nullcontext()


def alone(contests: Sequence[Contest], quick: bool = False) -> list[dict[str, Timing]]:
    """The timings of several contests, measured without a break."""
    with hold():
        return [contest.timings(quick) for contest in contests]
