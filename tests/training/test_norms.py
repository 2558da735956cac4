"""Batch norm in training: shared, frozen in each mode, and on a partial batch.

Everything runs in float64 against a NumPy statement with numeric gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphjit as gj
from graphjit.passes.mask_rows import can_mask_rows
from tests.training.statement import (
    EPSILON,
    MOMENTUM,
    Array,
    Arrays,
    dense,
    normal,
    normed,
    sgd,
)

RATE = 0.1


@pytest.fixture(autouse=True)
def _in_float64() -> None:
    gj.config.set_floatx("float64")


def norm(frozen: str = "infer") -> gj.layers.BatchNormalization:
    return gj.layers.BatchNormalization(
        momentum=MOMENTUM, epsilon=EPSILON, name="norm", frozen=frozen
    )


def small_net(frozen: str = "infer") -> gj.Model:
    """x -> tanh dense -> norm -> dense."""
    x = gj.Input((3,))
    h = gj.layers.Dense(4, activation="tanh", name="first")(x)
    y = gj.layers.Dense(2, name="last")(norm(frozen)(h))
    return gj.Model(x, y)


def started(model: gj.Model) -> Arrays:
    """Values that hide nothing, put into the model."""
    values: Arrays = {}
    for seed, param in enumerate(model.graph.params):
        shape = tuple(int(d) for d in param.type.shape if isinstance(d, int))
        value = normal(*shape, seed=seed)
        values[param.name] = abs(value) + 0.5 if "variance" in param.name else value
    model.write(values)
    return {name: value.copy() for name, value in values.items()}


def of_model(model: gj.Model) -> Arrays:
    return {name: np.asarray(cell.array) for name, cell in model.cells.items()}


def trained(model: gj.Model) -> list[str]:
    return [p.name for p in model.graph.params if not p.is_state]


def assert_same(found: Arrays, wanted: Arrays, error: float = 1e-8) -> None:
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(
            found[name], value, rtol=error, atol=error, err_msg=name
        )


def small_loss(
    x: Array, y: Array, statistics: str = "batch"
) -> Callable[[Arrays], Any]:
    def loss(w: Arrays) -> Any:
        h = np.tanh(dense(x, w, "first"))
        out = dense(normed(h, w, "norm", statistics), w, "last")
        return ((out - y) ** 2).mean()

    return loss


def test_a_step_of_sgd() -> None:
    model, x, y = small_net(), normal(6, 3), normal(6, 2, seed=1)
    w = started(model)
    model.compile(gj.optimizers.SGD(RATE), "mse")
    loss = model.train_on_batch(x, y)
    assert loss == pytest.approx(small_loss(x, y)(dict(w)), rel=1e-12)
    assert_same(of_model(model), sgd(small_loss(x, y), w, trained(model), RATE))


def test_a_shared_norm_sees_what_its_first_call_left() -> None:
    x = gj.Input((3,))
    shared = norm()
    first = gj.layers.Dense(4, activation="tanh", name="first")
    a = shared(first(x))
    b = shared(gj.layers.Dense(4, name="second")(a))
    model = gj.Model(x, gj.layers.Dense(2, name="last")(gj.layers.Add()([a, b])))
    data, target = normal(6, 3), normal(6, 2, seed=1)
    w = started(model)

    def loss(w: Arrays) -> Any:
        a = normed(np.tanh(dense(data, w, "first")), w, "norm")
        b = normed(dense(a, w, "second"), w, "norm")
        return ((dense(a + b, w, "last") - target) ** 2).mean()

    model.compile(gj.optimizers.SGD(RATE), "mse")
    model.train_on_batch(data, target)
    assert_same(of_model(model), sgd(loss, w, trained(model), RATE))


@pytest.mark.parametrize(
    ("frozen", "statistics"),
    [("infer", "infer"), ("keep", "keep"), ("update", "batch")],
)
@pytest.mark.parametrize("rows", [6, 5])
def test_a_frozen_norm_does_what_its_origin_did(
    frozen: str, statistics: str, rows: int
) -> None:
    model, x, y = small_net(frozen), normal(rows, 3), normal(rows, 2, seed=1)
    w = started(model)
    model.get_layer("norm").trainable = False
    model.compile(gj.optimizers.SGD(RATE), "mse")
    # Of 5 rows in batches of 3 the second is partial, and padded.
    model.fit(x, y, batch_size=3, shuffle=False, verbose=0)
    free = [name for name in trained(model) if not name.startswith("norm/")]
    for start in range(0, rows, 3):
        part = slice(start, start + 3)
        w = sgd(small_loss(x[part], y[part], statistics), w, free, RATE)
    assert_same(of_model(model), w)


def mean_square(y_true: Any, y_pred: Any) -> Any:
    """The users' own loss: nothing is ever padded for it."""
    return ((y_pred - y_true) ** 2).mean(-1)


@pytest.mark.parametrize("loss", ["mse", mean_square])
def test_a_partial_batch_is_exact(loss: Any) -> None:
    model, x, y = small_net(), normal(8, 3), normal(8, 2, seed=1)
    w = started(model)
    assert can_mask_rows(model.training_graph()) is None
    model.compile(gj.optimizers.SGD(RATE), loss, metrics=["mae"])
    history = model.fit(x, y, batch_size=3, shuffle=False, verbose=0).history
    total = 0.0
    for rows in (slice(0, 3), slice(3, 6), slice(6, 8)):
        statement = small_loss(x[rows], y[rows])
        total += float(statement(dict(w))) * len(x[rows])
        w = sgd(statement, w, trained(model), RATE)
    assert_same(of_model(model), w)
    assert history["loss"] == [pytest.approx(total / 8, rel=1e-9)]
    wanted = {"masked"} if loss == "mse" else {"plain"}
    assert set(model._trainer._programs) == wanted


def test_a_convolutional_norm_on_a_partial_batch() -> None:
    image = gj.Input((4, 5, 2))
    h = gj.layers.Conv2D(3, 2, padding="same", name="conv")(image)
    h = gj.layers.ReLU()(norm()(h))
    h = gj.layers.GlobalAveragePooling2D()(h)
    model = gj.Model(image, gj.layers.Dense(2, name="last")(h))
    started(model)
    x, y = normal(5, 4, 5, 2), normal(5, 2, seed=1)
    # The same two steps, the second one on exactly the rows that are left.
    model.compile(gj.optimizers.SGD(RATE), "mse")
    before = model.variables
    model.train_on_batch(x[:3], y[:3])
    model.train_on_batch(x[3:], y[3:])
    wanted = of_model(model)
    model.variables = before
    model.compile(gj.optimizers.SGD(RATE), "mse")
    model.fit(x, y, batch_size=3, shuffle=False, verbose=0)
    assert_same(of_model(model), wanted, 1e-11)
