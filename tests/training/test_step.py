"""The pure step: gradients, penalties, constraints, and what a JAX user sees."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import graphjit as gj
from graphjit.builder import Builder
from graphjit.errors import CaptureError, DataError
from graphjit.lower import lower, x64_scope
from graphjit.ops.elementwise import Subtract
from graphjit.ops.reduce import ReduceSum
from graphjit.training.state import Batch
from graphjit.training.step import TrainStep, make_train_step
from graphjit.types import BATCH, TensorType
from tests.training.statement import Arrays, dense, normal, sgd

L = gj.layers


def close(found: Any, wanted: Any, error: float = 1e-9) -> None:
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=error, atol=error)


def by_name(model: gj.Model) -> Arrays:
    return {name: np.asarray(cell.array) for name, cell in model.cells.items()}


def test_gradients_of_a_conv_net_are_the_numeric_ones() -> None:
    gj.config.set_floatx("float64")
    image = gj.Input((6, 5, 2))
    h = L.Conv2D(3, 3, strides=2, padding="same", activation="tanh")(image)
    h = L.BatchNormalization()(h)
    h = L.DepthwiseConv2D(2)(h)
    h = L.Add()([h, L.ReLU(max_value=6)(h)])
    h = L.MaxPooling2D((1, 2), strides=1, padding="same")(h)
    h = L.Dropout(0.0)(L.Flatten()(h))
    model = gj.Model(
        image, L.Dense(3, activation="softmax", kernel_regularizer="l2")(h)
    )
    params = model.graph.params
    model.write(
        {
            p.name: normal(*p.type.shape, seed=at) * 0.4 + 0.1
            for at, p in enumerate(params)
        }
    )
    x, labels = normal(5, 6, 5, 2), np.array([0, 2, 1, 1, 0])
    step = make_train_step(
        model.training_graph(), optax.sgd(1.0), "sparse_categorical_crossentropy"
    )
    plain = lower(model.graph)
    with x64_scope(model.graph):
        start = step.init(model.variables)
        new, sums = jax.jit(step)(start, Batch((x,), (labels,), (None,)))

        def loss_of(w: Any, state: Any) -> Any:
            out = plain(w, state, x).outputs
            penalty = 0.01 * (w["dense"]["kernel"] ** 2).sum()
            return -jnp.log(out[jnp.arange(5), labels]).mean() + penalty

        loss = jax.jit(loss_of)
        tree, state = model.variables["params"], model.variables["state"]
        assert step.read(sums)["loss"] == pytest.approx(float(loss(tree, state)))
        for name, value in start.params.items():
            layer, slot = name.split("/")
            slope = np.asarray(value - new.params[name])
            for at in np.ndindex(*value.shape):
                sides = []
                for sign in (1, -1):
                    moved = np.array(value)
                    moved[at] += sign * 1e-6
                    changed = {**tree, layer: {**tree[layer], slot: moved}}
                    sides.append(float(loss(changed, state)))
                numeric = (sides[0] - sides[1]) / 2e-6
                assert slope[at] == pytest.approx(numeric, rel=2e-6, abs=1e-8), name


def penalized(constraint: Any = None, activity: Any = "l2") -> gj.Model:
    x = gj.Input((3,))
    h = L.Dense(
        4,
        name="first",
        kernel_regularizer=gj.regularizers.L1L2(0.02, 0.03),
        bias_regularizer="l1",
        activity_regularizer=activity,
    )(x)
    return gj.Model(x, L.Dense(2, name="last", kernel_constraint=constraint)(h))


def penalized_loss(x: Any, y: Any) -> Any:
    def loss(w: Arrays) -> Any:
        h = dense(x, w, "first")
        kernel, bias = w["first/kernel"], w["first/bias"]
        total = ((dense(h, w, "last") - y) ** 2).mean()
        total += 0.02 * abs(kernel).sum() + 0.03 * (kernel**2).sum()
        return total + 0.01 * abs(bias).sum() + 0.01 * (h**2).sum()

    return loss


@pytest.mark.parametrize("frozen", [False, True])
def test_penalties_and_constraints_in_one_step(frozen: bool) -> None:
    gj.config.set_floatx("float64")
    model = penalized(gj.constraints.MaxNorm(0.7))
    x, y = normal(6, 3), normal(6, 2, seed=1)
    w = {n: normal(*a.shape, seed=at) for at, (n, a) in enumerate(_start(model))}
    model.write(w)
    names = list(w)
    statement = penalized_loss(x, y)
    if frozen:
        # Nothing of a frozen layer is learnt, nor are its weights' penalties counted.
        model.get_layer("first").trainable = False
        names = ["last/kernel", "last/bias"]
        kernel, bias = w["first/kernel"], w["first/bias"]
        weights = 0.02 * abs(kernel).sum() + 0.03 * (kernel**2).sum()
        weights += 0.01 * abs(bias).sum()
    else:
        weights = 0.0
    model.compile(gj.optimizers.SGD(0.1), "mse")
    assert model.evaluate(x, y, verbose=0) == pytest.approx(statement(w) - weights)
    assert model.train_on_batch(x, y) == pytest.approx(statement(w) - weights)
    wanted = sgd(statement, w, names, 0.1)
    kernel = wanted["last/kernel"]
    length = np.sqrt((kernel**2).sum(0))
    wanted["last/kernel"] = kernel * np.clip(length, 0, 0.7) / (length + 1e-7)
    assert (length > 0.7).any()
    for name, value in by_name(model).items():
        close(value, wanted[name], 1e-7)


def _start(model: gj.Model) -> Any:
    _ = model.variables
    return by_name(model).items()


def test_an_activity_penalty_on_a_partial_batch() -> None:
    gj.config.set_floatx("float64")
    model = penalized()
    x, y = normal(5, 3), normal(5, 2, seed=1)
    w = {n: normal(*a.shape, seed=at) for at, (n, a) in enumerate(_start(model))}
    model.write(w)
    model.compile(gj.optimizers.SGD(0.01), "mse")
    parts = slice(0, 3), slice(3, 5)
    whole = [(penalized_loss(x[p], y[p])(w), len(x[p])) for p in parts]
    wanted = sum(loss * rows for loss, rows in whole) / 5
    assert model.evaluate(x, y, batch_size=3, verbose=0) == pytest.approx(wanted)
    model.fit(x, y, batch_size=3, shuffle=False, verbose=0)
    for part in parts:
        w = sgd(penalized_loss(x[part], y[part]), w, list(w), 0.01)
    for name, value in by_name(model).items():
        close(value, w[name], 1e-7)


# --- as a JAX user uses it --------------------------------------------------------


def classifier() -> gj.Model:
    x = gj.Input((4,))
    h = L.BatchNormalization(name="norm")(L.Dense(8, activation="relu")(x))
    return gj.Model(x, L.Dense(3, activation="softmax")(h))


def batch(rows: int = 6) -> Batch:
    x = normal(rows, 4).astype(np.float32)
    return Batch((x,), (np.arange(rows, dtype=np.int32) % 3,), (None,))


def of_classifier(model: gj.Model, **settings: Any) -> TrainStep:
    return make_train_step(
        model.graph, "sgd", "sparse_categorical_crossentropy", ["accuracy"], **settings
    )


def test_the_step_is_pure() -> None:
    model = classifier()
    step = of_classifier(model)
    variables = model.init(0)
    state = step.init(variables)
    run = jax.jit(step)
    new, sums = run(state, batch())
    same = jax.tree.leaves(run(state, batch()))
    for a, b in zip(jax.tree.leaves((new, sums)), same, strict=True):
        np.testing.assert_array_equal(a, b)
    again = jax.tree.leaves(step.init(variables))
    for a, b in zip(jax.tree.leaves(state), again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert int(new.step) == 1
    assert sums.shape == (step.objective.size,)
    assert set(step.read(sums)) == {"loss", "accuracy"}
    assert jax.tree.structure(step.variables(new)) == jax.tree.structure(variables)


def test_the_step_can_be_scanned() -> None:
    model = classifier()
    step = of_classifier(model)
    state = step.init(model.init(0))
    many: Any = jax.tree.map(lambda a: np.stack([a, a[::-1]]), batch())
    scanned, sums = jax.jit(lambda s, b: jax.lax.scan(step, s, b))(state, many)
    run = jax.jit(step)
    for at in range(2):
        one = jax.tree.map(lambda a, at=at: a[at], many)
        state, _ = run(state, one)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(scanned), strict=True):
        close(a, b, 2e-5)
    assert sums.shape == (2, step.objective.size)


def test_a_masked_step_ignores_padding_whatever_it_holds() -> None:
    model = classifier()
    plain = of_classifier(model)
    step, masked = jax.jit(plain), jax.jit(plain.masked())
    state = plain.init(model.init(0))
    small, whole = batch(4), batch(6)
    whole.inputs[0][4:] = 1e3
    whole.inputs[0][:4] = small.inputs[0]
    mask = np.arange(6) < 4
    wanted = step(state, small)
    found = masked(state, whole._replace(row_mask=mask))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        close(a, b, 2e-5)


def test_what_cannot_be_padded_says_so() -> None:
    x = gj.Input((4,))
    y = L.Activation(lambda h: h / jnp.max(h))(L.Dense(3)(x))
    step = make_train_step(gj.Model(x, y).graph, "sgd", "mse")
    text = "a batch cannot be padded: 'activation/function': it mixes rows and takes"
    with pytest.raises(DataError, match=text):
        step.masked()
    step = make_train_step(classifier().graph, "sgd", lambda y, p: p[:, 0])
    text = "a batch cannot be padded: a loss or metric may mix rows"
    with pytest.raises(DataError, match=text):
        step.masked()


def test_rows_that_are_not_the_batchs_cannot_be_masked() -> None:
    builder = Builder("whole")
    x = builder.input("x", TensorType((BATCH, 3), "float32"))
    total = builder(ReduceSum((0,), keepdims=True), x, name="total")
    builder.output("y", builder(Subtract(), x, total))
    step = make_train_step(builder.build(), "sgd", "mse")
    with pytest.raises(DataError, match="a batch cannot be padded: 'total': it mixes"):
        step.masked()


def test_dropout_draws_anew_at_every_step() -> None:
    x = gj.Input((50,))
    model = gj.Model(x, L.Dropout(0.5)(L.Dense(50, use_bias=False)(x)))
    step = make_train_step(model.graph, optax.set_to_zero(), "mse")
    state = step.init(model.init(0), rng=3)
    data = Batch((np.ones((2, 50)),), (np.zeros((2, 50)),), (None,))
    run = jax.jit(step)
    state, first = run(state, data)
    state, second = run(state, data)
    assert step.read(first) != step.read(second)
    other = run(step.init(model.init(0), rng=4), data)[1]
    same = run(step.init(model.init(0), rng=3), data)[1]
    assert step.read(other) != step.read(first)
    assert step.read(same) == step.read(first)


def test_images_as_bytes_are_cast_on_the_device() -> None:
    model = classifier()
    step = of_classifier(model)
    state, run = step.init(model.init(0)), jax.jit(step)
    pixels = np.arange(24, dtype=np.uint8).reshape(6, 4)
    labels = (batch().targets[0],)
    as_bytes = run(state, Batch((pixels,), labels, (None,)))[1]
    as_floats = run(state, Batch((pixels.astype("float32"),), labels, (None,)))[1]
    assert step.read(as_bytes) == step.read(as_floats)


def test_any_optax_transformation() -> None:
    model = classifier()
    step = make_train_step(
        model.graph,
        optax.chain(optax.clip_by_global_norm(1.0), optax.lamb(1e-2)),
        gj.losses.SparseCategoricalCrossentropy(),
    )
    state = step.init(model.init(0))
    run = jax.jit(step, donate_argnums=0)
    values = []
    for _ in range(30):
        state, sums = run(state, batch())
        values.append(step.read(sums)["loss"])
    assert values[-1] < values[0] / 2


def test_refusals() -> None:
    with pytest.raises(
        CaptureError, match="loss: expected a known name, received 'mz'"
    ):
        make_train_step(classifier().graph, "sgd", "mz")
    with pytest.raises(CaptureError, match="optimizer: expected a known name"):
        make_train_step(classifier().graph, "sdg", "mse")
