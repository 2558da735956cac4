"""The passes that are asked for, on random graphs: valid, idempotent, equal.

`tests.graphs.models` seldom repeats a block or gives a value several convolutions, so
`chains` and `branches` make models that do.
"""

from __future__ import annotations

import random
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

import graphjit.layers as L  # noqa: N812
from graphjit.capture.tensor import Tensor
from graphjit.capture.tracer import Captured, capture
from graphjit.ir import Graph
from graphjit.passes import (
    INFERENCE,
    TRAINING,
    MergeParallel,
    MixedPrecision,
    Pass,
    Remat,
    RollBlocks,
    ToInference,
    Winograd,
    run,
    split_prologue,
)
from graphjit.verify import verify
from tests.graphs import evaluate_together, models, same_results
from tests.profiles import examples

D: dict[str, Any] = {"dtype": "float64"}
SEEDS = st.integers(0, 2**32 - 1)
#: Narrower than the models' type, but as near as a mistake would not be.
NARROW = MixedPrecision("float32")


def check(graph: Graph, pass_: Pass, tolerance: float = 1e-9) -> Graph:
    """Run a pass twice; its result computes what the graph did."""
    after, log = run(graph, [pass_], target="cpu", strict=True)
    if after is graph:
        return graph
    event(f"{log.entries[0].name.split('(')[0]} changed the graph")
    assert log.entries[0].done
    found, wanted = evaluate_together([after, graph])
    same_results(found, wanted, tolerance)
    for part in split_prologue(after):
        verify(part)
    return after


# --- models made for it ---------------------------------------------------------------


def _step(rng: random.Random, x: Tensor, width: int) -> Tensor:
    """One layer that keeps the shape of x, chosen by `rng`."""
    kind = rng.choice(["dense", "norm", "batch", "attend", "residual", "act", "drop"])
    if kind == "dense":
        bent = rng.choice([None, "relu", "tanh"])
        return L.Dense(width, activation=bent, use_bias=rng.random() < 0.7, **D)(x)
    if kind == "norm":
        return L.LayerNormalization(scale=rng.random() < 0.5, **D)(x)
    if kind == "batch":
        return L.BatchNormalization(epsilon=0.02, **D)(x)
    if kind == "attend":
        return L.MultiHeadAttention(2, 2, **D)(x, x)
    if kind == "residual":
        y = L.Dense(rng.choice([2, 5]), activation="gelu", **D)(x)
        return L.Add(**D)([x, L.Dense(width, **D)(y)])
    if kind == "drop":
        return L.Dropout(0.3, **D)(x) if rng.random() < 0.3 else L.ReLU(**D)(x)
    return L.Activation(rng.choice(["sigmoid", "softsign"]), **D)(x)


@st.composite
def chains(draw: st.DrawFn) -> Captured:
    """Blocks of one to four layers in a row, now and then with something besides."""
    rng = random.Random(draw(SEEDS))
    width = rng.choice([3, 4])
    x = L.Input((5, width), **D)
    y = _step(rng, x, width) if rng.random() < 0.5 else x
    first, outputs = y, list[Tensor]()
    for _ in range(rng.choice([1, 2])):
        recipe, size = rng.random(), rng.randint(1, 4)
        skips = rng.random() < 0.2
        seen = rng.randint(0, 5) if rng.random() < 0.3 else -1
        for at in range(rng.randint(3, 5)):
            block = random.Random(recipe)
            for _ in range(size):
                y = _step(block, y, width)
            if skips:
                y = L.Add(**D)([y, first])
            if at == seen:
                outputs.append(y)
        y = _step(rng, y, width)
    return capture([x], [*outputs, y], "chain")


@st.composite
def branches(draw: st.DrawFn) -> Captured:
    """Values that several layers read, of a few kinds and sizes."""
    rng = random.Random(draw(SEEDS))
    x = L.Input((5, 6, 3), **D)
    made: list[Tensor] = []
    for _ in range(rng.randint(2, 6)):
        source = x if rng.random() < 0.7 or not made else rng.choice(made)
        bent = rng.choice([None, None, "relu", "tanh"])
        bias = rng.random() < 0.7
        width, kind = rng.randint(1, 4), rng.choice(["conv", "conv", "dense", "heads"])
        if kind == "conv":
            size = rng.choice([1, 1, (2, 1)])
            layer = L.Conv2D(
                width, size, padding="same", use_bias=bias, activation=bent, **D
            )
        elif kind == "dense":
            layer = L.Dense(width, use_bias=bias, activation=bent, **D)
        else:
            axes = "de" if bias else None
            layer = L.EinsumDense(
                "abcx,xde->abcde", (5, 6, width, 2), bias_axes=axes, **D
            )
        y = layer(source)
        if rng.random() < 0.3:
            y = L.BatchNormalization(epsilon=0.1, **D)(y)
        if len(y.shape) == 4:
            made.append(y)
        else:
            made.append(L.Reshape((5, 6, width * 2), **D)(y))
    return capture([x], made, "branches")


# --- properties -----------------------------------------------------------------------


def inference(captured: Captured) -> Graph:
    return run(captured.graph, INFERENCE, target="cpu")[0]


@examples(40)
@given(branches())
def test_merged_branches(captured: Captured) -> None:
    check(inference(captured), MergeParallel())
    check(captured.graph, MergeParallel(training=True))


@examples(20)
@given(models())
def test_merged_models(captured: Captured) -> None:
    check(inference(captured), MergeParallel())


@examples(20)
@given(models())
def test_winograd(captured: Captured) -> None:
    check(inference(captured), Winograd(channels=1))


@examples(40)
@given(chains())
def test_rolled_chains(captured: Captured) -> None:
    check(inference(captured), RollBlocks(least=3))
    check(run(captured.graph, [ToInference()])[0], RollBlocks(least=3))
    check(captured.graph, RollBlocks(least=3))


@examples(20)
@given(models())
def test_rolled_models(captured: Captured) -> None:
    check(inference(captured), RollBlocks(least=2))


@examples(40)
@given(models(), st.sampled_from([0, 2, 3, 5]))
def test_remat(captured: Captured, nodes: int) -> None:
    graph, _ = run(captured.graph, TRAINING, target="cpu")
    check(graph, Remat(nodes))


@examples(15)
@given(chains())
def test_remat_of_loops(captured: Captured) -> None:
    graph, _ = run(captured.graph, [RollBlocks(least=3)])
    check(graph, Remat())


@examples(40)
@given(models(dropout=False))
def test_mixed_precision(captured: Captured) -> None:
    after = check(inference(captured), NARROW, 1e-3)
    table = after.types()
    assert {table[v].dtype for v in after.results()} <= {"float64", "bool"}


@examples(20)
@given(models())
def test_mixed_precision_in_training(captured: Captured) -> None:
    check(run(captured.graph, TRAINING, target="cpu")[0], NARROW, 1e-3)
