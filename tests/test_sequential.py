"""A chain of layers is a way of writing a model, not a second kind of model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphjit as gj
from graphjit.errors import CaptureError, DataError
from graphjit.layers import Activation, Add, Dense, Dropout, Flatten, Input


def rows(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_every_way_to_say_the_first_shape_is_the_same() -> None:
    made = [
        Dense(4, input_dim=3),
        Dense(4, input_shape=(3,)),
        Dense(4, input_shape=[3]),
        Dense(4, batch_input_shape=(None, 3)),
    ]
    for layer in made:
        model = gj.Sequential([layer])
        assert model.input_shape == (None, 3)
        assert model.output_shape == (None, 4)
    fixed = [
        Dense(4, input_shape=(3,), batch_size=8),
        Dense(4, batch_input_shape=(8, 3)),
    ]
    for layer in fixed:
        assert gj.Sequential([layer]).input_shape == (8, 3)


def test_an_embedding_says_itself_what_its_input_is() -> None:
    from graphjit.layers import Embedding

    assert gj.Sequential([Embedding(9, 2)]).input_shape == (None, None)
    model = gj.Sequential([Embedding(9, 2, input_length=10, batch_size=4)])
    assert model.input_shape == (4, 10)
    # Ids are whole numbers, whatever the dtype of the layer.
    model = gj.Sequential([Embedding(600, 2, dtype="bfloat16", input_dtype="float32")])
    table = np.arange(1200.0).reshape(600, 2) / 1024
    model.set_weights([table])
    found = np.asarray(model.predict(np.array([[517.9]])), np.float32)
    np.testing.assert_allclose(found[0, 0], table[517], rtol=1e-2)


def test_the_output_shape_is_right_after_every_add() -> None:
    model = gj.Sequential()
    model.add(Dense(32, input_shape=(None, 16)))
    assert model.output_shape == (None, None, 32)
    model.add(Dense(10))
    assert model.output_shape == (None, None, 10)
    model.pop()
    assert model.output_shape == (None, None, 32)
    assert [type(layer) for layer in model.layers] == [Dense]


def test_it_is_the_functional_model_of_the_same_layers() -> None:
    chain = gj.Sequential([Dense(5, input_dim=4, activation="relu"), Dense(2)])
    x = Input((4,), name="dense_input")
    first, second = Dense(5, activation="relu"), Dense(2)
    functional = gj.Model(x, second(first(x)))
    assert chain.graph.nodes == functional.graph.nodes
    assert chain.graph.params == functional.graph.params
    functional.set_weights(chain.get_weights())
    data = rows(6, 4)
    np.testing.assert_array_equal(chain.predict(data), functional.predict(data))


def test_a_chain_without_a_shape_is_built_by_data() -> None:
    for use in (
        lambda m: m.predict(rows(6, 4)),
        lambda m: m(rows(6, 4)),
        lambda m: m.fit(rows(6, 4), np.zeros((6, 2)), verbose=0),
        lambda m: m.evaluate(rows(6, 4), np.zeros((6, 2)), verbose=0),
        lambda m: m.train_on_batch(rows(6, 4), np.zeros((6, 2))),
    ):
        model = gj.Sequential([Dense(3), Dense(2)])
        model.compile("sgd", "mse")
        assert not model.built
        use(model)
        assert model.input_shape == (None, 4)
        assert model.count_params() == 4 * 3 + 3 + 3 * 2 + 2


def test_a_chain_without_a_shape_is_built_by_a_tensor_or_by_hand() -> None:
    inner = gj.Sequential([Dense(3), Dense(2)], name="inner")
    x = Input((4,))
    model = gj.Model(x, inner(x))
    assert model.output_shape == (None, 2)
    by_hand = gj.Sequential([Dense(3)])
    by_hand.build((None, 7))
    assert by_hand.output_shape == (None, 3)
    by_hand.build((None, 7))
    with pytest.raises(CaptureError, match=r"the shape \(None, 7\) already"):
        by_hand.build((None, 8))


def test_an_input_may_stand_before_the_layers() -> None:
    model = gj.Sequential([Input((4,), name="rows"), Dense(2)])
    assert model.input_names == ["rows"]
    assert len(model.layers) == 1
    assert gj.Sequential.from_config(model.get_config()).graph == model.graph


def test_models_stand_in_a_chain_too() -> None:
    a, b = Input((4,), name="a"), Input((4,), name="b")
    two = gj.Model([a, b], Add()([Dense(3)(a), Dense(3)(b)]), name="two")
    model = gj.Sequential([two, Dense(2)])
    assert model.input_shape == [(None, 4), (None, 4)]
    assert model.predict([rows(5, 4), rows(5, 4)]).shape == (5, 2)
    again = gj.Sequential.from_config(model.get_config())
    assert again.graph == model.graph
    nested = gj.Sequential([gj.Sequential([Dense(3, input_dim=4)]), Dense(2)])
    assert gj.Sequential.from_config(nested.get_config()).graph == nested.graph


def test_models_built_from_the_same_layers_share_weights() -> None:
    layer = Dense(3, input_dim=4)
    one, other = gj.Sequential([layer]), gj.Sequential([layer, Activation("relu")])
    other.set_weights([rows(4, 3), rows(3)])
    np.testing.assert_array_equal(one.get_weights()[0], rows(4, 3))


@pytest.mark.parametrize(
    "make",
    [
        lambda: gj.Sequential([Dense(3, input_dim=4), Dropout(0.5), Dense(2)]),
        lambda: gj.Sequential([Input((4,)), Dense(2)]),
        lambda: built(gj.Sequential([Dense(2)])),
        lambda: gj.Sequential([Flatten(batch_input_shape=(8, 2, 3)), Dense(2)]),
    ],
    ids=["first layer", "input", "built late", "fixed batch"],
)
def test_config_json_and_file_round_trips(make: Callable[[], gj.Sequential]) -> None:
    model = make()
    config = json.loads(json.dumps(model.get_config()))
    again = gj.Sequential.from_config(config)
    assert again.graph == model.graph
    loaded = gj.from_bytes(gj.to_bytes(model))
    assert isinstance(loaded, gj.Sequential)
    assert gj.to_bytes(loaded) == gj.to_bytes(model)
    for old, new in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def built(model: gj.Sequential) -> gj.Sequential:
    model.build((None, 4))
    return model


def test_a_list_is_a_configuration_too() -> None:
    entries = gj.Sequential([Dense(3, input_dim=4), Dense(2)]).get_config()["layers"]
    assert gj.Sequential.from_config(entries).output_shape == (None, 2)


def test_an_unbuilt_chain_has_a_configuration() -> None:
    config = gj.Sequential([Dense(3), Dense(2)]).get_config()
    assert [entry["config"]["name"] for entry in config["layers"]] == [
        "dense",
        "dense_1",
    ]
    assert not gj.Sequential.from_config(config).built


# Keras 3 reads what Keras 2 wrote, and says that it would write it otherwise.
@pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`:UserWarning")
def test_keras_reads_the_configuration() -> None:
    import keras

    model = gj.Sequential([Dense(3, input_dim=4), Dense(2)])
    theirs = keras.Sequential.from_config(model.get_config())
    assert theirs.output_shape == model.output_shape


def test_a_fixed_batch_refuses_another() -> None:
    model = gj.Sequential([Dense(2, batch_input_shape=(10, 16))])
    assert model.output_shape == (10, 2)
    assert model.predict(rows(20, 16)).shape == (20, 2)
    with pytest.raises(DataError, match="multiple of the model's batch of 10 rows"):
        model.predict(rows(15, 16))
    with pytest.raises(DataError, match="batch_size: expected 10"):
        model.predict(rows(20, 16), batch_size=5)
    with pytest.raises(DataError, match=re.escape("received shape (5, 16)")):
        model(rows(5, 16))


def test_data_of_other_types_is_cast() -> None:
    model = gj.Sequential([Dense(2, input_dim=4)])
    for dtype in ("float64", "int64", "uint8", "bool"):
        assert model.predict(np.ones((3, 4), dtype)).dtype == np.float32


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "not a layer": (
        lambda: gj.Sequential([3]),
        "Sequential: add: expected a layer, received int",
    ),
    "name taken": (
        lambda: gj.Sequential([Dense(2, name="a", input_dim=3), Dense(2, name="a")]),
        "two layers are called 'a'",
    ),
    "nothing known": (
        lambda: gj.Sequential([Dense(2)], name="late").summary(),
        "Sequential 'late': the shape of its input is not known yet",
    ),
    "empty": (
        lambda: gj.Sequential().predict(rows(2, 3)),
        "the shape of its input is not known yet",
    ),
    "pop": (lambda: gj.Sequential().pop(), "pop: there are no layers"),
    "input late": (
        lambda: gj.Sequential([Dense(2, input_dim=3), Input((3,))]),
        "an Input stands before all layers",
    ),
    "two shapes": (
        lambda: Dense(2, input_dim=3, input_shape=(3,)),
        "Dense: expected one of input_shape, batch_input_shape and input_dim",
    ),
    "bad shape": (
        lambda: Dense(2, input_shape=(0,)),
        "Dense: input_shape: expected a tuple of ints >= 1, names or None",
    ),
    "empty batch shape": (
        lambda: Dense(2, batch_input_shape=()),
        "batch_input_shape: expected at least the batch axis",
    ),
    "batch twice": (
        lambda: Dense(2, batch_input_shape=(3, 4), batch_size=5),
        "batch_input_shape begins with 3, but batch_size is 5",
    ),
    "batch alone": (
        lambda: Dense(2, batch_size=5),
        "batch_size alone does not give the input's shape",
    ),
    "length alone": (
        lambda: Dense(2, input_length=5),
        "input_length alone does not give the input's shape",
    ),
    "no layers": (
        lambda: gj.Sequential.from_config({"name": "x"}),
        "its config has no list of layers",
    ),
    "no config": (
        lambda: gj.Sequential.from_config([{"class_name": "Dense"}]),
        "layer 'Dense' has no config",
    ),
}


@pytest.mark.parametrize(("make", "text"), REFUSED.values(), ids=REFUSED)
def test_refused(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(CaptureError, match=re.escape(text)):
        make()


def test_a_refused_layer_leaves_the_chain_as_it_was() -> None:
    model = gj.Sequential([Dense(2, input_dim=3)])
    with pytest.raises(gj.errors.GraphJitError, match="cannot make"):
        model.add(gj.layers.Reshape((7,)))
    assert len(model.layers) == 1
    assert model.predict(rows(2, 3)).shape == (2, 2)


def test_weights_given_to_a_layer_are_its_first() -> None:
    kernel, bias = rows(3, 2), rows(2)
    layer = Dense(2, input_dim=3, weights=[kernel, bias])
    model = gj.Sequential([layer])
    for found in (model.get_weights(), layer.get_weights()):
        np.testing.assert_array_equal(found[0], kernel)
        np.testing.assert_array_equal(found[1], bias)
    with pytest.raises(DataError, match=r"weights: expected 2 arrays, received 1"):
        gj.Sequential([Dense(2, input_dim=3, weights=[kernel])])
    with pytest.raises(DataError, match=r"'kernel': expected shape \(3, 2\)"):
        gj.Sequential([Dense(2, input_dim=3, weights=[kernel.T, bias])])
