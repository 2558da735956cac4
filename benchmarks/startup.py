"""From a fresh process to ResNet50 initialised; the passes; the checker's time."""

from __future__ import annotations

import json
import resource
import statistics
import time
from typing import Any

import graphjit as gj
from benchmarks.measure import LEAST_ROUNDS, Report, fresh
from graphjit.builder import Builder
from graphjit.ops.elementwise import Add, Negate
from graphjit.types import TensorType

__all__ = ["chain", "child", "run"]

# All modules are in the file cache: "cold" is a process that has imported graphjit and
# done nothing else.
_CODE = """
import graphjit
from benchmarks import startup
startup.child({quick})
"""


def child(quick: bool) -> None:
    """What one fresh process does and prints: times in seconds, by name."""
    start, start_cpu = time.perf_counter(), time.process_time()
    from benchmarks.models import mobilenet_v2, resnet50

    model = mobilenet_v2(input_shape=(32, 32, 3)) if quick else resnet50()
    captured = time.perf_counter()
    model.init(0)
    initialised, initialised_cpu = time.perf_counter(), time.process_time()
    graph, log = gj.passes.run(model.graph, gj.passes.INFERENCE)
    optimized = time.perf_counter()
    gj.passes.split_prologue(graph)
    split = time.perf_counter()
    times: dict[str, Any] = {
        "capture": captured - start,
        "init": initialised - captured,
        "import to initialised": initialised - start,
        "import to initialised, CPU time": initialised_cpu - start_cpu,
        "INFERENCE": optimized - initialised,
        "split_prologue": split - optimized,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "passes": {entry.name: entry.time_ms / 1e3 for entry in log.entries},
    }
    print(json.dumps(times))


def chain(length: int) -> gj.Graph:
    """A chain of elementwise ops, half of which read the input again."""
    builder = Builder("chain")
    x = builder.input("x", TensorType(("batch", 64)))
    y = x
    for at in range(length):
        y = builder(Negate(), y) if at % 2 else builder(Add(), y, x)
    builder.output("y", y)
    return builder.build()


def run(quick: bool) -> Report:
    """Nine fresh processes, then the checker in this one."""
    report = Report("startup")
    rounds = 1 if quick else LEAST_ROUNDS
    runs = [json.loads(fresh(_CODE.format(quick=quick))) for _ in range(rounds)]
    targets = {"import to initialised": 1.5, "INFERENCE": 0.5}
    units = {"peak_mb": "MB"}
    for name in runs[0]:
        if name == "passes":
            continue
        median = statistics.median(one[name] for one in runs)
        report.add(f"ResNet50: {name}", median, units.get(name, "s"), targets.get(name))
    each = {
        name: statistics.median(one["passes"][name] for one in runs)
        for name in runs[0]["passes"]
    }
    slowest = max(each, key=lambda name: each[name])
    report.notes.append(f"slowest pass: {slowest}, {each[slowest] * 1e3:.1f} ms")
    _verify(report, 100 if quick else 10_000, rounds)
    return report


def _verify(report: Report, length: int, rounds: int) -> None:
    graphs = {length: chain(length), 2 * length: chain(2 * length)}
    times: dict[int, list[float]] = {size: [] for size in graphs}
    for _ in range(rounds):
        for size, graph in graphs.items():
            start = time.perf_counter()
            gj.verify(graph)
            times[size].append(time.perf_counter() - start)
    short, long = (statistics.median(taken) for taken in times.values())
    report.add(f"verify {length} nodes: first call", times[length][0], "s")
    report.add(f"verify {length} nodes", short, "s", 0.1)
    report.add(f"verify {2 * length} nodes", long, "s")
    # Linear is 2; the collector's full sweeps come and go.
    report.add(f"verify {2 * length} / {length} nodes", long / short, "ratio", 2.5)
