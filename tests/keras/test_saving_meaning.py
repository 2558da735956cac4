"""What Keras 3 has no word for, and how `save_model` says it; or that it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.errors import FormatError
from tests.keras.saved_models import ENDINGS, check, data, saved
from tests.test_model_text import with_random_weights

keras = pytest.importorskip("keras")


#: What Keras says of its own code.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)


def old_gates() -> list[Any]:
    """Layers with Keras 2's hard_sigmoid, and what they are called on."""
    old: dict[str, Any] = {"recurrent_activation": "hard_sigmoid"}
    steps, image, video = (5, 3), (6, 5, 2), (3, 6, 5, 2)
    everywhere: dict[str, Any] = {"activation": "hard_sigmoid"}
    return [
        (L.Activation("hard_sigmoid"), steps),
        (L.Dense(4, **everywhere), steps),
        (L.Conv2D(3, 2, use_bias=False, **everywhere), image),
        (L.SeparableConv2D(3, 2, **everywhere), image),
        (L.DepthwiseConv2D(2, depth_multiplier=2, **everywhere), image),
        (L.Conv2DTranspose(2, 3, strides=2, **everywhere), image),
        (L.LSTM(3, return_sequences=True, **old), steps),
        (L.GRU(3, reset_after=False, **old), steps),
        (L.GRU(3, reset_after=True, **old, **everywhere), steps),
        (L.SimpleRNN(3, **everywhere), steps),
        (L.Bidirectional(L.LSTM(2, **old)), steps),
        (L.RNN([L.LSTMCell(3, **old), L.GRUCell(2, **old)]), steps),
        (L.ConvLSTM2D(2, 2, **old), video),
        (L.TimeDistributed(L.Dense(3, **everywhere)), steps),
        (L.TimeDistributed(L.Activation("hard_sigmoid")), steps),
    ]


@pytest.mark.parametrize("ending", ENDINGS)
def test_old_hard_sigmoid(ending: str, tmp_path: Path) -> None:
    """Weights a fifth larger, or a line and a ReLU: Keras 3 computes what was meant."""
    pairs = old_gates()
    xs = [gj.Input(shape) for _, shape in pairs]
    outputs = [layer(x) for (layer, _), x in zip(pairs, xs, strict=True)]
    model = with_random_weights(gj.Model(xs, outputs))
    x = [data(2, *shape, seed=at) for at, (_, shape) in enumerate(pairs)]
    _, notes = saved(model, tmp_path / f"m.{ending}", x)
    assert sum("weights are written 1.2 times as large" in note for note in notes) > 10


def test_a_hard_sigmoid_on_states_is_refused(tmp_path: Path) -> None:
    x = gj.Input((5, 3))
    layer = L.LSTM(2, activation="hard_sigmoid", name="lstm")
    model = gj.Model(x, layer(x))
    text = (
        r"LSTM 'lstm': its activation is Keras 2's hard_sigmoid, applied to the state"
    )
    with pytest.raises(FormatError, match=text):
        gj.keras.save_model(model, tmp_path / "m.keras")


def paddings() -> list[Any]:
    """Layers whose pads are numbers: Theano's "same", and "full"."""
    one, two = ((1, 2),), ((1, 2), (2, 0))
    first: dict[str, Any] = {"data_format": "channels_first"}
    image, image_first = (7, 6, 2), (2, 7, 6)
    return [
        (L.Conv1D(3, 4, padding=one), (9, 2)),
        (L.Conv2D(3, 3, strides=2, padding=two, activation="relu"), image),
        (L.Conv2D(3, (3, 2), padding="full", **first), image_first),
        (L.Conv2D(3, 2, strides=2, dilation_rate=2, strided_dilation=True), image),
        (
            L.Conv2D(
                3,
                3,
                strides=2,
                dilation_rate=2,
                padding="same",
                strided_dilation=True,
            ),
            image,
        ),
        (L.Conv2DTranspose(2, 3, strides=2, padding=((1, 1), (1, 1))), image),
        (
            L.Conv2DTranspose(
                2, 3, strides=2, padding=((1, 1), (0, 1)), output_padding=1, **first
            ),
            image_first,
        ),
        (L.MaxPooling1D(2, padding=((1, 0),)), (9, 2)),
        (L.MaxPooling2D(3, 2, padding=((1, 1), (1, 2))), image),
        (L.MaxPooling2D(2, padding=((1, 0), (1, 0)), **first), image_first),
        (L.AveragePooling1D(3, 2, padding=one), (9, 2)),
        (L.AveragePooling2D((3, 2), padding=((1, 1), (1, 0))), image),
        (L.AveragePooling2D(2, 1, padding=((1, 0), (1, 0)), **first), image_first),
        (L.AveragePooling3D(2, padding=((1, 0), (0, 1), (1, 0))), (5, 4, 3, 2)),
        (L.ConvLSTM2D(2, 3, padding=((2, 0), (1, 1))), (3, 6, 5, 2)),
        (L.ThresholdedReLU(0.4), (9, 2)),
    ]


