"""The first call: tracing, compiling, and for graphjit the passes and the prologue."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

import graphjit as gj
from benchmarks.suite import candidates
from benchmarks.suite.contest import Contest, alone
from benchmarks.suite.nets import Built, Net
from benchmarks.suite.plan import Plan
from benchmarks.suite.table import Row, rows_of
from graphjit.passes.pipeline import TRAINING, run
from graphjit.training.state import Batch, copied
from graphjit.training.step import make_train_step

__all__ = ["measured"]

#: First calls of one candidate; they are long.
ROUNDS = 5


@dataclass
class First:
    """A candidate whose every call is a first one."""

    name: str
    make: Callable[[], Callable[[], Any]]

    def turn(self, calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            jax.block_until_ready(self.make()())
        return time.perf_counter() - start


def measured(net: Net, plan: Plan, _stack: contextlib.ExitStack) -> Iterator[list[Row]]:
    """Rows for the first call of inference (batch 1) and of a training step.

    From the captured graph and weights on the device to the result: "graphjit" with its
    passes, "plain" without, "keras-jax" for inference.
    """
    if not plan.runs(net):
        return
    cases = {"inference b1": _inference(plan.built(net), plan)}
    if net.train is not None:
        cases["training step"] = _training(plan.built(net, train=True))
    ready = [Contest(case, list(given), rounds=ROUNDS) for case, given in cases.items()]
    for contest, timings in zip(ready, alone(ready, plan.quick), strict=True):
        yield rows_of("compiling", net.name, contest.case, timings)


def _inference(built: Built, plan: Plan) -> list[First]:
    model = candidates.loaded(built)
    x = jax.device_put(built.net.data(built.size, 1))

    def optimized() -> Callable[[], Any]:
        exe = gj.jit(model)
        return lambda: exe(x)

    def plain() -> Callable[[], Any]:
        call = candidates.plain_call(model)
        return lambda: call(x)

    made = [First("graphjit", optimized), First("plain", plain)]
    if plan.keras is not None and "keras-jax" in plan.peers:
        apply, weights = candidates.keras_apply(plan.keras, built)

        def by_keras() -> Callable[[], Any]:
            # A new function each time: jit keeps the programs of one it knows.
            call: Any = jax.jit(lambda *arrays: apply(*arrays))
            return lambda: call(*weights, x)

        made.append(First("keras-jax", by_keras))
    return made


def _training(built: Built) -> list[First]:
    model = candidates.loaded(built)
    batch_size = built.size.batch
    x = jnp.asarray(built.net.data(built.size, batch_size))
    y = jnp.asarray(built.net.targets(model.output_shape[1:], batch_size))
    batch = Batch((x,), (y,), (None,))
    loss = built.net.loss
    step = make_train_step(model.graph, gj.optimizers.Adam(), loss)
    state = step.init(model.variables, rng=0)

    def first(optimized: bool) -> Callable[[], Any]:
        graph = run(model.graph, TRAINING)[0] if optimized else model.graph
        made = make_train_step(graph, gj.optimizers.Adam(), loss)
        given = copied(state)
        call: Any = jax.jit(made, donate_argnums=0)
        return lambda: call(given, batch)

    return [
        First("graphjit", lambda: first(True)),
        First("plain", lambda: first(False)),
    ]
