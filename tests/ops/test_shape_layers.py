"""Flatten, Reshape, Permute, RepeatVector: the documents' examples and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.errors import CaptureError, ShapeError
from tests.ops.applied import data, graph_of, results


def test_the_documents_flatten() -> None:
    model = gj.Sequential()
    model.add(
        L.Conv2D(
            64,
            3,
            padding="same",
            data_format="channels_first",
            input_shape=(3, 32, 32),
        )
    )
    assert model.output_shape == (None, 64, 32, 32)
    model.add(L.Flatten())
    assert model.output_shape == (None, 65536)


def test_the_documents_reshape() -> None:
    model = gj.Sequential()
    model.add(L.Reshape((3, 4), input_shape=(12,)))
    assert model.output_shape == (None, 3, 4)
    model.add(L.Reshape((6, 2)))
    assert model.output_shape == (None, 6, 2)


def test_the_documents_permute() -> None:
    model = gj.Sequential()
    model.add(L.Permute((2, 1), input_shape=(10, 64)))
    assert model.output_shape == (None, 64, 10)


def test_the_documents_repeat_vector() -> None:
    model = gj.Sequential()
    model.add(L.Dense(32, input_dim=32))
    assert model.output_shape == (None, 32)
    model.add(L.RepeatVector(3))
    assert model.output_shape == (None, 3, 32)
    x = data(2, 32)
    found = np.asarray(model(x))
    np.testing.assert_array_equal(found, found[:, :1].repeat(3, 1))


def test_vectors_are_repeated() -> None:
    x = data(2, 5)
    found, _ = results(graph_of(L.RepeatVector(4), [x]), x)
    np.testing.assert_array_equal(found, x[:, None].repeat(4, 1))
    free = L.RepeatVector(4)(L.Input((None,)))
    assert free.shape == (None, 4, None)
    ids = L.RepeatVector(2)(L.Input((3,), dtype="int32"))
    assert ids.dtype == "int32"


@pytest.mark.parametrize("shape", [(), (3, 2), (3, 2, 1)])
def test_only_vectors_are_repeated(shape: tuple[int, ...]) -> None:
    text = (
        rf"^RepeatVector: expected an input of rank 2, received rank {len(shape) + 1}"
    )
    with pytest.raises(ShapeError, match=text):
        L.RepeatVector(3)(L.Input(shape))


@pytest.mark.parametrize("n", [0, -1, 2.5, "3", (2,)])
def test_how_often_is_an_int(n: Any) -> None:
    with pytest.raises(CaptureError, match=r"^RepeatVector: n: expected an int >= 1, "):
        L.RepeatVector(n)


def test_reshape_needs_fixed_dims_and_an_equal_total() -> None:
    text = r"^reshape 'r/reshape': cannot make \(5, 2\) of 12 elements"
    with pytest.raises(ShapeError, match=text):
        L.Reshape((5, 2), name="r")(L.Input((12,)))
    text = r"^Reshape 'r': the input's dims must be known, or target_shape have a -1, t"
    with pytest.raises(ShapeError, match=text):
        L.Reshape((5, 2), name="r")(L.Input((None, 2)))
    text = r"^reshape 'r/reshape': expected at most one -1 in shape, received \(-1, -1"
    with pytest.raises(ShapeError, match=text):
        L.Reshape((-1, -1), name="r")(L.Input((12,)))


def test_permute_counts_from_one_and_wants_all_axes() -> None:
    text = r"^Permute: expected an input of rank 3, received rank 4"
    with pytest.raises(ShapeError, match=text):
        L.Permute((2, 1))(L.Input((3, 4, 5)))


@pytest.mark.parametrize("shape", [(None, 4), (3, None)])
def test_a_flat_image_of_unknown_size_has_no_dense_behind_it(shape: Any) -> None:
    flat = L.Flatten()(L.Input(shape))
    assert flat.shape == (None, None)
    text = (
        r"^Dense: the last axis \(axis 1\) must be known, the input is float32\[batch, "
        r"\?\]\n  hint: give the full shape: Input"
    )
    with pytest.raises(ShapeError, match=text):
        L.Dense(3)(flat)
