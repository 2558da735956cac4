"""Losses: formulas in NumPy and in Keras 3, stability, names, refusals."""

from __future__ import annotations

import os
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

import graphjit as gj
from graphjit import losses
from graphjit.errors import CaptureError, ShapeError

os.environ.setdefault("KERAS_BACKEND", "jax")

Array = NDArray[Any]
SHAPES = [(3, 4, 5)]


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def numbers(shape: tuple[int, ...], seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def probabilities(shape: tuple[int, ...], seed: int = 0) -> Array:
    found = np.random.default_rng(seed).uniform(size=shape).astype(np.float32)
    found.flat[0], found.flat[1] = 0.0, 1.0  # clipping shows
    return found


def signs(y: Array) -> Array:
    return 2 * y - 1 if np.isin(y, (0, 1)).all() else y


def unit(x: Array) -> Array:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def clipped(p: Array) -> Array:
    # As float32 has it: 1 - 1e-7 is rounded there.
    low, high = np.float32(1e-7), np.float32(1 - 1e-7)
    return np.clip(p, float(low), float(high))


def sum_and_gradient(loss: Any, y: Any, p: Any) -> tuple[Any, Any]:
    return jax.value_and_grad(lambda x: loss(y, x).sum())(jnp.asarray(p))


#: Name: (a NumPy statement in float64, targets, outputs).
STATED: dict[str, tuple[Any, Any, Any]] = {
    "mean_squared_error": (lambda y, p: ((y - p) ** 2).mean(-1), numbers, numbers),
    "mean_absolute_error": (lambda y, p: abs(y - p).mean(-1), numbers, numbers),
    "mean_absolute_percentage_error": (
        lambda y, p: 100 * (abs(y - p) / np.maximum(abs(y), 1e-7)).mean(-1),
        numbers,
        numbers,
    ),
    "mean_squared_logarithmic_error": (
        lambda y, p: (
            (np.log(np.maximum(p, 1e-7) + 1) - np.log(np.maximum(y, 1e-7) + 1)) ** 2
        ).mean(-1),
        numbers,
        numbers,
    ),
    "binary_crossentropy": (
        lambda y, p: (
            -(y * np.log(clipped(p)) + (1 - y) * np.log(1 - clipped(p))).mean(-1)
        ),
        probabilities,
        probabilities,
    ),
    "categorical_crossentropy": (
        lambda y, p: -(y * np.log(clipped(p / p.sum(-1, keepdims=True)))).sum(-1),
        probabilities,
        probabilities,
    ),
    "hinge": (
        lambda y, p: np.maximum(1 - signs(y) * p, 0).mean(-1),
        numbers,
        numbers,
    ),
    "squared_hinge": (
        lambda y, p: (np.maximum(1 - signs(y) * p, 0) ** 2).mean(-1),
        numbers,
        numbers,
    ),
    "categorical_hinge": (
        lambda y, p: np.maximum(((1 - y) * p).max(-1) - (y * p).sum(-1) + 1, 0),
        probabilities,
        numbers,
    ),
    "kullback_leibler_divergence": (
        lambda y, p: (
            np.clip(y, 1e-7, 1) * np.log(np.clip(y, 1e-7, 1) / np.clip(p, 1e-7, 1))
        ).sum(-1),
        probabilities,
        probabilities,
    ),
    "poisson": (
        lambda y, p: (p - y * np.log(p + 1e-7)).mean(-1),
        probabilities,
        probabilities,
    ),
    "cosine_similarity": (
        lambda y, p: -(unit(y) * unit(p)).sum(-1),
        numbers,
        numbers,
    ),
    "log_cosh": (lambda y, p: np.log(np.cosh(p - y)).mean(-1), numbers, numbers),
    "huber": (
        lambda y, p: np.where(abs(p - y) <= 1, (p - y) ** 2 / 2, abs(p - y) - 0.5).mean(
            -1
        ),
        numbers,
        numbers,
    ),
}
KERAS = {"kullback_leibler_divergence": "kl_divergence"}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", STATED)
def test_numpy_statement(name: str, shape: tuple[int, ...]) -> None:
    stated, targets, outputs = STATED[name]
    y, p = targets(shape, 1), outputs(shape, 2)
    found = getattr(losses, name)(y, p)
    assert found.shape == shape[:-1]
    assert found.dtype == jnp.float32
    with np.errstate(divide="ignore"):
        wanted = stated(y.astype(np.float64), p.astype(np.float64))
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", STATED)
def test_keras(name: str, shape: tuple[int, ...]) -> None:
    keras = pytest.importorskip("keras")
    _, targets, outputs = STATED[name]
    y, p = targets(shape, 1), outputs(shape, 2)
    wanted = getattr(keras.losses, KERAS.get(name, name))(y, p)
    found = getattr(losses, name)(y, p)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_keras_settings(shape: tuple[int, ...]) -> None:
    keras = pytest.importorskip("keras")
    y, p, logits = probabilities(shape, 1), probabilities(shape, 2), numbers(shape, 3)
    labels = np.random.default_rng(4).integers(0, shape[-1], shape[:-1])
    of, ours = keras.losses, losses
    pairs = [
        (of.binary_crossentropy(y, logits, True), ours.BinaryCrossentropy(True)),
        (
            of.categorical_crossentropy(y, logits, True),
            ours.CategoricalCrossentropy(True),
        ),
        (
            of.binary_crossentropy(y, logits, True, label_smoothing=0.2),
            ours.BinaryCrossentropy(True, 0.2),
        ),
        (
            of.categorical_crossentropy(y, logits, True, label_smoothing=0.2),
            ours.CategoricalCrossentropy(True, 0.2),
        ),
    ]
    for wanted, loss in pairs:
        np.testing.assert_allclose(loss(y, logits), wanted, rtol=1e-5, atol=1e-6)
    for from_logits, given in ((False, p), (True, logits)):
        wanted = of.sparse_categorical_crossentropy(labels, given, from_logits)
        for y_sparse in (labels, labels[..., None], labels.astype(np.float32)):
            loss = ours.SparseCategoricalCrossentropy(from_logits)
            found = loss(y_sparse, given)
            assert found.shape == shape[:-1]
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        ours.Huber(0.3)(y, logits), of.huber(y, logits, 0.3), rtol=1e-5
    )
    ones = (y > 0.5).astype(np.float32)
    np.testing.assert_allclose(
        ours.hinge(ones, logits), of.hinge(ones, logits), rtol=1e-5
    )


