"""Configurations as Keras 1, 2 and 3 write them, read in one place."""

from __future__ import annotations

import json
from typing import Any

import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.capture.keras_config import ConfigReader
from graphjit.capture.keras_keys import EFFECTLESS_ANYWHERE
from graphjit.capture.keras_origin import Origin, origin_of
from graphjit.errors import CaptureError

KERAS_2_3 = Origin(2, (2, 3, 1))
TF_KERAS = Origin(2, (2, 2, 4), in_tensorflow=True)
KERAS_3 = Origin(3)


def read(cls: str, origin: Origin | None = None, **config: Any) -> Any:
    entry = {"class_name": cls, "config": config}
    return ConfigReader(origin=origin or Origin()).layer(entry)


# --- who wrote it -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("root", "origin"),
    [
        ({"keras_version": "1.2.2"}, Origin(1, (1, 2, 2))),
        ({"keras_version": "2.3.1", "module": "keras"}, Origin(2, (2, 3, 1))),
        ({"keras_version": "2.2.4-tf"}, Origin(2, (2, 2, 4), in_tensorflow=True)),
        ({"keras_version": "3.3.3"}, Origin(3, (3, 3, 3))),
        ({"module": "keras", "class_name": "Sequential"}, Origin(3)),
        ({"build_config": {}}, Origin(3)),
        ({"class_name": "Sequential"}, Origin()),
        ({"keras_version": None}, Origin()),
        ("text", Origin()),
    ],
    ids=str,
)
def test_origin(root: Any, origin: Origin) -> None:
    assert origin_of(root) == origin


def test_what_is_not_said() -> None:
    old, middle = Origin(2, (2, 0, 9)), Origin(2, (2, 1, 3))
    assert [read("GRU", o, units=2).reset_after for o in (old, TF_KERAS, KERAS_3)] == [
        False,
        False,
        True,
    ]
    assert read("GRU", units=2).reset_after
    assert read("GRU", old, units=2, reset_after=True).reset_after
    gj.config.set_image_data_format("channels_first")
    assert read("Flatten", old).data_format == "channels_last"
    assert read("Flatten", KERAS_3).data_format == "channels_first"
    norms = [read("BatchNormalization", o).frozen for o in (old, middle, TF_KERAS)]
    assert norms == ["update", "keep", "infer"]
    inner = {"class_name": "LSTM", "config": {"units": 2}}
    both = [
        read("Bidirectional", o, layer=inner).zeros_where_masked
        for o in (KERAS_2_3, TF_KERAS, Origin(2, (2, 4, 0)), Origin())
    ]
    assert both == [False, True, True, True]


def test_a_text_without_a_version_is_old() -> None:
    config = [
        {"class_name": "GRU", "config": {"units": 2, "batch_input_shape": [2, 3, 4]}}
    ]
    old = gj.model_from_json(json.dumps({"class_name": "Sequential", "config": config}))
    assert not old.layers[0].reset_after
    data = gj.model_from_config({"class_name": "Sequential", "config": config})
    assert data.layers[0].reset_after


# --- keys -------------------------------------------------------------------------

WITHOUT_EFFECT = {
    "BatchNormalization": {
        "synchronized": False,
        "renorm": False,
        "renorm_clipping": None,
        "renorm_momentum": 0.99,
        "fused": True,
        "axis": [3],
    },
    "Conv2DTranspose": {"filters": 2, "kernel_size": 2, "groups": 1},
    "Dense": {"units": 2, "quantization_config": None, "build_config": {"a": 1}},
    "Embedding": {"input_dim": 3, "output_dim": 2, "sparse": False, "dynamic": False},
    "LSTM": {"units": 2, "time_major": False, "use_cudnn": "auto", "implementation": 2},
    "MultiHeadAttention": {
        "num_heads": 2,
        "key_dim": 2,
        "query_shape": [None, 3, 4],
        "flash_attention": None,
    },
    "SeparableConv2D": {
        "filters": 2,
        "kernel_size": 2,
        "kernel_initializer": {"class_name": "GlorotUniform", "config": {}},
        "kernel_regularizer": None,
        "groups": 1,
    },
    "InputLayer": {
        "batch_shape": [None, 3],
        "sparse": False,
        "ragged": False,
        "optional": False,
    },
}


