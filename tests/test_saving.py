from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import graphjit as gj
from graphjit.capture.emitter import Emitter
from graphjit.errors import FormatError
from graphjit.formats import container
from graphjit.functions import FUNCTIONS
from graphjit.ir import Value
from graphjit.ops.elementwise import Tanh
from tests.graphs import variables_for


def randomized(model: gj.Model) -> gj.Model:
    model.variables = variables_for(model.graph)
    return model


def encoder() -> gj.Model:
    x = gj.Input((8, 6, 2))
    h = gj.layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2")(x)
    h = gj.layers.BatchNormalization(name="norm")(h)
    h = gj.layers.Dropout(0.3, seed=4)(h)
    return gj.Model(x, gj.layers.GlobalAveragePooling2D()(h), name="encoder")


def siamese() -> gj.Model:
    inner = encoder()
    a, b = gj.Input((8, 6, 2), name="a"), gj.Input((8, 6, 2), name="b")
    left, right = inner(a), inner(b)
    joined = gj.layers.Concatenate()([left, right])
    dense = gj.layers.Dense(8, kernel_constraint="nonneg")
    out = gj.layers.Dense(1, activation="sigmoid", name="same")(dense(joined))
    return randomized(gj.Model([a, b], [out, left], name="siamese"))


def pair(rows: int = 5) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(rows, 8, 6, 2)).astype(np.float32) for _ in range(2)]


def assert_same_model(loaded: gj.Model, model: gj.Model, data: Any) -> None:
    assert loaded.graph == model.graph
    for new, old in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    for new, old in zip(loaded.predict(data), model.predict(data), strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("mmap", [False, True])
def test_a_loaded_model_is_the_model(tmp_path: Path, mmap: bool) -> None:
    model = siamese()
    model.save(tmp_path / "m.gjit")
    loaded = gj.load(tmp_path / "m.gjit", mmap=mmap)
    assert_same_model(loaded, model, pair())


def test_a_loaded_model_has_everything_a_built_one_has(tmp_path: Path) -> None:
    model = siamese()
    model.save(tmp_path / "m.gjit")
    loaded = gj.load(str(tmp_path / "m.gjit"))
    shown: list[str] = []
    wanted: list[str] = []
    loaded.summary(print_fn=shown.append)
    model.summary(print_fn=wanted.append)
    assert shown == wanted
    assert loaded.get_config() == model.get_config()
    assert loaded.input_shape == model.input_shape
    assert loaded.output_names == model.output_names
    inner = loaded.get_layer("encoder")
    assert isinstance(inner, gj.Model)
    assert [layer.name for layer in inner.layers[1:]] == [
        "conv2d",
        "norm",
        "dropout",
        "global_average_pooling2d",
    ]
    a, _ = pair()
    features = gj.Model(inner.inputs, inner.get_layer("norm").output)
    original = model.get_layer("encoder")
    assert isinstance(original, gj.Model)
    expected = gj.Model(original.inputs, original.get_layer("norm").output)
    np.testing.assert_array_equal(features.predict(a), expected.predict(a))


def test_a_loaded_model_is_a_layer_for_another() -> None:
    model = siamese()
    loaded = gj.from_bytes(gj.to_bytes(model))
    a, b = gj.Input((8, 6, 2)), gj.Input((8, 6, 2))
    same, _ = loaded([a, b])
    outer = gj.Model([a, b], gj.layers.ReLU(threshold=0.1)(same))
    expected = model.predict(pair())[0]
    np.testing.assert_allclose(
        outer.predict(pair()), np.where(expected >= 0.1, expected, 0), rtol=1e-6
    )


def test_equal_models_give_equal_bytes() -> None:
    data = gj.to_bytes(siamese())
    assert gj.to_bytes(siamese()) == data
    assert gj.to_bytes(gj.from_bytes(data)) == data


def test_trainable_is_saved_as_it_is_now() -> None:
    model = siamese()
    encoder_ = model.get_layer("encoder")
    assert isinstance(encoder_, gj.Model)
    encoder_.get_layer("norm").trainable = False
    model.get_layer("dense").trainable = False
    loaded = gj.from_bytes(gj.to_bytes(model))
    assert loaded.frozen_layers() == model.frozen_layers() == ("encoder/norm", "dense")
    inner = loaded.get_layer("encoder")
    inner.trainable = False
    loaded.trainable = False
    again = gj.from_bytes(gj.to_bytes(loaded))
    assert not again.trainable
    assert not again.get_layer("encoder").trainable
    again.trainable = True
    assert again.frozen_layers() == ("encoder", "dense")


def test_float64_and_named_dims() -> None:
    x = gj.Input((None, "width", 3), dtype="float64", name="x")
    y = gj.layers.Conv2D(2, 3, padding="same", dtype="float64")(x)
    model = randomized(gj.Model(x, y))
    loaded = gj.from_bytes(gj.to_bytes(model))
    data = np.random.default_rng(0).normal(size=(2, 5, 4, 3))
    assert loaded.graph == model.graph
    assert loaded.predict(data).dtype == np.float64
    np.testing.assert_array_equal(loaded.predict(data), model.predict(data))


def scaled(x: Any) -> Any:
    return jnp.tanh(2 * x)


def function_model(fn: Any) -> gj.Model:
    x = gj.Input((3,), name="x")
    return gj.Model(x, gj.layers.Dense(2, activation=fn, name="d")(x))


def test_an_unregistered_function_is_refused_and_nothing_written(
    tmp_path: Path,
) -> None:
    path = tmp_path / "m.gjit"
    path.write_bytes(b"before")
    model = function_model(lambda x: x * x)
    with pytest.raises(FormatError, match=r"gj\.register"):
        model.save(path)
    assert path.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["m.gjit"]


def test_a_registered_function_is_saved_by_name() -> None:
    if "tests>scaled" not in FUNCTIONS:
        gj.register("tests>scaled")(scaled)
    model = function_model(scaled)
    loaded = gj.from_bytes(gj.to_bytes(model))
    data = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(loaded.predict(data), model.predict(data))
    assert loaded.graph == model.graph


class Unknown(gj.layers.Layer):
    """A layer no table knows: its graph runs, its object cannot be made again."""

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        return emitter(Tanh(), inputs[0])


def test_a_layer_no_longer_known_leaves_a_model_that_runs() -> None:
    x = gj.Input((3,), name="x")
    model = gj.Model(x, gj.layers.Dense(2)(Unknown(name="u")(x)))
    with pytest.raises(FormatError, match=r"Unknown 'u': the class Unknown is not reg"):
        gj.to_bytes(model)
    data = container.encode(model.graph, model.arrays())
    loaded = gj.from_bytes(data)
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    assert loaded.layers == []
    assert loaded.output_shape == (None, 2)
    assert gj.to_bytes(loaded) == data


def test_what_a_user_holds_is_not_the_models() -> None:
    model = gj.from_bytes(gj.to_bytes(siamese()))
    before = model.predict(pair())
    for array in model.get_weights():
        array[...] = 7
    weights = [np.array(w) for w in model.get_weights()]
    model.set_weights(weights)
    for array in weights:
        array[...] = 7
    for new, old in zip(model.predict(pair()), before, strict=True):
        np.testing.assert_array_equal(new, old)
