"""Many equal blocks as one loop (`RollBlocks`): compiling and running."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

import graphjit as gj
from benchmarks.measure import Report, interleaved, ratio
from benchmarks.models import lively_weights
from graphjit.passes import INFERENCE, RollBlocks

__all__ = ["run"]

_TARGET = 0.5

#: Words and width of an encoder, and how often it is compiled each way.
_SIZES = ((32, 64, 3), (64, 256, 2))


def encoder(blocks: int, words: int, width: int) -> gj.Model:
    """Blocks of attention and two denses, with norms before them."""
    layers = gj.layers
    x = given = gj.Input((words, width), name="x")
    for _ in range(blocks):
        h = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, width // 4)(h, h)])
        h = layers.LayerNormalization()(x)
        h = layers.Dense(width)(layers.Dense(2 * width, activation="gelu")(h))
        x = layers.Add()([x, h])
    return gj.Model(given, x, name="encoder")


def run(quick: bool) -> Report:
    """96 blocks: passes, prologue, compiling and the first call, then later calls."""
    report = Report("rolled_blocks")
    for words, width, times in _SIZES:
        _compare(report, 3 if quick else 96, words, width, 1 if quick else times, quick)
    return report


def _compare(
    report: Report, blocks: int, words: int, width: int, times: int, quick: bool
) -> None:
    model = encoder(blocks, words, width)
    model.set_weights(lively_weights(model))
    data = np.random.default_rng(0).normal(size=(1, words, width)).astype(np.float32)
    ways: dict[str, Sequence[gj.passes.Pass] | None] = {
        "unrolled": None,
        "rolled": (RollBlocks(), *INFERENCE),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    results: dict[str, Any] = {}
    exes: dict[str, gj.Executable] = {}
    for _ in range(times):
        for name, passes in ways.items():
            exes.pop(name, None)
            jax.clear_caches()
            gc.collect()
            start = time.perf_counter()
            exes[name] = gj.jit(model, passes=passes)
            results[name] = np.asarray(exes[name](data))
            taken[name].append(time.perf_counter() - start)
    title = f"{blocks} blocks of {words} x {width}"
    error = np.abs(results["rolled"] - results["unrolled"]).max()
    report.add(f"{title}: error", float(error / np.abs(results["unrolled"]).max()), "")
    medians = {name: statistics.median(all_s) for name, all_s in taken.items()}
    for name, median_s in medians.items():
        report.add(f"{title}: first call, {name}", median_s, "s")
    gain = medians["rolled"] / medians["unrolled"]
    report.add(f"{title}: first call, rolled / unrolled", gain, "ratio", _TARGET)
    timings = interleaved(
        {name: lambda exe=exe: exe(data) for name, exe in exes.items()},
        2 if quick else 15,
    )
    slower = ratio(timings, "rolled", "unrolled")
    report.add(f"{title}: later calls, rolled / unrolled", slower, "ratio")