@pytest.mark.parametrize("cls", WITHOUT_EFFECT)
def test_keys_without_effect(cls: str) -> None:
    assert read(cls, KERAS_3, **WITHOUT_EFFECT[cls])


@pytest.mark.parametrize(
    ("cls", "config", "text"),
    [
        (
            "LSTM",
            {"name": "l", "units": 2, "time_major": True},
            "LSTM 'l': time_major: expected False, received True: nothing else is supp",
        ),
        (
            "BatchNormalization",
            {"renorm": True},
            "BatchNormalization: renorm: expected False, received True",
        ),
        (
            "Conv2DTranspose",
            {"filters": 2, "kernel_size": 2, "groups": 2},
            "Conv2DTranspose: groups: expected 1, received 2",
        ),
        (
            "Dense",
            {"units": 2, "lora_rank": 4},
            "Dense: lora_rank: expected None, received 4",
        ),
        (
            "Dense",
            {"name": "top", "units": 2, "kernel_initialiser": "zeros"},
            "Dense 'top': its configuration has the key 'kernel_initialiser', which is "
            "not known\n  hint: did you mean 'kernel_initializer'",
        ),
        (
            "Dense",
            {"output_dim": 2},
            "the key 'output_dim', which is not known\n  hint: it is called 'units' fr",
        ),
        ("Dense", {"zzz": 2}, "the key 'zzz', which is not known$"),
        (
            "InputLayer",
            {"batch_shape": [None, 3], "ragged": True},
            "InputLayer: ragged inputs are not supported",
        ),
    ],
)
def test_other_keys_are_refused(cls: str, config: Any, text: str) -> None:
    with pytest.raises(CaptureError, match=text):
        read(cls, KERAS_3, **config)


def test_keys_without_effect_are_no_arguments() -> None:
    """A key in the table that a layer takes would hide nothing, but say so falsely."""
    arguments = {name for cls in gj.layers.__all__ for name in _arguments(cls)}
    assert set(EFFECTLESS_ANYWHERE) & arguments == {"activity_regularizer"}


def _arguments(name: str) -> set[str]:
    found = getattr(L, name)
    return set(found.arguments) if isinstance(found, type) else set()


# --- values -----------------------------------------------------------------------


@pytest.mark.parametrize("cls", ["DTypePolicy", "FloatDTypePolicy", "Policy"])
def test_dtype_policies(cls: str) -> None:
    policy = {"module": "keras", "class_name": cls, "config": {"name": "float64"}}
    assert read("Dense", units=2, dtype=policy).dtype == "float64"


