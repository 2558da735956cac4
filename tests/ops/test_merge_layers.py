"""Merges: their functions, their masks, and what does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.errors import CaptureError, ShapeError
from graphjit.ops.merge_ops import BatchDot, FullMask
from graphjit.types import TensorType
from tests.ops.applied import data, graph_of, results

ELEMENTWISE = [
    L.Add,
    L.Average,
    L.Maximum,
    L.Minimum,
    L.Multiply,
    L.Subtract,
]
X_MASK = np.array([[True, True, False, False], [True, False, True, True]])
Y_MASK = np.array([[True, False, True, False], [True] * 4])


def merged(layer: Any, *arrays: Any) -> Any:
    return results(graph_of(layer, arrays), *arrays)[0]


def mask_of(layer: Any, arrays: Any, masks: Any) -> Any:
    present = [mask for mask in masks if mask is not None]
    return results(graph_of(layer, arrays, masks), *arrays, *present)[1]


# --- values ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "layer", "settings"),
    [
        (L.add, L.Add, {}),
        (L.subtract, L.Subtract, {}),
        (L.multiply, L.Multiply, {}),
        (L.average, L.Average, {}),
        (L.maximum, L.Maximum, {}),
        (L.minimum, L.Minimum, {}),
        (L.concatenate, L.Concatenate, {"axis": 1}),
        (L.concatenate, L.Concatenate, {}),
        (L.dot, L.Dot, {"axes": -1}),
        (L.dot, L.Dot, {"axes": (2, 2), "normalize": True}),
    ],
)
def test_functions_are_layers(function: Any, layer: Any, settings: Any) -> None:
    x, y = gj.Input((4, 3), name="x"), gj.Input((4, 3), name="y")
    made = function([x, y], name="merged", **settings)
    assert gj.Model([x, y], made).get_layer("merged").get_config() == (
        layer(name="merged", **settings).get_config()
    )
    wanted = layer(name="merged", **settings)([x, y])
    graphs = [gj.Model([x, y], output, name="m").graph for output in (made, wanted)]
    assert graphs[0] == graphs[1]


def test_functions_take_axes_by_place() -> None:
    x, y = gj.Input((4, 3)), gj.Input((3, 4))
    assert L.dot([x, y], (1, 2)).shape == (None, 3, 3)
    assert L.dot([x, y], (1, 2), True).call.layer.normalize is True
    assert L.concatenate([x, x], 1).shape == (None, 8, 3)


def test_the_documents_concatenation() -> None:
    """Document 004: two branches of 32 units, joined along axis 1, give 64."""
    first, second = gj.Input((32,)), gj.Input((32,))
    branches = [L.Dense(32)(first), L.Dense(32)(second)]
    assert L.concatenate(branches, axis=1).shape == (None, 64)


@pytest.mark.parametrize("layer", ELEMENTWISE, ids=lambda v: v.__name__)
def test_a_lower_rank_gets_axes_behind_the_batch(layer: Any) -> None:
    x, y = data(2, 4, 3), data(2, 3, seed=1)
    wide = merged(layer(), x, y)
    np.testing.assert_array_equal(wide, merged(layer(), x, y[:, None]))
    names = [gj.Input((None, None, 3)), gj.Input((None, 3))]
    assert layer()(names).shape == (None, None, None, 3)


def test_a_lower_rank_of_unknown_dims() -> None:
    x, y = gj.Input((4, None, None, 3)), gj.Input((None, None, 3))
    model = gj.Model([x, y], L.Add()([x, y]))
    first, second = data(2, 4, 5, 6, 3), data(2, 5, 6, 3, seed=1)
    found = model.predict([first, second])
    np.testing.assert_allclose(found, first + second[:, None], rtol=1e-6)


def test_other_types_are_cast() -> None:
    x, y = gj.Input((3,), dtype="int32"), gj.Input((3,), dtype="float32")
    assert L.Add()([x, y]).dtype == "float32"
    assert L.Add()([x, x]).dtype == "int32"
    assert L.Average()([x, x]).dtype == "float32"
    assert L.Concatenate()([x, y]).dtype == "float32"
    assert L.Dot(1)([x, x]).dtype == "float32"


# --- dot ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "y", "axes", "shape"),
    [
        ((5,), (5,), 1, (1,)),
        ((5,), (5,), -1, (1,)),
        ((4, 5), (3, 5), 2, (4, 3)),
        ((4, 5), (4, 5), 1, (5, 5)),
        ((4, 5), (5, 3), (2, 1), (4, 3)),
        ((4, 5), (5, 3), [-1, -2], (4, 3)),
        ((5,), (3, 5), (1, 2), (3,)),
        ((3, 5), (5,), (-1, -1), (3,)),
        ((2, 3, 4), (4, 5, 6), (3, 1), (2, 3, 5, 6)),
        ((2, 3, 4), (3,), (2, 1), (2, 4)),
    ],
)
def test_dot(x: Any, y: Any, axes: Any, shape: Any) -> None:
    layer = L.Dot(axes)
    assert layer([gj.Input(x), gj.Input(y)]).shape == (None, *shape)
    first, second = data(2, *x), data(2, *y, seed=1)
    pair = (axes, axes) if isinstance(axes, int) else axes
    at = (pair[0] - (pair[0] > 0), pair[1] - (pair[1] > 0))
    rows = zip(first, second, strict=True)
    wanted = np.stack([np.tensordot(a, b, at) for a, b in rows])
    found = merged(L.Dot(axes), first, second)
    np.testing.assert_allclose(found, wanted.reshape(2, *shape), rtol=1e-5, atol=1e-5)


def test_a_normalized_dot_is_a_cosine() -> None:
    x, y = data(3, 6), data(3, 6, seed=1)
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    wanted = ((x * y).sum(1) / lengths)[:, None]
    found = merged(L.Dot(1, normalize=True), x, y)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    zeros = merged(L.Dot(1, normalize=True), np.zeros_like(x), y)
    np.testing.assert_array_equal(zeros, np.zeros((3, 1)))


def test_dot_of_unknown_dims() -> None:
    x, y = gj.Input((None, 4)), gj.Input((None, 4))
    assert L.Dot(2)([x, y]).shape == (None, None, None)
    assert L.Dot(1)([x, y]).shape == (None, 4, 4)


def test_configs_of_dot() -> None:
    config = L.Dot((2, 1), normalize=True).get_config()
    assert (config["axes"], config["normalize"]) == ([2, 1], True)
    assert L.Dot(-1).get_config()["axes"] == -1


# --- what does not fit ----------------------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    [L.Add, L.Average, L.Maximum, L.Minimum, L.Multiply, L.Concatenate],
    ids=lambda v: v.__name__,
)
def test_fewer_than_two(layer: Any) -> None:
    wanted = "expected a list of at least 2 tensors, received 1"
    for given in (gj.Input((3,)), [gj.Input((3,))]):
        with pytest.raises(CaptureError, match=wanted):
            layer()(given)


@pytest.mark.parametrize("count", [1, 3])
def test_exactly_two(count: int) -> None:
    tensors = [gj.Input((3,)) for _ in range(count)]
    message = f"expected a list of exactly 2 tensors, received {count}"
    for layer in (L.Subtract(), L.Dot(1)):
        with pytest.raises(CaptureError, match=message):
            layer(tensors)


@pytest.mark.parametrize("layer", ELEMENTWISE, ids=lambda v: v.__name__)
def test_unequal_shapes(layer: Any) -> None:
    with pytest.raises(ShapeError, match="shapes do not broadcast: dims 4 and 5 diff"):
        layer()([gj.Input((4, 3)), gj.Input((5, 3))])


def test_a_mismatch_off_the_axis() -> None:
    message = "off axis 2 all dims must agree: at axis 1 dims 4 and 5 differ"
    with pytest.raises(ShapeError, match=message):
        L.Concatenate()([gj.Input((4, 3)), gj.Input((5, 3))])
    with pytest.raises(ShapeError, match=r"x1 is .*, x0 is"):
        L.Concatenate()([gj.Input((4, 3)), gj.Input((3,))])
    with pytest.raises(ShapeError, match="axis 3 does not fit an input of rank 3"):
        L.Concatenate(3)([gj.Input((4, 3)), gj.Input((4, 3))])


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (2, "axis 2 of the first input has 3 elements, axis 2 of the second has 5"),
        ((1, 2), "axis 1 of the first input has 4 elements, axis 2 of the second"),
        (0, "axes: expected axes other than the batch, received 0"),
        ((-3, 1), r"axes: expected axes other than the batch, received \(-3, 1\)"),
        (3, "axis 3 does not fit an input of rank 3"),
    ],
)
def test_axes_of_dot_that_do_not_fit(axes: Any, message: str) -> None:
    with pytest.raises((CaptureError, ShapeError), match=message):
        L.Dot(axes)([gj.Input((4, 3)), gj.Input((4, 5))])


@pytest.mark.parametrize("wrong", ["a", (1,), (1, 2, 3), (1, "a"), None, 1.5])
def test_wrong_axes(wrong: Any) -> None:
    with pytest.raises(CaptureError, match="axes: expected an int, or two, received"):
        L.Dot(wrong)


def test_hints_for_old_names() -> None:
    with pytest.raises(CaptureError, match="called 'axis' here"):
        L.Concatenate(concat_axis=1)
    with pytest.raises(CaptureError, match="called 'axes' here"):
        L.Dot(dot_axes=1)


def test_malformed_dots() -> None:
    x = TensorType(("batch", 4, 3))
    with pytest.raises(ShapeError, match="x: axis 0 does not fit rank 3"):
        BatchDot(0, 1).infer(x, x)
    with pytest.raises(ShapeError, match="y: axis 3 does not fit rank 3"):
        BatchDot(1, 3).infer(x, x)
    with pytest.raises(ShapeError, match="dims 4 and 3 differ"):
        BatchDot(1, 2).infer(x, x)
    with pytest.raises(ShapeError, match="x is float32, y is float64"):
        BatchDot(1, 1).infer(x, TensorType(x.shape, "float64"))
    with pytest.raises(ShapeError, match="expected x of rank >= 4, received float32"):
        FullMask(4).infer(x)


# --- masks ----------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ELEMENTWISE, ids=lambda v: v.__name__)
def test_masks_are_anded(layer: Any) -> None:
    pair = [data(2, 4, 3), data(2, 4, 3, seed=1)]
    both = mask_of(layer(), pair, [X_MASK, Y_MASK])
    np.testing.assert_array_equal(both, X_MASK & Y_MASK)
    np.testing.assert_array_equal(mask_of(layer(), pair, [None, Y_MASK]), Y_MASK)
    np.testing.assert_array_equal(mask_of(layer(), pair, [X_MASK, None]), X_MASK)
    assert mask_of(layer(), pair, [None, None]) is None


def test_masks_of_three() -> None:
    three = [data(2, 4, 3, seed=at) for at in range(3)]
    third = np.array([[False, True, True, True]] * 2)
    found = mask_of(L.Add(), three, [X_MASK, None, third])
    np.testing.assert_array_equal(found, X_MASK & third)


def test_the_mask_of_a_broadcast_input_is_broadcast() -> None:
    pair = [data(2, 4, 3), data(2, 1, 3)]
    short = np.array([[True], [False]])
    found = mask_of(L.Add(), pair, [None, short])
    np.testing.assert_array_equal(found, np.broadcast_to(short, (2, 4)))
    found = mask_of(L.Multiply(), pair, [X_MASK, short])
    np.testing.assert_array_equal(found, X_MASK & short)


def test_the_mask_of_an_input_of_lower_rank() -> None:
    pair = [data(2, 5, 4, 3), data(2, 4, 3)]
    found = mask_of(L.Add(), pair, [None, X_MASK])
    np.testing.assert_array_equal(found, np.broadcast_to(X_MASK[:, None], (2, 5, 4)))


def test_joined_along_the_features_masks_are_anded() -> None:
    pair = [data(2, 4, 3), data(2, 4, 2)]
    for axis in (-1, 2):
        found = mask_of(L.Concatenate(axis), pair, [X_MASK, Y_MASK])
        np.testing.assert_array_equal(found, X_MASK & Y_MASK)
    found = mask_of(L.Concatenate(), pair, [None, Y_MASK])
    np.testing.assert_array_equal(found, Y_MASK)
    assert mask_of(L.Concatenate(), pair, [None, None]) is None


def test_joined_along_the_steps_masks_are_joined() -> None:
    pair = [data(2, 4, 3), data(2, 4, 3, seed=1)]
    found = mask_of(L.Concatenate(1), pair, [X_MASK, Y_MASK])
    np.testing.assert_array_equal(found, np.concatenate([X_MASK, Y_MASK], 1))
    found = mask_of(L.Concatenate(1), pair, [X_MASK, None])
    full = np.ones((2, 4), bool)
    np.testing.assert_array_equal(found, np.concatenate([X_MASK, full], 1))


def test_keras_joins_masks_by_this_rule() -> None:
    """Each mask spread over its input, joined, and all() along the last axis."""
    x, y = data(2, 4, 3), data(2, 4, 3, seed=1)
    for axis in (1, 2):
        spread = [np.broadcast_to(m[..., None], x.shape) for m in (X_MASK, Y_MASK)]
        wanted = np.concatenate(spread, axis).all(-1)
        found = mask_of(L.Concatenate(axis), [x, y], [X_MASK, Y_MASK])
        np.testing.assert_array_equal(found, wanted)


def test_masks_of_unknown_lengths() -> None:
    x, y = gj.Input((None, 3)), gj.Input((None, 3))
    mask = gj.Input((None,), dtype="bool")
    joined = L.Concatenate(1)([x, y], mask=[mask, None])
    model = gj.Model([x, y, mask], L.Add()([joined, joined]))
    step = model.step(
        model.init(0), [data(2, 4, 3), data(2, 5, 3), X_MASK], training=False
    )
    wanted = np.concatenate([X_MASK, np.ones((2, 5), bool)], 1)
    np.testing.assert_array_equal(step.masks, wanted)


def test_a_dot_has_no_mask() -> None:
    pair = [data(2, 4, 3), data(2, 5, 3)]
    assert mask_of(L.Dot(2), pair, [X_MASK, None]) is None
