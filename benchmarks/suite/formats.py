"""Channels first beside channels last: the same network and weights, inference."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

import graphjit as gj
from benchmarks.suite import candidates
from benchmarks.suite.contest import Contest, Here, alone, check
from benchmarks.suite.nets import Net
from benchmarks.suite.plan import Plan
from benchmarks.suite.table import Row, rows_of
from benchmarks.suite.twin import channels_first, moved

__all__ = ["measured"]


def measured(net: Net, plan: Plan, _stack: contextlib.ExitStack) -> Iterator[list[Row]]:
    """Rows for both layouts, at every batch size; "graphjit" is channels first.

    Each is given its data in its own layout. The passes turn the twin's graph around,
    so it should cost a transpose of the input more (and one of the output, where that
    is a picture).
    """
    if net.family != "conv" or not net.formats or not plan.runs(net):
        return
    built = plan.built(net)
    last = gj.jit(candidates.loaded(built))
    first = gj.jit(candidates.loaded(built, channels_first(built.text)))
    ready: list[Contest] = []
    for batch in plan.batches:
        data = net.data(built.size, batch)
        x, turned = jax.device_put(data), jax.device_put(moved(data))
        contest = Contest(f"b{batch}")
        contest.candidates += [
            Here("graphjit", lambda turned=turned: first(turned)),
            Here("channels last", lambda x=x: last(x)),
        ]
        wanted = np.asarray(last(x))
        if wanted.ndim > 2:
            wanted = moved(wanted)
        answers: dict[str, Any] = {"graphjit": first(turned), "channels last": wanted}
        check(contest, answers, "channels last", 1e-5)
        ready.append(contest)
    for contest, timings in zip(ready, alone(ready, plan.quick), strict=True):
        yield rows_of("formats", net.name, contest.case, timings, contest.errors)
