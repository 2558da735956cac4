"""What files of Keras 2 and tf.keras have in them beside plain layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import graphjit as gj
from graphjit.errors import CaptureError, FormatError
from tests.keras.keras1_files import entry
from tests.keras.keras1_files import write_model as write_keras1
from tests.keras.test_keras1_files import (
    arr,
    close,
    everywhere,
    gate_arrays,
    hard,
    lstm_steps,
    rnn_config,
    sigmoid,
)
from tests.keras.test_meaning_by_version import write

#: What Keras says of its own code and files.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)
X = arr(5, 3)


def layer(class_name: str, name: str, *calls: Any, **config: Any) -> dict[str, Any]:
    """An entry of a model's configuration, with the calls of the layer."""
    settings = {"name": name, "trainable": True, "dtype": "float32", **config}
    made = {"class_name": class_name, "config": settings}
    return {**made, "name": name, "inbound_nodes": list(calls)} if calls else made


def chain(name: str, *layers: Any, **more: Any) -> dict[str, Any]:
    config = {"name": name, "layers": list(layers), **more}
    return {"class_name": "Sequential", "config": config}


def model(layers: list[Any], ends: list[str], cls: str = "Functional") -> Any:
    for item in layers:
        item.setdefault("name", item["config"]["name"])
        item.setdefault("inbound_nodes", [])
    config = {
        "name": "model",
        "layers": layers,
        "input_layers": [[layers[0]["name"], 0, 0]],
        "output_layers": [[name, 0, 0] for name in ends],
    }
    return {"class_name": cls, "config": config}


