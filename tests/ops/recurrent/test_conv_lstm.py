"""ConvLSTM: against Keras 3, and the same in both data formats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.errors import CaptureError, ShapeError
from graphjit.lower import uses_rng
from graphjit.passes import INFERENCE, ToInference, run
from tests.graphs import evaluate, variables_for
from tests.ops.recurrent.twins import Pair, data, step_mask

ROWS, STEPS = 4, 5
SIZES = {1: (6,), 2: (6, 5), 3: (3, 4, 3)}


def pair(rank: int, first: bool = False, **settings: Any) -> Pair:
    name = f"ConvLSTM{rank}D"
    masked, states = settings.pop("masked", False), settings.pop("states", ())
    batch = settings.pop("batch", None)
    settings = {"filters": 2, "kernel_size": (3, 2, 2)[:rank], **settings}
    if first:
        settings["data_format"] = "channels_first"
    size = SIZES[rank]
    return Pair(
        getattr(L, name)(**settings),
        lambda keras: getattr(keras, name)(**settings),
        (STEPS, 3, *size) if first else (STEPS, *size, 3),
        masked,
        states,
        batch,
    )


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("first", [False, True])
def test_every_rank_and_format(rank: int, first: bool) -> None:
    twins = pair(rank, first, return_sequences=True, return_state=True)
    shape = (3, *SIZES[rank]) if first else (*SIZES[rank], 3)
    twins.agree(data(ROWS, STEPS, *shape))


@pytest.mark.parametrize(
    "settings",
    [
        {"strides": 2},
        {"padding": "same", "strides": (2, 1), "return_sequences": True},
        {"dilation_rate": (2, 1), "padding": "same"},
        {"go_backwards": True, "return_sequences": True, "use_bias": False},
        {"recurrent_activation": "tanh", "activation": "relu"},
        {"unit_forget_bias": False, "unroll": True},
    ],
)
def test_settings(settings: dict[str, Any]) -> None:
    pair(2, **settings).agree(data(ROWS, STEPS, 6, 5, 3))


@pytest.mark.parametrize("first", [False, True])
def test_first_states_and_stateful(first: bool) -> None:
    state = (2, 6, 5) if first else (6, 5, 2)
    twins = pair(2, first, padding="same", states=[state] * 2, return_sequences=True)
    shape = (3, 6, 5) if first else (6, 5, 3)
    states = [data(ROWS, *state, seed=seed) for seed in (1, 2)]
    twins.agree(data(ROWS, STEPS, *shape), states=states)
    kept = pair(2, first, stateful=True, batch=ROWS)
    for seed in range(2):
        kept.agree(data(ROWS, STEPS, *shape, seed=seed))


def test_a_mask_keeps_the_states() -> None:
    """Keras 3 cannot broadcast a mask over images: against fewer steps instead."""
    x = L.Input((STEPS, 6, 5, 3))
    mask = L.Input((STEPS,), dtype="bool")
    model = gj.Model([x, mask], L.ConvLSTM2D(2, 3)(x, mask=mask))
    free = L.Input((None, 6, 5, 3))
    plain = gj.Model(free, L.ConvLSTM2D(2, 3)(free))
    plain.set_weights(model.get_weights())
    array, steps = data(ROWS, STEPS, 6, 5, 3), step_mask(ROWS, STEPS)
    found = np.asarray(model([array, steps]))
    for row in range(3):
        wanted = plain(array[row : row + 1, steps[row]])
        np.testing.assert_allclose(found[row : row + 1], wanted, rtol=1e-5, atol=1e-6)
    assert not found[3].any()


def test_dropout_in_training_only() -> None:
    x = L.Input((STEPS, 6, 5, 3))
    layer = L.ConvLSTM2D(2, 3, dropout=0.4, recurrent_dropout=0.4)
    model = gj.Model(x, layer(x))
    plain = gj.Model(x, L.ConvLSTM2D(2, 3, name="conv_lstm2d")(x))
    variables = model.variables
    array = data(2, STEPS, 6, 5, 3)
    first, second = (
        model.apply(variables, array, training=True, rng=rng) for rng in (0, 1)
    )
    assert np.abs(np.asarray(first - second)).max() > 1e-3
    wanted = plain.apply(variables, array)
    np.testing.assert_allclose(model.apply(variables, array), wanted, rtol=1e-6)
    graph, _ = run(model.graph, [ToInference()])
    assert not uses_rng(graph)


def test_the_input_is_dropped_alike_at_every_step() -> None:
    layer = L.ConvLSTM1D(
        1,
        1,
        dropout=0.5,
        activation=None,
        recurrent_initializer="zeros",
        return_sequences=True,
    )
    x = L.Input((STEPS, 30, 1))
    model = gj.Model(x, layer(x))
    array = np.ones((1, STEPS, 30, 1), np.float32)
    y = np.asarray(model.apply(model.variables, array, training=True, rng=0))
    zero = y[0, :, :, 0] == 0
    np.testing.assert_array_equal(zero, np.broadcast_to(zero[:1], zero.shape))
    assert 5 < zero[0].sum() < 25


def test_float64_and_passes() -> None:
    x = L.Input((STEPS, 3, 6, 5), dtype="float64")
    layer = L.ConvLSTM2D(
        2, 3, data_format="channels_first", return_sequences=True, dtype="float64"
    )
    graph = gj.Model(x, layer(x)).graph
    variables, array = variables_for(graph), data(2, STEPS, 3, 6, 5).astype("float64")
    inference, _ = run(graph, INFERENCE)
    found, wanted = (evaluate(g, variables, [array]) for g in (inference, graph))
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9)


def test_weights_and_configuration() -> None:
    x = L.Input((None, 6, 5, 3))
    layer = L.ConvLSTM2D(2, (3, 2), padding="same", name="c")
    model = gj.Model(x, layer(x))
    shapes = {p.name: p.type.shape for p in model.graph.params}
    assert shapes == {
        "c/kernel": (3, 2, 3, 8),
        "c/recurrent_kernel": (3, 2, 2, 8),
        "c/bias": (8,),
    }
    assert model.get_weights()[2].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    again = L.ConvLSTM2D.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    loaded = gj.from_bytes(gj.to_bytes(model))
    array = data(2, 3, 6, 5, 3)
    np.testing.assert_array_equal(loaded(array), model(array))


def test_refusals() -> None:
    text = "^ConvLSTM2D: dilation_rate: expected 1 where strides are not 1"
    with pytest.raises(CaptureError, match=text):
        L.ConvLSTM2D(2, 3, strides=2, dilation_rate=2)
    text = r"^ConvLSTM2D: spatial axis 1 \(axis 3\) must be known"
    with pytest.raises(ShapeError, match=text):
        L.ConvLSTM2D(2, 3)(L.Input((4, 6, None, 3)))
    text = (
        r"^ConvLSTM2D: expected an input of rank 5 \(n, t, …\), received rank 4.*\n.*"
    )
    with pytest.raises(ShapeError, match=text + "needs return_sequences=True"):
        L.ConvLSTM2D(2, 3)(L.ConvLSTM2D(2, 3)(L.Input((4, 6, 5, 3))))
    with pytest.raises(ShapeError, match=r"a window of 3 does not fit a length of 2"):
        L.ConvLSTM2D(2, 3)(L.Input((4, 2, 5, 3)))
    with pytest.raises(CaptureError, match=r"'nb_filter'\n.*it is called 'filters'"):
        L.ConvLSTM2D(nb_filter=2, kernel_size=3)


@pytest.mark.parametrize(
    "make", [L.ConvLSTM1D, L.ConvLSTM2D, L.ConvLSTM3D], ids=lambda cls: cls.__name__
)
def test_padding_of_the_state(make: Any) -> None:
    """Zeros before in the place of behind: all of it in a mirror."""
    rank = int(make.__name__[-2])
    sizes = (2, 4, 3)[:rank]
    behind = [((k - 1) // 2, k // 2) for k in sizes]
    before = [(b, a) for a, b in behind]
    x = gj.Input((STEPS, *SIZES[rank], 3))
    layers = [
        make(2, sizes),
        make(2, sizes, recurrent_padding=behind),
        make(2, sizes, recurrent_padding=before),
    ]
    plain, same, other = (gj.Model(x, layer(x)) for layer in layers)
    weights, images = plain.get_weights(), data(2, STEPS, *SIZES[rank], 3)
    same.set_weights(weights)
    np.testing.assert_allclose(same.predict(images), plain.predict(images), atol=1e-6)
    axes = tuple(range(rank))
    turned = [w if w.ndim == 1 else np.flip(w, axes) for w in weights]
    other.set_weights(turned)
    mirrored = other.predict(np.flip(images, [2 + axis for axis in axes]))
    found = np.flip(mirrored, [1 + axis for axis in axes])
    np.testing.assert_allclose(found, plain.predict(images), atol=1e-6)
    assert "recurrent_padding" not in layers[0].get_config()
    again = gj.Model.from_config(other.get_config())
    assert again.graph == other.graph
