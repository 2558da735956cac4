"""From a graph to an executable: passes for a platform, and what measuring chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphjit.autotune import autotune as measure_kernels
from graphjit.autotune import autotune_program
from graphjit.errors import CaptureError, expected
from graphjit.executable import Executable
from graphjit.ir import Graph
from graphjit.passes.base import Pass
from graphjit.passes.pipeline import INFERENCE, current_platform, run
from graphjit.passes.select_kernels import SelectKernels
from graphjit.tuning import Tuning

__all__ = ["compile_graph"]


def compile_graph(
    graph: Graph,
    target: str | None = None,
    passes: Sequence[Pass] | None = None,
    *,
    autotune: bool = False,
    batch_size: int = 1,
    tuning: Tuning | None = None,
    buckets: bool | Sequence[int] = True,
) -> Executable:
    """An executable of a graph, with no weights bound yet.

    Args:
        graph: A captured (training) graph.
        target: The platform; None for the one JAX runs on.
        passes: What to run; None for `INFERENCE`.
        autotune: Measure the kernels of this graph's ops, and the options that its
            program may be compiled with, on this device.
        batch_size: The batch size that `autotune` measures at.
        tuning: What was measured before.
        buckets: The batch sizes to compile for, as `graphjit.jit` has it.

    Raises:
        CaptureError: `autotune` is asked for another platform than JAX's, or a batch
            size is no count.
    """
    chosen = target or current_platform()
    sequence = INFERENCE if passes is None else passes
    if autotune:
        if chosen != current_platform():
            here = repr(current_platform())
            expected(CaptureError, "autotune measures here: target", here, target)
        if batch_size < 1:
            expected(CaptureError, "batch_size", "an int >= 1", batch_size)
        by_rules, _ = run(graph, sequence, target=chosen)
        tuning = measure_kernels(by_rules, batch_size, chosen)
    if tuning is not None:
        sequence = [
            replace(p, tuning=tuning) if isinstance(p, SelectKernels) else p
            for p in sequence
        ]
    optimized, log = run(graph, sequence, target=chosen)
    if autotune and tuning is not None:
        tuning = autotune_program(optimized, tuning)
    return Executable(graph, optimized, log, chosen, tuning, buckets)
