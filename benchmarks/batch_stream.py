"""A stream of batches of every size: programs compiled, time, memory."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import graphjit as gj
from benchmarks.measure import Report, interleaved, ratio
from benchmarks.models import cnn, lively_weights, mlp

__all__ = ["Compilations", "run"]

_MOST_PROGRAMS = 10
_TARGET = 1.6


def run(quick: bool) -> Report:
    """A small MLP, which pads, and a convolutional net, which cuts."""
    report = Report("batch_stream")
    calls = 30 if quick else 1000
    rng = np.random.default_rng(0)
    for name, net, shape in (("MLP", mlp, (64,)), ("CNN", cnn, (8, 8, 1))):
        model = net()
        model.set_weights(lively_weights(model))
        exe = gj.jit(model)
        data = rng.normal(size=(512, *shape)).astype(np.float32)
        sizes = rng.integers(1, 513, calls)
        with Compilations() as compiled:
            for size in sizes:
                exe(data[:size]).block_until_ready()
        title = f"{name}: programs for {calls} batches of 1 to 512 rows"
        report.add(title, compiled.count, "programs", _MOST_PROGRAMS)
        _ratios(report, name, model, exe, data, quick)
        if name == "MLP":
            _memory(report, exe, data, 100 if quick else 10_000)
    return report


def _ratios(
    report: Report, name: str, model: Any, exe: Any, data: Any, quick: bool
) -> None:
    """Sizes without a program, against a program of that very size, and a bucket's."""
    rounds, calls = (2, 1) if quick else (15, 20 if name == "MLP" else 3)
    exact = gj.jit(model, buckets=False)
    of_exact: list[float] = []
    for size in (3, 11, 21, 50, 100, 150, 300, 450):
        x, full = data[:size], data[: exe.sizes.up(size)]
        if len(full) > 256:
            full = data
        exe(full).block_until_ready()
        timings = interleaved(
            {
                "off": _waited(exe, x),
                "exact": _waited(exact, x),
                "on": _waited(exe, full),
            },
            rounds,
            calls,
        )
        of_exact.append(ratio(timings, "off", "exact"))
        title = f"{name}: {size} rows / {len(full)} rows"
        report.add(title, ratio(timings, "off", "on"), "ratio", _TARGET)
        report.add(f"{name}: {size} rows / a program for them", of_exact[-1], "ratio")
    title = f"{name}: sizes without a program / with, mean"
    report.add(title, statistics.mean(of_exact), "ratio", _TARGET)


def _waited(exe: Any, x: Any) -> Callable[[], Any]:
    return lambda: exe(x).block_until_ready()


def _memory(report: Report, exe: Any, data: Any, calls: int) -> None:
    """How much more memory is resident after many calls of random sizes."""
    sizes = np.random.default_rng(1).integers(1, 513, 2 * calls)

    def stream(part: Any) -> float:
        start = time.perf_counter()
        for size in part:
            exe(data[:size]).block_until_ready()
        gc.collect()
        return time.perf_counter() - start

    stream(sizes[:calls])
    before = _resident_mb()
    taken_s = stream(sizes[calls:])
    grown = _resident_mb() - before
    report.add(f"MLP: memory grown over {calls} calls", grown, "MB", 4)
    report.add(f"MLP: a call, mean of {calls} sizes", taken_s / calls * 1e6, "us")


def _resident_mb() -> float:
    status = Path("/proc/self/statm")
    if not status.exists():
        return 0.0
    return int(status.read_text().split()[1]) * 4096 / 2**20


class Compilations:
    """Counts the programs that XLA compiles in a block."""

    _EVENT = "/jax/core/compile/backend_compile_duration"

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Compilations:
        self._counting = True
        jax.monitoring.register_event_duration_secs_listener(self._heard)
        return self

    def _heard(self, event: str, duration_s: float, **_: Any) -> None:
        self.count += self._counting and event == self._EVENT

    def __exit__(self, *_: Any) -> None:
        self._counting = False  # JAX has no public way to take a listener back
