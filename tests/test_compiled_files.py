"""How a model is compiled, in `.gjit` files: names and settings, never code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import optax
import pytest

import graphjit as gj
from graphjit import saving
from graphjit.errors import CaptureError, FormatError
from graphjit.training.decaying import Decaying

X = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
Y = [X[:, :2], X[:, :1]]


def net() -> gj.Model:
    x = gj.Input((3,), name="x")
    outputs = [gj.layers.Dense(n, name=name)(x) for n, name in ((2, "a"), (1, "b"))]
    return gj.Model(x, outputs)


@gj.register("tests.compiled>doubled")
def doubled(y_true: Any, y_pred: Any) -> Any:
    return 2 * abs(y_true - y_pred).mean(-1)


@gj.register("tests.compiled>slowing")
def slowing(step: Any) -> Any:
    return 0.5 / (1 + step)


COMPILED: dict[str, dict[str, Any]] = {
    "names": {"optimizer": "adam", "loss": "mse", "metrics": ["mae"]},
    "settings": {
        "optimizer": gj.optimizers.SGD(0.5, momentum=0.5, clipnorm=1.0),
        "loss": {"a": gj.losses.Huber(0.5), "b": gj.losses.mse},
        "metrics": {"a": ["mae", gj.metrics.binary_accuracy], "b": [gj.losses.Poisson]},
        "loss_weights": [0.5, np.float32(2)],
        "weighted_metrics": [["mse"], []],
    },
    "functions": {
        "optimizer": gj.optimizers.SGD(slowing),
        "loss": [doubled, {"class_name": "Huber", "config": {"delta": 0.5}}],
        "metrics": [[doubled], None],
    },
    "decay": {"optimizer": gj.optimizers.RMSprop(Decaying(0.5, 0.25)), "loss": "mae"},
}


@pytest.mark.parametrize("arguments", COMPILED.values(), ids=COMPILED)
def test_training_goes_on_as_it_would(arguments: dict[str, Any]) -> None:
    model = net()
    model.compile(**arguments)
    data = gj.to_bytes(model)
    again = gj.from_bytes(data)
    assert gj.to_bytes(again) == data  # not compiled yet
    first = model.fit(X, Y, epochs=2, verbose=0).history
    second = again.fit(X, Y, epochs=2, verbose=0).history
    assert list(first) == list(second)
    for name, values in first.items():
        np.testing.assert_allclose(second[name], values, rtol=1e-5, err_msg=name)
    fresh = net()
    fresh.set_weights(gj.from_bytes(data).get_weights())
    fresh.compile(**arguments)
    assert gj.to_bytes(fresh) == data


def test_a_model_that_is_not_compiled() -> None:
    model = net()
    assert model.compiled_as() is None
    again = gj.from_bytes(gj.to_bytes(model))
    assert again.trainer is None
    with pytest.raises(CaptureError, match="fit: the model is not compiled"):
        again.fit(X, Y)


def test_a_chain(tmp_path: Path) -> None:
    chain = gj.Sequential([gj.layers.Dense(2, input_shape=(3,))])
    chain.compile("sgd", "mse")
    chain.save(tmp_path / "m.gjit")
    again = gj.load(tmp_path / "m.gjit")
    assert again.evaluate(X, X[:, :2], verbose=0) == pytest.approx(
        chain.evaluate(X, X[:, :2], verbose=0)
    )
    again.compile("adam", "mae")  # what is said later holds
    compiled = again.compiled_as()
    assert compiled is not None
    assert (compiled["optimizer"], compiled["loss"]) == ("adam", "mae")


CODE: dict[str, tuple[dict[str, Any], str]] = {
    "optax": ({"optimizer": optax.sgd(0.1)}, "optimizer: a transformation of optax's"),
    "rate": (
        {"optimizer": gj.optimizers.SGD(lambda step: 0.1 / (1 + step))},
        "the optimizer's learning rate: '<lambda>' is a function that no file can name",
    ),
    "loss": ({"loss": lambda t, p: abs(t - p)}, "loss: '<lambda>' is a function that"),
    "metric": (
        {"metrics": [[lambda t, p: abs(t - p)], None]},
        "metrics: '<lambda>' is a function that no file can name",
    ),
}


@pytest.mark.parametrize(("arguments", "reason"), CODE.values(), ids=CODE)
def test_code_is_left_out_and_said(arguments: dict[str, Any], reason: str) -> None:
    model = net()
    model.compile(**{"optimizer": "sgd", "loss": "mse", **arguments})
    (said,) = saving.not_kept(model)
    assert said.startswith(f"how it is compiled is not kept: {reason}")
    assert gj.from_bytes(gj.to_bytes(model)).trainer is None


def test_the_state_of_the_optimizer_is_said_to_go() -> None:
    model = net()
    model.compile("adam", "mse")
    assert saving.not_kept(model) == []
    model.fit(X, Y, verbose=0)
    wanted = ["the state of the optimizer is not kept: it begins anew"]
    assert saving.not_kept(model) == wanted


# --- files ------------------------------------------------------------------------

GOOD: dict[str, Any] = {
    "loss": "mse",
    "loss_weights": None,
    "metrics": None,
    "optimizer": "sgd",
    "weighted_metrics": None,
}


def written(compiled: Any) -> bytes:
    model = net()
    sections = {"compiled": compiled}
    graph = saving.saved_graph(model)
    return gj.formats.container.encode(graph, model.arrays(), sections)


@pytest.mark.parametrize(
    ("compiled", "text"),
    [
        (["sgd"], "optional.compiled: expected a map, received"),
        ({**GOOD, "x": 1}, "optional.compiled: unknown field 'x'"),
        ({"loss": "mse"}, "optional.compiled: field 'loss_weights' is missing"),
    ],
    ids=["list", "key", "missing"],
)
def test_sections_that_are_none(compiled: Any, text: str) -> None:
    with pytest.raises(FormatError, match=text):
        gj.from_bytes(written(compiled))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"loss": "msee"}, "received 'msee'"),
        ({"loss": {"function": "os.system"}}, "received 'os.system'"),
        ({"loss": {"lambda": "4wEAAA=="}}, "a map with 'lambda'"),
        ({"optimizer": {"class_name": "Adam", "config": {"beta_9": 1.0}}}, "'beta_9'"),
        (
            {
                "optimizer": {
                    "class_name": "SGD",
                    "config": {"learning_rate": {"decay": "x", "rate": 1.0}},
                }
            },
            "expected floats, received 1.0 and 'x'",
        ),
        ({"loss_weights": [1.0, 2.0, 3.0]}, "loss_weights"),
    ],
    ids=["name", "function", "code", "setting", "decay", "count"],
)
def test_what_is_not_known_matters_when_training_begins(
    changes: dict[str, Any], text: str
) -> None:
    model = gj.from_bytes(written({**GOOD, **changes}))
    model.predict(X)
    for _ in range(2):
        with pytest.raises((CaptureError, FormatError), match=text):
            model.fit(X, Y)
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)


def test_loading_imports_nothing_that_trains(tmp_path: Path) -> None:
    model = net()
    model.compile("adam", "mse")
    model.save(tmp_path / "m.gjit")
    code = (
        "import sys, graphjit as gj\n"
        f"gj.load({str(tmp_path / 'm.gjit')!r})\n"
        "assert 'optax' not in sys.modules and 'rich' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
