"""TimeDistributed: a layer on every step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.errors import ShapeError
from graphjit.lower import uses_rng
from tests.graphs import evaluate, variables_for
from tests.ops.recurrent.twins import Pair, data, step_mask

ROWS, STEPS = 3, 4

INNER: dict[str, tuple[Any, Any, tuple[int, ...]]] = {
    "dense": (L.Dense(3, "tanh"), lambda k: k.Dense(3, "tanh"), (5,)),
    "conv": (
        L.Conv2D(4, (3, 2), strides=2),
        lambda k: k.Conv2D(4, (3, 2), strides=2),
        (6, 5, 2),
    ),
    "pool": (L.MaxPooling2D(), lambda k: k.MaxPooling2D(), (4, 6, 2)),
    "flatten": (L.Flatten(), lambda k: k.Flatten(), (4, 2)),
    "lstm": (L.LSTM(3), lambda k: k.LSTM(3), (5, 2)),
    "bidirectional": (
        L.Bidirectional(L.GRU(2)),
        lambda k: k.Bidirectional(k.GRU(2)),
        (5, 2),
    ),
    "time distributed": (
        L.TimeDistributed(L.Dense(2)),
        lambda k: k.TimeDistributed(k.Dense(2)),
        (3, 4),
    ),
}


@pytest.mark.parametrize("name", INNER)
def test_keras_agrees(name: str) -> None:
    ours, theirs, shape = INNER[name]
    twins = Pair(
        L.TimeDistributed(ours),
        lambda keras: keras.TimeDistributed(theirs(keras)),
        (STEPS, *shape),
    )
    twins.agree(data(ROWS, STEPS, *shape))


def test_the_documents_shapes() -> None:
    """A Dense on (10, 16), and a Conv2D on frames."""
    x = L.Input((10, 16))
    y = L.TimeDistributed(L.Dense(8))(x)
    assert y.shape == (None, 10, 8)
    assert L.TimeDistributed(L.Dense(32))(y).shape == (None, 10, 32)
    frames = L.Input((10, 128, 128, 3), batch_size=32)
    convolved = L.TimeDistributed(L.Conv2D(64, (3, 3)))(frames)
    assert convolved.shape == (32, 10, 126, 126, 64)
    first = L.Input((10, 3, 299, 299))
    layer = L.TimeDistributed(L.Conv2D(64, (3, 3), data_format="channels_first"))
    assert layer(first).shape == (None, 10, 64, 297, 297)


def test_unknown_numbers_of_rows_and_steps() -> None:
    x = L.Input((None, 6, 5, 2))
    inner = L.Conv2D(3, 2, data_format="channels_last")
    model = gj.Model(x, L.TimeDistributed(inner)(x))
    assert model.output_shape == (None, None, 5, 4, 3)
    for rows, steps in ((1, 1), (3, 2)):
        assert model(data(rows, steps, 6, 5, 2)).shape == (rows, steps, 5, 4, 3)


def test_the_weights_are_the_layers() -> None:
    inner = L.Dense(3, name="inner")
    x, y = L.Input((STEPS, 5)), L.Input((5,))
    model = gj.Model([x, y], [L.TimeDistributed(inner, name="td")(x), inner(y)])
    assert len(model.get_weights()) == 2  # shared with the other call
    arrays = [data(ROWS, STEPS, 5), data(ROWS, 5)]
    arrays[1] = arrays[0][:, 1]
    found, alone = model(arrays)
    np.testing.assert_allclose(found[:, 1], alone, rtol=1e-6)
    only = gj.Model(x, L.TimeDistributed(L.Dense(3), name="td")(x))
    assert [p.name for p in only.graph.params] == ["td/kernel", "td/bias"]


def test_a_norm_counts_every_step_as_a_row() -> None:
    x = L.Input((STEPS, 5), dtype="float64")
    norm = {"momentum": 0.5, "epsilon": 0.01, "dtype": "float64", "name": "n"}
    stepped = gj.Model(
        x, L.TimeDistributed(L.BatchNormalization(**norm), dtype="float64", name="n")(x)
    )
    whole = gj.Model(x, L.BatchNormalization(**norm)(x))
    variables = variables_for(whole.graph)
    array = data(ROWS, STEPS, 5).astype(np.float64)
    first, second = (
        evaluate(model.graph, variables, [array]) for model in (stepped, whole)
    )
    assert list(first) == list(second)
    for name, value in first.items():
        np.testing.assert_allclose(value, second[name], rtol=1e-9)


def test_every_step_is_dropped_on_its_own() -> None:
    x = L.Input((STEPS, 50))
    model = gj.Model(x, L.TimeDistributed(L.Dropout(0.5))(x))
    assert uses_rng(model.graph)
    array = np.ones((2, STEPS, 50), np.float32)
    y = np.asarray(model.apply(model.variables, array, training=True, rng=0))
    assert (y[:, 0] != y[:, 1]).any()
    np.testing.assert_array_equal(model(array), array)


def test_a_model_on_every_step() -> None:
    frame = L.Input((6, 5, 2))
    y = L.Conv2D(3, 2, activation="relu")(frame)
    y = L.BatchNormalization()(y)
    y = L.Dropout(0.3)(L.Flatten()(y))
    encoder = gj.Model(frame, L.Dense(4, name="head")(y), name="encoder")
    x = L.Input((None, 6, 5, 2))
    layer = L.TimeDistributed(encoder, name="td")
    model = gj.Model(x, L.GRU(2)(layer(x)))
    assert model.graph.params[0].name == "td/conv2d/kernel"
    array = data(ROWS, STEPS, 6, 5, 2)
    stepped = gj.Model(x, layer(x))
    wanted = np.stack([encoder(array[:, t]) for t in range(STEPS)], 1)
    np.testing.assert_allclose(stepped(array), wanted, rtol=1e-5, atol=1e-6)
    variables = stepped.init(0)
    state = stepped.step(variables, array, training=True, rng=0).state
    before = variables["state"]["td"]["batch_normalization"]["moving_mean"]
    after = state["td"]["batch_normalization"]["moving_mean"]
    assert np.abs(np.asarray(after - before)).max() > 0
    again = gj.Model.from_config(stepped.get_config())
    again.set_weights(stepped.get_weights())
    np.testing.assert_array_equal(again(array), stepped(array))
    loaded = gj.from_bytes(gj.to_bytes(stepped))
    np.testing.assert_array_equal(loaded(array), stepped(array))


def test_a_stateful_layer_inside() -> None:
    x = L.Input((2, 4, 3), batch_size=ROWS)
    layer = L.TimeDistributed(L.LSTM(2, stateful=True))
    model = gj.Model(x, layer(x))
    assert layer.stateful
    array = data(ROWS, 2, 4, 3)
    first = model(array)
    assert np.abs(np.asarray(model(array) - first)).max() > 1e-4
    layer.reset_states()
    np.testing.assert_array_equal(model(array), first)


def test_the_penalty_of_the_layer_counts() -> None:
    x = L.Input((STEPS, 5))
    model = gj.Model(x, L.TimeDistributed(L.Dense(3, activity_regularizer="l2"))(x))
    array = data(ROWS, STEPS, 5)
    step = model.step(model.variables, array, training=True)
    (penalty,) = step.losses.values()
    wanted = 0.01 * (np.asarray(step.outputs) ** 2).sum()
    np.testing.assert_allclose(penalty, wanted, rtol=1e-5)


def test_other_element_types() -> None:
    ids = L.Input((STEPS, 6), dtype="int32")
    embedded = L.TimeDistributed(L.Embedding(9, 3))(ids)
    assert embedded.shape == (None, STEPS, 6, 3)
    wide = L.TimeDistributed(L.Dense(2, dtype="float64"), dtype="float64")
    assert wide(L.Input((STEPS, 5))).dtype == "float64"


# --- masks ----------------------------------------------------------------------------


def test_a_mask_of_steps_goes_by() -> None:
    x = L.Input((STEPS, 6, 5, 2))
    mask = L.Input((STEPS,), dtype="bool")
    y = L.TimeDistributed(L.Conv2D(3, 2))(x, mask=mask)  # carries no mask itself
    assert y.mask_type is not None
    y = L.TimeDistributed(L.Flatten())(y)
    model = gj.Model([x, mask], L.LSTM(3)(y))
    free = L.Input((None, 6, 5, 2))
    z = L.TimeDistributed(L.Flatten())(L.TimeDistributed(L.Conv2D(3, 2))(free))
    plain = gj.Model(free, L.LSTM(3)(z))
    plain.set_weights(model.get_weights())
    array, steps = data(ROWS, STEPS, 6, 5, 2), step_mask(ROWS, STEPS)
    found = np.asarray(model([array, steps]))
    wanted = plain(array[:1, steps[0]])
    np.testing.assert_allclose(found[:1], wanted, rtol=1e-5, atol=1e-6)


def test_words_in_sentences() -> None:
    """An Embedding that masks makes (n, t, s); a recurrent layer over the words uses
    it, and a sentence without words is masked for the next one."""
    ids = L.Input((STEPS, 5), dtype="int32")
    words = L.TimeDistributed(L.Embedding(7, 3, mask_zero=True))(ids)
    assert words.mask_type is not None
    assert words.mask_type.shape == ("batch", STEPS, 5)
    sentences = L.TimeDistributed(L.GRU(4))(words)
    assert sentences.mask_type is not None
    assert sentences.mask_type.shape == ("batch", STEPS)
    model = gj.Model(ids, L.LSTM(2)(sentences))
    array = np.array([[[1, 2, 0, 0, 0], [0] * 5, [3, 4, 5, 0, 0], [6, 0, 0, 0, 0]]])
    short = np.delete(array, 1, axis=1)
    free = L.Input((None, None), dtype="int32")
    y = L.TimeDistributed(L.GRU(4))(
        L.TimeDistributed(L.Embedding(7, 3, mask_zero=True))(free)
    )
    plain = gj.Model(free, L.LSTM(2)(y))
    plain.set_weights(model.get_weights())
    np.testing.assert_allclose(model(array), plain(short), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        model(array), plain(short[:, :, :3]), rtol=1e-5, atol=1e-6
    )


def test_a_layer_that_carries_keeps_the_mask_of_words() -> None:
    ids = L.Input((STEPS, 5), dtype="int32")
    words = L.TimeDistributed(L.Embedding(7, 3, mask_zero=True))(ids)
    dense = L.TimeDistributed(L.Dense(4))(words)
    assert dense.mask_type is not None
    assert dense.mask_type.shape == ("batch", STEPS, 5)


# --- refusals -------------------------------------------------------------------------


def test_an_input_without_steps() -> None:
    text = r"^TimeDistributed: expected an input of rank >= 2 \(n, t, …\), received "
    with pytest.raises(ShapeError, match=text):
        L.TimeDistributed(L.Dense(2))(L.Input(()))
