"""What Keras 2 kept of Keras 1, what it did otherwise than tf.keras, and wrappings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphjit as gj
from graphjit.errors import CaptureError, FormatError
from tests.keras.keras1_files import entry
from tests.keras.test_keras1_files import arr, close, sigmoid
from tests.keras.test_keras2_files import START, X, chain, dense, layer, write_root

GLOROT = {"class_name": "VarianceScaling", "config": {"scale": 1.0, "mode": "fan_avg"}}
L2 = {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.25}}


def bare(*layers: Any) -> dict[str, Any]:
    """A chain as it was written before Keras 2.2.3."""
    return {"class_name": "Sequential", "config": list(layers)}


# --- layers of Keras 1 in files of Keras 2 ----------------------------------------


def merge(**more: Any) -> dict[str, Any]:
    branches = [bare(dense("a", 4, **START)), bare(dense("b", 2, **START))]
    settings = {"mode_type": "raw", "concat_axis": -1, "dot_axes": -1, "arguments": {}}
    return entry("Merge", "m", layers=branches, **{**settings, **more})


def test_a_merge_that_begins_a_chain(tmp_path: Path) -> None:
    a, b, c = arr(3, 4), arr(3, 2), arr(6, 1)
    arrays = {"a": {"a/kernel:0": a}, "b": {"b/kernel:0": b}, "c": {"c/kernel:0": c}}
    root = bare(merge(mode="concat"), dense("c", 1))
    model = gj.keras.load_model(write_root(tmp_path / "m.h5", root, arrays, "2.0.6"))
    z = arr(5, 3)
    close(model.predict([X, z]), np.concatenate([X @ a, z @ b], -1) @ c)
    code = bare(merge(mode="4wEAAA==", mode_type="lambda"), dense("c", 1))
    with pytest.raises(FormatError, match="Merge 'm': a function held as code"):
        gj.keras.load_model({**code, "keras_version": "2.0.6"})


def test_highway_and_maxout_dense(tmp_path: Path) -> None:
    """Arguments and arrays as in Keras 1; initializers and penalties as in Keras 2."""
    m, mb, w, wc, b, bc = arr(2, 3, 4), arr(2, 4), arr(4, 4), arr(4, 4), arr(4), arr(4)
    common = {"init": GLOROT, "W_regularizer": L2, "bias": True, "input_dim": None}
    maxout = {"output_dim": 4, "nb_feature": 2, "W_constraint": None}
    root = bare(
        entry("MaxoutDense", "m", **START, **common, **maxout),
        entry("Highway", "h", activation="tanh", **common),
    )
    highway = {"h/W:0": w, "h/W_carry:0": wc, "h/b:0": b, "h/b_carry:0": bc}
    arrays = {"m": {"m/W:0": m, "m/b:0": mb}, "h": highway}
    model = gj.keras.load_model(write_root(tmp_path / "m.h5", root, arrays, "2.2.4"))
    y = (np.einsum("ni,fio->nfo", X, m) + mb).max(1)
    t = sigmoid(y @ wc + bc)
    found = model.apply(model.variables, X)
    close(found, t * np.tanh(y @ w + b) + (1 - t) * y)
    kernels = [param for param in model.graph.params if param.name.endswith("/kernel")]
    assert [param.regularizer for param in kernels] == [
        gj.regularizers.L1L2(0, 0.25)
    ] * 2


def test_a_chain_whose_input_layer_was_not_written(tmp_path: Path) -> None:
    """Keras 2.2 left it out, and did not load its own file."""
    k, w = arr(2, 3, 4), arr(4, 2)
    conv = {"filters": 4, "kernel_size": [2], "use_bias": False}
    root = chain("s", chain("t", layer("Conv1D", "c", **conv)), dense("d", 2))
    arrays = {"t": {"c/kernel:0": k}, "d": {"d/kernel:0": w}}
    model = gj.keras.load_model(write_root(tmp_path / "m.h5", root, arrays, "2.2.4"))
    assert model.input_shape == (None, None, 3)
    assert model.provenance is not None
    assert model.provenance.notes == (
        "the file does not say its input: by the weights of 'c', (None, None, 3), as "
        "Keras has it",
    )
    x = arr(5, 4, 3)
    close(model.predict(x), (x[:, :-1] @ k[0] + x[:, 1:] @ k[1]) @ w)
    with pytest.raises(CaptureError, match="the shape of its input is not known yet"):
        gj.keras.load_model({**root, "keras_version": "2.2.4"})


@pytest.mark.parametrize("name", [[], {"a": 1}, None, 3])
def test_a_chain_that_begins_with_no_class_name(name: Any) -> None:
    root = chain("s", {**dense("d", 2), "class_name": name})
    with pytest.raises(CaptureError, match=r"^layer: expected a dictionary"):
        gj.keras.load_model({**root, "keras_version": "2.2.4"})


# --- bilinear interpolation -------------------------------------------------------


def enlarging(version: str, backend: str = "tensorflow") -> dict[str, Any]:
    start = {"batch_input_shape": [None, 1, 2, 1]}
    up = layer("UpSampling2D", "up", size=[1, 2], interpolation="bilinear", **start)
    return {**chain("s", up), "keras_version": version, "backend": backend}


@pytest.mark.parametrize(
    ("version", "wanted", "note"),
    [
        ("2.2.4", [0, 2, 4, 4], "between the corners of pixels, as in Keras then"),
        ("2.3.1", [0, 2, 4, 4], "between the corners of pixels, as in Keras then"),
        ("2.2.4-tf", [0, 1, 3, 4], "centres of pixels, as in TensorFlow from 1.14 on"),
        ("2.9.0", [0, 1, 3, 4], ""),
    ],
)
def test_bilinear_by_version(version: str, wanted: Any, note: str) -> None:
    model = gj.keras.load_model(enlarging(version))
    x = np.array([0, 4], np.float32).reshape(1, 1, 2, 1)
    close(model.apply(model.variables, x).ravel(), wanted)
    assert model.provenance is not None
    found = [each for each in model.provenance.notes if "bilinear" in each]
    assert len(found) == bool(note)
    assert note in "".join(found)


def test_bilinear_of_keras_2_goes_no_further(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="what Theano made of 'bilinear' is not kno"):
        gj.keras.load_model(enlarging("2.2.4", "theano"))
    model = gj.keras.load_model(enlarging("2.2.4"))
    with pytest.raises(FormatError, match="it interpolates between corners of pixels"):
        gj.keras.save_model(model, tmp_path / "m.keras")


# --- what is written around a model -----------------------------------------------

COMPILED = {
    "loss": "mse",
    "optimizer_config": {"class_name": "SGD", "config": {"learning_rate": 0.5}},
}


def test_a_text_of_tensorflow_js() -> None:
    told = {"keras_version": "2.6.0", "backend": "tensorflow"}
    root = chain("s", dense("d", 2, **START))
    topology = {**told, "model_config": root, "training_config": COMPILED}
    wrapped = {"format": "layers-model", "weightsManifest": [{"paths": ["a.bin"]}]}
    model = gj.keras.load_model({**wrapped, "modelTopology": topology})
    compiled = model.compiled_as()
    assert compiled is not None
    assert compiled["loss"]["class_name"] == "MeanSquaredError"
    assert model.provenance is not None
    assert model.provenance.writer == "tf.keras 2.6.0"
    assert model.provenance.notes == (
        "it is TensorFlow.js's: its weights stand in other files, which are not opened",
        "no weights were given: they are fresh ones",
    )
    of_its_own = {**root, "keras_version": "tfjs-layers 1.2.2"}
    model = gj.keras.load_model({**wrapped, "modelTopology": of_its_own})
    assert model.output_shape == (None, 2)
    with pytest.raises(FormatError, match="modelTopology: expected an object, receiv"):
        gj.keras.load_model({**wrapped, "modelTopology": None})


def test_a_text_of_keras_3_says_how_it_is_compiled() -> None:
    sgd = {"class_name": "SGD", "config": {"learning_rate": 0.5}}
    root = {**chain("s", dense("d", 2, **START)), "module": "keras"}
    model = gj.keras.load_model(
        {**root, "compile_config": {"optimizer": sgd, "loss": "mse"}}
    )
    compiled = model.compiled_as()
    assert compiled is not None
    assert compiled["loss"]["class_name"] == "MeanSquaredError"


def test_functions_by_name_are_named_with_the_code() -> None:
    def function(name: str) -> dict[str, Any]:
        return {"class_name": "function", "config": name, "registered_name": "function"}

    code = {"class_name": "__lambda__", "config": {"code": "4wEA"}}
    root = chain(
        "s",
        layer("Lambda", "l", function=code, **START),
        layer("Lambda", "k", function=function("near"), arguments={}),
        layer("Lambda", "j", function="near", function_type="function"),
    )
    root = {**root, "module": "keras"}
    with pytest.raises(FormatError, match="graphjit cannot make from the file") as e:
        gj.keras.load_model(root)
    assert e.value.details == (
        "Lambda 'l': a function held as code",
        "function 'near': of 'k', 'j'",
    )
    hint = 'supply them: custom_layers={"l": function, "near": function}'
    assert e.value.hint == hint
    supplied = {"l": lambda x: x + 1, "near": lambda x: 2 * x}
    model = gj.keras.load_model(root, custom_layers=supplied)
    close(model.apply(model.variables, X), 4 * (X + 1))


def test_a_text_from_before_keras_1_is_refused() -> None:
    old = {"name": "Sequential", "layers": [{"name": "Dense", "output_dim": 2}]}
    with pytest.raises(FormatError, match=r"before 1\.0, which is not read") as caught:
        gj.keras.load_model(old)
    assert "its name" in str(caught.value.hint)
