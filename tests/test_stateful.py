"""Stateful models carry state from batch to batch, in every method alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphjit as gj
from graphjit.errors import CaptureError, DataError, ShapeError
from graphjit.layers import GRU, LSTM, Dense, Input, SimpleRNN

LAYERS = [SimpleRNN, GRU, LSTM]
BATCH, STEPS, FEATURES, UNITS = 4, 6, 3, 5


def rows(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def pair(cls: Any) -> tuple[gj.Sequential, gj.Model]:
    """A stateful model, and a plain one of the same weights."""
    shape = (BATCH, STEPS // 2, FEATURES)
    stateful = gj.Sequential([cls(UNITS, stateful=True, batch_input_shape=shape)])
    x = Input((None, FEATURES))
    plain = gj.Model(x, cls(UNITS)(x))
    plain.set_weights(stateful.get_weights())
    return stateful, plain


@pytest.mark.parametrize("cls", LAYERS)
def test_two_halves_are_the_whole(cls: Any) -> None:
    stateful, plain = pair(cls)
    x = rows(BATCH, STEPS, FEATURES)
    first, second = x[:, : STEPS // 2], x[:, STEPS // 2 :]
    want_first, want_whole = plain.predict(first), plain.predict(x)
    for run in (stateful.predict, stateful, stateful.predict_on_batch):
        stateful.reset_states()
        np.testing.assert_allclose(run(first), want_first, atol=1e-6)
        np.testing.assert_allclose(run(second), want_whole, atol=1e-6)


def test_reset_of_one_layer() -> None:
    layer = LSTM(UNITS, stateful=True, batch_input_shape=(BATCH, 2, FEATURES))
    model = gj.Sequential([layer, Dense(2)])
    x = rows(BATCH, 2, FEATURES)
    first = model.predict(x)
    assert np.abs(model.predict(x) - first).max() > 1e-3
    layer.reset_states()
    np.testing.assert_array_equal(model.predict(x), first)


def test_state_is_explicit_in_the_pure_api() -> None:
    stateful, plain = pair(GRU)
    x = rows(BATCH, STEPS, FEATURES)
    variables = stateful.variables
    step = stateful.step(variables, x[:, : STEPS // 2])
    held = {"params": variables["params"], "state": step.state}
    again = stateful.step(held, x[:, STEPS // 2 :])
    np.testing.assert_allclose(again.outputs, plain.predict(x), atol=1e-6)
    np.testing.assert_allclose(stateful.predict(x[:, :3]), plain.predict(x[:, :3]))
    exe = gj.jit(stateful)
    with pytest.raises(DataError, match="has state that changes"):
        exe(x[:, :3])
    one = exe.step(variables["state"], x[:, :3])
    two = exe.step(one.state, x[:, 3:])
    np.testing.assert_allclose(two.outputs, plain.predict(x), atol=1e-6)


def test_evaluate_carries_state() -> None:
    stateful, plain = pair(SimpleRNN)
    x, y = rows(BATCH, STEPS, FEATURES), np.zeros((BATCH, UNITS), np.float32)
    for model in (stateful, plain):
        model.compile("sgd", "mse")
    first, second = x[:, : STEPS // 2], x[:, STEPS // 2 :]
    got = [stateful.evaluate(part, y, verbose=0) for part in (first, second)]
    want = [plain.evaluate(part, y, verbose=0) for part in (first, x)]
    np.testing.assert_allclose(got, want, rtol=1e-5)
    # Two batches in one call: the second goes on from the first.
    stateful.reset_states()
    both = stateful.evaluate(np.concatenate([first, second]), np.zeros((8, UNITS)))
    np.testing.assert_allclose(both, np.mean(want), rtol=1e-5)


def test_fit_carries_state() -> None:
    """Two batches trained at a rate of zero leave the state of the whole sequence."""
    stateful, plain = pair(GRU)
    x = rows(BATCH, STEPS, FEATURES)
    halves = np.concatenate([x[:, : STEPS // 2], x[:, STEPS // 2 :]])
    y = np.zeros((2 * BATCH, UNITS), np.float32)
    stateful.compile(gj.optimizers.SGD(0.0), "mse")
    stateful.fit(halves, y, epochs=1, shuffle=False, verbose=0)
    state = stateful.variables["state"]
    (held,) = state[next(iter(state))].values()
    np.testing.assert_allclose(held, plain.predict(x), atol=1e-6)


def test_training_on_batches_carries_state() -> None:
    stateful, plain = pair(LSTM)
    x = rows(BATCH, STEPS, FEATURES)
    y = np.zeros((BATCH, UNITS), np.float32)
    stateful.compile(gj.optimizers.SGD(0.0), "mse")
    plain.compile("sgd", "mse")
    stateful.train_on_batch(x[:, : STEPS // 2], y)
    got = stateful.train_on_batch(x[:, STEPS // 2 :], y)
    np.testing.assert_allclose(got, plain.test_on_batch(x, y), rtol=1e-5)


def test_state_is_no_weight() -> None:
    stateful, plain = pair(LSTM)
    assert len(stateful.get_weights()) == 3
    assert stateful.count_params() == plain.count_params()
    assert len(stateful.layers[0].get_weights()) == 3
    lines: list[str] = []
    stateful.summary(print_fn=lines.append)
    assert f"Total params: {plain.count_params():,}" in lines
    assert "Non-trainable params: 0" in lines
    loaded = gj.from_bytes(gj.to_bytes(stateful))
    x = rows(BATCH, 3, FEATURES)
    np.testing.assert_array_equal(loaded.predict(x), stateful.predict(x))


def test_what_a_stateful_model_refuses() -> None:
    with pytest.raises(ShapeError, match=r"stateful(.|\n)*batch_input_shape"):
        gj.Sequential([LSTM(3, stateful=True, input_shape=(None, 2))])
    stateful, _ = pair(LSTM)
    stateful.compile("sgd", "mse")
    x, y = rows(8, 3, FEATURES), np.zeros((8, UNITS))
    with pytest.raises(CaptureError, match=r"stateful(.|\n)*shuffle=False"):
        stateful.fit(x, y, verbose=0)
    with pytest.raises(DataError, match="a multiple of the model's batch of 4 rows"):
        stateful.fit(x[:6], y[:6], shuffle=False, verbose=0)
    with pytest.raises(DataError, match="a multiple of the model's batch of 4 rows"):
        stateful.predict(x[:6])
