"""Bidirectional: both directions, merged."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.errors import CaptureError
from graphjit.lower import uses_rng
from tests.ops.recurrent.twins import Pair, data, step_mask

ROWS, STEPS, FEATURES, UNITS = 4, 5, 3, 2
MODES = ["sum", "mul", "concat", "ave", None]


def pair(
    name: str = "LSTM", masked: bool = False, states: int = 0, **settings: Any
) -> Pair:
    mode = settings.pop("merge_mode", "concat")
    return Pair(
        L.Bidirectional(getattr(L, name)(UNITS, **settings), mode),
        lambda keras: keras.Bidirectional(
            getattr(keras, name)(UNITS, **settings), merge_mode=mode
        ),
        (STEPS, FEATURES),
        masked,
        [(UNITS,)] * states,
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sequences", [False, True])
def test_merging(mode: str | None, sequences: bool) -> None:
    twins = pair("GRU", merge_mode=mode, return_sequences=sequences)
    twins.agree(data(ROWS, STEPS, FEATURES))


@pytest.mark.parametrize("mode", ["concat", None])
@pytest.mark.parametrize("name", ["SimpleRNN", "LSTM"])
def test_states_are_returned_and_given(name: str, mode: str | None) -> None:
    count = 4 if name == "LSTM" else 2
    twins = pair(
        name, states=count, merge_mode=mode, return_state=True, return_sequences=True
    )
    states = [data(ROWS, UNITS, seed=5 + at) for at in range(count)]
    twins.agree(data(ROWS, STEPS, FEATURES), states=states)


@pytest.mark.parametrize(
    ("sequences", "unroll"), list(itertools.product([False, True], repeat=2))
)
def test_masks(sequences: bool, unroll: bool) -> None:
    twins = pair(masked=True, return_sequences=sequences, unroll=unroll)
    twins.agree(data(ROWS, STEPS, FEATURES), step_mask(ROWS, STEPS))


def test_masked_steps_give_zeros_or_what_came_before() -> None:
    x, mask = L.Input((STEPS, FEATURES)), L.Input((STEPS,), dtype="bool")
    inner = L.GRU(UNITS, return_sequences=True)
    arrays = [data(ROWS, STEPS, FEATURES), step_mask(ROWS, STEPS)]
    zeros = gj.Model([x, mask], L.Bidirectional(inner)(x, mask=mask))
    found = np.asarray(zeros(arrays))
    assert not found[~arrays[1]].any()
    held = gj.Model(
        [x, mask], L.Bidirectional(inner, zeros_where_masked=False)(x, mask=mask)
    )
    held.set_weights(zeros.get_weights())
    other = np.asarray(held(arrays))
    np.testing.assert_allclose(other[arrays[1]], found[arrays[1]], rtol=1e-6)
    np.testing.assert_allclose(other[1, 1, :UNITS], other[1, 0, :UNITS])
    np.testing.assert_allclose(other[1, 2, UNITS:], other[1, 3, UNITS:])


@pytest.mark.parametrize("stateful", [False, True])
def test_a_backward_layer_of_its_own(stateful: bool) -> None:
    settings: dict[str, Any] = {"return_sequences": True, "stateful": stateful}
    twins = Pair(
        L.Bidirectional(
            L.LSTM(3, **settings),
            "concat",
            backward_layer=L.GRU(2, "relu", go_backwards=True, **settings),
        ),
        lambda keras: keras.Bidirectional(
            keras.LSTM(3, **settings),
            "concat",
            backward_layer=keras.GRU(2, "relu", go_backwards=True, **settings),
        ),
        (STEPS, FEATURES),
        batch=ROWS if stateful else None,
    )
    for seed in range(2):
        twins.agree(data(ROWS, STEPS, FEATURES, seed=seed))


def test_a_layer_that_goes_backwards_already() -> None:
    """Its twin goes forwards."""
    x = L.Input((STEPS, FEATURES))
    layer = L.Bidirectional(L.GRU(UNITS, go_backwards=True))
    assert layer.backward_part.go_backwards is False
    assert gj.Model(x, layer(x)).output_shape == (None, 2 * UNITS)


def test_weights_are_copies_of_their_own() -> None:
    x = L.Input((STEPS, FEATURES))
    inner = L.LSTM(UNITS, name="rnn")
    model = gj.Model(x, L.Bidirectional(inner, name="both")(x))
    assert [p.name for p in model.graph.params] == [
        f"both/{direction}_rnn/{slot}"
        for direction in ("forward", "backward")
        for slot in ("kernel", "recurrent_kernel", "bias")
    ]
    assert not inner.cells
    kernel, *_, other = [w for w in model.get_weights() if w.shape == (3, 8)]
    assert np.abs(kernel - other).max() > 0
    unnamed = gj.Model(x, L.Bidirectional(L.GRU(UNITS))(x))
    assert unnamed.graph.params[0].name == "bidirectional/forward_gru/kernel"


def test_the_configuration_is_keras_2s() -> None:
    layer = L.Bidirectional(L.LSTM(3, return_sequences=True, dropout=0.2), "ave")
    config = layer.get_config()
    assert config["layer"]["class_name"] == "LSTM"
    assert config["layer"]["config"]["units"] == 3
    assert config["layer"]["config"]["zero_output_for_mask"] is False
    assert config["merge_mode"] == "ave"
    assert "zeros_where_masked" not in config
    again = L.Bidirectional.from_config(config)
    assert again.get_config() == config
    keras_2 = {
        "name": "bidirectional_1",
        "trainable": True,
        "layer": {"class_name": "GRU", "config": {"units": 4, "name": "gru_1"}},
        "merge_mode": "concat",
    }
    x = L.Input((STEPS, FEATURES))
    made = L.Bidirectional.from_config(keras_2)(x)
    assert made.shape == (None, 8)


def test_a_custom_function_needs_no_name() -> None:
    x = L.Input((STEPS, FEATURES))
    inner = L.SimpleRNN(UNITS, activation=lambda value: value / 2)
    assert gj.Model(x, L.Bidirectional(inner)(x))(data(2, STEPS, FEATURES)).shape == (
        2,
        4,
    )


def test_masks_go_on_with_sequences_only() -> None:
    x = L.Masking()(L.Input((STEPS, FEATURES)))
    sequences = L.Bidirectional(L.GRU(2, return_sequences=True))(x)
    assert sequences.mask_type is not None
    assert L.Bidirectional(L.GRU(2))(x).mask_type is None
    layer = L.Bidirectional(L.GRU(2, return_sequences=True, return_state=True), None)
    masks = [y.mask_type is not None for y in layer(x)]
    assert masks == [True, True, False, False]


def test_penalties_and_dropout_of_the_layer_count_twice() -> None:
    x = L.Input((STEPS, FEATURES))
    inner = L.GRU(
        UNITS, dropout=0.5, kernel_regularizer="l2", activity_regularizer="l1"
    )
    graph = gj.Model(x, L.Bidirectional(inner)(x)).graph
    assert uses_rng(graph)
    assert len(graph.losses) == 2
    assert sum(p.regularizer is not None for p in graph.params) == 2


def test_saved_and_loaded() -> None:
    x = L.Input((STEPS, FEATURES))
    model = gj.Model(x, L.Bidirectional(L.LSTM(3, return_sequences=True))(x))
    again = gj.from_bytes(gj.to_bytes(model))
    array = data(2, STEPS, FEATURES)
    np.testing.assert_array_equal(again(array), model(array))


def test_reset_states_of_both_directions() -> None:
    x = L.Input((STEPS, FEATURES), batch_size=ROWS)
    layer = L.Bidirectional(L.SimpleRNN(UNITS, stateful=True))
    model = gj.Model(x, layer(x))
    assert layer.stateful
    array = data(ROWS, STEPS, FEATURES)
    first = model(array)
    layer.reset_states()
    np.testing.assert_array_equal(model(array), first)
    states = [data(ROWS, UNITS, seed=1), data(ROWS, UNITS, seed=2)]
    layer.reset_states(states)
    found = layer.backward_part.own_cells["state0"].array
    np.testing.assert_array_equal(found, states[1])


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((L.Dense(3),), r"layer: expected a recurrent layer, such as LSTM\(32\)"),
        ((3,), "layer: expected a layer, or a dictionary with class_name"),
        (
            (L.GRU(3), "max"),
            "merge_mode: expected one of 'sum', 'mul', 'concat', 'ave' or None, "
            "received 'max'",
        ),
    ],
)
def test_arguments_that_make_no_sense(arguments: Any, text: str) -> None:
    with pytest.raises(CaptureError, match=f"^Bidirectional: {text}"):
        L.Bidirectional(*arguments)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "expected go_backwards=True, received False"),
        (
            {"go_backwards": True, "return_state": True},
            "expected return_state=False as the layer has, received True",
        ),
        (
            {"go_backwards": True, "return_sequences": True},
            "expected return_sequences=False as the layer has, received True",
        ),
    ],
)
def test_backward_layers_that_do_not_fit(settings: Any, text: str) -> None:
    with pytest.raises(CaptureError, match=f"^Bidirectional: backward_layer: {text}$"):
        L.Bidirectional(L.GRU(2), backward_layer=L.GRU(2, **settings))


def test_initial_states_in_two_halves() -> None:
    x, h = L.Input((STEPS, FEATURES)), L.Input((UNITS,))
    layer = L.Bidirectional(L.GRU(UNITS))
    text = (
        r"^Bidirectional: initial_state: expected as many tensors for each direction, "
        r"received 1$"
    )
    with pytest.raises(CaptureError, match=text):
        layer(x, initial_state=h)
    with pytest.raises(CaptureError, match=r"the initial state is given twice$"):
        layer([x, h, h], initial_state=[h, h])
    assert layer([x, h, h]).shape == (None, 2 * UNITS)
