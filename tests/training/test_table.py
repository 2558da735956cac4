"""Data given to fit and evaluate: what is accepted, aligned, cast and refused."""

from __future__ import annotations

import re
import warnings
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import graphjit as gj
from graphjit.errors import DataError
from graphjit.training.batches import Batches, shuffled
from graphjit.training.objective import objective_of
from graphjit.training.table import Table, table_of, warn_not_finite

L = gj.layers
ROWS = 6


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


def net(units: int = 3, steps: int | None = None, dtype: str = "float32") -> gj.Graph:
    x = gj.Input((5,) if steps is None else (steps, 5), name="x", dtype=dtype)
    return gj.Model(x, L.Dense(units, name="y", dtype=dtype)(x)).graph


def table(
    y: Any, loss: Any = "mse", graph: gj.Graph | None = None, **given: Any
) -> Table:
    graph = graph or net()
    x = np.zeros((ROWS, *graph.inputs[0].type.shape[1:]))
    return table_of(graph.inputs, objective_of(graph, loss), x, y, **given)


def target(*args: Any, **given: Any) -> Any:
    found = table(*args, **given).targets[0]
    assert found is not None
    return found


# --- accepted ---------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 1)])
@pytest.mark.parametrize("loss", ["mse", lambda y, p: p - y])
def test_one_number_per_row(shape: tuple[int, ...], loss: Any) -> None:
    y = np.arange(ROWS, dtype=float).reshape(shape)
    found = target(y, loss, net(1))
    assert found.shape == (ROWS, 1)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:, 0], np.arange(ROWS))


@pytest.mark.parametrize("dtype", ["int64", "int8", "float32", "bool"])
@pytest.mark.parametrize("column", [False, True])
def test_labels(dtype: str, column: bool) -> None:
    y = (np.arange(ROWS) % 2).astype(dtype)
    found = target(y[:, None] if column else y, "sparse_categorical_crossentropy")
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, np.arange(ROWS) % 2)


def test_labels_of_steps() -> None:
    y = np.zeros((ROWS, 4), int)
    graph = net(steps=4)
    for given in (y, y[..., None]):
        found = target(given, "sparse_categorical_crossentropy", graph)
        assert found.shape == (ROWS, 4)


def test_lists_and_jax_arrays() -> None:
    wanted = np.arange(ROWS * 3, dtype=np.float32).reshape(ROWS, 3)
    for y in (wanted.tolist(), jnp.asarray(wanted), [wanted], {"y": wanted}):
        np.testing.assert_array_equal(target(y), wanted)


def test_float64_where_the_output_is() -> None:
    y = np.full((ROWS, 3), 1 / 3)
    graph = net(dtype="float64")
    assert target(y, "mse", graph).dtype == np.float64
    assert table(y, "mse", graph, sample_weight=np.ones(ROWS)).weights[0].dtype == (
        np.float64
    )


def test_a_target_is_asked_for_only_where_needed() -> None:
    x = gj.Input((5,), name="x")
    graph = gj.Model(x, [L.Dense(2, name="a")(x), L.Dense(1, name="b")(x)]).graph
    found = table({"b": np.ones(ROWS)}, {"b": "mse"}, graph)
    assert found.targets[0] is None
    with pytest.raises(
        DataError,
        match=exactly("target of output 'a': expected an array, received None"),
    ):
        table({"b": np.ones(ROWS)}, "mse", graph)


def test_class_weights() -> None:
    y = np.array([0, 1, 2, 0, 1, 2])
    of_class = {0: 1.0, 1: 2.0, 2: 0.5}
    wanted = np.array([1, 2, 0.5, 1, 2, 0.5])
    one_hot = np.eye(3)[y]
    sparse = "sparse_categorical_crossentropy"
    for given, loss in ((y, sparse), (one_hot, "categorical_crossentropy")):
        found = table(given, loss, class_weight=of_class)
        np.testing.assert_allclose(found.weights[0], wanted)
        found = table(given, loss, class_weight=of_class, sample_weight=np.arange(6))
        np.testing.assert_allclose(found.weights[0], wanted * np.arange(6))
    binary = table(y > 0, "mse", net(1), class_weight={0: 3.0, 1: 4.0})
    np.testing.assert_allclose(binary.weights[0], [3, 4, 4, 3, 4, 4])
    steps = table(
        np.tile(y[:, None], 4),
        sparse,
        net(steps=4),
        class_weight=of_class,
        sample_weight=np.arange(6),
    )
    np.testing.assert_allclose(
        steps.weights[0], np.tile((wanted * range(6))[:, None], 4)
    )


# --- refused ----------------------------------------------------------------------

SPARSE = "sparse_categorical_crossentropy"
ONE_HOT = "categorical_crossentropy"


