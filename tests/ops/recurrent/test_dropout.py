"""Dropout in recurrent layers: one draw for a sequence, in training only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.lower import uses_rng
from graphjit.passes import ToInference, run
from tests.graphs import evaluate, variables_for
from tests.ops.recurrent.twins import data

STEPS, FEATURES, UNITS = 6, 40, 3
LAYERS: dict[str, Any] = {
    "simple": lambda **s: L.SimpleRNN(UNITS, **s),
    "gru": lambda **s: L.GRU(UNITS, **s),
    "lstm": lambda **s: L.LSTM(UNITS, **s),
    "gru gates": lambda **s: L.GRU(UNITS, implementation=1, reset_after=False, **s),
    "lstm gates": lambda **s: L.LSTM(UNITS, implementation=1, **s),
    "any cell": lambda **s: L.RNN(L.GRUCell(UNITS, **s)),
    "stacked": lambda **s: L.RNN([L.LSTMCell(4, **s), L.SimpleRNNCell(2, **s)]),
}
EACH = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def model(layer: Any, shape: tuple[int, ...] = (STEPS, FEATURES)) -> gj.Model:
    x = L.Input(shape)
    return gj.Model(x, layer(x))


@EACH
def test_training_draws_and_inference_does_not(make: Any) -> None:
    dropping = model(make(dropout=0.5, recurrent_dropout=0.5))
    plain = model(make())
    assert uses_rng(dropping.graph)
    variables = variables_for(plain.graph)
    x = data(2, STEPS, FEATURES)
    first = dropping.apply(variables, x, training=True, rng=0)
    again = dropping.apply(variables, x, training=True, rng=0)
    other = dropping.apply(variables, x, training=True, rng=1)
    np.testing.assert_array_equal(first, again)
    assert np.abs(np.asarray(first - other)).max() > 1e-3
    wanted = plain.apply(variables, x)
    np.testing.assert_allclose(dropping.apply(variables, x), wanted, rtol=1e-6)
    assert np.abs(np.asarray(first - wanted)).max() > 1e-3
    graph, _ = run(dropping.graph, [ToInference()])
    assert not uses_rng(graph)
    assert graph.count("dropout") == 0


@EACH
@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_nothing_is_drawn_at_either_end(make: Any, rate: float) -> None:
    graph = model(make(dropout=rate, recurrent_dropout=rate)).graph
    assert not uses_rng(graph)


def linear(**settings: Any) -> gj.Model:
    """y_t = sum of x_t over the features that are kept: what was drawn shows."""
    layer = L.SimpleRNN(
        1,
        activation=None,
        use_bias=False,
        kernel_initializer="ones",
        recurrent_initializer="zeros",
        return_sequences=True,
        **settings,
    )
    return model(layer)


def test_the_input_is_dropped_alike_at_every_step() -> None:
    net = linear(dropout=0.4)
    x = np.ones((8, STEPS, FEATURES), np.float32)
    y = np.asarray(net.apply(net.variables, x, training=True, rng=3))[..., 0]
    np.testing.assert_allclose(y, np.broadcast_to(y[:, :1], y.shape), rtol=1e-6)
    assert len(np.unique(y[:, 0])) > 1  # rows draw for themselves
    kept = y[:, 0] * (1 - 0.4) / FEATURES
    assert abs(kept.mean() - 0.6) < 0.1


def test_the_state_is_dropped_alike_at_every_step() -> None:
    """h grows by 1 / (1 - rate) at every step where it is kept, or not at all."""
    layer = L.SimpleRNN(
        50,
        activation=None,
        kernel_initializer="zeros",
        recurrent_initializer="identity",
        bias_initializer="ones",
        recurrent_dropout=0.5,
        return_sequences=True,
    )
    net = model(layer, (4, 1))
    x = np.zeros((2, 4, 1), np.float32)
    y = np.asarray(net.apply(net.variables, x, training=True, rng=5))
    kept = y[:, 1] == 3
    assert 0.2 < kept.mean() < 0.8
    np.testing.assert_array_equal(y[:, 3], np.where(kept, 15, 1))


@pytest.mark.parametrize(("implementation", "draws"), [(1, 4), (2, 1)])
def test_gates_share_a_draw_or_have_their_own(implementation: int, draws: int) -> None:
    graph = model(L.LSTM(3, dropout=0.3, implementation=implementation)).graph
    (mask,) = [node for node in graph.nodes if node.op.kind == "dropout"]
    assert mask.types[0].shape == ("batch", draws, FEATURES)
    (lstm,) = [node for node in graph.nodes if node.op.kind == "lstm"]
    assert len(lstm.operands) == 8


def test_any_cell_draws_once_for_a_sequence() -> None:
    """RNN(cell) with dropout is the layer with dropout, when both see one draw."""
    cell = L.GRUCell(UNITS, dropout=0.4, recurrent_dropout=0.3)
    stepped = model(L.RNN(cell, return_sequences=True)).graph
    masks = [n for n in stepped.nodes if n.op.kind == "dropout"]
    assert len(masks) == 2  # outside of the loop
    results = [evaluate(stepped, rng=0) for _ in range(2)]
    for name, value in results[0].items():
        np.testing.assert_array_equal(value, results[1][name])


def test_the_seed_is_mixed_in() -> None:
    nets = [linear(dropout=0.4, seed=seed) for seed in (1, 2)]
    x = np.ones((4, STEPS, FEATURES), np.float32)
    results = [n.apply(n.variables, x, training=True, rng=0) for n in nets]
    assert np.abs(np.asarray(results[0] - results[1])).max() > 0
