"""What calls take beside a tensor: further tensors, masks, arguments."""

from __future__ import annotations

import json

import numpy as np
import pytest

import graphjit as gj
from graphjit.errors import CaptureError
from graphjit.layers import (
    LSTM,
    Activation,
    BatchNormalization,
    Dense,
    Dropout,
    Embedding,
    Input,
    Masking,
    MultiHeadAttention,
)
from tests.graphs import evaluate, same_results


def round_trips(model: gj.Model) -> None:
    config = json.loads(json.dumps(model.get_config()))
    assert gj.Model.from_config(config).graph == model.graph
    loaded = gj.from_bytes(gj.to_bytes(model))
    assert loaded.graph == model.graph
    assert len(loaded.layers) == len(model.layers)


def test_tensors_given_by_keyword() -> None:
    x, h, c = Input((4, 3)), Input((5,)), Input((5,))
    y = LSTM(5)(x, initial_state=[h, c])
    model = gj.Model([x, h, c], y)
    round_trips(model)
    inbound = model.get_config()["layers"][-1]["inbound_nodes"]
    assert inbound == [
        [["input", 0, 0, {"initial_state": [["input_1", 0, 0], ["input_2", 0, 0]]}]]
    ]


def test_inputs_with_names_by_place_and_by_name() -> None:
    q, v = Input((4, 6)), Input((5, 6))
    layer = MultiHeadAttention(2, 3)
    one = gj.Model([q, v], layer(q, v))
    two = gj.Model([q, v], layer(q, value=v))
    assert one.graph.nodes == two.graph.nodes
    round_trips(one)
    plain = gj.Model([q, v], layer(q, v, use_causal_mask=True))
    round_trips(plain)
    assert plain.graph.nodes != one.graph.nodes


def test_a_mask_given_takes_the_place_of_the_inputs_own() -> None:
    x, mask = Input((4, 3)), Input((4,), dtype="bool")
    layer = LSTM(5)
    model = gj.Model([x, mask], layer(x, mask=mask))
    round_trips(model)
    data = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)
    valid = np.array([[1, 1, 0, 0], [1, 1, 0, 0]], bool)
    wanted = layer_on(layer, data[:, :2])
    np.testing.assert_allclose(model.predict([data, valid]), wanted, atol=1e-6)
    with pytest.raises(CaptureError, match="mask: expected 1 masks, received 2"):
        layer(x, mask=[mask, mask])
    with pytest.raises(CaptureError, match="mask: expected a tensor, received int"):
        layer(x, mask=3)


def layer_on(layer: LSTM, data: np.ndarray) -> np.ndarray:
    x = Input(data.shape[1:])
    return gj.Model(x, layer(x)).predict(data)


def test_called_as_in_inference() -> None:
    """Neither dropout nor the batch's statistics, in training either."""
    x = Input((4,), dtype="float64")
    inner = gj.Model(x, Dropout(0.5)(BatchNormalization(dtype="float64")(x)))
    outer = gj.Model(x, inner(x, training=False))
    assert "batch_norm_inference" in str(outer.graph)
    assert not outer.graph.updates
    same_results(evaluate(outer.graph), evaluate(outer.graph, rng=1))
    round_trips(outer)


def test_masks_pass_through_nested_models() -> None:
    x = Input((6, 3))
    h = Activation("tanh")(Dense(4)(x))
    inner = gj.Model(x, LSTM(5, return_sequences=True)(h), name="inner")
    steps = Input((6, 3))
    masked = Masking()(steps)
    nested = gj.Model(steps, LSTM(2)(inner(masked)))
    flat_h = inner.layers[2](inner.layers[1](masked))
    flat = gj.Model(steps, nested.layers[-1](inner.layers[3](flat_h)))
    data = np.random.default_rng(0).standard_normal((3, 6, 3)).astype(np.float32)
    data[0, 4:] = data[1, :1] = 0
    np.testing.assert_allclose(nested.predict(data), flat.predict(data), atol=1e-6)
    round_trips(nested)
    assert len(inner.layers[1].calls) == 2  # the nested call is in no layer's list


def test_a_nested_model_that_cannot_carry_a_mask_says_so() -> None:
    x = Input((6, 3))
    inner = gj.Model(x, gj.layers.Flatten()(x))
    masked = Masking()(Input((6, 3)))
    with pytest.raises(CaptureError, match="Flatten does not support masking"):
        inner(masked)


def test_ids_are_checked_before_they_are_looked_up() -> None:
    ids = Input((4,), dtype="int32", name="ids")
    model = gj.Model(ids, Embedding(5, 2)(ids))
    model.predict(np.array([[0, 1, 2, 4]]))
    for bad in (5, -1):
        with pytest.raises(gj.errors.DataError, match="ids"):
            model.predict(np.array([[0, 1, 2, bad]]))


REFUSED = {
    "unknown": (lambda x: Dense(2)(x, initial_stat=1), "unknown call argument"),
    "array": (lambda x: Dense(2)(np.ones((2, 3))), "expected a tensor or a list of"),
    "two tensors": (
        lambda x: Dense(2)([x, x]),
        "Dense: it cannot be called on 2 tensors",
    ),
    "too few names": (
        lambda x: MultiHeadAttention(2, 3)(x),
        "expected query and value",
    ),
    "training": (lambda x: Dense(2)(x, training=2), "expected True, False or None"),
}


@pytest.mark.parametrize(("call", "text"), REFUSED.values(), ids=REFUSED)
def test_refused(call: object, text: str) -> None:
    with pytest.raises(CaptureError, match=text):
        call(Input((3,)))  # type: ignore[operator]
