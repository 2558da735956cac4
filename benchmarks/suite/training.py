"""A training step with Adam: graphjit and its peers, on one network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.suite import candidates, peers
from benchmarks.suite.contest import Contest, Here, alone, check
from benchmarks.suite.nets import Built, Net
from benchmarks.suite.plan import Plan
from benchmarks.suite.table import Row, rows_of

__all__ = ["contest", "measured"]

#: Losses of the first two steps agree to this part of the larger. Adam's first step
#: goes by the signs of the gradients, which rounding decides where they are small.
TOLERANCE = 1e-2


def measured(net: Net, plan: Plan, stack: contextlib.ExitStack) -> Iterator[list[Row]]:
    """Rows for one step at the size the network is trained at."""
    if net.train is None or not plan.runs(net):
        return
    ready = contest(plan.built(net, train=True), plan, stack)
    (timings,) = alone([ready], plan.quick)
    yield rows_of("training", net.name, ready.case, timings, ready.errors)


def contest(built: Built, plan: Plan, stack: contextlib.ExitStack) -> Contest:
    """A contest ready to be timed; the first two losses are compared.

    Args:
        stack: Closes what the contest needs when it is over.
    """
    wanted, keras = plan.peers, plan.keras
    net, batch = built.net, built.size.batch
    x = net.data(built.size, batch)
    model = candidates.loaded(built)
    y = net.targets(model.output_shape[1:], batch)
    made = Contest(f"b{batch} step")
    losses: dict[str, Any] = {}
    kinds = [("graphjit", False), *([("plain", True)] if "plain" in wanted else [])]
    for name, plain in kinds:
        call, read = candidates.train_step(model, net.loss, x, y, plain)
        losses[name] = [read(call()) for _ in range(2)]
        made.candidates.append(Here(name, call))
    if "keras-jax" in wanted and keras is not None:
        step = candidates.keras_step(keras, built, net.loss, x, y)
        first, mean = (float(np.asarray(step())) for _ in range(2))
        losses["keras-jax"] = [first, 2 * mean - first]  # Keras reports running means
        made.candidates.append(Here("keras-jax", step))
    for name in wanted:
        if name in ("keras-tensorflow", "keras-torch"):
            process = stack.enter_context(peers.Process(name.removeprefix("keras-")))
            process.ask("build", built.text, built.weights)
            losses[name] = process.ask("train", net.loss, candidates.RATE, x, y)
            made.candidates.append(peers.Away(name, process))
    check(made, losses, "graphjit", TOLERANCE)
    return made
