"""Inference: graphjit and its peers, on one network, at several batch sizes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

import graphjit as gj
from benchmarks.suite import candidates, onnx_peers, peers
from benchmarks.suite.contest import Candidate, Contest, Here, alone, check
from benchmarks.suite.flax_nets import flax_call
from benchmarks.suite.nets import Built, Net
from benchmarks.suite.plan import Plan
from benchmarks.suite.table import Row, rows_of

__all__ = ["contests", "measured"]

#: What a call of Keras on JAX may take, in seconds, judged by a smaller batch.
LONGEST_S = 20.0


def measured(net: Net, plan: Plan, stack: contextlib.ExitStack) -> Iterator[list[Row]]:
    """Rows for every batch size, measured without a break."""
    if not plan.runs(net):
        return
    ready = contests(plan.built(net), plan, stack)
    for contest, timings in zip(ready, alone(ready, plan.quick), strict=True):
        for note in contest.notes:
            print(f"note: {note}", flush=True)
        yield rows_of("inference", net.name, contest.case, timings, contest.errors)


def contests(built: Built, plan: Plan, stack: contextlib.ExitStack) -> list[Contest]:
    """A contest for every batch size, ready to be timed.

    Args:
        stack: Closes what the contests need when they are over.
    """
    wanted, keras = plan.peers, plan.keras
    model = candidates.loaded(built)
    exe = gj.jit(model)
    on_jax: dict[str, Callable[[Any], Any]] = {"graphjit": exe}
    if "plain" in wanted:
        on_jax["plain"] = candidates.plain_call(model)
    if "keras-jax" in wanted and keras is not None:
        on_jax["keras-jax"] = candidates.keras_call(keras, built)
    by_flax = flax_call(built) if "flax" in wanted else None
    if by_flax is not None:
        on_jax["flax"] = by_flax
    path = None
    notes: list[str] = []
    if {"onnxruntime", "openvino"} & set(wanted):
        try:
            path = peers.onnx_file(built, plan.folder)
        except RuntimeError as error:
            notes.append(f"no ONNX file of {built.net.name}: {error}")
    made: list[Contest] = []
    slowness = 0.0
    for batch in plan.batches:
        contest = Contest(f"b{batch}", notes=list(notes))
        answers: dict[str, Any] = {}
        data = built.net.data(built.size, batch)
        x = jax.device_put(data)
        for name, call in on_jax.items():
            if name == "keras-jax" and slowness * batch > LONGEST_S:
                contest.notes.append(f"keras-jax at b{batch} would take too long")
                continue
            one = Here(name, lambda call=call, x=x: call(x))
            answers[name] = np.asarray(one.call())
            contest.candidates.append(one)
            if name == "keras-jax":
                slowness = one.turn(1) / batch
        for name in wanted:
            other = _elsewhere(name, built, data, path, stack, answers)
            if other is not None:
                contest.candidates.append(other)
        _says_something(built, answers["graphjit"])
        check(contest, answers, "graphjit")
        made.append(contest)
    return made


def _says_something(built: Built, answer: Any) -> None:
    """Refuse outputs that are all alike, or all 0 and 1: any two lowerings agree."""
    spread = np.ptp(answer) / np.abs(answer).max()
    certain = built.net.loss != "mse" and np.median(answer.max(-1)) > 0.999
    if not spread > 1e-2 or certain:
        raise RuntimeError(f"{built.net.name}: the outputs say nothing")


def _elsewhere(
    name: str,
    built: Built,
    data: Any,
    path: Path | None,
    stack: contextlib.ExitStack,
    answers: dict[str, Any],
) -> Candidate | None:
    """A peer that is not on JAX, warmed up, its answer noted."""
    if name.startswith("keras-") and name != "keras-jax":
        process = stack.enter_context(peers.Process(name.removeprefix("keras-")))
        process.ask("build", built.text, built.weights)
        answers[name] = process.ask("infer", data)
        return peers.Away(name, process)
    if path is None or name not in ("onnxruntime", "openvino"):
        return None
    if name == "onnxruntime":
        run = onnx_peers.onnxruntime(path)
    else:
        run = onnx_peers.openvino(path, data)
    answers[name] = run(data)
    return Here(name, lambda: run(data))