@pytest.mark.parametrize("ending", ENDINGS)
def test_paddings_in_numbers(ending: str, tmp_path: Path) -> None:
    pairs = paddings()
    xs = [gj.Input(shape) for _, shape in pairs]
    outputs = [L.Identity()(layer(x)) for (layer, _), x in zip(pairs, xs, strict=True)]
    model = with_random_weights(gj.Model(xs, outputs))
    x = [data(2, *shape, seed=at) - 0.5 for at, (_, shape) in enumerate(pairs)]
    _, notes = saved(model, tmp_path / f"m.{ending}", x)
    assert "model/max_pooling1d: written as Functional, MaxPooling1D" in notes


def test_pads_that_depend_on_a_free_length(tmp_path: Path) -> None:
    x = gj.Input((None, 2))
    y = L.AveragePooling1D(3, 2, padding=((1, 2),), name="mean")(x)
    z = L.MaxPooling1D(2, padding=((1, 0),), name="largest")(x)
    model = gj.Model(x, [L.GlobalMaxPooling1D()(y), L.GlobalMaxPooling1D()(z)])
    with pytest.raises(FormatError, match=r"cannot say 2 of the model's layers") as e:
        gj.keras.save_model(model, tmp_path / "m.keras")
    for name in ("AveragePooling1D 'mean'", "MaxPooling1D 'largest'"):
        assert f"{name}: its pads depend on the lengths of its input" in str(e.value)


def test_what_masked_steps_give(tmp_path: Path) -> None:
    """Before tf.keras a Bidirectional repeated outputs where steps are masked."""

    def model(mask_zero: bool) -> gj.Model:
        ids = gj.Input((4,), dtype="int32")
        inner = L.LSTM(2, return_sequences=True)
        both = L.Bidirectional(inner, zeros_where_masked=False, name="both")
        return gj.Model(ids, both(L.Embedding(5, 3, mask_zero=mask_zero)(ids)))

    saved(model(False), tmp_path / "m.keras", np.array([[1, 2, 0, 0]], np.int32))
    text = r"Bidirectional 'both': where steps are masked it repeats the output before"
    with pytest.raises(FormatError, match=text):
        gj.keras.save_model(model(True), tmp_path / "m.keras")


def test_arguments_of_training_go_without_a_trace_in_outputs(tmp_path: Path) -> None:
    """Those of Keras 1 that Keras has not: its norms, initializers, dropout of rows."""
    k1 = gj.keras1
    ids = gj.Input((5,), dtype="int32")
    y = k1.Embedding(7, 4, dropout=0.3)(ids)
    y = k1.LSTM(3, return_sequences=True)(y)
    y = k1.BatchNormalization(trainable=False)(y)
    y = k1.merge([y, y], mode="concat", name="both")
    model = with_random_weights(gj.Model(ids, k1.GRU(2)(y)))
    x = np.array([[1, 2, 6, 4, 5]], np.int32)
    _, notes = saved(model, tmp_path / "m.keras", x)
    text = "\n".join(notes)
    assert "dropout of whole rows is of Keras 1: left out" in text
    assert "Keras draws the gates together, not each by itself" in text


@pytest.mark.parametrize("ending", ENDINGS)
def test_operations(ending: str, tmp_path: Path) -> None:
    """Functions of tensors, as Keras's operations again."""
    ops = keras.ops
    x = keras.Input((4, 6), name="x")
    y = ops.relu(2.0 - x[:, 1:, ::2] * 3.0)
    z = ops.concatenate([ops.mean(y, axis=1), ops.max(x, axis=-1)], axis=-1)
    z = ops.clip(ops.true_divide(z, ops.exp(z)), 0.01, 2.0)
    z = ops.pad(ops.expand_dims(ops.gelu(z), 1), [[0, 0], [1, 0], [0, 2]])
    z = ops.where(ops.greater(z, 0.1), z, ops.stack([z, z], axis=0)[1])
    theirs = keras.Model(x, [z, ops.argmax(y, axis=-1)])
    theirs.save(tmp_path / "theirs.keras")
    model = gj.keras.load_model(tmp_path / "theirs.keras")
    rows = data(3, 4, 6)
    check(model.predict(rows), theirs(rows))
    saved(model, tmp_path / f"m.{ending}", rows)


def test_operations_that_keras_has_not(tmp_path: Path) -> None:
    x = gj.Input((4,), name="x")
    y = L.Operation("squared_difference", {"operands": [None, 1.0]}, name="f")(x)
    with pytest.raises(FormatError, match="Operation 'f': Keras has no operation 'sq"):
        gj.keras.save_model(gj.Model(x, y), tmp_path / "m.keras")
