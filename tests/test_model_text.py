"""Models as JSON and YAML: there and back, and what Keras makes of them."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.capture.arguments import arg, size
from graphjit.capture.layer import Layer
from graphjit.capture.layer_config import LayerConfig
from graphjit.errors import CaptureError, FormatError
from graphjit.initializers import Initializer
from tests.conformance.layer_case import LayerCase
from tests.conformance.layer_table import EACH_LAYER_CASE, LAYER_ROWS
from tests.every_call import every_call

RECORDED = Path(__file__).parent / "formats" / "recorded"


def model_of(layer: Layer, case: LayerCase) -> gj.Model:
    dtype = layer.first_input.dtype or "float32"
    xs = [
        gj.Input(shape, dtype=dtype, name=f"in{at}")
        for at, shape in enumerate(case.inputs)
    ]
    return gj.Model(xs, layer(xs if len(xs) > 1 else xs[0]))


def data_of(model: gj.Model, batch: int = 2) -> list[Any]:
    rng = np.random.default_rng(3)
    shapes = [(entry.type.dtype, entry.type.shape[1:]) for entry in model.graph.inputs]
    return [
        rng.integers(0, 3, (batch, *dims)).astype(dtype)
        if "int" in dtype
        else rng.standard_normal((batch, *dims)).astype(dtype)
        for dtype, dims in shapes
    ]


def with_random_weights(model: gj.Model) -> gj.Model:
    rng = np.random.default_rng(2)
    model.set_weights([rng.random(w.shape) + 0.1 for w in model.get_weights()])
    return model


def digits() -> gj.Model:
    x = gj.Input((8, 8, 1), name="image")
    y = L.Conv2D(3, 3, activation="relu", kernel_regularizer="l2", name="conv")(x)
    y = L.BatchNormalization(name="norm")(y)
    return gj.Model(x, L.Dense(4, name="top")(L.Flatten(name="flat")(y)), name="digits")


# --- there and back ---------------------------------------------------------------


@EACH_LAYER_CASE
def test_every_layer_there_and_back(layer: type[Layer], case: LayerCase) -> None:
    model = model_of(layer(**case.settings), case)
    assert gj.model_from_json(model.to_json()).graph == model.graph


@pytest.mark.parametrize("make", [digits, every_call], ids=lambda make: make.__name__)
@pytest.mark.parametrize("form", ["json", "yaml"])
def test_models_there_and_back(make: Callable[[], gj.Model], form: str) -> None:
    model = with_random_weights(make())
    write = {"json": model.to_json, "yaml": model.to_yaml}[form]
    read = {"json": gj.model_from_json, "yaml": gj.model_from_yaml}[form]
    again = read(write())
    assert type(again) is gj.Model
    assert again.graph == model.graph
    assert again.get_config() == model.get_config()
    assert read(again.to_json() if form == "json" else again.to_yaml()).graph == (
        again.graph
    )
    again.set_weights(model.get_weights())
    x = data_of(model)
    for ours, theirs in zip(
        np.atleast_1d(model.predict(x if len(x) > 1 else x[0]))
        if make is digits
        else model.predict(x),
        np.atleast_1d(again.predict(x if len(x) > 1 else x[0]))
        if make is digits
        else again.predict(x),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_sequential_there_and_back() -> None:
    """The documents' K1:12-24: both kinds of models, config, JSON and YAML."""
    model = gj.Sequential([L.Dense(3, input_dim=4), L.Dense(2, activation="softmax")])
    for again in (
        gj.Sequential.from_config(model.get_config()),
        gj.model_from_json(model.to_json()),
        gj.model_from_yaml(model.to_yaml()),
        gj.model_from_config(model.get_config()),
    ):
        assert type(again) is gj.Sequential
        assert again.output_shape == (None, 2)
        assert [layer.name for layer in again.layers] == ["dense", "dense_1"]


def test_a_chain_without_an_input_there_and_back() -> None:
    model = gj.Sequential([L.Dense(3), L.Dense(2)])
    again = gj.model_from_json(model.to_json())
    assert isinstance(again, gj.Sequential)
    assert not again.built
    assert again(np.ones((2, 4))).shape == (2, 2)


def built(model: gj.Sequential) -> gj.Sequential:
    model.build((None, 4))
    return model


