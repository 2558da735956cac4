"""Several steps per dispatch: the same numbers, however steps are grouped."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import graphjit as gj
from benchmarks.batch_stream import Compilations
from graphjit.callbacks import LambdaCallback
from graphjit.training import programs
from graphjit.training.step import make_train_step
from tests.training.statement import normal

L = gj.layers


def net(dtype: str = "float32") -> gj.Model:
    x = gj.Input((5,), dtype=dtype)
    h = L.Dense(8, activation="relu", dtype=dtype)(x)
    h = L.Dropout(0.3, dtype=dtype)(L.BatchNormalization(dtype=dtype)(h))
    model = gj.Model(x, L.Dense(3, activation="softmax", dtype=dtype)(h))
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def data(rows: int) -> tuple[Any, Any]:
    x = normal(rows, 5).astype(np.float32)
    return x, x[:, :3].argmax(-1)


def dispatches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many steps every dispatch of a loop does."""
    counts: list[int] = []
    plain = programs.StepProgram.several

    def several(self: Any, run: Any, stack: Any, count: int) -> None:
        counts.append(count)
        plain(self, run, stack, count)

    monkeypatch.setattr(programs.StepProgram, "several", several)
    return counts


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [64 * 4, 64 * 4 + 3])
def test_grouped_steps_give_the_same_numbers(
    rows: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = dispatches(monkeypatch)
    x, y = data(rows)
    grouped, watched = net(dtype), net(dtype)
    watched.variables = grouped.variables
    seen: list[int] = []
    watch = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    given = {"batch_size": 4, "epochs": 2, "verbose": 0}
    one = grouped.fit(x, y, **given).history
    batches = -(-rows // 4)
    assert sum(counts) == 2 * batches
    assert max(counts) == 32
    other = watched.fit(x, y, callbacks=watch, **given).history
    assert seen == [*range(batches)] * 2
    assert counts[-batches:] == [1] * batches
    assert one == other
    for a, b in zip(grouped.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_grouped_steps_are_the_plain_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = data(60)
    models = [net(), net()]
    models[1].variables = models[0].variables
    weight = np.linspace(0.5, 2, 60)
    logs = []
    for model in models:
        history = model.fit(x, y, 7, 3, sample_weight=weight, verbose=0).history
        logs.append(history)
        monkeypatch.setattr(programs, "_MOST_STEPS", 1)
    for name, values in logs[0].items():
        np.testing.assert_allclose(logs[1][name], values, rtol=1e-5)
    for a, b in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_last_batch_that_no_mask_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss of the user's: the last batch keeps its size and goes by itself."""
    counts = dispatches(monkeypatch)
    x = gj.Input((5,))
    model = gj.Model(x, L.Dense(1)(x))

    def mean_square(y: Any, p: Any) -> Any:
        return ((y - p) ** 2).mean(-1)

    model.compile("sgd", mean_square)
    model.fit(normal(23, 5), normal(23, 1), 4, verbose=0)
    assert sum(counts) == 5


def test_one_program_for_all_groups() -> None:
    x, y = data(40)
    model = net()
    model.fit(x, y, 4, verbose=0)
    watch = LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    with Compilations() as compiled:
        model.fit(x, y, 4, epochs=2, verbose=0)
        model.fit(x[:36], y[:36], 4, epochs=2, verbose=0, callbacks=watch)
    assert compiled.count == 0


def can_loop(model: gj.Model, optimizer: Any) -> bool:
    step = make_train_step(model.graph, optimizer, "mse")
    program = programs.StepProgram(step)
    run = program.open(step.init(model.init(0)), step.objective.zeros())
    x, y = np.zeros((2, 4, 1, 6, 6), np.float32), np.zeros((2, 4, 1), np.float32)
    return program.can_loop(run, programs.Batch((x,), (y,), (None,)))


def image_net(convolved: bool = False) -> gj.Model:
    """XLA's own convolution, whatever kernels graphjit has for its layers."""

    def blur(t: Any) -> Any:
        return jax.lax.conv(t, np.ones((1, 1, 3, 3), np.float32), (1, 1), "SAME")

    x = h = gj.Input((1, 6, 6))
    if convolved:
        h = L.Lambda(blur, output_shape=(1, 6, 6))(x)
    return gj.Model(x, L.Dense(1)(L.Flatten()(h)))


def test_convolutions_stay_out_of_loops() -> None:
    assert can_loop(image_net(), "sgd")
    assert not can_loop(image_net(convolved=True), "sgd")


def test_a_state_whose_types_change_is_not_looped() -> None:
    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return updates, state.astype(np.float32) + 1

    drifting = optax.GradientTransformation(lambda _: jnp.int32(0), update)
    assert not can_loop(image_net(), optax.chain(optax.sgd(0.1), drifting))


def test_long_steps_go_one_by_one() -> None:
    x = gj.Input((2000,))
    graph = gj.Model(x, L.Dense(4000)(x)).graph
    batch = programs.Batch((np.zeros((512, 2000), np.float32),), (None,), (None,))
    assert programs.steps_per_dispatch(graph, batch) == 1
    sequence = gj.Input((None, 3))
    lstm = gj.Model(sequence, L.LSTM(64)(sequence)).graph
    steps = [
        programs.steps_per_dispatch(
            lstm,
            programs.Batch((np.zeros((8, t, 3), np.float32),), (None,), (None,)),
        )
        for t in (5, 5000)
    ]
    assert steps[0] > steps[1] == 1


def test_off_the_cpu_steps_go_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "current_platform", lambda: "gpu")
    batch = programs.Batch((np.zeros((4, 5), np.float32),), (None,), (None,))
    assert programs.steps_per_dispatch(net().graph, batch) == 1


def test_evaluating_batches_of_every_size_needs_few_programs() -> None:
    model = net()
    x, y = data(300)
    model.test_on_batch(x[:1], y[:1])
    with Compilations() as compiled:
        for rows in range(1, 300, 13):
            loss, accuracy = model.test_on_batch(x[:rows], y[:rows])
            p = model.predict(x[:rows])
            wanted = -np.log(p[np.arange(rows), y[:rows]]).mean()
            assert loss == pytest.approx(wanted, rel=1e-4)
            assert accuracy == pytest.approx((p.argmax(-1) == y[:rows]).mean())
    # Nine sizes, two programs each: the net and its score.
    assert compiled.count <= 20
