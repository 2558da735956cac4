"""Rescaling, Normalization, Identity and ActivityRegularization."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit import config
from graphjit.errors import CaptureError, DataError, ShapeError
from graphjit.ops.rescaling import Affine
from graphjit.types import TensorType
from tests.ops.applied import data, graph_of, inference, results


def applied(layer: Any, x: Any) -> Any:
    return results(graph_of(layer, [x]), x)[0]


def model_of(layer: Any, *shape: int) -> gj.Model:
    x = L.Input(shape)
    return gj.Model(x, layer(x))


# --- Rescaling ------------------------------------------------------------------------


def test_pixels_become_numbers_from_0_to_1() -> None:
    pixels = np.arange(0, 240, 20, np.uint8).reshape(1, 2, 2, 3)
    x = L.Input((2, 2, 3), dtype="uint8")
    y = L.Rescaling(1 / 255)(x)
    assert y.dtype == "float32"
    np.testing.assert_allclose(gj.Model(x, y)(pixels), pixels / 255, rtol=1e-6)


@pytest.mark.parametrize(
    ("scale", "offset"),
    [
        (2, 0),
        (0.5, [1.0, 2.0, 3.0]),
        (np.array([1.0, 2.0, 3.0]), 1),
        ([[1.0], [2.0]], (0.0, 1.0, 0.5)),
        ([2.0, 2.0, 2.0], 0),
    ],
    ids=str,
)
def test_scale_and_offset_broadcast(scale: Any, offset: Any) -> None:
    x = data(4, 2, 3)
    found = applied(L.Rescaling(scale, offset), x)
    wanted = x * np.asarray(scale) + np.asarray(offset)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


def test_numbers_that_are_all_the_same_are_one() -> None:
    node = graph_of(L.Rescaling([2.0, 2.0]), [data(3, 2)]).nodes[0]
    assert node.op == Affine((2.0,), shape=(1, 2))
    assert graph_of(L.Rescaling([[2.0]]), [data(3, 2)]).nodes[0].op == Affine((2.0,))


def test_a_scale_of_one_vanishes() -> None:
    x = L.Input((3,))
    graph = gj.jit(gj.Model(x, L.ReLU()(L.Rescaling(1, 0)(x)))).graph
    assert graph.count("affine") == 0


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: L.Rescaling("much"),
            r"^Rescaling: scale: expected a number or an array of numbers, received ",
        ),
        (
            lambda: L.Rescaling(1.0, float("inf")),
            r"^Rescaling: offset: expected a finite number or an array of them, receiv",
        ),
        (
            lambda: L.Rescaling([1.0, 2.0], [1.0, 2.0, 3.0]),
            r"^Rescaling: offset: expected a shape that broadcasts against scale's \(",
        ),
        (lambda: L.Rescaling([]), r"^Rescaling: scale: expected a finite number or an"),
    ],
)
def test_refused_numbers(make: Any, text: str) -> None:
    with pytest.raises(CaptureError, match=text):
        make()


def test_numbers_must_fit_the_input() -> None:
    text = r"^affine 'r/affine': numbers of shape \(1, 2\) do not fit x, float32\[batch"
    with pytest.raises(ShapeError, match=text):
        L.Rescaling([1.0, 2.0], name="r")(L.Input((3,)))
    text = r"^Rescaling: expected an input of rank >= 3, received rank 2"
    with pytest.raises(ShapeError, match=text):
        L.Rescaling([[[1.0], [2.0]]])(L.Input((3,)))
    with pytest.raises(ShapeError, match=r"^expected floating x, received int32$"):
        Affine((1.0,)).infer(TensorType((2,), "int32"))
    with pytest.raises(ShapeError, match=r"^expected 1 number or those of shape \(1, "):
        Affine((1.0, 2.0), shape=(1, 3)).infer(TensorType((2, 3)))


def test_an_unknown_dim_becomes_that_of_the_numbers() -> None:
    y = L.Rescaling([1.0, 2.0])(L.Input((None,)))
    assert y.shape == (None, 2)


# --- Normalization --------------------------------------------------------------------

#: Keras's own examples.
ROWS = np.array([[0, 7, 4], [2, 9, 6], [0, 7, 4], [2, 9, 6]], np.float32)


def test_adapting_to_every_feature() -> None:
    layer = L.Normalization(axis=-1)
    layer.adapt(ROWS)
    found = model_of(layer, 3)(np.array([[0.0, 7.0, 4.0]], np.float32))
    np.testing.assert_allclose(found, [[-1, -1, -1]], rtol=1e-6)


def test_the_inverse_of_that() -> None:
    layer = L.Normalization(axis=-1, invert=True)
    layer.adapt(ROWS)
    found = model_of(layer, 3)(np.array([[1.0, 2.0, 3.0]], np.float32))
    np.testing.assert_allclose(found, [[2, 10, 8]], rtol=1e-6)


def test_one_mean_for_all() -> None:
    layer = L.Normalization(axis=None)
    layer.adapt(np.array([[1.0], [2.0], [3.0], [4.0], [5.0]], np.float32))
    found = model_of(layer, 1)(np.array([[1.0], [2.0], [3.0]], np.float32))
    np.testing.assert_allclose(
        found, [[-1.4142135], [-0.70710677], [0]], rtol=1e-6, atol=1e-7
    )


def test_given_statistics() -> None:
    layer = L.Normalization(mean=3.0, variance=2.0)
    found = model_of(layer, 1)(np.array([[1.0], [2.0], [3.0]], np.float32))
    np.testing.assert_allclose(found, [[-1.4142135], [-0.70710677], [0]], rtol=1e-6)
    assert layer.cells == {}


AXES: list[Any] = [-1, 1, (1, 2), (-1, -3), None, [3, 1], (1, 2, 3)]


@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("invert", [False, True])
def test_every_axis_as_keras(axis: Any, invert: bool) -> None:
    keras = pytest.importorskip("keras")
    x = data(5, 4, 3, 2) * 3 + 1
    layer = L.Normalization(axis, invert=invert)
    layer.adapt(x)
    wanted = axis if axis is None or isinstance(axis, int) else tuple(axis)
    twin = keras.layers.Normalization(wanted, invert=invert)
    twin.adapt(x)
    found = model_of(layer, 4, 3, 2)(x)
    np.testing.assert_allclose(found, twin(x), rtol=1e-5, atol=1e-5)
    for cell, variable in zip(layer.cells.values(), twin.weights, strict=True):
        assert cell.param.type.shape == variable.shape
        assert not cell.param.trainable
    assert list(layer.cells) == [v.name for v in twin.weights]


@pytest.mark.parametrize(
    ("axis", "mean"),
    [((1, 3), [1.0, 2.0]), ((1, 3), [[1.0], [2.0], [0.5], [0.1]]), ((2, 3), 0.3)],
    ids=str,
)
def test_given_numbers_align_with_the_last_axes_as_keras(axis: Any, mean: Any) -> None:
    keras = pytest.importorskip("keras")
    x = data(5, 4, 3, 2)
    variance = (np.asarray(mean) + 0.5).tolist()
    layer = L.Normalization(axis, mean, variance)
    twin = keras.layers.Normalization(axis, mean, variance)
    np.testing.assert_allclose(applied(layer, x), twin(x), rtol=1e-5, atol=1e-6)


def test_a_constant_feature_is_zero_and_not_nothing() -> None:
    x = np.array([[1.0, 5.0], [3.0, 5.0]], np.float32)
    layer = L.Normalization()
    layer.adapt(x)
    np.testing.assert_allclose(model_of(layer, 2)(x), [[-1, 0], [1, 0]], rtol=1e-6)
    given = L.Normalization(mean=[2.0, 5.0], variance=[1.0, 0.0])
    np.testing.assert_allclose(model_of(given, 2)(x), [[-1, 0], [1, 0]], rtol=1e-6)


def test_data_may_come_in_batches() -> None:
    x = data(50, 4, 3) * 5 + 100
    whole, pieces, made = (L.Normalization() for _ in range(3))
    whole.adapt(x)
    pieces.adapt([x[:7], x[7:8], x[8:]])
    made.adapt(x[at : at + 5] for at in range(0, 50, 5))
    for layer in (pieces, made):
        for slot in ("mean", "variance"):
            found, wanted = layer.cells[slot].array, whole.cells[slot].array
            np.testing.assert_allclose(found, wanted, rtol=1e-6)
    listed = L.Normalization()
    listed.adapt([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_allclose(listed.cells["mean"].array, [2, 3])


def test_adapting_again_reaches_models_that_exist() -> None:
    layer = L.Normalization()
    model = model_of(layer, 2)
    x = data(6, 2)
    np.testing.assert_allclose(model.predict(x), x, rtol=1e-6)
    layer.adapt(x)
    found = model.predict(x)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(found.std(0), 1, rtol=1e-5)
    layer.adapt(x * 2)
    np.testing.assert_allclose(model.predict(2 * x), found, rtol=1e-5, atol=1e-6)


def test_doubles_stay_doubles() -> None:
    layer = L.Normalization(dtype="float64")
    x = np.array([[1.0], [1.0 + 1e-9]])
    layer.adapt(x)
    assert layer.cells["mean"].array.dtype == "float64"
    inputs = L.Input((1,), dtype="float64")
    found = np.asarray(gj.Model(inputs, layer(inputs))(x))
    # The deviation, 5e-10, is below epsilon.
    np.testing.assert_allclose(found, (x - x.mean()) / 1e-7, rtol=1e-6)


def test_the_floor_is_the_configured_epsilon() -> None:
    config.set_epsilon(0.5)
    x = np.array([[0.0], [0.2]], np.float32)
    layer = L.Normalization()
    config.set_epsilon(1e-7)
    layer.adapt(x)
    np.testing.assert_allclose(model_of(layer, 1)(x), (x - 0.1) / 0.5, rtol=1e-6)


def test_one_axis_folds_into_the_dense_behind_it() -> None:
    x = L.Input((4,))
    layer = L.Normalization()
    layer.adapt(data(20, 4) * 3 + 2)
    model = gj.Model(x, L.Dense(3)(layer(x)))
    graph = gj.jit(model).graph
    assert [node.op.kind for node in graph.nodes] == ["dense"]
    rows = data(5, 4, seed=1)
    variables = model.variables
    plain = gj.lower(inference(model.graph))
    wanted = plain(variables["params"], variables["state"], rows).outputs
    np.testing.assert_allclose(model(rows), wanted, rtol=1e-4, atol=1e-5)


def test_training_leaves_the_statistics_alone() -> None:
    layer = L.Normalization()
    x = data(20, 4) * 3 + 2
    layer.adapt(x)
    before = [np.asarray(cell.array) for cell in layer.cells.values()]
    inputs = L.Input((4,))
    model = gj.Model(inputs, L.Dense(1)(layer(inputs)))
    model.compile("sgd", "mse")
    model.fit(x, x[:, :1], epochs=2, verbose=0)
    after = [np.asarray(layer.cells[slot].array) for slot in ("mean", "variance")]
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: L.Normalization(mean=1.0),
            r"^Normalization: variance: expected one to go with the given mean, ",
        ),
        (
            lambda: L.Normalization(variance=1.0),
            r"^Normalization: mean: expected one to go with the given variance, receiv",
        ),
        (
            lambda: L.Normalization(mean=[1.0], variance=1.0),
            r"^Normalization: variance: expected the shape of mean, \(1,\), ",
        ),
        (
            lambda: L.Normalization(-1, [[1.0]], [[1.0]]),
            r"^Normalization: mean: expected rank <= 1, that of axis, received \(",
        ),
        (
            lambda: L.Normalization(mean=1.0, variance=-1.0),
            r"^Normalization: variance: expected numbers >= 0, received -1.0$",
        ),
        (
            lambda: L.Normalization(axis="last"),
            r"^Normalization: axis: expected an int, received 'last'$",
        ),
        (
            lambda: L.Normalization(axis=(1, 1)),
            r"^Normalization: axis: expected axes that differ, received \(1, 1\)$",
        ),
        (
            lambda: L.Normalization(0)(L.Input((3,))),
            r"^Normalization: axis: expected axes other than the batch, received ",
        ),
        (
            lambda: L.Normalization(mean=1.0, variance=1.0).adapt(ROWS),
            r"^Normalization: mean and variance are given, not adapted$",
        ),
    ],
)
def test_refused_settings(make: Any, text: str) -> None:
    with pytest.raises(CaptureError, match=text):
        make()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: L.Normalization(2)(L.Input((3,))),
            r"^Normalization: axis 2 does not fit an input of rank 2$",
        ),
        (
            lambda: L.Normalization()(L.Input((None,))),
            r"^Normalization: a kept axis \(axis 1\) must be known, the input is ",
        ),
        (
            lambda: L.Normalization(mean=[1.0, 2], variance=[1.0, 2])(L.Input((3,))),
            r"^Normalization: mean has shape \(2,\), axis 1 has 3$",
        ),
    ],
)
def test_inputs_that_do_not_fit(make: Any, text: str) -> None:
    with pytest.raises(ShapeError, match=text):
        make()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([], r"^Normalization 'n': adapt: expected data, received none$"),
        (np.ones((0, 3)), r"adapt: expected rows of data, received shape \(0, 3\)$"),
        (
            3.0,
            r"^Normalization 'n': adapt: expected rows of data, received shape \(\)$",
        ),
        (
            np.array([["a"]]),
            r"^Normalization 'n': adapt: expected numbers, received <U1",
        ),
        (
            [np.ones((2, 3)), np.ones((2, 4))],
            r"^Normalization 'n': adapt: expected dims \(3,\), received \(4,\)$",
        ),
    ],
    ids=str,
)
def test_refused_data(given: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        L.Normalization(name="n").adapt(given)


def test_data_of_other_dims_than_the_models() -> None:
    layer = L.Normalization(name="n")
    layer(L.Input((4,)))
    with pytest.raises(DataError, match=r"'mean': expected shape \(4,\), received \(3"):
        layer.adapt(np.ones((2, 3)))


def test_saved_with_its_statistics() -> None:
    layer = L.Normalization(axis=(1, 2))
    x = data(9, 2, 3)
    layer.adapt(x)
    model = model_of(layer, 2, 3)
    again = gj.from_bytes(gj.to_bytes(model))
    np.testing.assert_array_equal(again(x), model(x))


# --- passing on -----------------------------------------------------------------------


def test_identity_adds_no_node() -> None:
    x = data(2, 3)
    graph = graph_of(L.Identity(), [x])
    assert graph.nodes == ()
    np.testing.assert_array_equal(results(graph, x)[0], x)


@pytest.mark.parametrize(("l1", "l2"), [(0.1, 0.0), (0.0, 0.3), (0.1, 0.3)])
def test_activity_regularization_is_a_plain_sum(l1: float, l2: float) -> None:
    x = data(4, 3, 2)
    inputs = L.Input((3, 2))
    model = gj.Model(inputs, L.ActivityRegularization(l1, l2)(inputs))
    step = model.step(model.init(), x, training=True, rng=0)
    (loss,) = step.losses.values()
    wanted = l1 * np.abs(x).sum() + l2 * (x**2).sum()
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)
    np.testing.assert_array_equal(step.outputs, x)
    assert model.step(model.init(), x).losses == {}


def test_no_penalty_is_no_loss() -> None:
    assert graph_of(L.ActivityRegularization(), [data(2, 3)]).losses == ()
    text = r"^ActivityRegularization: l1: expected a number >= 0, received -1$"
    with pytest.raises(CaptureError, match=text):
        L.ActivityRegularization(-1)
