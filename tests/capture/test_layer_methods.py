"""What a layer tells of its calls, and its weights."""

from __future__ import annotations

import numpy as np
import pytest

import graphjit as gj
from graphjit.errors import CaptureError, DataError
from graphjit.layers import Conv2D, Dense, Input


def test_shapes_of_one_call() -> None:
    layer = Dense(3)
    y = layer(Input((4,)))
    assert layer.input_shape == (None, 4)
    assert layer.output_shape == (None, 3)
    assert layer.output is y


def test_shapes_at_calls() -> None:
    conv = Conv2D(16, (3, 3), padding="same")
    a, b = Input((32, 32, 3)), Input((64, 64, 3))
    conv(a)
    assert conv.input_shape == (None, 32, 32, 3)
    conv(b)
    with pytest.raises(
        CaptureError, match=r"different input shapes(.|\n)*get_input_shape"
    ):
        _ = conv.input_shape
    with pytest.raises(CaptureError, match=r"use get_output_at\(index\)"):
        _ = conv.output
    assert conv.get_input_shape_at(0) == (None, 32, 32, 3)
    assert conv.get_input_shape_at(1) == (None, 64, 64, 3)
    assert conv.get_output_shape_at(1) == (None, 64, 64, 16)
    with pytest.raises(CaptureError, match="expected a call from 0 to 1, received 2"):
        conv.get_output_shape_at(2)


def test_equal_shapes_have_one_answer() -> None:
    layer = Dense(3)
    layer(Input((4,)))
    layer(Input((4,)))
    assert layer.input_shape == (None, 4)
    with pytest.raises(CaptureError, match="it was never called"):
        _ = Dense(3).input_shape


def test_weights_of_a_layer() -> None:
    layer = Dense(3)
    assert layer.get_weights() == []
    with pytest.raises(CaptureError, match="never called, so it has no weights yet"):
        layer.set_weights([np.ones((4, 3))])
    x = Input((4,))
    model = gj.Model(x, layer(x))
    first = layer.get_weights()
    np.testing.assert_array_equal(first[0], model.get_weights()[0])
    layer.set_weights([np.ones((4, 3)), np.full(3, 2.0)])
    np.testing.assert_array_equal(model(np.ones((1, 4))), np.full((1, 3), 6.0))
    with pytest.raises(DataError, match="expected 2 arrays, received 1"):
        layer.set_weights([np.ones((4, 3))])
    with pytest.raises(DataError, match=r"'bias': expected shape \(3,\)"):
        layer.set_weights([np.zeros((4, 3)), np.ones(4)])
    np.testing.assert_array_equal(layer.get_weights()[0], np.ones((4, 3)))
    assert layer.count_params() == 15