CHAINS: dict[str, Callable[[], gj.Sequential]] = {
    "told": lambda: gj.Sequential([L.Dense(3, input_shape=(4,)), L.Dense(2)]),
    "input": lambda: gj.Sequential([gj.Input((4,), name="x"), L.Dense(2)]),
    "late": lambda: built(gj.Sequential([L.Dense(2)])),
    "fixed": lambda: gj.Sequential([L.Dense(3, batch_input_shape=(5, 4))]),
    "ids": lambda: gj.Sequential(
        [L.Embedding(9, 2, input_dtype="int32", input_shape=(4,))]
    ),
    "chain first": lambda: gj.Sequential(
        [gj.Sequential([L.Dense(3, input_shape=(4,))]), L.Dense(2)]
    ),
}


@pytest.mark.parametrize("kind", CHAINS)
def test_chains_there_and_back(kind: str) -> None:
    """Alone, and inside a functional model, where the text leaves its input out."""
    chain = CHAINS[kind]()
    again = gj.model_from_json(chain.to_json())
    assert again.get_config() == chain.get_config()
    assert again.graph == chain.graph
    start = chain.inputs[0]
    x = gj.Input(batch_shape=start.shape, dtype=start.dtype)
    model = gj.Model(x, chain(x))
    again = gj.model_from_json(model.to_json())
    assert again.get_config() == model.get_config()
    assert again.graph == model.graph


def test_the_text_is_keras_2s() -> None:
    model = digits()
    data = json.loads(model.to_json(indent=2))
    assert list(data) == [
        "module",
        "registered_name",
        "class_name",
        "config",
        "keras_version",
        "backend",
    ]
    assert (data["class_name"], data["keras_version"]) == ("Functional", "2.15.0")
    first, conv = data["config"]["layers"][:2]
    assert first["config"]["batch_input_shape"] == [None, 8, 8, 1]
    assert conv["class_name"] == "Conv2D"
    assert conv["inbound_nodes"] == [[["image", 0, 0, {}]]]
    assert yaml.safe_load(model.to_yaml()) == data
    assert "\n " in model.to_json(indent=1)
    assert "\n      " in model.to_yaml(indent=6)


def test_text_says_what_is_frozen_now() -> None:
    model = digits()
    model.get_layer("conv").trainable = False
    again = gj.model_from_json(model.to_json())
    assert not again.get_layer("conv").trainable
    assert again.get_layer("top").trainable
    model.trainable = False
    assert not gj.model_from_json(model.to_json()).trainable


# --- configurations that remember their class -------------------------------------


def test_config_remembers_its_class() -> None:
    """The documents pass what get_config returned (K1:36-39)."""
    layer = L.Conv2D(3, 2, activation="tanh", kernel_constraint="max_norm")
    config = layer.get_config()
    assert type(config) is LayerConfig
    assert config == dict(config)
    assert json.loads(json.dumps(config)) == dict(config)
    again = gj.layer_from_config(config)
    assert type(again) is L.Conv2D
    assert again.get_config() == config
    for copied in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert gj.layer_from_config(copied).get_config() == config


@pytest.mark.parametrize("row", LAYER_ROWS, ids=lambda row: row.layer.__name__)
def test_every_config_remembers_its_class(row: Any) -> None:
    layer = row.layer(**row.cases[0].settings)
    config = layer.get_config()
    assert config.layer_class is row.layer
    assert gj.layer_from_config(config).get_config() == config


def test_models_from_configs() -> None:
    model = digits()
    config = model.get_config()
    assert config.layer_class is gj.Model
    plain = json.loads(json.dumps(config))
    for made in (
        gj.model_from_config(config),
        gj.model_from_config({"class_name": "Functional", "config": config}),
        gj.model_from_config({"class_name": "Model", "config": plain}),
        gj.Model.from_config(config),
        gj.Model.from_config(plain),
        gj.layer_from_config(config),
    ):
        assert isinstance(made, gj.Model)
        assert made.graph == model.graph
    layer = {"class_name": "Dense", "config": {"units": 2}}
    assert isinstance(gj.layer_from_config(layer), L.Dense)
    unbuilt = gj.Sequential([L.Dense(2)]).get_config()
    assert isinstance(gj.model_from_config(unbuilt), gj.Sequential)


