"""States that are kept from batch to batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.errors import CaptureError, DataError, ShapeError
from graphjit.passes import INFERENCE, run
from tests.ops.recurrent.twins import Pair, data

ROWS, STEPS, FEATURES, UNITS = 3, 4, 2, 5
KINDS = ["SimpleRNN", "GRU", "LSTM"]


def stateful(name: str, **settings: Any) -> Pair:
    return Pair(
        getattr(L, name)(UNITS, stateful=True, **settings),
        lambda keras: getattr(keras, name)(UNITS, stateful=True, **settings),
        (STEPS, FEATURES),
        batch=ROWS,
    )


@pytest.mark.parametrize("name", KINDS)
def test_batches_go_on_where_the_last_one_ended(name: str) -> None:
    twins = stateful(name, return_state=True)
    for seed in range(3):
        twins.agree(data(ROWS, STEPS, FEATURES, seed=seed))
    twins.model.get_layer(index=1).reset_states()
    twins.keras.reset_state()
    twins.agree(data(ROWS, STEPS, FEATURES, seed=9))


def test_two_halves_are_one_whole() -> None:
    x = data(ROWS, 2 * STEPS, FEATURES)
    halves = stateful("LSTM").model
    free = L.Input((None, FEATURES))
    whole = gj.Model(free, L.LSTM(UNITS)(free))
    whole.set_weights(halves.get_weights())
    halves(x[:, :STEPS])
    np.testing.assert_allclose(halves(x[:, STEPS:]), whole(x), rtol=1e-5, atol=1e-6)


def test_the_state_is_a_value_in_the_pure_face() -> None:
    model = stateful("LSTM").model
    variables = model.init(0)
    state = variables["state"]["lstm"]
    assert {slot: a.shape for slot, a in state.items()} == {
        "state0": (ROWS, UNITS),
        "state1": (ROWS, UNITS),
    }
    assert not any(np.any(array) for array in state.values())
    x = data(ROWS, STEPS, FEATURES)
    for training in (False, True):
        step = model.step(variables, x, training=training)
        np.testing.assert_allclose(
            step.outputs, step.state["lstm"]["state0"], rtol=1e-6
        )
        after = model.step({**variables, "state": step.state}, x, training=training)
        assert np.abs(np.asarray(after.outputs - step.outputs)).max() > 1e-3


def test_inference_keeps_the_updates() -> None:
    graph, _ = run(stateful("GRU").model.graph, INFERENCE)
    assert [update.param for update in graph.updates] == ["gru/state0"]


def test_states_are_no_weights() -> None:
    model = stateful("LSTM").model
    assert len(model.get_weights()) == 3
    assert len(model.get_layer(index=1).get_weights()) == 3


def test_a_second_call_reads_what_the_first_one_left() -> None:
    x = L.Input((STEPS, FEATURES), batch_size=ROWS)
    y = L.Input((STEPS, FEATURES), batch_size=ROWS)
    layer = L.GRU(UNITS, stateful=True, name="gru")
    model = gj.Model([x, y], [layer(x), layer(y)])
    arrays = [data(ROWS, STEPS, FEATURES, seed=seed) for seed in (1, 2)]
    _, second = model(arrays)
    alone = gj.Model(x, layer(x))
    alone.reset_states()
    alone(arrays[0])
    np.testing.assert_allclose(alone(arrays[1]), second, rtol=1e-6)


def test_reset_states_takes_values() -> None:
    twins = stateful("LSTM")
    layer = twins.model.get_layer(index=1)
    x = data(ROWS, STEPS, FEATURES)
    states = [data(ROWS, UNITS, seed=1), data(ROWS, UNITS, seed=2)]
    layer.reset_states(states)
    found = twins.model(x)
    free, *firsts = L.Input((STEPS, FEATURES)), L.Input((UNITS,)), L.Input((UNITS,))
    other = gj.Model([free, *firsts], L.LSTM(UNITS)(free, initial_state=firsts))
    other.set_weights(twins.model.get_weights())
    np.testing.assert_allclose(found, other([x, *states]), rtol=1e-5, atol=1e-6)


def test_every_stateful_layer_of_a_model_is_reset() -> None:
    x = L.Input((STEPS, FEATURES), batch_size=ROWS)
    y = L.LSTM(UNITS, stateful=True, return_sequences=True)(x)
    y = L.Bidirectional(L.GRU(2, stateful=True))(y)
    model = gj.Model(x, y)
    array = data(ROWS, STEPS, FEATURES)
    first = model(array)
    assert np.abs(np.asarray(model(array) - first)).max() > 1e-4
    model.reset_states()
    np.testing.assert_array_equal(model(array), first)


def test_a_given_state_comes_before_the_kept_one() -> None:
    x = L.Input((STEPS, FEATURES), batch_size=ROWS)
    h = L.Input((UNITS,), batch_size=ROWS)
    layer = L.GRU(UNITS, stateful=True)
    model = gj.Model([x, h], layer(x, initial_state=h))
    arrays = [data(ROWS, STEPS, FEATURES), data(ROWS, UNITS)]
    first = model(arrays)
    np.testing.assert_array_equal(model(arrays), first)
    np.testing.assert_allclose(
        model.variables["state"]["gru"]["state0"], first, rtol=1e-6
    )


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*KINDS, "Bidirectional"])
def test_the_batch_must_be_fixed(name: str) -> None:
    inner = name if name != "Bidirectional" else "LSTM"
    layer = getattr(L, inner)(UNITS, stateful=True)
    if name == "Bidirectional":
        layer = L.Bidirectional(layer)
    text = (
        rf"{inner}.*: stateful=True needs a fixed batch size, the input is float32"
        r"\[batch, 4, 2\]\n.*hint: give one: Input\(batch_shape=\(32, 10, 64\)\), or "
        "batch_input_shape to the first layer of a Sequential"
    )
    with pytest.raises(ShapeError, match=text):
        layer(L.Input((STEPS, FEATURES)))


def test_only_stateful_layers_are_reset() -> None:
    text = r"^LSTM 'one': reset_states: expected stateful=True$"
    with pytest.raises(CaptureError, match=text):
        L.LSTM(2, name="one").reset_states()


def test_states_that_do_not_fit() -> None:
    layer = L.LSTM(UNITS, stateful=True)
    layer.reset_states()  # nothing is kept yet
    text = r"^LSTM: reset_states: expected 0 arrays, received 2\n.*call the layer first"
    with pytest.raises(DataError, match=text):
        layer.reset_states([np.zeros((ROWS, UNITS))] * 2)
    layer(L.Input((STEPS, FEATURES), batch_size=ROWS))
    text = r"^LSTM: reset_states: expected 2 arrays, received 1$"
    with pytest.raises(DataError, match=text):
        layer.reset_states(np.zeros((ROWS, UNITS)))
    good, bad = np.ones((ROWS, UNITS)), np.ones((ROWS, 1))
    with pytest.raises(DataError, match=r"expected shape \(3, 5\), received \(3, 1\)"):
        layer.reset_states([good, bad])
    assert layer.own_cells["state0"].is_empty  # all of them or none
