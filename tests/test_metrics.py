"""Metrics: formulas in NumPy and in Keras 3, names, which accuracy is meant."""

from __future__ import annotations

import os
import re
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

import graphjit as gj
from graphjit import losses, metrics
from graphjit.errors import CaptureError, ShapeError

os.environ.setdefault("KERAS_BACKEND", "jax")

SHAPES = [(8, 5, 7)]


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


def data(shape: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Labels, the same as one-hot rows, and scores with some ties."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, shape[-1], shape[:-1])
    scores = np.round(rng.uniform(size=shape), 1).astype(np.float32)
    return labels, np.eye(shape[-1], dtype=np.float32)[labels], scores


@pytest.mark.parametrize("shape", SHAPES)
def test_numpy_statements(shape: tuple[int, ...]) -> None:
    labels, one_hot, scores = data(shape)
    hits = (scores.argmax(-1) == labels).astype(np.float32)
    np.testing.assert_array_equal(metrics.categorical_accuracy(one_hot, scores), hits)
    for y in (labels, labels[..., None], labels.astype(np.float32)):
        found = metrics.sparse_categorical_accuracy(y, scores)
        np.testing.assert_array_equal(found, hits)
    rank = (scores > np.take_along_axis(scores, labels[..., None], -1)).sum(-1)
    for k in (1, 3, 5, 7):
        found = metrics.TopKCategoricalAccuracy(k)(one_hot, scores)
        np.testing.assert_array_equal(found, rank < k)
        found = metrics.SparseTopKCategoricalAccuracy(k)(labels, scores)
        np.testing.assert_array_equal(found, rank < k)
    found = metrics.binary_accuracy(one_hot, scores, 0.3)
    wanted = ((scores > np.float32(0.3)) == one_hot).mean(-1)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_keras(shape: tuple[int, ...]) -> None:
    of = pytest.importorskip("keras").metrics
    labels, one_hot, scores = data(shape)
    for name, y in (
        ("categorical_accuracy", one_hot),
        ("sparse_categorical_accuracy", labels),
        ("top_k_categorical_accuracy", one_hot),
        ("sparse_top_k_categorical_accuracy", labels),
        ("binary_accuracy", one_hot),
    ):
        wanted = np.asarray(getattr(of, name)(y, scores))
        if name == "binary_accuracy":  # Keras 3 leaves the mean to the aggregation
            wanted = wanted.mean(-1)
        found = getattr(metrics, name)(y, scores)
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_nan_is_never_among_the_largest() -> None:
    scores = np.array([[np.nan, 1.0], [np.nan, 1.0]])
    assert metrics.sparse_top_k_categorical_accuracy([0, 1], scores, 1).tolist() == [
        0.0,
        1.0,
    ]


def test_cosine_is_positive_as_a_metric() -> None:
    x = np.array([[3.0, 4.0]])
    cosine = metrics.get("cosine_similarity")
    np.testing.assert_allclose(cosine(x, 2 * x), [1.0], rtol=1e-6)
    np.testing.assert_allclose(losses.cosine_similarity(x, 2 * x), [-1.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("loss", "outputs", "wanted"),
    [
        ("binary_crossentropy", 10, metrics.BinaryAccuracy()),
        ("mse", 1, metrics.BinaryAccuracy()),
        (losses.BinaryCrossentropy(True), 1, metrics.BinaryAccuracy(0.0)),
        ("sparse_categorical_crossentropy", 10, metrics.SparseCategoricalAccuracy()),
        ("categorical_crossentropy", 10, metrics.Accuracy()),
        (None, 10, metrics.Accuracy()),
    ],
)
def test_which_accuracy_is_meant(
    loss: Any, outputs: int, wanted: metrics.Metric
) -> None:
    assert metrics.accuracy_for(losses.get(loss), (None, outputs)) == wanted


def test_accuracy_by_the_shapes_of_the_data() -> None:
    labels, one_hot, scores = data((40, 7))
    accuracy = metrics.Accuracy()
    hits = metrics.categorical_accuracy(one_hot, scores)
    for y in (labels, labels[:, None], one_hot):
        np.testing.assert_array_equal(accuracy(y, scores), hits)
    binary = accuracy(np.array([[1], [0]]), jnp.array([[0.7], [0.8]]))
    assert binary.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("name", list(losses.LOSSES))
def test_every_loss_is_a_metric(name: str) -> None:
    found = metrics.get(name)
    assert isinstance(found, (losses.Loss, metrics.CosineSimilarity))
    assert metrics.name_of(name, found) == name


def test_every_way_to_say_a_metric() -> None:
    def mine(y_true: Any, y_pred: Any) -> Any:
        return y_pred[:, 0]

    for identifier, wanted, label in (
        ("acc", metrics.Accuracy(), "acc"),
        ("top_k", metrics.TopKCategoricalAccuracy(5), "top_k"),
        (metrics.TopKCategoricalAccuracy(3), None, "top_k_categorical_accuracy"),
        (metrics.binary_accuracy, metrics.BinaryAccuracy(), "binary_accuracy"),
        (metrics.BinaryAccuracy, metrics.BinaryAccuracy(), "binary_accuracy"),
        (losses.mse, losses.MeanSquaredError(), "mean_squared_error"),
        (losses.Huber(2.0), losses.Huber(2.0), "huber"),
        (losses.Huber, losses.Huber(), "huber"),
        (mine, metrics.FromCallable(mine), "mine"),
    ):
        found = gj.metrics.get(identifier)
        assert found == (identifier if wanted is None else wanted)
        assert metrics.name_of(identifier, found) == label
    assert not metrics.get(mine).rowwise


def test_refusals() -> None:
    text = (
        "metric: expected the name of a metric or a loss, received 'acuracy'\n"
        "  hint: did you mean 'accuracy'?"
    )
    with pytest.raises(CaptureError, match=exactly(text)):
        metrics.get("acuracy")
    text = (
        "sparse_categorical_accuracy: expected class indices of shape (2,), "
        "received (2, 3)"
    )
    with pytest.raises(ShapeError, match=exactly(text)):
        metrics.sparse_categorical_accuracy(np.ones((2, 3)), np.ones((2, 4)))
