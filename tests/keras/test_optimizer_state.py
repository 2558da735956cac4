"""Training goes on where it ended in Keras: one more step in both, equal weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import graphjit as gj
from tests.keras.test_keras1_files import arr, close
from tests.keras.test_meaning_by_version import write

keras = pytest.importorskip("keras")

OPTIMIZERS = {
    "adam": lambda o: o.Adam(0.02, amsgrad=True),
    "adamax": lambda o: o.Adamax(0.02),
    "nadam": lambda o: o.Nadam(0.02),
    "sgd": lambda o: o.SGD(0.05, momentum=0.8, nesterov=True),
    "rmsprop": lambda o: o.RMSprop(0.02, momentum=0.5, centered=True),
    "adagrad": lambda o: o.Adagrad(0.1),
    "adadelta": lambda o: o.Adadelta(0.5),
}
#: What Keras says of its own code and files.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)
X, Y = arr(16, 3), arr(16, 1)


def network() -> Any:
    """Weights that are trained and that are not, in a layer and in a nested model."""
    k = keras.layers
    start = keras.Input((3,))
    inner = keras.Sequential(
        [keras.Input((3,)), k.BatchNormalization(), k.Dense(2, activation="tanh")]
    )
    y = k.Dense(3, trainable=False)(inner(start))
    return keras.Model(start, k.Dense(1)(y))


@pytest.fixture(scope="module")
def theirs() -> Any:
    return network()


@pytest.mark.parametrize(
    ("name", "ending"),
    [(name, ("keras", "h5")[at % 2]) for at, name in enumerate(OPTIMIZERS)],
)
def test_one_more_step(name: str, ending: str, theirs: Any, tmp_path: Path) -> None:
    theirs.compile(optimizer=OPTIMIZERS[name](keras.optimizers), loss="mse")
    for at in range(3):
        theirs.train_on_batch(X[4 * at : 4 * at + 4], Y[4 * at : 4 * at + 4])
    theirs.save(tmp_path / f"m.{ending}")
    ours = gj.keras.load_model(tmp_path / f"m.{ending}")
    assert ours.provenance is not None
    assert not [note for note in ours.provenance.notes if "anew" in note]
    before = ours.get_weights()
    theirs.train_on_batch(X[12:], Y[12:])
    ours.train_on_batch(X[12:], Y[12:])
    moved = [
        np.abs(a - b).max() for a, b in zip(before, ours.get_weights(), strict=True)
    ]
    assert max(moved) > 1e-4
    for found, wanted in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-6)


# --- files of Keras 1 and 2 -------------------------------------------------------


def with_state(path: Path, arrays: list[Any], names: list[str]) -> Path:
    with h5py.File(path, "a") as file:
        group = file.create_group("optimizer_weights")
        group.attrs["weight_names"] = [name.encode() for name in names]
        for name, array in zip(names, arrays, strict=True):
            group[name] = array
    return path


def compiled(name: str, **config: Any) -> dict[str, Any]:
    return {
        "optimizer_config": {"class_name": name, "config": config},
        "loss": "mean_squared_error",
        "metrics": [],
    }


@pytest.mark.parametrize(
    ("version", "names"),
    [
        ("2.2.4", ["Adam/iterations:0", *(f"training/V_{n}:0" for n in range(6))]),
        ("2.9.0", ["Adam/iter:0", "Adam/a/m:0", "Adam/b/m:0", "Adam/a/v", "Adam/b/v"]),
        ("2.12.0", ["iteration:0", "Adam/m/a", "Adam/v/a", "Adam/m/b", "Adam/v/b"]),
    ],
)
def test_the_order_of_adams_state(
    version: str, names: list[str], tmp_path: Path
) -> None:
    """All means and then all squares; weight by weight from tf.keras 2.11 on."""
    w, b = arr(2, 1), arr(1)
    m, v = [arr(2, 1), arr(1)], [arr(2, 1) ** 2, arr(1) ** 2]
    settings = {"units": 1, "batch_input_shape": [None, 2]}
    training = compiled("Adam", lr=0.1, beta_1=0.8, beta_2=0.9, epsilon=1e-7)
    path = write(
        tmp_path / "m.h5", [("Dense", settings, [w, b])], version, training=training
    )
    order = [m[0], v[0], m[1], v[1]] if version == "2.12.0" else [*m, *v]
    if version == "2.2.4":  # squares of amsgrad's, of which there are none
        order += [np.zeros(1, np.float32)] * 2
    model = gj.keras.load_model(with_state(path, [np.int64(4), *order], names))
    x, y = np.array([[1.0, -2.0]], np.float32), np.array([[0.5]], np.float32)
    slope = 2 * (x @ w + b - y)
    grads = [x.T @ slope, slope[0]]
    correction = np.sqrt(1 - 0.9**5) / (1 - 0.8**5)
    wanted = []
    for weight, g, mean, square in zip((w, b), grads, m, v, strict=True):
        mean, square = 0.8 * mean + 0.2 * g, 0.9 * square + 0.1 * g**2
        wanted.append(weight - 0.1 * correction * mean / (np.sqrt(square) + 1e-7))
    model.train_on_batch(x, y)
    for found, expected in zip(model.get_weights(), wanted, strict=True):
        close(found, expected)


def test_state_is_laid_out_as_the_weights_are(tmp_path: Path) -> None:
    """Theano's kernels are turned round, and so is what is kept for them."""
    kernel, speed = arr(3, 2, 4), arr(3, 2, 4)
    settings = {
        "filters": 4,
        "kernel_size": [3],
        "use_bias": False,
        "batch_input_shape": [None, 3, 2],
    }
    training = compiled("SGD", lr=0.1, momentum=0.5, decay=0.0, nesterov=False)
    path = write(
        tmp_path / "m.h5",
        [("Conv1D", settings, [kernel])],
        backend="theano",
        training=training,
    )
    model = gj.keras.load_model(with_state(path, [np.float32(1), speed], ["a", "b"]))
    x = np.zeros((1, 3, 2), np.float32)
    model.train_on_batch(x, np.zeros((1, 1, 4), np.float32))
    close(model.get_weights()[0], (kernel + 0.5 * speed)[::-1])


def test_what_does_not_map_is_said(tmp_path: Path) -> None:
    w = arr(2, 1)
    settings = {"units": 1, "use_bias": False, "batch_input_shape": [None, 2]}
    cases: list[tuple[dict[str, Any], list[Any], str]] = [
        (compiled("SGD", lr=0.1), [], "no state of the optimizer: it begins anew"),
        (compiled("Nadam", lr=0.1), [w, w], "Nadam had another schedule of momentum"),
        (compiled("Adam", lr=0.1), [w], "its state has 1 arrays, 2 were expected"),
        (compiled("Adam", lr=0.1), [w.T, w.T], "its state does not fit 'kernel'"),
        (
            compiled("SGD", lr=0.1, momentum=0.9, decay=0.1),
            [w],
            "momentum at a rate that changes",
        ),
    ]
    for at, (training, arrays, text) in enumerate(cases):
        layers = [("Dense", settings, [w])]
        path = write(tmp_path / f"{at}.h5", layers, training=training)
        if arrays:
            names = [f"p{n}" for n in range(len(arrays))]
            with_state(path, arrays, names)
        model = gj.keras.load_model(path)
        assert text in str(model.provenance), json.dumps(training)
        model.train_on_batch(np.ones((1, 2)), np.ones((1, 1)))
