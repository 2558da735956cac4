"""Timing candidates in turns: on a shared machine only ratios say something."""

from __future__ import annotations

import platform
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import jax

__all__ = ["Timing", "cpu_name", "device_name", "interleaved", "medians_ms"]


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of one candidate: of one call, over all rounds."""

    rounds_ms: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        return statistics.median(self.rounds_ms)

    @property
    def fastest_ms(self) -> float:
        return min(self.rounds_ms)


def interleaved(
    candidates: Mapping[str, Callable[[], Any]],
    rounds: int = 15,
    calls: int = 1,
    warmup: int = 2,
    before: Callable[[], object] | None = None,
) -> dict[str, Timing]:
    """Time candidates in turns.

    Args:
        candidates: By name, functions that return JAX arrays (or anything else).
        rounds: How often each takes its turn.
        calls: Calls per turn, waited for at the end of the turn.
        warmup: Turns before the first that counts.
        before: Called before every turn, out of its time.

    Returns:
        The time of one call, per candidate and round. The order is another one in every
        round: who comes behind whom matters for short calls.
    """
    names = list(candidates)
    times: dict[str, list[float]] = {name: [] for name in names}
    order = random.Random(0)
    for turn in range(warmup + rounds):
        for name in order.sample(names, len(names)):
            call = candidates[name]
            result: Any = None
            if before is not None:
                before()
            start = time.perf_counter()
            for _ in range(calls):
                result = call()
            jax.block_until_ready(result)
            taken_ms = (time.perf_counter() - start) * 1e3 / calls
            if turn >= warmup:
                times[name].append(taken_ms)
    return {name: Timing(tuple(values)) for name, values in times.items()}


def medians_ms(
    candidates: Mapping[str, Callable[[], Any]], budget_s: float, rounds: int = 31
) -> dict[str, float]:
    """Median times of one call, in as many rounds as `budget_s` seconds allow.

    At most `rounds` and at least three; short calls are repeated within a turn.
    """
    start = time.perf_counter()
    for call in candidates.values():
        jax.block_until_ready(call())
    once_s = max(time.perf_counter() - start, 1e-6)
    fitting = int(min(rounds, max(3, budget_s / once_s)))
    calls = max(1, int(0.005 * len(candidates) / once_s))
    timings = interleaved(candidates, rounds=fitting, calls=calls, warmup=1)
    return {name: timing.median_ms for name, timing in timings.items()}


def device_name() -> str:
    """The device JAX runs on: the accelerator's kind, or the processor's model."""
    if jax.default_backend() == "cpu":
        return cpu_name()
    devices = cast("list[Any]", jax.devices())
    return str(devices[0].device_kind)


def cpu_name() -> str:
    """The processor's model, as well as the system says."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = [line for line in lines if line.startswith("model name")]
    return models[0].partition(":")[2].strip() if models else platform.machine()