def write_root(
    path: Path, root: Any, weights: dict[str, dict[str, Any]], version: str = "2.9.0"
) -> Path:
    """A whole model as Keras 2 writes it, of any configuration."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = version.encode()
        file.attrs["backend"] = b"tensorflow"
        file.attrs["model_config"] = json.dumps(root).encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.array([n.encode() for n in weights], "S")
        for name, arrays in weights.items():
            own = group.create_group(name)
            own.attrs["weight_names"] = np.array([n.encode() for n in arrays], "S")
            for key, array in arrays.items():
                own[key] = array
    return path


def dense(name: str, units: int, *calls: Any, **more: Any) -> dict[str, Any]:
    return layer("Dense", name, *calls, units=units, use_bias=False, **more)


START = {"batch_input_shape": [None, 3]}

# --- nesting, names, shapes of inputs ---------------------------------------------


def test_chains_in_chains_in_chains(tmp_path: Path) -> None:
    """With names that have slashes, and arrays whose names repeat them."""
    a, b, c = arr(3, 4), arr(4, 4), arr(4, 2)
    inner = chain("in", dense("in/b", 4, batch_input_shape=[None, 4]))
    middle = chain("mid", dense("blk/a", 4, **START), inner)
    root = chain("all", middle, dense("blk/a/c", 2))
    weights = {
        "mid": {"blk/a/kernel:0": a, "in/b/kernel:0": b},
        "blk/a/c": {"blk/a/c/kernel:0": c},
    }
    loaded = gj.keras.load_model(write_root(tmp_path / "m.h5", root, weights))
    everywhere(loaded, X, X @ a @ b @ c, tmp_path)


def test_a_list_of_layers_and_a_fixed_batch(tmp_path: Path) -> None:
    w = arr(3, 4)
    root = {
        "class_name": "Sequential",
        "config": [dense("d", 4, batch_input_shape=[5, 3])],
    }
    weights = {"d": {"d/kernel:0": w}}
    path = write_root(tmp_path / "m.h5", root, weights, "2.1.6")
    loaded = gj.keras.load_model(path)
    assert loaded.input_shape == (5, 3)
    close(loaded.predict(X, batch_size=5), X @ w)


def test_a_chain_built_on_data(tmp_path: Path) -> None:
    w = arr(3, 4)
    root = chain("s", dense("d", 4), build_input_shape=[None, 3])
    path = write_root(tmp_path / "m.h5", root, {"d": {"d/kernel:0": w}})
    close(gj.keras.load_model(path).predict(X), X @ w)


def test_a_model_in_time_distributed(tmp_path: Path) -> None:
    w, gamma, beta, mean, var = arr(3, 4), arr(4), arr(4), arr(4), arr(4) ** 2
    inner = model(
        [
            layer("InputLayer", "i", **START),
            dense("w", 4, [["i", 0, 0, {}]]),
            layer("BatchNormalization", "n", [["w", 0, 0, {}]], axis=1, epsilon=0.01),
        ],
        ["n"],
        "Model",
    )
    root = chain(
        "s", layer("TimeDistributed", "t", layer=inner, batch_input_shape=[None, 6, 3])
    )
    names = ["w/kernel:0", "n/gamma:0", "n/beta:0", "n/moving_mean:0", "n/var:0"]
    arrays = dict(zip(names, (w, gamma, beta, mean, var), strict=True))
    path = write_root(tmp_path / "m.h5", root, {"t": arrays}, "2.2.4")
    x = arr(5, 6, 3)
    wanted = (x @ w - mean) / np.sqrt(var + 0.01) * gamma + beta
    everywhere(gj.keras.load_model(path), x, wanted, tmp_path)


@pytest.mark.parametrize("fused", [False, True])
def test_bidirectional_of_keras_1(fused: bool, tmp_path: Path) -> None:
    """6 arrays, or 24."""
    forth, back = gate_arrays("icfo"), gate_arrays("icfo")
    inner = rnn_config("LSTM", "gpu" if fused else "cpu", forget_bias_init="one")
    inner["config"].pop("batch_input_shape")
    config = [
        entry("Bidirectional", "both", batch_input_shape=[None, 6, 3], layer=inner)
    ]
    arrays: dict[str, Any] = {}
    for side, gates in (("f", forth), ("b", back)):
        for slot in "WUb" if fused else ():
            parts = [gates[f"{slot}_{gate}"] for gate in "ifco"]
            arrays[f"{side}_{slot}"] = np.concatenate(parts, -1)
        if not fused:
            arrays |= {f"{side}_{key}": value for key, value in gates.items()}
    path = write_keras1(tmp_path / "m.h5", config, [("both", arrays)])
    x = arr(5, 6, 3)
    wanted = [lstm_steps(x, forth, 4), lstm_steps(x[:, ::-1], back, 4)]
    close(gj.keras.load_model(path).predict(x), np.concatenate(wanted, -1))


@pytest.mark.parametrize("version", ["2.2.4", "2.3.1", "2.2.4-tf", "2.11.0", "3.0.5"])
def test_hard_sigmoid_by_version(version: str, tmp_path: Path) -> None:
    w = 2 * arr(3, 4)
    root = chain("s", dense("d", 4, activation="hard_sigmoid", **START))
    path = write_root(tmp_path / "m.h5", root, {"d": {"d/kernel:0": w}}, version)
    wanted = np.clip(X @ w + 3, 0, 6) / 6 if version[0] == "3" else hard(X @ w)
    close(gj.keras.load_model(path).predict(X), wanted)


# --- calls --------------------------------------------------------------------------


def test_arguments_of_calls(tmp_path: Path) -> None:
    """States by keyword, `training`, what is None, inputs in an order of their own."""
    k, u, b, w = arr(2, 8), arr(2, 8), arr(8), arr(3, 2)
    layers = [
        layer("InputLayer", "z", **START),
        layer("InputLayer", "a", batch_input_shape=[None, 4, 2]),
        dense("h", 2, [["z", 0, 0, {}]]),
        layer(
            "LSTM",
            "l",
            [
                [
                    "a",
                    0,
                    0,
                    {
                        "initial_state": [["h", 0, 0], ["h", 0, 0]],
                        "training": False,
                        "constants": None,
                    },
                ]
            ],
            units=2,
            recurrent_activation="sigmoid",
        ),
    ]
    root = model(layers, ["l"])
    root["config"]["input_layers"] = [["a", 0, 0], ["z", 0, 0]]
    weights = {
        "z": {},
        "a": {},
        "h": {"h/kernel:0": w},
        "l": {"l/kernel:0": k, "l/recurrent_kernel:0": u, "l/bias:0": b},
    }
    loaded = gj.keras.load_model(write_root(tmp_path / "m.h5", root, weights))
    assert loaded.input_names == ["a", "z"]
    x = arr(5, 4, 2)
    h = c = X @ w
    for t in range(4):
        i, f, g, o = np.split(x[:, t] @ k + h @ u + b, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    close(loaded.predict([x, X]), h)


def test_outputs_in_lists_in_lists() -> None:
    """Where a layer gave them so: the states of several cells, in tf.keras."""
    a, b, c = (dense(name, n, [["x", 0, 0, {}]]) for n, name in enumerate("abc", 1))
    root = model([layer("InputLayer", "x", **START), a, b, c], [])
    ends = [["c", 0, 0], [["a", 0, 0], [["b", 0, 0]]]]
    root["config"]["output_layers"] = ends
    loaded = gj.keras.load_model({**root, "keras_version": "2.2.4-tf"})
    assert loaded.output_shape == [(None, 3), (None, 1), (None, 2)]
    root["config"]["output_layers"] = [["c", 0, 0], ["a"]]
    with pytest.raises(CaptureError, match=r"expected \[layer, call, tensor\], receiv"):
        gj.keras.load_model({**root, "keras_version": "2.2.4-tf"})


# --- what is written beside the layer's arguments ------------------------------------


def test_activations_that_are_layers(tmp_path: Path) -> None:
    w, h = arr(3, 4), X
    kinds = {
        "LeakyReLU": ({"alpha": 0.1}, lambda z: np.where(z > 0, z, 0.1 * z)),
        "ELU": ({"alpha": 0.5}, lambda z: np.where(z > 0, z, 0.5 * np.expm1(z))),
        "ReLU": (
            {"max_value": 1.0, "negative_slope": 0.0, "threshold": 0.0},
            lambda z: np.clip(z, 0, 1),
        ),
    }
    for at, (kind, (config, function)) in enumerate(kinds.items()):
        activation = {"class_name": kind, "config": {"name": "act", **config}}
        root = chain("s", dense("d", 4, activation=activation, **START))
        path = write_root(tmp_path / f"{at}.h5", root, {"d": {"d/kernel:0": w}})
        loaded = gj.keras.load_model(path)
        close(loaded.predict(h), function(h @ w))
        again = gj.Sequential.from_config(loaded.get_config())
        assert again.graph.nodes == loaded.graph.nodes


def test_policies_of_mixed_precision(tmp_path: Path) -> None:
    policy = {"class_name": "Policy", "config": {"name": "mixed_float16"}}
    w = arr(3, 4)
    root = chain("s", dense("d", 4, **START))
    root["config"]["layers"][0]["config"]["dtype"] = policy
    path = write_root(tmp_path / "m.h5", root, {"d": {"d/kernel:0": w}})
    loaded = gj.keras.load_model(path)
    close(loaded.predict(X), X @ w)
    assert "computed in float32, where the file says 'mixed_float16'" in str(
        loaded.provenance
    )


def test_an_unknown_initializer_does_no_harm(tmp_path: Path) -> None:
    w = arr(3, 4)
    mine = {"class_name": "Package>MyStart", "config": {"scale": 2}}
    known = {"class_name": "glorotUniform", "config": {"seed": None}}
    both = {"kernel_initializer": mine, "bias_initializer": known}
    root = chain("s", dense("d", 4, **START, **both))
    path = write_root(tmp_path / "m.h5", root, {"d": {"d/kernel:0": w}})
    loaded = gj.keras.load_model(path)
    close(loaded.predict(X), X @ w)
    (note,) = loaded.provenance.notes if loaded.provenance else ()
    assert "kernel_initializer: 'Package>MyStart' is not known" in note


def test_unknown_functions_are_named_with_the_layers(tmp_path: Path) -> None:
    w = arr(3, 4)
    penalty = {"class_name": "MyPenalty", "config": {}}
    layers = [
        dense("a", 4, activation="my_act", **START),
        dense("b", 4, activation="my_act", kernel_regularizer=penalty),
        layer("Qxz", "c"),
    ]
    path = write_root(tmp_path / "m.h5", chain("s", *layers), {})
    with pytest.raises(FormatError, match="layers that graphjit cannot make") as caught:
        gj.keras.load_model(path)
    assert caught.value.details == (
        "Qxz: 'c'",
        "activation 'my_act': of 'a', 'b'",
        "regularizer 'MyPenalty': of 'b'",
    )
    assert '"my_act": function' in str(caught.value.hint)
    root = chain("s", layers[0])
    path = write_root(tmp_path / "n.h5", root, {"a": {"a/kernel:0": w}})
    supplied = {"my_act": lambda x: x * x}
    close(gj.keras.load_model(path, custom_layers=supplied).predict(X), (X @ w) ** 2)


def merging(path: Path, **mode: Any) -> tuple[Path, Any]:
    """A chain of Keras 1 that merges two by a function; and what it is twice minus."""
    a, b = arr(3, 4), arr(3, 4)
    branches = [
        {
            "class_name": "Sequential",
            "config": [
                entry("Dense", name, output_dim=4, bias=False, input_dim=3, **START)
            ],
        }
        for name in ("a", "b")
    ]
    merge = entry("Merge", "m", layers=branches, **mode)
    write_keras1(path, [merge], [("a", {"W": a}), ("b", {"W": b})], "1.2.2")
    x, z = arr(5, 3), arr(5, 3)
    return path, ([x, z], 2 * (x @ a) - z @ b)


def less(xs: Any, times: float = 1.0) -> Any:
    return times * xs[0] - xs[1]


def test_a_merge_by_a_function_held_as_code(tmp_path: Path) -> None:
    code = {"mode": "4wEAAA==", "mode_type": "lambda", "arguments": {"times": 2.0}}
    shape = {"output_shape": "4wEAAA==", "output_shape_type": "lambda"}
    path, (data, wanted) = merging(tmp_path / "m.h5", **code, **shape)
    with pytest.raises(FormatError, match="Merge 'm': a function held as code") as e:
        gj.keras.load_model(path)
    assert e.value.hint == 'supply it: custom_layers={"m": function}'
    model = gj.keras.load_model(path, custom_layers={"m": less})
    close(model.predict(data), wanted)
    assert model.provenance is not None
    note = "Merge 'm': its function is 'm' of custom_layers"
    assert note in model.provenance.notes
    layer = gj.layers.Lambda(lambda xs: 2 * xs[0] - xs[1])
    close(gj.keras.load_model(path, custom_layers={"m": layer}).predict(data), wanted)


def test_a_merge_by_a_function_of_some_name(tmp_path: Path) -> None:
    named = {"mode": "my_less", "mode_type": "function", "arguments": {"times": 2.0}}
    path, (data, wanted) = merging(tmp_path / "m.h5", **named)
    with pytest.raises(FormatError, match="mode 'my_less': of 'm'") as caught:
        gj.keras.load_model(path)
    assert caught.value.hint == 'supply it: custom_layers={"my_less": function}'
    for name in ("my_less", "m"):
        model = gj.keras.load_model(path, custom_layers={name: less})
        close(model.predict(data), wanted)


def test_more_keys_of_tf_keras() -> None:
    conv = {"filters": 2, "kernel_size": [2], "time_major": False, "implementation": 1}
    start = {"batch_input_shape": [None, 3, 4, 1]}
    root = chain(
        "s", layer("ConvLSTM1D", "c", **conv, **start), layer("Softmax", "t", axis=[1])
    )
    model = gj.keras.load_model({**root, "keras_version": "2.15.0"})
    y = model.apply(model.variables, arr(5, 3, 4, 1))
    close(np.sum(y, 1), np.ones((5, 2)))


def test_a_causal_separable_convolution(tmp_path: Path) -> None:
    """tf.keras has it, as a DepthwiseConv1D of padded steps and a Dense."""
    d, p, x = arr(3, 2, 1), arr(1, 2, 4), arr(5, 6, 2)
    size = {"kernel_size": [3], "dilation_rate": [2], "padding": "causal"}
    more = {"filters": 4, "use_bias": False, "batch_input_shape": [None, 6, 2]}
    root = chain("s", layer("SeparableConv1D", "c", **size, **more))
    arrays = {"c/depthwise_kernel:0": d, "c/pointwise_kernel:0": p}
    path = write_root(tmp_path / "m.h5", root, {"c": arrays})
    padded = np.pad(x, ((0, 0), (4, 0), (0, 0)))
    wanted = sum(padded[:, 2 * at : 2 * at + 6] * d[at, :, 0] for at in range(3)) @ p[0]
    close(gj.keras.load_model(path).predict(x), wanted)


def test_inherited_keys_of_tf_keras(tmp_path: Path) -> None:
    """tf.keras's classes write the settings of those they are made of."""
    x = arr(2, 5, 3)
    settings: list[tuple[str, dict[str, Any], list[Any]]] = [
        (
            "SpatialDropout1D",
            {"rate": 0.2, "noise_shape": None, "seed": None},
            [],
        ),
        ("ReLU", {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}, []),
        ("LeakyReLU", {"alpha": {"type": "ndarray", "value": 0.3}}, []),
    ]
    settings[0][1]["batch_input_shape"] = [None, 5, 3]
    path = write(tmp_path / "m.h5", settings, "2.9.0")
    close(gj.keras.load_model(path).predict(x), np.maximum(x, 0))