@pytest.mark.parametrize(
    ("y", "loss", "text"),
    [
        (
            np.zeros((4, 3)),
            "mse",
            "target of output 'y': expected 6 rows, as many as the inputs have, "
            "received 4",
        ),
        (
            np.zeros((ROWS, 2)),
            "mse",
            "target of output 'y': expected float32[batch, 3], received shape (6, 2)",
        ),
        (
            np.zeros(ROWS),
            ONE_HOT,
            "target of output 'y': expected float32[batch, 3], received shape (6,)\n"
            "  hint: class indices go with sparse_categorical_crossentropy",
        ),
        (
            np.zeros((ROWS, 3)),
            SPARSE,
            "target of output 'y': expected class indices int32[batch], received "
            "shape (6, 3)\n  hint: one-hot targets go with categorical_crossentropy",
        ),
        (
            np.array([0, 1, 2, 3, 0, 0]),
            SPARSE,
            "target of output 'y': expected labels from 0 to 2 (3 classes), received "
            "3 in row 3",
        ),
        (
            np.array([0, -1, 2, 3, 0, 0]),
            SPARSE,
            "target of output 'y': expected labels from 0 to 2 (3 classes), received "
            "-1 in row 1",
        ),
        (
            np.full(ROWS, 0.5),
            SPARSE,
            "target of output 'y': expected class indices, received 0.5",
        ),
        (
            np.full(ROWS, "a"),
            "mse",
            "target of output 'y': expected numbers, received dtype <U1",
        ),
        (None, "mse", "target of output 'y': expected an array, received None"),
        (
            {"z": np.zeros(ROWS)},
            "mse",
            "targets: expected the name of an output ('y'), received 'z'",
        ),
    ],
)
def test_targets_refused(y: Any, loss: str, text: str) -> None:
    with pytest.raises(DataError, match=exactly(text)):
        table(y, loss)


def test_inputs_refused() -> None:
    graph = net()
    objective = objective_of(graph, "mse")
    text = "input 'x': expected float32[batch, 5], received shape (6, 4): axis 1 is 4"
    with pytest.raises(DataError, match=exactly(text)):
        table_of(graph.inputs, objective, np.zeros((6, 4)), np.zeros((6, 3)))
    text = "expected at least one row of data, received none"
    with pytest.raises(DataError, match=exactly(text)):
        table_of(graph.inputs, objective, np.zeros((0, 5)), np.zeros((0, 3)))


def test_weights_refused() -> None:
    y = np.zeros((ROWS, 3))
    for given, text in (
        (
            {"sample_weight": np.ones((ROWS, 3))},
            "sample_weight of output 'y': expected one weight per row or per value of "
            "float32[batch, 3]'s loss, received shape (6, 3)",
        ),
        (
            {"sample_weight": np.ones(2)},
            "sample_weight of output 'y': expected 6 rows, as many as the inputs have, "
            "received 2",
        ),
        (
            {"class_weight": {1: 2.0}},
            "class_weight: expected a weight for every class in the data, received "
            "none for [0]",
        ),
    ):
        with pytest.raises(DataError, match=exactly(text)):
            table(y, "mse", **given)
    x = gj.Input((5,), name="x")
    graph = gj.Model(x, [L.Dense(2, name="a")(x), L.Dense(1, name="b")(x)]).graph
    ys = [np.zeros((ROWS, 2)), np.zeros((ROWS, 1))]
    text = "class_weight: expected a model with one output and a target"
    with pytest.raises(DataError, match=exactly(text)):
        table(ys, "mse", graph, class_weight={0: 1.0})
    text = (
        "targets: expected 2 for the outputs ['a', 'b'], as a list, tuple or dict, "
        "received 1"
    )
    with pytest.raises(DataError, match=exactly(text)):
        table(ys[:1], "mse", graph)


def test_what_is_not_finite_is_never_hidden() -> None:
    y = np.zeros((ROWS, 3))
    found = table(y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_not_finite(found, net().inputs, ["y"])
    found.inputs[0][2, 1] = np.nan
    found.inputs[0][4, 0] = np.inf
    found.targets[0][5, 0] = np.nan
    with pytest.warns(RuntimeWarning) as caught:
        warn_not_finite(found, net().inputs, ["y"])
    assert [str(w.message) for w in caught] == [
        "input 'x': 2 of 30 values are NaN or infinite, the first in row 2",
        "target of output 'y': 1 of 18 values are NaN or infinite, the first in row 5",
    ]


# --- batches ----------------------------------------------------------------------


def numbered() -> Table:
    rows = np.arange(7.0)
    return Table((rows[:, None],), (rows * 10,), (None,))


def rows_of(batches: Batches, order: Any = None) -> list[list[float]]:
    every = [batches.batch(at, order) for at in range(len(batches))]
    for batch in every:
        np.testing.assert_array_equal(batch.inputs[0][:, 0] * 10, batch.targets[0])
    return [batch.inputs[0][:, 0].tolist() for batch in every]


def test_the_last_batch_has_what_is_left() -> None:
    batches = Batches(numbered(), 3)
    assert rows_of(batches) == [[0, 1, 2], [3, 4, 5], [6]]
    assert all(batches.batch(at).row_mask is None for at in range(3))
    order = np.array([6, 5, 4, 3, 2, 1, 0])
    assert rows_of(batches, order) == [[6, 5, 4], [3, 2, 1], [0]]


def test_padding_is_masked() -> None:
    batches = Batches(numbered(), 3, padded=True)
    assert rows_of(batches) == [[0, 1, 2], [3, 4, 5], [6, 6, 6]]
    masks = [np.asarray(batches.batch(at).row_mask).tolist() for at in range(3)]
    assert masks == [[True] * 3, [True] * 3, [True, False, False]]


def test_shuffling_is_of_the_seed_and_the_epoch() -> None:
    first = shuffled(50, 0, 0)
    assert sorted(first) == list(range(50))
    np.testing.assert_array_equal(first, shuffled(50, 0, 0))
    assert (first != shuffled(50, 0, 1)).any()
    assert (first != shuffled(50, 1, 0)).any()
