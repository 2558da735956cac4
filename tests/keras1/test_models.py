"""Sequential, Model and Input as Keras 1 has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphjit as gj
from graphjit.errors import CaptureError
from graphjit.keras1 import (
    GRU,
    LSTM,
    Activation,
    ActivityRegularization,
    BatchNormalization,
    Convolution2D,
    Dense,
    Dropout,
    Flatten,
    Highway,
    Input,
    MaxoutDense,
    MaxPooling2D,
    Merge,
    Model,
    Sequential,
    layer_from_config,
    model_from_json,
    model_from_yaml,
)

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 1))


def test_input_in_keras_1s_order() -> None:
    x = Input((3,), None, "data", "float64")
    assert (x.shape, x.dtype, x.call.layer.name) == ((None, 3), "float64", "data")
    assert Input(None, (8, 3)).shape == (8, 3)


def test_model_by_either_names() -> None:
    x = Input((3,))
    y = Dense(1)(x)
    for model in (
        Model(x, y),
        Model(input=x, output=y),
        Model(input=[x], output=[y]),
        Model(inputs=x, outputs=y, name="named"),
    ):
        assert model.input_shape == (None, 3)
        assert isinstance(model, gj.Model)
    assert model.name == "named"
    with pytest.raises(CaptureError, match="one of 'output' and 'outputs', received n"):
        Model(input=x)
    with pytest.raises(CaptureError, match="'input' and 'inputs', received both"):
        Model(input=x, inputs=x, output=y)


@pytest.mark.parametrize("functional", [False, True])
def test_fit_counts_epochs_as_nb_epoch(functional: bool) -> None:
    if functional:
        x = Input((3,))
        model: Any = Model(input=x, output=Dense(1)(x))
    else:
        model = Sequential([Dense(1, input_dim=3)])
    model.compile("sgd", "mse", ["mae"], None, sample_weight_mode=None)
    history = model.fit(X, Y, batch_size=8, nb_epoch=3, verbose=0)
    assert len(history.history["loss"]) == 3
    assert len(model.fit(X, Y, 8, 2, 0).history["loss"]) == 2
    assert len(model.fit(X, Y, verbose=0).history["loss"]) == 10
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_it_is_the_native_fit() -> None:
    def trained(make: Any, **epochs: int) -> Any:
        model = make([gj.layers.Dense(1, input_dim=3)])
        model.compile("rmsprop", "mse")
        model.fit(X, Y, verbose=0, validation_split=0.1, **epochs)
        return model.get_weights()

    old, new = trained(Sequential, nb_epoch=2), trained(gj.Sequential, epochs=2)
    for one, other in zip(old, new, strict=True):
        np.testing.assert_array_equal(one, other)


def test_names_that_fit_has_not() -> None:
    model = Sequential([Dense(1, input_dim=3)])
    model.compile("sgd", "mse")
    with pytest.raises(CaptureError, match="fit: unknown argument 'epochs'") as error:
        model.fit(X, Y, epochs=3)
    assert error.value.hint == "it is called 'nb_epoch' in Keras 1"
    with pytest.raises(
        CaptureError, match="fit: unknown argument 'nb_epochs'"
    ) as error:
        model.fit(X, Y, nb_epochs=3)
    assert error.value.hint == "did you mean 'nb_epoch'?"


def test_sample_weight_mode() -> None:
    model = Sequential([LSTM(2, input_shape=(4, 3), return_sequences=True)])
    with pytest.raises(CaptureError, match="sample_weight_mode: expected None or 'te"):
        model.compile("sgd", "mse", sample_weight_mode="steps")
    model.compile("sgd", "mse", sample_weight_mode="temporal")
    x, y = RNG.normal(size=(8, 4, 3)), RNG.normal(size=(8, 4, 2))
    model.fit(x, y, nb_epoch=1, verbose=0, sample_weight=np.ones((8, 4)))


def test_predict_needs_no_compile_and_casts_data() -> None:
    model = Sequential([Dense(1, input_dim=3)])
    assert model.predict(np.ones((4, 3), "int64")).dtype == np.float32
    model.compile("rmsprop", "mse")
    assert model.evaluate(X, Y, batch_size=8, verbose=0) > 0


def test_a_whole_net_of_the_time() -> None:
    model = Sequential()
    model.add(
        Convolution2D(
            4, 3, 3, border_mode="valid", input_shape=(1, 10, 10), dim_ordering="th"
        )
    )
    model.add(Activation("relu"))
    model.add(MaxPooling2D(pool_size=(2, 2), dim_ordering="th"))
    model.add(Dropout(0.25))
    model.add(Flatten())
    model.add(Dense(3, activation="softmax", W_regularizer="l2"))
    model.compile(
        loss="categorical_crossentropy", optimizer="adadelta", metrics=["accuracy"]
    )
    x, y = RNG.normal(size=(16, 1, 10, 10)), np.eye(3)[RNG.integers(0, 3, 16)]
    history = model.fit(
        x, y, batch_size=8, nb_epoch=2, verbose=0, validation_data=(x, y)
    )
    assert {"loss", "val_loss"} <= set(history.history)
    again = gj.from_bytes(gj.to_bytes(model))
    np.testing.assert_array_equal(again.predict(x), model.predict(x))


def test_two_chains_have_inputs_of_different_names() -> None:
    a, b = Sequential([Dense(2, input_dim=3)]), Sequential([Dense(2, input_dim=3)])
    joined = gj.layers.add([a.output, b.output])
    model = Model(input=[a.input, b.input], output=joined)
    assert model.input_names == ["dense_input", "dense_input_1"]
    np.testing.assert_allclose(
        model.predict([X, X]), a.predict(X) + b.predict(X), rtol=1e-5
    )


def test_activity_penalties_are_plain_sums() -> None:
    model = Sequential([ActivityRegularization(l1=0.1, l2=0.2, input_shape=(3,))])
    step = model.step(model.variables, X, training=True, rng=0)
    (loss,) = step.losses.values()
    wanted = 0.1 * abs(X).sum() + 0.2 * (X**2).sum()
    assert float(loss) == pytest.approx(wanted, rel=1e-5)


# --- texts ------------------------------------------------------------------------


def nets() -> list[Any]:
    x = Input((3,))
    left = Sequential([Dense(2, input_dim=3)])
    right = Sequential([Dense(2, input_dim=3)])
    return [
        Sequential([Dense(2, input_dim=3), Highway(activation="tanh")]),
        Model(input=x, output=MaxoutDense(2, init="he_normal")(x)),
        Sequential([Merge([left, right], mode="cos"), Dense(1)]),
        Sequential([LSTM(2, input_shape=(4, 3)), BatchNormalization(mode=1)]),
    ]


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("form", ["json", "yaml"])
def test_text_and_back(index: int, form: str) -> None:
    model = nets()[index]
    read = {"json": model_from_json, "yaml": model_from_yaml}[form]
    again = read(getattr(model, f"to_{form}")())
    assert type(again) is type(model)
    assert again.get_config() == model.get_config()
    again.set_weights(model.get_weights())
    shapes = model.input_shape
    shapes = shapes if isinstance(shapes, list) else [shapes]
    data = [RNG.normal(size=(5, *shape[1:])) for shape in shapes]
    np.testing.assert_array_equal(again.predict(data), model.predict(data))
    again.compile("sgd", "mse")
    again.fit(data, again.predict(data), nb_epoch=1, verbose=0)


def test_a_layer_from_its_config() -> None:
    layer = Convolution2D(4, 3, 2, border_mode="full", dim_ordering="th")
    config = layer.get_config()
    again = layer_from_config(config)
    assert again.get_config() == config
    assert again.padding == "full"


# --- state ------------------------------------------------------------------------


def test_stateful_layers() -> None:
    model = Sequential([GRU(2, stateful=True, batch_input_shape=(4, 5, 3))])
    x = RNG.normal(size=(4, 5, 3))
    first, second = model.predict(x), model.predict(x)
    assert not np.allclose(first, second)
    model.reset_states()
    np.testing.assert_array_equal(model.predict(x), first)
    model.layers[0].reset_states()
    np.testing.assert_array_equal(model.predict(x), first)


def test_a_stateful_model_is_not_shuffled() -> None:
    model = Sequential([GRU(1, stateful=True, batch_input_shape=(4, 5, 3))])
    model.compile("sgd", "mse")
    x, y = RNG.normal(size=(8, 5, 3)), RNG.normal(size=(8, 1))
    with pytest.raises(CaptureError, match="the model is stateful") as error:
        model.fit(x, y, nb_epoch=1, verbose=0)
    assert error.value.hint == "fit(…, shuffle=False)"
    model.fit(x, y, nb_epoch=1, shuffle=False, verbose=0)
