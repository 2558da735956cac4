"""Texts with what only graphjit knows: Keras reads or refuses, never misreads."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from tests.keras.saved_models import check, data
from tests.test_model_text import with_random_weights

keras = pytest.importorskip("keras")


#: What Keras says of its own code.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)


def test_keras_reads_texts_with_arguments_of_ours() -> None:
    """They stand beside the configuration: Keras reads the rest, and we read all."""
    ids = gj.Input((5,), dtype="int32")
    y = L.Embedding(7, 4, mask_zero=True)(ids)
    y = gj.keras1.LSTM(3, inner_activation="sigmoid", return_sequences=True)(y)
    y = L.BatchNormalization(masked=False, frozen="keep")(y)
    y = L.Conv1D(3, 2, drop_mask=True)(y)
    model = with_random_weights(gj.Model(ids, L.Activation("hard_sigmoid")(y)))
    text = model.to_json()
    assert gj.model_from_json(text).graph == model.graph
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*destroy the mask", UserWarning)
        theirs = keras.models.model_from_json(text)
        theirs.set_weights(model.get_weights())
        x = np.array([[1, 2, 6, 0, 0]], np.int32)
        check(model.predict(x), theirs([x]))


@pytest.mark.parametrize("cls", [L.LSTM, L.GRU])
def test_keras_3_refuses_texts_of_old_gates(cls: Any) -> None:
    """A text holds no weights to scale, and Keras 3 means another hard_sigmoid."""
    x = gj.Input((5, 3))
    model = gj.Model(x, cls(2, recurrent_activation="hard_sigmoid")(x))
    text = model.to_json()
    assert gj.model_from_json(text).graph == model.graph
    with pytest.raises(Exception, match="time_major"):
        keras.models.model_from_json(text)


def test_texts_of_layers_with_the_old_hard_sigmoid() -> None:
    x = gj.Input((5, 3))
    y = L.Dense(4, activation="hard_sigmoid", name="d")(x)
    y = L.TimeDistributed(L.Dense(2, activation="hard_sigmoid"))(y)
    model = with_random_weights(gj.Model(x, y))
    text = model.to_json()
    assert gj.model_from_json(text).graph == model.graph
    theirs = keras.models.model_from_json(text)
    theirs.set_weights(model.get_weights())
    check(model.predict(data(2, 5, 3)), theirs([data(2, 5, 3)]))