@pytest.mark.parametrize(
    ("dtype", "text"),
    [
        (
            "mixed_bfloat16",
            "Dense: dtype: expected one type for weights and computation",
        ),
        (
            {"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}},
            "received 'mixed_float16'",
        ),
        (
            {"class_name": "DTypePolicyMap", "config": {}},
            "Dense: dtype: expected one type, received 'DTypePolicyMap'",
        ),
    ],
)
def test_dtypes_that_are_refused(dtype: Any, text: str) -> None:
    with pytest.raises(CaptureError, match=text):
        read("Dense", units=2, dtype=dtype)


def test_settings_in_every_generations_form() -> None:
    keras_3 = {
        "module": "keras.initializers",
        "class_name": "HeNormal",
        "config": {"seed": 3, "input_axes": None, "output_axes": None},
        "registered_name": None,
    }
    layer = read(
        "Dense",
        units=2,
        kernel_initializer=keras_3,
        bias_initializer={"class_name": "Zeros", "config": {}, "shared_object_id": 4},
        kernel_regularizer={"name": "WeightRegularizer", "l1": 0.0, "l2": 0.5},
        bias_regularizer={"class_name": "L1L2", "config": {"l1": 0.25, "l2": 0.0}},
        kernel_constraint={"name": "maxnorm", "m": 2, "axis": 0},
        activation={"class_name": "function", "config": "relu", "module": "builtins"},
    )
    assert layer.kernel_initializer == gj.initializers.HeNormal(3)
    assert layer.kernel_regularizer == gj.regularizers.L1L2(0.0, 0.5)
    assert layer.bias_regularizer == gj.regularizers.L1L2(0.25, 0.0)
    assert layer.kernel_constraint == gj.constraints.MaxNorm(2)
    assert layer.activation.name == "relu"


def test_tuples_and_arrays_of_keras_3() -> None:
    pair = {"class_name": "__tuple__", "items": [2, 3]}
    assert read("Conv2D", filters=2, kernel_size=pair).kernel_size == (2, 3)
    mean = {"class_name": "__numpy__", "config": {"value": [1.0, 2.0], "dtype": "f4"}}
    made = read("Normalization", mean=mean, variance=[1.0, 1.0])
    assert made.get_config()["mean"] == [1.0, 2.0]


@pytest.mark.parametrize("generation", [0, 1, 2, 3])
def test_hard_sigmoid(generation: int) -> None:
    origin = Origin(generation, (generation,))
    name = "hard_sigmoid_relu6" if generation == 3 else "hard_sigmoid"
    lstm = read("LSTM", origin, units=2, recurrent_activation="hard_sigmoid")
    assert lstm.recurrent_activation.name == name
    function = {
        "class_name": "function",
        "config": "hard_sigmoid",
        "module": "builtins",
    }
    assert read("Activation", origin, activation=function).activation.name == name


def test_layers_in_layers() -> None:
    cells = [
        {"class_name": "LSTMCell", "config": {"units": n, "dropout": 0.0}}
        for n in (2, 3)
    ]
    stacked = {"class_name": "StackedRNNCells", "config": {"cells": cells}}
    made = read(
        "TimeDistributed", layer={"class_name": "RNN", "config": {"cell": stacked}}
    )
    assert [cell.units for cell in made.layer.cell.stack] == [2, 3]
    wrapped = {
        "module": "keras.layers",
        "class_name": "LSTM",
        "config": {"units": 2, "time_major": False},
        "registered_name": None,
        "build_config": {"input_shape": [None, 4, 3]},
    }
    assert read("Bidirectional", KERAS_3, layer=wrapped).layer.units == 2
    # Also an initializer: what an argument is decides what its name means.
    dense = read("Dense", units=2, kernel_initializer="Identity")
    assert isinstance(dense.kernel_initializer, gj.initializers.Identity)
    wrapped = {"class_name": "Identity", "config": {}}
    assert isinstance(read("TimeDistributed", layer=wrapped).layer, L.Identity)


def test_shared_objects_are_made_once() -> None:
    """tf.keras numbers what is shared: one layer inside two wrappers."""
    dense = {"class_name": "Dense", "config": {"units": 2}, "shared_object_id": 5}
    entries = [
        {
            "class_name": "TimeDistributed",
            "config": {"name": f"t{at}", "layer": dense},
        }
        for at in range(2)
    ]
    reader = ConfigReader()
    first, second = (reader.layer(entry) for entry in entries)
    assert first is not second
    assert first.layer is second.layer


# --- calls ------------------------------------------------------------------------


def functional(*layers: Any, outputs: Any) -> dict[str, Any]:
    start = {
        "class_name": "InputLayer",
        "name": "x",
        "config": {"batch_input_shape": [None, 3], "name": "x"},
        "inbound_nodes": [],
    }
    config = {"layers": [start, *layers], "input_layers": [["x", 0, 0]]}
    return {**config, "name": "m", "output_layers": outputs}


def dense(name: str, *nodes: Any, **more: Any) -> dict[str, Any]:
    config = {"name": name, "units": 3}
    return {
        "class_name": "Dense",
        "name": name,
        "config": config,
        "inbound_nodes": list(nodes),
        **more,
    }


def tensor(*history: Any) -> dict[str, Any]:
    config = {"shape": [None, 3], "dtype": "float32", "keras_history": list(history)}
    return {"class_name": "__keras_tensor__", "config": config}


def nested(*nodes: Any) -> dict[str, Any]:
    config = functional(dense("d", [["x", 0, 0, {}]]), outputs=[["d", 0, 0]])
    return {
        "class_name": "Functional",
        "name": "inner",
        "config": config,
        "inbound_nodes": list(nodes),
    }


def test_references_without_arguments() -> None:
    """Keras 1 wrote three items."""
    model = gj.Model.from_config(
        functional(dense("a", [["x", 0, 0]]), outputs=[["a", 0, 0]])
    )
    assert model.output_shape == (None, 3)


@pytest.mark.parametrize("first", [0, 1])
def test_calls_of_nested_models_count_from_0_or_1(first: int) -> None:
    config = functional(
        nested([["x", 0, 0, {}]], [["inner", first, 0, {}]]),
        dense("a", [["inner", first, 0, {}]]),
        outputs=[["inner", first + 1, 0], ["a", 0, 0]],
    )
    model = gj.Model.from_config(config)
    again, a = (t.call for t in model.outputs)
    assert again.inputs[0].call.layer is again.layer
    assert a.inputs[0] is again.inputs[0]


def test_calls_of_keras_3() -> None:
    config = functional(
        nested(
            {"args": [tensor("x", 0, 0)], "kwargs": {"training": False, "mask": None}},
            {"args": [tensor("inner", 0, 0)], "kwargs": {}},
        ),
        dense("a", {"args": [tensor("inner", 0, 0)], "kwargs": {}}),
        # Only here does Keras 3 count from 1.
        outputs=[["inner", 2, 0], ["a", 0, 0]],
    )
    config["input_layers"] = ["x", 0, 0]
    model = gj.Model.from_config(config)
    again, a = (t.call for t in model.outputs)
    assert a.inputs[0] is again.inputs[0]
    assert again.given.arguments == {}


def test_tensors_and_constants_among_arguments() -> None:
    attention = {
        "class_name": "MultiHeadAttention",
        "name": "m",
        "config": {"name": "m", "num_heads": 1, "key_dim": 2},
    }
    start = {"batch_input_shape": [None, 4, 3], "name": "x"}
    flag = ["_CONSTANT_VALUE", -1, True]
    given = {"value": ["x", 0, 0], "use_causal_mask": flag}
    for node in (
        [["x", 0, 0, given]],
        {
            "args": [tensor("x", 0, 0)],
            "kwargs": {"value": tensor("x", 0, 0), "use_causal_mask": True},
        },
    ):
        layers = {**attention, "inbound_nodes": [node]}
        config = functional(layers, outputs=[["m", 0, 0]])
        config["layers"][0]["config"] = start
        call = gj.Model.from_config(config).outputs[0].call
        assert call.given.arguments["use_causal_mask"] is True
        assert len(call.inputs) == 2


def test_ends_in_every_form() -> None:
    layers = [dense("b", [["x", 0, 0, {}]]), dense("a", [["x", 0, 0, {}]])]
    for outputs, names in (
        ([["b", 0, 0]], ["b"]),
        (["b", 0, 0], ["b"]),
        ({"two": ["b", 0, 0], "one": ["a", 0, 0]}, ["a", "b"]),
    ):
        model = gj.Model.from_config(functional(*layers, outputs=outputs))
        assert model.output_names == names


def test_inputs_in_lists_of_lists() -> None:
    add = {"class_name": "Add", "name": "s", "config": {"name": "s"}}
    node = [["x", 0, 0, {}], [["a", 0, 0, {}], ["x", 0, 0, {}]]]
    config = functional(
        dense("a", [["x", 0, 0, {}]]),
        {**add, "inbound_nodes": [node]},
        outputs=[["s", 0, 0]],
    )
    assert len(gj.Model.from_config(config).outputs[0].call.inputs) == 3


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (
            functional(dense("a", [["y", 0, 0, {}]]), outputs=[["a", 0, 0]]),
            "layer 'a': expected the inputs of a call as a list, received 'y'",
        ),
        (functional(dense("a", []), outputs=[["a", 0, 0]]), "expected the inputs of a"),
        (
            functional(dense("a", {"args": [], "kwargs": {}}), outputs=[["a", 0, 0]]),
            "layer 'a': expected the inputs of a call, found none",
        ),
        (
            functional(dense("a", {"args": [3], "kwargs": {}}), outputs=[["a", 0, 0]]),
            "layer 'a': expected tensors as the inputs of a call, received 3",
        ),
        (
            functional(dense("a", {"args": [tensor("x")]}), outputs=[["a", 0, 0]]),
            r"a tensor's keras_history is broken: \['x'\]",
        ),
        (functional(outputs=None), "expected a list under 'output_layers'"),
        (functional(3, outputs=[["x", 0, 0]]), "expected dictionaries, received a int"),
        (
            functional({"class_name": "Dense"}, outputs=[["x", 0, 0]]),
            "layers: expected a name, received None",
        ),
    ],
)
def test_broken_calls(config: Any, text: str) -> None:
    with pytest.raises(CaptureError, match=text):
        gj.Model.from_config(config)
