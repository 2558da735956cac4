"""The examples of the documents, word for word but for the imports.

``(3, rows, cols)`` images are those of image_dim_ordering "th". What the documents say
of the result stands behind each example.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphjit as gj
from graphjit import backend as K  # noqa: N812
from graphjit import config
from graphjit.keras1 import *  # noqa: F403
from graphjit.keras1 import (
    LSTM,
    Activation,
    AtrousConvolution1D,
    AtrousConvolution2D,
    Convolution1D,
    Convolution2D,
    Cropping2D,
    Deconvolution2D,
    Dense,
    Embedding,
    Flatten,
    Input,
    Lambda,
    LocallyConnected1D,
    LocallyConnected2D,
    Masking,
    Merge,
    Model,
    Permute,
    RepeatVector,
    Reshape,
    Sequential,
)


@pytest.fixture
def th() -> None:
    config.set_image_dim_ordering("th")


# --- models and layers ------------------------------------------------------------


def small_model() -> Any:
    model = Sequential()
    model.add(Dense(4, input_dim=3, activation="tanh"))
    model.add(Dense(2))
    return model


def test_models_have_their_methods_in_common(capsys: pytest.CaptureFixture) -> None:
    model = small_model()
    model.summary()
    assert "Dense" in capsys.readouterr().out
    config = model.get_config()
    again = Sequential.from_config(config)
    assert isinstance(again, Sequential)
    assert again.get_config() == config
    weights = model.get_weights()
    again.set_weights(weights)
    x = np.ones((5, 3))
    np.testing.assert_array_equal(again.predict(x), model.predict(x))


def test_a_model_of_the_functional_api_from_its_config() -> None:
    x = Input(shape=(3,))
    model = Model(input=x, output=Dense(2)(x))
    config = model.get_config()
    again = Model.from_config(config)
    assert isinstance(again, Model)
    assert again.get_config() == config


def test_layers_have_their_methods_in_common() -> None:
    layer = Dense(4, input_dim=3)
    model = Sequential([layer])
    layer.set_weights([np.ones((3, 4)), np.zeros(4)])
    assert [w.shape for w in layer.get_weights()] == [(3, 4), (4,)]
    assert type(layer).from_config(layer.get_config()).get_config() == (
        layer.get_config()
    )
    assert layer.input.shape == layer.input_shape == (None, 3)
    assert layer.output.shape == layer.output_shape == (None, 4)
    assert model.output_shape == (None, 4)


def test_a_shared_layer_is_asked_by_the_index_of_its_call() -> None:
    layer = Dense(4)
    a, b = Input((3,)), Input((3,))
    outputs = [layer(a), layer(b)]
    assert layer.get_input_at(1) is b
    assert layer.get_output_at(0) is outputs[0]
    assert layer.get_input_shape_at(0) == (None, 3)
    assert layer.get_output_shape_at(1) == (None, 4)


# --- core -------------------------------------------------------------------------


def test_dense() -> None:
    # as first layer in a sequential model:
    model = Sequential()
    model.add(Dense(32, input_dim=16))
    assert model.input_shape == (None, 16)
    assert model.output_shape == (None, 32)

    # this is equivalent to the above:
    model = Sequential()
    model.add(Dense(32, input_shape=(16,)))
    assert model.input_shape == (None, 16)

    # after the first layer, you don't need to specify
    # the size of the input anymore:
    model.add(Dense(32))
    assert model.output_shape == (None, 32)


@pytest.mark.usefixtures("th")
def test_flatten() -> None:
    model = Sequential()
    model.add(
        Convolution2D(64, 3, 3, border_mode="same", input_shape=(3, 32, 32)),
    )
    # now: model.output_shape == (None, 64, 32, 32)
    assert model.output_shape == (None, 64, 32, 32)

    model.add(Flatten())
    # now: model.output_shape == (None, 65536)
    assert model.output_shape == (None, 65536)


def test_reshape() -> None:
    # as first layer in a Sequential model
    model = Sequential()
    model.add(Reshape((3, 4), input_shape=(12,)))
    assert model.output_shape == (None, 3, 4)

    # as intermediate layer in a Sequential model
    model.add(Reshape((6, 2)))
    assert model.output_shape == (None, 6, 2)


def test_permute() -> None:
    model = Sequential()
    model.add(Permute((2, 1), input_shape=(10, 64)))
    assert model.output_shape == (None, 64, 10)


def test_repeat_vector() -> None:
    model = Sequential()
    model.add(Dense(32, input_dim=32))
    assert model.output_shape == (None, 32)

    model.add(RepeatVector(3))
    assert model.output_shape == (None, 3, 32)


def test_merge() -> None:
    model1 = Sequential()
    model1.add(Dense(32, input_dim=32))

    model2 = Sequential()
    model2.add(Dense(32, input_dim=32))

    merged_model = Sequential()
    merged_model.add(Merge([model1, model2], mode="concat", concat_axis=1))
    assert merged_model.output_shape == (None, 64)
    x = [np.ones((2, 32)), np.zeros((2, 32))]
    np.testing.assert_allclose(
        merged_model.predict(x),
        np.concatenate([model1.predict(x[0]), model2.predict(x[1])], axis=1),
        rtol=1e-6,
    )


def test_lambda() -> None:
    model = Sequential()
    model.add(Dense(3, input_dim=2))
    # add a x -> x^2 layer
    model.add(Lambda(lambda x: x**2))
    assert model.output_shape == (None, 3)
    assert (model.predict(np.ones((1, 2))) >= 0).all()


def antirectifier(x: Any) -> Any:
    x -= K.mean(x, axis=1, keepdims=True)
    x = K.l2_normalize(x, axis=1)
    pos = K.relu(x)
    neg = K.relu(-x)
    return K.concatenate([pos, neg], axis=1)


def antirectifier_output_shape(input_shape: Any) -> Any:
    shape = list(input_shape)
    assert len(shape) == 2  # only valid for 2D tensors
    shape[-1] *= 2
    return tuple(shape)


def test_antirectifier() -> None:
    model = Sequential()
    model.add(Dense(5, input_dim=4))
    model.add(Lambda(antirectifier, output_shape=antirectifier_output_shape))
    assert model.output_shape == (None, 10)
    x = np.random.default_rng(0).normal(size=(3, 4))
    kernel, bias = model.get_weights()
    y = x @ kernel + bias
    y = y - y.mean(axis=1, keepdims=True)
    y = y / np.sqrt((y**2).sum(axis=1, keepdims=True))
    wanted = np.concatenate([np.maximum(y, 0), np.maximum(-y, 0)], axis=1)
    np.testing.assert_allclose(model.predict(x), wanted, atol=1e-5)


def test_masking() -> None:
    timesteps, features = 6, 2
    model = Sequential()
    model.add(Masking(mask_value=0.0, input_shape=(timesteps, features)))
    model.add(LSTM(32))
    x = np.random.default_rng(0).normal(size=(2, timesteps, features))
    x[:, 3, :] = 0.0
    x[:, 5, :] = 0.0
    left = np.delete(x, [3, 5], axis=1)
    short = Sequential()
    short.add(LSTM(32, input_shape=(4, features)))
    short.set_weights(model.get_weights())
    np.testing.assert_allclose(model.predict(x), short.predict(left), atol=1e-6)


# --- convolution ------------------------------------------------------------------


def test_convolution1d() -> None:
    # apply a convolution 1d of length 3 to a sequence with 10 timesteps,
    # with 64 output filters
    model = Sequential()
    model.add(Convolution1D(64, 3, border_mode="same", input_shape=(10, 32)))
    assert model.output_shape == (None, 10, 64)

    # add a new conv1d on top
    model.add(Convolution1D(32, 3, border_mode="same"))
    assert model.output_shape == (None, 10, 32)


def test_atrous_convolution1d() -> None:
    model = Sequential()
    model.add(
        AtrousConvolution1D(
            64, 3, atrous_rate=2, border_mode="same", input_shape=(10, 32)
        )
    )
    assert model.output_shape == (None, 10, 64)

    model.add(AtrousConvolution1D(32, 3, atrous_rate=2, border_mode="same"))
    assert model.output_shape == (None, 10, 32)


@pytest.mark.usefixtures("th")
def test_convolution2d() -> None:
    # apply a 3x3 convolution with 64 output filters on a 256x256 image:
    model = Sequential()
    model.add(Convolution2D(64, 3, 3, border_mode="same", input_shape=(3, 256, 256)))
    assert model.output_shape == (None, 64, 256, 256)

    # add a 3x3 convolution on top, with 32 output filters:
    model.add(Convolution2D(32, 3, 3, border_mode="same"))
    assert model.output_shape == (None, 32, 256, 256)


@pytest.mark.usefixtures("th")
def test_atrous_convolution2d() -> None:
    model = Sequential()
    model.add(
        AtrousConvolution2D(
            64,
            3,
            3,
            atrous_rate=(2, 2),
            border_mode="valid",
            input_shape=(3, 256, 256),
        )
    )
    # now the actual kernel size is dilated from 3x3 to 5x5 (3+(3-1)*(2-1)=5)
    assert model.output_shape == (None, 64, 252, 252)


@pytest.mark.usefixtures("th")
def test_deconvolution2d() -> None:
    # apply a 3x3 transposed convolution with stride 1x1 and 3 output filters on a
    # 12x12 image:
    model = Sequential()
    model.add(
        Deconvolution2D(
            3,
            3,
            3,
            output_shape=(None, 3, 14, 14),
            border_mode="valid",
            input_shape=(3, 12, 12),
        )
    )
    dummy_input = np.ones((32, 3, 12, 12))
    preds = model.predict(dummy_input)
    assert preds.shape == (32, 3, 14, 14)


@pytest.mark.usefixtures("th")
def test_deconvolution2d_with_strides(capsys: pytest.CaptureFixture) -> None:
    model = Sequential()
    model.add(
        Deconvolution2D(
            3,
            3,
            3,
            output_shape=(None, 3, 25, 25),
            subsample=(2, 2),
            border_mode="valid",
            input_shape=(3, 12, 12),
        )
    )
    model.summary()
    assert "25, 25" in capsys.readouterr().out
    preds = model.predict(np.ones((32, 3, 12, 12)))
    assert preds.shape == (32, 3, 25, 25)


def test_deconvolution2d_of_tensorflow() -> None:
    model = Sequential()
    model.add(
        Deconvolution2D(
            3, 3, 3, output_shape=(None, 14, 14, 3), input_shape=(12, 12, 3)
        )
    )
    assert model.predict(np.ones((32, 12, 12, 3))).shape == (32, 14, 14, 3)


@pytest.mark.usefixtures("th")
def test_cropping2d() -> None:
    # Crop the input 2D images or feature maps
    model = Sequential()
    model.add(Cropping2D(cropping=((2, 2), (4, 4)), input_shape=(3, 28, 28)))
    assert model.output_shape == (None, 3, 24, 20)
    model.add(Convolution2D(64, 3, 3, border_mode="same"))
    model.add(Cropping2D(cropping=((2, 2), (2, 2))))
    assert model.output_shape == (None, 64, 20, 16)


# --- locally connected ------------------------------------------------------------


def test_locally_connected1d() -> None:
    model = Sequential()
    model.add(LocallyConnected1D(64, 3, input_shape=(10, 32)))
    assert model.output_shape == (None, 8, 64)
    # add a new conv1d on top
    model.add(LocallyConnected1D(32, 3))
    assert model.output_shape == (None, 6, 32)


@pytest.mark.usefixtures("th")
def test_locally_connected2d() -> None:
    # apply a 3x3 unshared weights convolution with 64 output filters on a 32x32 image:
    model = Sequential()
    model.add(LocallyConnected2D(64, 3, 3, input_shape=(3, 32, 32)))
    assert model.output_shape == (None, 64, 30, 30)
    # notice that this layer will consume (30*30)*(3*3*3*64) + (30*30)*64 parameters
    wanted = (30 * 30) * (3 * 3 * 3 * 64) + (30 * 30) * 64
    assert model.count_params() == wanted == 1_612_800

    # add a 3x3 unshared weights convolution on top, with 32 output filters:
    model.add(LocallyConnected2D(32, 3, 3))
    assert model.output_shape == (None, 32, 28, 28)
    assert model.count_params() - wanted == 14_475_776


# --- recurrent, embedding ---------------------------------------------------------


def test_recurrent() -> None:
    # as the first layer in a Sequential model
    model = Sequential()
    model.add(LSTM(32, input_shape=(10, 64)))
    assert model.output_shape == (None, 32)

    # the following is identical:
    model = Sequential()
    model.add(LSTM(32, input_dim=64, input_length=10))
    assert model.input_shape == (None, 10, 64)
    assert model.output_shape == (None, 32)

    # for subsequent layers, not need to specify the input size (the document forgets
    # that the layer before must return sequences):
    with pytest.raises(gj.errors.ShapeError, match="return_sequences=True"):
        model.add(LSTM(16))


def test_embedding() -> None:
    model = Sequential()
    model.add(Embedding(1000, 64, input_length=10))
    # the model will take as input an integer matrix of size (batch, input_length).
    assert model.output_shape == (None, 10, 64)

    input_array = np.random.default_rng(0).integers(1000, size=(32, 10))

    model.compile("rmsprop", "mse")
    output_array = model.predict(input_array)
    assert output_array.shape == (32, 10, 64)


def test_embedding_turns_indexes_into_vectors() -> None:
    vectors = np.array([[0.25, 0.1], [0.6, -0.2], [0.5, 0.5]])
    model = Sequential([Embedding(3, 2, weights=[vectors])])
    np.testing.assert_allclose(
        model.predict(np.array([[0], [1]])), [[[0.25, 0.1]], [[0.6, -0.2]]], rtol=1e-6
    )


# --- the other documents ----------------------------------------------------------


def test_dim_ordering_of_a_layer() -> None:
    model = Sequential()
    model.add(
        Convolution2D(
            64, 3, 3, border_mode="same", input_shape=(3, 256, 256), dim_ordering="th"
        )
    )
    assert model.output_shape == (None, 64, 256, 256)


def test_the_configured_dim_ordering(monkeypatch: Any, tmp_path: Path) -> None:
    K.set_image_dim_ordering("th")
    assert K.image_dim_ordering() == "th"
    assert K.image_data_format() == "channels_first"
    assert Convolution2D(2, 3, 3)(Input((3, 8, 9))).shape == (None, 2, 6, 7)
    K.set_image_dim_ordering("tf")
    assert Convolution2D(2, 3, 3)(Input((8, 9, 3))).shape == (None, 6, 7, 2)


def test_shapes_are_explained() -> None:
    model = Sequential()
    model.add(Dense(4, input_shape=(3,)))  # hidden layer 1 with input
    model.add(Dense(4))
    model.add(Dense(1))
    assert [layer.output_shape for layer in model.layers] == [
        (None, 4),
        (None, 4),
        (None, 1),
    ]
    by_dim = Sequential([Dense(4, input_dim=3)])
    assert by_dim.input_shape == model.input_shape == (None, 3)


def test_the_functional_api_is_explained() -> None:
    inp_tensor = Input((3,))
    hidden1_out = Dense(4)(inp_tensor)
    hidden2_out = Dense(4)(hidden1_out)
    final_out = Dense(1)(hidden2_out)
    model = Model(inp_tensor, final_out)
    shapes = [t.shape for t in (inp_tensor, hidden1_out, hidden2_out, final_out)]
    assert shapes == [(None, 3), (None, 4), (None, 4), (None, 1)]
    assert model.output_shape == (None, 1)


def test_a_fixed_batch() -> None:
    model = Sequential()
    model.add(Activation("relu", batch_input_shape=(30, 5, 5, 3)))
    assert model.input_shape == (30, 5, 5, 3)
    assert Input(batch_shape=(30, 50, 50, 3)).shape == (30, 50, 50, 3)
