"""`graphjit explain`: what passes make of a model, and the kernels they choose."""

from __future__ import annotations

from dataclasses import replace

from graphjit.command_line.output import say
from graphjit.command_line.source import Source
from graphjit.compiling import compile_graph
from graphjit.model import Model
from graphjit.passes.base import Pass
from graphjit.passes.freeze import Freeze
from graphjit.passes.pipeline import INFERENCE, TRAINING, current_platform, run
from graphjit.passes.select_kernels import SelectKernels
from graphjit.report import report

__all__ = ["explain"]


def explain(
    source: Source, target: str | None, training: bool, batch_size: int | None
) -> int:
    """Print it; nothing is compiled or run.

    Args:
        source: The model.
        target: The platform; None for the one that JAX runs on.
        training: Whether for training; else for inference.
        batch_size: The rows that kernels are chosen and the cost is counted for; None
            for any, and for 1.
    """
    model = source.read()
    if training:
        say(_of_training(model, target or current_platform(), batch_size))
    else:
        passes = _hinted(INFERENCE, batch_size)
        made = compile_graph(model.graph, target, passes, tuning=model.tuning)
        say(made.explain(batch_size or 1))
    return 0


def _hinted(passes: tuple[Pass, ...], batch_size: int | None) -> list[Pass]:
    """The passes, kernels chosen for the batch size."""
    return [
        replace(p, batch_hint=batch_size) if isinstance(p, SelectKernels) else p
        for p in passes
    ]


def _of_training(model: Model, target: str, batch_size: int | None) -> str:
    frozen = model.frozen_layers()
    passes = _hinted(TRAINING, batch_size)
    if frozen:
        passes.insert(0, Freeze(frozen))
    graph, log = run(model.graph, passes, target=target)
    title = f"graph {graph.name!r} in training for {target}"
    return report(model.graph, graph, log, title, batch_size or 1)