def test_random_state_is_no_weight(tmp_path: Path) -> None:
    """Augmenting layers pass their input on; the others are functions."""
    x = arr(2, 6, 4, 3)
    kernel = arr(1, 1, 3, 2)
    augment = chain(
        "aug",
        layer(
            "RandomFlip", "flip", mode="horizontal", batch_input_shape=[None, 6, 4, 3]
        ),
        layer("RandomRotation", "turn", factor=0.1, fill_mode="reflect"),
    )
    conv = layer("Conv2D", "c", filters=2, kernel_size=[1, 1], use_bias=False, groups=1)
    crop = layer("CenterCrop", "crop", height=3, width=2)
    wide = layer(
        "Resizing", "wide", height=6, width=4, interpolation="nearest",
        crop_to_aspect_ratio=False,
    )  # fmt: skip
    root = chain("s", augment, crop, wide, conv)
    state = np.arange(3)
    weights = {
        "aug": {"flip/StateVar:0": state, "turn/StateVar:0": state},
        "crop": {},
        "wide": {},
        "c": {"c/kernel:0": kernel},
    }
    loaded = gj.keras.load_model(write_root(tmp_path / "m.h5", root, weights))
    middle = x[:, 1:4, 1:3].repeat(2, 1).repeat(2, 2)
    close(loaded.predict(x), middle @ kernel[0, 0])
    assert "RandomFlip 'flip' augments in training in Keras" in str(loaded.provenance)


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_bfloat16(ending: str, tmp_path: Path) -> None:
    """h5py writes it as two raw bytes."""
    keras = pytest.importorskip("keras")
    theirs = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, dtype="bfloat16")]
    )
    theirs.save(tmp_path / f"m.{ending}")
    loaded = gj.keras.load_model(tmp_path / f"m.{ending}")
    (found, _), (wanted, _) = loaded.get_weights(), theirs.get_weights()
    assert found.dtype.name == "bfloat16"
    np.testing.assert_array_equal(found, np.asarray(wanted))
