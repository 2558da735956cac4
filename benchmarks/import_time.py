"""How long ``import graphjit`` takes in a fresh process, and what comes with it."""

from __future__ import annotations

import json
import statistics

from benchmarks.measure import LEAST_ROUNDS, Report, fresh

__all__ = ["run"]

#: Modules that only formats, training or plotting need: none should come along.
HEAVY = ("h5py", "yaml", "rich", "optax", "flax", "orbax", "scipy", "keras")

_CODE = """
import json, sys, time
start = time.perf_counter()
import {module}
taken_s = time.perf_counter() - start
print(json.dumps([taken_s, len(sys.modules), [m for m in {heavy} if m in sys.modules]]))
"""


def run(quick: bool) -> Report:
    """Import jax and graphjit in turns, each in its own process."""
    report = Report("import_time")
    times: dict[str, list[float]] = {"jax": [], "graphjit": []}
    heavy: list[str] = []
    modules = 0
    for _ in range(1 if quick else LEAST_ROUNDS):
        for module, taken in times.items():
            code = _CODE.format(module=module, heavy=HEAVY)
            taken_s, modules, heavy = json.loads(fresh(code))
            taken.append(taken_s)
    for module, taken in times.items():
        report.add(f"import {module}, median", statistics.median(taken), "s")
    own = statistics.median(times["graphjit"]) - statistics.median(times["jax"])
    report.add("import graphjit less import jax", own, "s")
    report.add("modules loaded by graphjit", modules, "modules")
    report.add("heavy modules loaded by graphjit", len(heavy), "modules", 0)
    report.notes.append(f"looked for {', '.join(HEAVY)}; found {heavy or 'none'}")
    return report
