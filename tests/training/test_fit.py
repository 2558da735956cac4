"""fit, evaluate and their kin: as a Keras user expects, and safe against all that."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import graphjit as gj
from graphjit.callbacks import LambdaCallback
from graphjit.errors import CaptureError, DataError
from tests.training.statement import normal

L = gj.layers


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


def classifier(dropout: float | None = None) -> gj.Model:
    """A softmax of one layer; with a rate, of two with a norm and dropout between."""
    x = h = gj.Input((5,), name="x")
    if dropout is not None:
        h = L.BatchNormalization(name="norm")(L.Dense(8, name="h")(x))
        h = L.Dropout(dropout)(h)
    return gj.Model(x, L.Dense(3, activation="softmax", name="y")(h))


def labelled(rows: int = 20) -> tuple[Any, Any]:
    x = normal(rows, 5).astype(np.float32)
    return x, x[:, :3].argmax(-1)


def compiled(dropout: float | None = None) -> gj.Model:
    model = classifier(dropout)
    optimizer = "sgd" if dropout is None else "adam"
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model


def weights(model: gj.Model) -> list[Any]:
    return model.get_weights()


def assert_equal(found: list[Any], wanted: list[Any]) -> None:
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


# --- what it is for ---------------------------------------------------------------


def test_digits() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    digits = datasets.load_digits()
    x, y = (digits.data / 16).astype(np.float32), digits.target
    image = gj.Input((64,))
    h = L.Dense(64, activation="relu")(image)
    h = L.BatchNormalization()(h)
    h = L.Dropout(0.2)(h)
    model = gj.Model(image, L.Dense(10, activation="softmax")(h))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x[:1400], y[:1400], epochs=10, verbose=0, seed=0).history
    assert history["accuracy"][-1] > 0.95
    loss, accuracy = model.evaluate(x[1400:], y[1400:], verbose=0)
    assert accuracy > 0.9
    p = model.predict(x[1400:])
    assert accuracy == pytest.approx((p.argmax(-1) == y[1400:]).mean())
    chosen = p[np.arange(len(p)), y[1400:]]
    assert loss == pytest.approx(-np.log(np.clip(chosen, 1e-7, 1)).mean(), rel=1e-4)


# --- numbers ----------------------------------------------------------------------


# Keras 3.15 asks NumPy 2 for arrays in the way of NumPy 1.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_keras_gives_the_same_numbers() -> None:
    keras = pytest.importorskip("keras")

    def net(layers: Any, make_input: Any, make: Any) -> Any:
        x = make_input((6, 6, 2))
        h = layers.Conv2D(5, 3, activation="relu", kernel_regularizer="l2")(x)
        h = layers.MaxPooling2D()(layers.BatchNormalization()(h))
        h = layers.Dense(4, activation="softmax")(layers.Flatten()(h))
        return make(x, h)

    theirs = net(keras.layers, keras.Input, keras.Model)
    ours = net(L, gj.Input, gj.Model)
    ours.set_weights(theirs.get_weights())
    x, weight = normal(11, 6, 6, 2), np.random.default_rng(0).random(11) + 0.1
    data = (x.astype(np.float32), np.arange(11) % 4)
    # Three batches of 4, 4 and 3 rows: neither pads in a way that shows.
    given = {"batch_size": 4, "shuffle": False, "verbose": 0, "sample_weight": weight}
    logs = []
    for model in (theirs, ours):
        model.compile(
            "adam",
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
            weighted_metrics=["sparse_categorical_crossentropy"],
        )
        history = model.fit(*data, epochs=2, **given).history
        scores = model.evaluate(
            *data, sample_weight=weight, verbose=0, return_dict=True
        )
        logs.append({**history, **{f"final_{n}": v for n, v in scores.items()}})
    assert set(logs[0]) == set(logs[1])
    for name, values in logs[0].items():
        np.testing.assert_allclose(logs[1][name], values, rtol=1e-5, err_msg=name)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 20, 64])
def test_evaluate_is_the_same_for_every_batch_size(batch_size: int) -> None:
    model = compiled()
    x, y = labelled()
    weight = np.random.default_rng(0).random(20)
    model.compile(
        "adam",
        "sparse_categorical_crossentropy",
        ["accuracy"],
        weighted_metrics=["accuracy"],
    )
    p = model.predict(x)
    values = -np.log(p[np.arange(20), y])
    hits = p.argmax(-1) == y
    found = model.evaluate(
        x, y, batch_size, verbose=0, sample_weight=weight, return_dict=True
    )
    assert found == {
        "loss": pytest.approx((values * weight).mean(), rel=1e-5),
        "accuracy": pytest.approx(hits.mean()),
        "weighted_accuracy": pytest.approx((hits * weight).sum() / weight.sum()),
    }


def test_what_evaluate_returns() -> None:
    model = classifier()
    x, y = labelled()
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert isinstance(model.evaluate(x, y, verbose=0), float)
    assert isinstance(model.test_on_batch(x, y), float)
    assert isinstance(model.train_on_batch(x, y), float)
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
    found = model.evaluate(x, y, verbose=0)
    assert found == pytest.approx(model.test_on_batch(x, y))
    named = model.test_on_batch(x, y, return_dict=True)
    assert list(named) == ["loss", "accuracy"]
    assert list(named.values()) == found
    trained = model.train_on_batch(x, y, return_dict=True)
    assert list(trained) == ["loss", "accuracy"]
    assert isinstance(model.predict_on_batch(x), np.ndarray)
    np.testing.assert_array_equal(model.predict_on_batch(x), model.predict(x, 20))


def test_train_on_batch_is_one_step_of_fit() -> None:
    x, y = labelled()
    one, other = compiled(), compiled()
    other.variables = one.variables
    for _ in range(3):
        one.train_on_batch(x, y)
    other.fit(x, y, batch_size=20, epochs=3, shuffle=False, verbose=0)
    for a, b in zip(weights(one), weights(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_the_optimizer_goes_on_where_it_was() -> None:
    x, y = labelled()
    whole, parts = compiled(dropout=0.0), compiled(dropout=0.0)
    parts.variables = whole.variables
    whole.fit(x, y, epochs=4, verbose=0, seed=5)
    parts.fit(x, y, epochs=2, verbose=0, seed=5)
    parts.fit(x, y, initial_epoch=2, epochs=4, verbose=0, seed=5)
    assert_equal(weights(parts), weights(whole))


def test_validation() -> None:
    model = compiled()
    x, y = labelled()
    split = model.fit(x, y, epochs=2, validation_split=0.25, verbose=0)
    assert split.history["val_loss"][-1] == pytest.approx(
        model.evaluate(x[15:], y[15:], verbose=0)[0]
    )
    weight = np.arange(5.0)
    given = model.fit(
        x[:15], y[:15], validation_data=(x[15:], y[15:], weight), verbose=0
    )
    wanted = model.evaluate(x[15:], y[15:], sample_weight=weight, verbose=0)
    assert given.history["val_loss"][-1] == pytest.approx(wanted[0])


def test_class_weights_count() -> None:
    x, y = labelled()
    one, other = compiled(), compiled()
    other.variables = one.variables
    of_class = {0: 1.0, 1: 5.0, 2: 0.1}
    one.fit(x, y, class_weight=of_class, verbose=0, seed=1)
    each = np.array([of_class[label] for label in y])
    other.fit(x, y, sample_weight=each, verbose=0, seed=1)
    assert_equal(weights(one), weights(other))


def test_several_inputs_and_outputs() -> None:
    a, b = gj.Input((3,), name="a"), gj.Input((2,), name="b")
    h = L.Concatenate()([a, b])
    first = L.Dense(1, name="first")(h)
    second = L.Dense(4, activation="softmax", name="second")(h)
    model = gj.Model([a, b], [first, second])
    model.compile(
        gj.optimizers.SGD(0.0),
        {"first": "mse", "second": "sparse_categorical_crossentropy"},
        metrics={"second": ["accuracy"]},
        loss_weights={"second": 0.5},
    )
    xs = [normal(7, 3), normal(7, 2, seed=1)]
    ys = [normal(7, seed=2), np.arange(7) % 4]
    found = model.evaluate(xs, ys, batch_size=3, verbose=0, return_dict=True)
    of_first, of_second = model.predict(xs)
    mse = ((of_first[:, 0] - ys[0]) ** 2).mean()
    crossentropy = -np.log(of_second[np.arange(7), ys[1]]).mean()
    wanted = {
        "loss": pytest.approx(mse + 0.5 * crossentropy, rel=1e-5),
        "first_loss": pytest.approx(mse, rel=1e-5),
        "second_loss": pytest.approx(crossentropy, rel=1e-5),
        "second_accuracy": pytest.approx((of_second.argmax(-1) == ys[1]).mean()),
    }
    assert found == wanted
    by_name = {"a": xs[0], "b": xs[1]}, {"first": ys[0], "second": ys[1]}
    assert model.test_on_batch(*by_name, return_dict=True) == wanted
    history = model.fit(*by_name, batch_size=3, verbose=0).history
    assert {name: values[0] for name, values in history.items()} == wanted
    weight = {"first": np.arange(7.0)}
    weighted = model.test_on_batch(xs, ys, sample_weight=weight, return_dict=True)
    squares = (of_first[:, 0] - ys[0]) ** 2
    assert weighted["first_loss"] == pytest.approx(
        (squares * np.arange(7)).sum() / 6, rel=1e-5
    )
    assert weighted["second_loss"] == wanted["second_loss"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_dtypes(dtype: str) -> None:
    gj.config.set_floatx(dtype)
    model = compiled(dropout=0.0)
    x, y = labelled(10)
    history = model.fit(jnp.asarray(x), jnp.asarray(y), batch_size=4, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert {array.dtype.name for array in model.arrays().values()} == {dtype}
    loss = model.evaluate(jnp.asarray(x), y, batch_size=4, verbose=0)[0]
    p = np.asarray(model.predict(jnp.asarray(x)), np.float64)
    assert loss == pytest.approx(-np.log(p[np.arange(10), y]).mean(), rel=0.02)


def test_a_fixed_batch() -> None:
    x = gj.Input(batch_shape=(4, 5))
    model = gj.Model(x, L.Dense(3)(x))
    model.compile("sgd", "mse")
    y = normal(8, 3)
    model.fit(normal(8, 5), y, verbose=0)
    with pytest.raises(
        DataError,
        match=exactly("batch_size: expected 4, the model's fixed batch, received 3"),
    ):
        model.fit(normal(8, 5), y, batch_size=3, verbose=0)
    text = "expected a multiple of the model's batch of 4 rows, received 6"
    with pytest.raises(DataError, match=exactly(text)):
        model.fit(normal(6, 5), y[:6], verbose=0)


# --- determinism ------------------------------------------------------------------


def test_the_same_seed_gives_the_same_numbers() -> None:
    x, y = labelled()
    runs = []
    for seed in (0, None):
        model = compiled(dropout=0.3)
        history = model.fit(x, y, epochs=2, batch_size=6, seed=seed, verbose=0).history
        runs.append((history, weights(model)))
    # Without a seed the first fit has seed 0.
    assert runs[0][0] == runs[1][0]
    assert_equal(runs[0][1], runs[1][1])


def test_successive_fits_shuffle_anew() -> None:
    x, y = labelled()
    model = compiled()
    start = model.variables
    first = model.fit(x, y, batch_size=6, verbose=0).history
    model.variables = start
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
    again = model.fit(x, y, batch_size=6, verbose=0).history
    model.variables = start
    second = model.fit(x, y, batch_size=6, verbose=0).history
    assert first == again
    assert first != second


# --- who holds which arrays -------------------------------------------------------


def test_arrays_a_user_holds_outlive_training() -> None:
    model = compiled(dropout=0.0)
    x, y = labelled()
    held: list[Any] = [model.variables]
    keep = LambdaCallback(on_epoch_end=lambda *_: held.append(model.variables))
    model.fit(x, y, epochs=3, verbose=0, callbacks=keep)
    model.train_on_batch(x, y)
    held.append(model.variables)
    copies = jax.tree.map(np.array, held)
    model.fit(x, y, verbose=0)
    model.train_on_batch(x, y)
    for before, after in zip(
        jax.tree.leaves(copies), jax.tree.leaves(held), strict=True
    ):
        np.testing.assert_array_equal(before, after)
    kernels = [tree["params"]["h"]["kernel"] for tree in held]
    assert len({np.asarray(k).tobytes() for k in kernels}) == len(kernels)


def test_the_users_data_is_never_changed() -> None:
    model = compiled()
    x, y = labelled()
    before = x.copy(), y.copy()
    model.fit(x, y, batch_size=6, verbose=0)
    assert_equal([x, y], list(before))


@pytest.mark.parametrize(("error", "epoch"), [(KeyboardInterrupt, 2), (ValueError, 0)])
def test_an_interrupted_fit_leaves_the_last_whole_epoch(
    error: type[BaseException], epoch: int
) -> None:
    x, y = labelled()
    model, twin = compiled(dropout=0.1 * epoch), compiled(dropout=0.1 * epoch)
    twin.variables = model.variables
    count = 0

    def interrupt(batch: int, logs: Any) -> None:
        nonlocal count
        count += 1
        if count == 4 * epoch + 3:
            raise error

    stop = LambdaCallback(on_train_batch_end=interrupt)
    with pytest.raises(error):
        model.fit(x, y, batch_size=6, epochs=4, callbacks=stop, verbose=0, seed=2)
    if epoch:
        twin.fit(x, y, batch_size=6, epochs=epoch, verbose=0, seed=2)
    assert_equal(weights(model), weights(twin))
    # And training can go on, the optimizer's state included.
    rest = {"initial_epoch": epoch, "epochs": 4, "batch_size": 6, "seed": 2}
    model.fit(x, y, verbose=0, **rest)
    twin.fit(x, y, verbose=0, **rest)
    assert_equal(weights(model), weights(twin))


def test_an_interrupt_while_values_are_written(monkeypatch: Any) -> None:
    model = compiled()
    x, y = labelled()
    write, calls = type(model).write, 0

    def interrupted(self: gj.Model, flat: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            for name in list(self.cells)[:3]:
                self.cells[name].write(flat[name])
            raise KeyboardInterrupt
        write(self, flat)

    monkeypatch.setattr(type(model), "write", interrupted)
    before = weights(model)
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, verbose=0, seed=0)
    monkeypatch.undo()
    twin = compiled()
    twin.set_weights(before)
    twin.fit(x, y, verbose=0, seed=0)
    assert_equal(weights(model), weights(twin))


def test_models_that_share_layers_train_the_same_weights() -> None:
    x = gj.Input((5,))
    shared = L.Dense(4, name="shared")
    one = gj.Model(x, L.Dense(3, name="one")(shared(x)))
    two = gj.Model(x, L.Dense(3, name="two")(shared(x)))
    for model in (one, two):
        model.compile("sgd", "mse")
    data, y = normal(6, 5), normal(6, 3, seed=1)
    one.fit(data, y, verbose=0)
    before = two.get_weights()[0].copy()
    two.fit(data, y, verbose=0)
    after = one.get_weights()[0]
    assert (after != before).any()
    np.testing.assert_array_equal(after, two.get_weights()[0])
    one.fit(data, y, verbose=0)
    assert (one.get_weights()[0] != after).any()


def test_trainable_is_read_at_compile() -> None:
    model = compiled()
    x, y = labelled()
    kernel = np.array(model.variables["params"]["y"]["kernel"])
    model.get_layer("y").trainable = False
    model.fit(x, y, verbose=0)
    trained = np.array(model.variables["params"]["y"]["kernel"])
    assert (trained != kernel).any()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.get_layer("y").trainable = True
    model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(model.variables["params"]["y"]["kernel"], trained)


def test_a_wholly_frozen_model_changes_nothing() -> None:
    model = classifier()
    model.trainable = False
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    before = weights(model)
    x, y = labelled()
    model.fit(x, y, verbose=0)
    assert_equal(weights(model), before)


# --- what goes wrong --------------------------------------------------------------


def test_a_loss_that_is_not_finite_is_reported() -> None:
    x = gj.Input((2,))
    model = gj.Model(x, L.Dense(1, kernel_initializer="ones")(x))
    model.compile(gj.optimizers.SGD(1e30), "mse")
    data = np.ones((12, 2), np.float32)
    text = "the loss is not finite since epoch 1, batch 2 of 4"
    with pytest.warns(RuntimeWarning, match=exactly(text)):
        history = model.fit(data, np.ones(12), batch_size=3, epochs=3, verbose=0)
    assert np.isnan(history.history["loss"]).all()


def test_nan_in_the_data_is_reported_at_the_start() -> None:
    model = compiled()
    x, y = labelled()
    x[3, 1] = np.nan
    with pytest.warns(RuntimeWarning) as caught:
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    assert [str(w.message) for w in caught] == [
        "input 'x': 1 of 100 values are NaN or infinite, the first in row 3",
        "the loss is not finite since epoch 1, batch 1 of 5",
    ]
    assert caught[0].filename == __file__
    assert caught[1].filename == __file__


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (
            {"verbose": 3},
            CaptureError,
            "verbose: expected 0, 1, 2 or 'auto', received 3",
        ),
        ({"seed": -1}, CaptureError, "seed: expected an int >= 0, received -1"),
        ({"batch_size": 0}, DataError, "batch_size: expected an int >= 1, received 0"),
        (
            {"validation_split": 1.5},
            CaptureError,
            "validation_split: expected a number from 0 to 1, received 1.5",
        ),
        (
            {"validation_split": 0.99},
            DataError,
            "validation_split: 0.99 of 20 rows leaves no rows for training",
        ),
        (
            {"validation_data": 3},
            CaptureError,
            "validation_data: expected (x, y) or (x, y, sample_weight), received 'int'",
        ),
    ],
)
def test_arguments_refused(given: Any, error: Any, text: str) -> None:
    x, y = labelled()
    with pytest.raises(error, match=exactly(text)):
        compiled().fit(x, y, **{"verbose": 0, **given})


def test_a_model_that_is_not_compiled() -> None:
    text = (
        "fit: the model is not compiled\n"
        "  hint: call model.compile(optimizer, loss) first"
    )
    with pytest.raises(CaptureError, match=exactly(text)):
        classifier().fit(*labelled())


# --- what a person sees -----------------------------------------------------------


def test_lines(capsys: Any) -> None:
    model = compiled()
    x, y = labelled()
    for verbose in (1, 2):  # the output of a test is no terminal
        model.fit(x, y, epochs=2, verbose=verbose)
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 2
        pattern = r"Epoch 2/2 - [\d.]+s - loss: [\d.]+ - accuracy: [\d.]+"
        assert re.fullmatch(pattern, lines[1])
    model.evaluate(x, y)
    assert capsys.readouterr().out.startswith("Evaluate - ")
    model.fit(x, y, verbose=0)
    assert capsys.readouterr().out == ""


def test_a_bar(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("graphjit.training.progress._REFRESH_S", 0.0)
    model = compiled()
    x, y = labelled()
    quiet = compiled()
    quiet.variables = model.variables
    model.fit(x, y, epochs=2, batch_size=6, verbose=1)
    shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", capsys.readouterr().out)
    assert "Epoch 1/2" in shown
    assert "4/4" in shown
    assert "accuracy: " in shown
    # Looking on changes nothing.
    quiet.fit(x, y, epochs=2, batch_size=6, verbose=0)
    assert_equal(weights(quiet), weights(model))