@pytest.mark.parametrize("size", [1.0, 30.0, 1000.0])
def test_logits_of_any_size_give_finite_losses_and_gradients(size: float) -> None:
    logits = jnp.asarray(numbers((4, 3)) * size)
    y = jnp.asarray(softmax(numbers((4, 3), 1)))
    labels = jnp.asarray([0, 1, 2, 0])
    for loss, target in (
        (losses.BinaryCrossentropy(True), y),
        (losses.CategoricalCrossentropy(True), y),
        (losses.SparseCategoricalCrossentropy(True), labels),
    ):
        value, slope = sum_and_gradient(loss, target, logits)
        assert np.isfinite(value)
        assert np.isfinite(slope).all()


def test_logits_and_their_probabilities_agree() -> None:
    logits, y = numbers((5, 4)), softmax(numbers((5, 4), 1))
    sigmoid = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(
        losses.binary_crossentropy(y, logits, True),
        losses.binary_crossentropy(y, sigmoid),
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        losses.categorical_crossentropy(y, logits, True),
        losses.categorical_crossentropy(y, softmax(logits)),
        rtol=1e-5,
    )


def test_saturated_probabilities_stay_finite() -> None:
    y, p = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    for loss in (losses.binary_crossentropy, losses.categorical_crossentropy):
        value, slope = sum_and_gradient(loss, y, p)
        assert 15 < value < 17  # -log(1e-7) is 16.1
        assert np.isfinite(slope).all()


