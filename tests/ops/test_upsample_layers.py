"""Enlarging: by repetition and by interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.errors import CaptureError, ShapeError
from graphjit.ops.interpolate import Interpolate
from graphjit.types import TensorType
from tests.conformance.case import run_op
from tests.ops.applied import data, graph_of, results


def applied(layer: Any, x: Any) -> Any:
    return results(graph_of(layer, [x]), x)[0]


def test_steps_are_repeated() -> None:
    x = data(2, 3, 4)
    np.testing.assert_array_equal(applied(L.UpSampling1D(3), x), x.repeat(3, 1))
    assert L.UpSampling1D().size == 2
    assert L.UpSampling1D([3]).size == 3
    assert L.UpSampling1D(3).get_config()["size"] == 3


@pytest.mark.parametrize("size", [2, (3, 1, 2), [1, 2, 3]])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_volumes_are_repeated(size: Any, data_format: str) -> None:
    x = data(2, 2, 3, 2, 4)
    first = 1 if data_format == "channels_last" else 2
    wanted = x
    for axis, factor in enumerate(L.UpSampling3D(size).size):
        wanted = wanted.repeat(factor, first + axis)
    found = applied(L.UpSampling3D(size, data_format), x)
    np.testing.assert_array_equal(found, wanted)


def test_bilinear_by_hand() -> None:
    """Half-pixel centres: 0 and 4 become 0, 1, 3, 4."""
    x = np.array([0.0, 4.0], np.float32).reshape(1, 1, 2, 1)
    found = applied(L.UpSampling2D((1, 2), interpolation="bilinear"), x)
    np.testing.assert_allclose(found.ravel(), [0, 1, 3, 4])
    one = applied(L.UpSampling2D((3, 1), interpolation="bilinear"), x)
    np.testing.assert_allclose(one, x.repeat(3, 1))


def test_bilinear_between_corners_by_hand() -> None:
    """What is there stays where it is, and the end is repeated."""
    x = np.array([0.0, 4.0, 8.0], np.float32).reshape(1, 1, 3, 1)
    found = applied(L.UpSampling2D((1, 4), interpolation="bilinear_corners"), x)
    np.testing.assert_allclose(found.ravel(), [*range(9), 8, 8, 8])


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_bilinear_as_keras(factor: int) -> None:
    keras = pytest.importorskip("keras")
    x = data(2, 5, 1, 3)
    for size in ((factor, 2), (1, factor)):
        layer = L.UpSampling2D(size, "channels_last", "Bilinear")
        twin = keras.layers.UpSampling2D(size, "channels_last", "bilinear")
        np.testing.assert_allclose(applied(layer, x), twin(x), rtol=1e-5, atol=1e-6)


def test_interpolating_keeps_a_constant() -> None:
    x = np.full((1, 9, 3, 2), 7.0, np.float32)
    found = applied(L.UpSampling2D((4, 3), interpolation="bilinear"), x)
    np.testing.assert_array_equal(found, 7)


def test_places_in_long_axes_are_exact_in_bfloat16() -> None:
    """Weights do not depend on the place: bfloat16 counts whole numbers to 256 only."""
    steps = np.arange(600) % 2 * 4.0
    x = steps.reshape(1, 600, 1, 1).astype("bfloat16")
    (found,) = run_op(Interpolate((1, 2, 1, 1)), [x])
    places = (np.arange(1200) + 0.5) / 2 - 0.5
    np.testing.assert_array_equal(
        found.ravel().astype(float), np.interp(places, np.arange(600), steps)
    )


def test_integers_are_repeated_as_they_are_and_interpolated_as_floats() -> None:
    x = L.Input((3, 3, 1), dtype="int32")
    assert L.UpSampling2D()(x).dtype == "int32"
    assert L.UpSampling2D(interpolation="bilinear")(x).dtype == "float32"
    text = r"^expected floating x, received int32$"
    with pytest.raises(ShapeError, match=text):
        Interpolate((1, 2)).infer(TensorType((2, 2), "int32"))


def test_factors_must_fit() -> None:
    with pytest.raises(ShapeError, match=r"^factors \(1, 2\) do not fit rank 3$"):
        Interpolate((1, 2)).infer(TensorType((2, 2, 2)))


def test_unknown_dims_stay_unknown() -> None:
    assert L.UpSampling1D(2)(L.Input((None, 3))).shape == (None, None, 3)
    for interpolation in ("nearest", "bilinear"):
        layer = L.UpSampling2D((2, 1), interpolation=interpolation)
        assert layer(L.Input((None, 4, 3))).shape == (None, None, 4, 3)


def test_factors_of_one_vanish() -> None:
    x = L.Input((3, 3, 2))
    y = L.UpSampling2D(1, interpolation="bilinear")(L.UpSampling2D(1)(x))
    assert gj.jit(gj.Model(x, L.ReLU()(y))).graph.count("interpolate") == 0


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: L.UpSampling1D((1, 2)),
            r"^UpSampling1D: size: expected an int >= 1, received \(1, 2\)$",
        ),
        (lambda: L.UpSampling1D(0), r"^UpSampling1D: size: expected an int >= 1, "),
        (
            lambda: L.UpSampling1D(length=2),
            r"unknown argument 'length'\n  hint: it is called 'size' here",
        ),
        (
            lambda: L.UpSampling2D(interpolation="cubic"),
            r"^UpSampling2D: interpolation: expected one of 'nearest', 'bilinear', 'b",
        ),
        (
            lambda: L.UpSampling3D((2, 2)),
            r"^UpSampling3D: size: expected an int >= 1 or 3 of them, received \(2, 2",
        ),
    ],
)
def test_refused_arguments(make: Any, text: str) -> None:
    with pytest.raises(CaptureError, match=text):
        make()