def test_user_model_classes_come_back_as_themselves() -> None:
    class Net(gj.Sequential):
        pass

    config = Net([L.Dense(2, input_shape=(3,))]).get_config()
    assert type(gj.model_from_config(config)) is Net
    assert type(Net.from_config(config)) is Net


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: gj.layer_from_config(dict(L.Dense(2).get_config())),
            CaptureError,
            r'expected a dictionary with "class_name" and "config".*\n'
            "  hint: one that get_config",
        ),
        (
            lambda: gj.layer_from_config("Dense"),  # type: ignore[arg-type]
            CaptureError,
            "received 'str'",
        ),
        (
            lambda: gj.model_from_config(L.Dense(2).get_config()),
            CaptureError,
            "model_from_config: expected a model, received a Dense\n  hint: layer_from",
        ),
        (
            lambda: gj.model_from_json(
                '{"class_name": "Dense", "config": {"units": 2}}'
            ),
            FormatError,
            "JSON: expected a model, received a Dense",
        ),
        (
            lambda: gj.model_from_json('{"layers": []}'),
            FormatError,
            r"JSON: expected an object with \"class_name\" and \"config\", received "
            r"\['layers'\]\n  hint: a text of get_config\(\) alone",
        ),
        (
            lambda: gj.model_from_yaml("- 1"),
            FormatError,
            "YAML: expected an object .* received 'list'",
        ),
        (
            lambda: gj.layer_from_config({"class_name": "Dens", "config": {}}),
            CaptureError,
            "layer: expected a known class, received 'Dens'\n  hint: did you mean 'Den",
        ),
        (
            lambda: gj.layer_from_config({"class_name": "Zzz", "config": {}}),
            CaptureError,
            r'hint: a class of your own: custom_objects=\{"Zzz": …\}',
        ),
        (
            lambda: gj.layer_from_config({"class_name": "Dense"}),
            CaptureError,
            "layer 'Dense' has no config",
        ),
    ],
)
def test_refusals(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


# --- custom objects ---------------------------------------------------------------


class Twice(Layer):
    """A layer that nobody registered."""

    factor: int = arg(default=2, converter=size)

    def emit(self, emitter: Any, *inputs: Any) -> Any:
        from graphjit.ops.elementwise import Add

        (x,) = inputs
        for _ in range(self.factor - 1):
            x = emitter(Add(), x, inputs[0])
        return x


@dataclass(frozen=True, slots=True)
class Counting(Initializer):
    begin: float = 0.0

    def sample(self, shape: Sequence[int], dtype: str, random: Any) -> Any:
        del random
        size = int(np.prod(shape))
        return (np.arange(size, dtype=dtype) + self.begin).reshape(tuple(shape))


def thirds(x: Any) -> Any:
    return x / 3


def all_sevens(shape: Any, dtype: Any) -> Any:
    return np.full(shape, 7, dtype)


def custom_text() -> str:
    """As Keras would write a model with objects of the user's."""
    model = gj.Sequential(
        [
            L.Dense(2, input_shape=(2,), use_bias=False, activation="relu", name="a"),
            L.Dense(2, use_bias=False, activation="tanh", name="b"),
        ]
    )
    data = json.loads(model.to_json())
    _, first, second = data["config"]["layers"]
    first["config"]["activation"] = "thirds"
    first["config"]["kernel_initializer"] = {
        "class_name": "Mine>Counting",
        "config": {"begin": 1},
    }
    second["config"]["activation"] = {
        "module": "builtins",
        "class_name": "function",
        "config": "thirds",
        "registered_name": "thirds",
    }
    second["config"]["kernel_initializer"] = "all_sevens"
    last = {"module": None, "class_name": "Twice", "registered_name": "Mine>Twice"}
    data["config"]["layers"].append({**last, "config": {"name": "c", "factor": 3}})
    return json.dumps(data)


OBJECTS = {
    "Twice": Twice,
    "Counting": Counting,
    "thirds": thirds,
    "all_sevens": all_sevens,
    "a_loss_that_no_layer_has": np.mean,
}


def test_custom_objects() -> None:
    model = gj.model_from_json(custom_text(), custom_objects=OBJECTS)
    x = np.array([[3.0, 6.0]], np.float32)
    middle = x @ np.array([[1, 2], [3, 4]]) / 3
    wanted = 3 * (middle @ np.full((2, 2), 7)) / 3
    np.testing.assert_allclose(model.predict(x), wanted, rtol=1e-6)
    assert isinstance(model.get_layer("c"), Twice)


def test_custom_objects_hold_for_one_call() -> None:
    gj.model_from_json(custom_text(), custom_objects=OBJECTS)
    with pytest.raises(CaptureError, match="activation: expected a known name, rece"):
        gj.model_from_json(custom_text())
    with pytest.raises(CaptureError, match="expected a known class, received 'Twice'"):
        gj.layer_from_config({"class_name": "Twice", "config": {}})


def test_custom_objects_hold_for_one_thread() -> None:
    """Two readers at once, each with a layer of its own under the same name."""
    text = gj.Sequential([L.Dense(2, input_shape=(2,))]).to_json()
    text = text.replace('"linear"', '"mine"')
    found: dict[float, Any] = {}

    def read(factor: float) -> None:
        objects = {"mine": lambda x: x * factor}
        for _ in range(5):
            model = gj.model_from_json(text, objects)
            model.set_weights([np.eye(2), np.zeros(2)])
            found[factor] = model.predict(np.ones((1, 2)))[0, 0]

    threads = [threading.Thread(target=read, args=(factor,)) for factor in (2.0, 5.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {2.0: 2.0, 5.0: 5.0}


def test_a_function_that_makes_a_layer() -> None:
    entry = {"class_name": "Head", "config": {"width": 3}}
    made = gj.layer_from_config(entry, {"Head": lambda width: L.Dense(width)})
    assert isinstance(made, L.Dense)
    with pytest.raises(CaptureError, match="custom_objects: 'Head': expected a class"):
        gj.layer_from_config(entry, {"Head": lambda width: width})


def test_a_layer_with_a_constructor_of_its_own() -> None:
    class Old(L.Dense):
        def __init__(self, *, width: int, **kwargs: Any) -> None:
            super().__init__(width, **kwargs)

    entry = {"class_name": "Old", "config": {"width": 3, "dtype": "float32"}}
    assert gj.layer_from_config(entry, {"Old": Old}).units == 3


def test_lambda_functions_by_name() -> None:
    text = json.dumps(
        {
            "class_name": "Sequential",
            "keras_version": "2.2.4",
            "config": [
                {
                    "class_name": "Lambda",
                    "config": {
                        "name": "f",
                        "batch_input_shape": [None, 3],
                        "function": "thirds",
                        "function_type": "function",
                        "output_shape": None,
                        "output_shape_type": "raw",
                        "arguments": {},
                    },
                }
            ],
        }
    )
    model = gj.model_from_json(text, {"thirds": thirds})
    np.testing.assert_allclose(model.predict(np.ones((1, 3))), np.full((1, 3), 1 / 3))
    with pytest.raises(CaptureError, match="no function is registered as 'thirds'"):
        gj.model_from_json(text)
    code = text.replace('"function_type": "function"', '"function_type": "lambda"')
    with pytest.raises(CaptureError, match=r"Lambda 'f': function: the file holds the"):
        gj.model_from_json(code, {"thirds": thirds})


# --- Keras ------------------------------------------------------------------------

#: The first case of every layer that Keras 3 spells as we do.
IN_KERAS = [
    pytest.param(row.layer, case, id=f"{row.layer.__name__}{case}")
    for row in LAYER_ROWS
    for case in [c for c in row.cases if c.keras == c.settings][:1]
    # Keras 3 takes a normalization's statistics from `adapt` alone.
    if row.layer not in (L.Lambda, L.Normalization)
]


#: Keras 2 calls LeakyReLU's slope alpha; Keras 3 reads that, with a word.
ALPHA = pytest.mark.filterwarnings("ignore:Argument `alpha` is deprecated:UserWarning")


@ALPHA
@pytest.mark.parametrize(("layer", "case"), IN_KERAS)
def test_keras_reads_our_text(layer: type[Layer], case: LayerCase) -> None:
    import keras

    model = with_random_weights(model_of(layer(**case.settings), case))
    theirs = keras.models.model_from_json(model.to_json())
    theirs.set_weights(model.get_weights())
    x = data_of(model)
    # Keras 2's form always makes a list of the inputs.
    wanted = np.asarray(theirs(x))
    found = model.predict(x if len(x) > 1 else x[0])
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@ALPHA
@pytest.mark.parametrize(("layer", "case"), IN_KERAS)
def test_we_read_keras_3s_text(layer: type[Layer], case: LayerCase) -> None:
    import keras

    model = model_of(layer(**case.settings), case)
    theirs = keras.models.model_from_json(model.to_json())
    again = gj.model_from_json(theirs.to_json())
    assert again.graph.nodes == model.graph.nodes
    # Random initializers get seeds when Keras makes them.
    assert [(p.name, p.type) for p in again.graph.params] == [
        (p.name, p.type) for p in model.graph.params
    ]


def test_keras_reads_chains_and_nested_models() -> None:
    import keras

    x = gj.Input((4,), name="x")
    chain = gj.Sequential(
        [gj.Sequential([L.Dense(3, input_shape=(4,)), L.ReLU()]), L.Dense(4)]
    )
    first = gj.Input((4,))
    inner = gj.Model(first, L.Dense(2, kernel_regularizer="l1")(first), name="inner")
    both = L.Add()([chain(x), chain(chain(x))])
    model = with_random_weights(gj.Model(x, [inner(both), both]))
    theirs = keras.models.model_from_json(model.to_json())
    theirs.set_weights(model.get_weights())
    data = data_of(model)[0]
    for found, wanted in zip(model.predict(data), theirs([data]), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    alone = with_random_weights(chain)
    theirs = keras.models.model_from_json(alone.to_json())
    theirs.set_weights(alone.get_weights())
    np.testing.assert_allclose(alone.predict(data), theirs(data), rtol=1e-5, atol=1e-5)


def test_we_read_keras_3s_calls() -> None:
    import keras

    k = keras.layers
    x = keras.Input((5, 4), name="x")
    inner = keras.Model(*(lambda x: (x, k.Dense(3)(x)))(keras.Input((4,))))
    chain = keras.Sequential([keras.Input((3,)), k.Dense(3)])
    a, b, c = k.LSTM(4, return_state=True)(x)
    out = k.LSTM(4, dropout=0.2)(x, initial_state=[b, c])
    attended = k.MultiHeadAttention(2, 3)(x, value=x, use_causal_mask=True)
    mean = k.GlobalAveragePooling1D()(attended)
    first = chain(k.Add()([inner(out), inner(mean)]))
    outputs = {"second": inner(a), "first": first, "third": chain(chain(first))}
    theirs = keras.Model({"x": x}, outputs)
    ours = gj.model_from_json(theirs.to_json())
    ours.set_weights([np.asarray(v.value) for v in theirs.weights])
    data = np.random.default_rng(0).random((2, 5, 4)).astype(np.float32)
    wanted = theirs({"x": data})
    # A dictionary's outputs are in the order of its keys.
    for found, name in zip(ours.predict(data), sorted(outputs), strict=True):
        np.testing.assert_allclose(found, wanted[name], rtol=1e-5, atol=1e-5)


def test_hard_sigmoid_means_what_its_writer_meant() -> None:
    import keras

    theirs = keras.Sequential(
        [keras.Input((3,)), keras.layers.Activation("hard_sigmoid")]
    )
    x = np.linspace(-4, 4, 12, dtype=np.float32).reshape(4, 3)
    ours = gj.model_from_json(theirs.to_json())
    np.testing.assert_allclose(ours.predict(x), theirs(x), atol=1e-6)
    native = gj.Sequential([L.Activation("hard_sigmoid", input_shape=(3,))])
    again = gj.model_from_json(native.to_json())
    np.testing.assert_allclose(
        again.predict(x), np.clip(0.2 * x + 0.5, 0, 1), atol=1e-6
    )


def recorded() -> dict[str, Any]:
    return json.loads((RECORDED / "nested_tf_keras_2_15.json").read_text())


def test_a_text_of_tf_keras() -> None:
    """Nested models, a shared chain, states and named inputs, as 2.15 wrote them."""
    case = recorded()
    model = gj.model_from_json(case["text"])
    model.load_weights(RECORDED / "nested_tf_keras_2_15.h5")
    assert not model.get_layer("inner").layers[1].trainable
    found = model.predict(np.array(case["x"]))
    for ours, theirs in zip(found, case["outputs"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_calls_are_counted_as_tf_keras_counts_them() -> None:
    """Of nested models from 1; of chains in a text from 0, as both Kerases can read."""
    case = recorded()
    theirs = json.loads(case["text"])["config"]
    ours = gj.model_from_json(case["text"])

    def calls(config: Any) -> dict[str, Any]:
        return {e["name"]: e["inbound_nodes"] for e in config["layers"]}

    assert calls(ours.get_config())["add"] == calls(theirs)["add"]
    assert calls(ours.get_config())["chain"] == calls(theirs)["chain"]
    assert calls(json.loads(ours.to_json())["config"])["chain"][1] == [
        ["chain", 0, 0, {}]
    ]