def test_sixteen_bit_outputs_are_judged_in_float32() -> None:
    y, p = (
        softmax(numbers((3, 4))),
        jnp.asarray(softmax(numbers((3, 4), 1)), "bfloat16"),
    )
    for name in losses.LOSSES:
        loss = losses.get(name)
        assert loss is not None
        target = np.array([0, 1, 2]) if loss.sparse else y
        assert loss(target, p).dtype == jnp.float32


def test_targets_with_and_without_an_axis_of_one() -> None:
    column, row = numbers((4, 1)), numbers((4,), 1)
    np.testing.assert_array_equal(
        losses.mse(row, column), losses.mse(row[:, None], column)
    )


def test_shapes_that_differ_are_never_broadcast() -> None:
    text = "mean_squared_error: expected targets of shape (4, 3), received (4, 1)"
    with pytest.raises(ShapeError, match=exactly(text)):
        losses.mse(numbers((4, 1)), numbers((4, 3)))
    text = (
        "sparse_categorical_crossentropy: expected class indices of shape (4,), "
        "received (4, 3)"
    )
    with pytest.raises(ShapeError, match=exactly(text)):
        losses.sparse_categorical_crossentropy(numbers((4, 3)), numbers((4, 3)))


# --- names ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("mse", losses.MeanSquaredError()),
        ("MSE", losses.MeanSquaredError()),
        ("MeanSquaredError", losses.MeanSquaredError()),
        ("mae", losses.MeanAbsoluteError()),
        ("mape", losses.MeanAbsolutePercentageError()),
        ("msle", losses.MeanSquaredLogarithmicError()),
        ("kld", losses.KLDivergence()),
        ("cosine_proximity", losses.CosineSimilarity()),
        ("logcosh", losses.LogCosh()),
        ("categorical_crossentropy", losses.CategoricalCrossentropy()),
    ],
)
def test_names(name: str, wanted: losses.Loss) -> None:
    assert gj.losses.get(name) == wanted


def test_every_way_to_say_a_loss() -> None:
    wanted = losses.BinaryCrossentropy(from_logits=True)
    config = {"from_logits": True, "name": "bce", "reduction": "sum_over_batch_size"}
    for identifier in (
        wanted,
        {"class_name": "BinaryCrossentropy", "config": config},
    ):
        assert losses.get(identifier) == wanted
    assert losses.get(losses.BinaryCrossentropy) == losses.BinaryCrossentropy()
    assert losses.get(losses.binary_crossentropy) == losses.BinaryCrossentropy()
    assert losses.get(None) is None


def test_a_function_of_the_users() -> None:
    def mine(y_true: Any, y_pred: Any) -> Any:
        return jnp.sum(y_pred - y_true, -1)

    loss = losses.get(mine)
    assert isinstance(loss, losses.FromCallable)
    assert not loss.rowwise
    assert loss(np.ones((2, 3)), np.full((2, 3), 2.0)).tolist() == [3.0, 3.0]
    assert losses.label_of(mine, losses.LOSSES, loss) == "mine"


def test_labels() -> None:
    for given, wanted in (
        ("mse", "mse"),
        (losses.MeanSquaredError(), "mean_squared_error"),
        (losses.huber, "huber"),
    ):
        found = losses.get(given)
        assert found is not None
        assert losses.label_of(given, losses.LOSSES, found) == wanted


def test_an_unknown_name_names_the_nearest() -> None:
    text = (
        "loss: expected a known name, received 'binary_crossentrop'\n"
        "  hint: did you mean 'binary_crossentropy'?"
    )
    with pytest.raises(CaptureError, match=exactly(text)):
        losses.get("binary_crossentrop")
    text = "loss: expected loss as a name, a dict, a class or an instance, received 3"
    with pytest.raises(CaptureError, match=exactly(text)):
        losses.get(3)
    text = "Huber: delta: expected a number > 0, received 0.0"
    with pytest.raises(CaptureError, match=exactly(text)):
        losses.Huber(0)
