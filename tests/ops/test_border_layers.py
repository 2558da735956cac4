"""Padding and cropping: every form of the argument, both data formats, errors."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit import config
from graphjit.errors import CaptureError, ShapeError
from graphjit.types import TensorType
from tests.conformance.case import run_op
from tests.ops.applied import data, graph_of, results

SHAPES = {1: (7,), 2: (7, 8), 3: (5, 6, 7)}
PADDING = {1: L.ZeroPadding1D, 2: L.ZeroPadding2D, 3: L.ZeroPadding3D}
CROPPING = {1: L.Cropping1D, 2: L.Cropping2D, 3: L.Cropping3D}

#: What the documents state: an argument, and the pairs it stands for.
FORMS: list[tuple[int, Any, list[tuple[int, int]]]] = [
    (1, 2, [(2, 2)]),
    (1, (1, 2), [(1, 2)]),
    (1, [0, 3], [(0, 3)]),
    (1, np.array([2, 1]), [(2, 1)]),
    (2, 2, [(2, 2)] * 2),
    (2, (1, 2), [(1, 1), (2, 2)]),
    (2, np.array([1, 2]), [(1, 1), (2, 2)]),
    (2, ((1, 0), (2, 3)), [(1, 0), (2, 3)]),
    (2, [[1, 0], [2, 3]], [(1, 0), (2, 3)]),
    (2, (1, (2, 3)), [(1, 1), (2, 3)]),
    (3, 1, [(1, 1)] * 3),
    (3, (1, 2, 0), [(1, 1), (2, 2), (0, 0)]),
    (3, ((1, 0), (2, 3), (0, 1)), [(1, 0), (2, 3), (0, 1)]),
    (3, np.int64(1), [(1, 1)] * 3),
]
EACH_FORM = pytest.mark.parametrize(("rank", "given", "pairs"), FORMS, ids=str)


def applied(layer: Any, x: Any) -> Any:
    return results(graph_of(layer, [x]), x)[0]


@EACH_FORM
def test_zero_padding(rank: int, given: Any, pairs: Any) -> None:
    x = data(2, *SHAPES[rank], 3)
    found = applied(PADDING[rank](given), x)
    np.testing.assert_array_equal(found, np.pad(x, [(0, 0), *pairs, (0, 0)]))
    first = PADDING[rank](given, data_format="channels_first")
    moved = np.moveaxis(x, -1, 1)
    found = applied(first, moved)
    np.testing.assert_array_equal(found, np.pad(moved, [(0, 0), (0, 0), *pairs]))


@EACH_FORM
def test_cropping(rank: int, given: Any, pairs: Any) -> None:
    x = data(2, *SHAPES[rank], 3)
    cut = tuple(
        slice(before, dim - after)
        for dim, (before, after) in zip(SHAPES[rank], pairs, strict=True)
    )
    found = applied(CROPPING[rank](given), x)
    np.testing.assert_array_equal(found, x[:, *cut])
    if rank > 1:
        moved = np.moveaxis(x, -1, 1)
        found = applied(CROPPING[rank](given, "channels_first"), moved)
        np.testing.assert_array_equal(found, moved[:, :, *cut])


@pytest.mark.parametrize(
    ("given", "pair"),
    [
        ({"left_pad": 1, "right_pad": 2}, (1, 2)),
        ({"left_pad": 1}, (1, 0)),
        ({"right_pad": 3}, (0, 3)),
        ({}, (0, 0)),
    ],
)
def test_sides_by_name(given: Any, pair: tuple[int, int]) -> None:
    assert L.ZeroPadding1D(given).padding == pair


def test_defaults_are_the_documents() -> None:
    assert L.ZeroPadding1D().padding == (1, 1)
    assert L.ZeroPadding2D().padding == ((1, 1),) * 2
    assert L.ZeroPadding3D().padding == ((1, 1),) * 3
    assert L.Cropping1D().cropping == (1, 1)
    assert L.Cropping2D().cropping == ((0, 0),) * 2
    assert L.Cropping3D().cropping == ((1, 1),) * 3


SIDES = "an int, a pair of ints or {'left_pad': …, 'right_pad': …}, all >= 0"
PAIR = "an int or a pair of ints, all >= 0"
TWO = "an int, 2 ints, or 2 pairs of ints, all >= 0"
THREE = "an int, 3 ints, or 3 pairs of ints, all >= 0"


@pytest.mark.parametrize(
    ("layer", "argument", "wanted", "given"),
    [
        *((L.ZeroPadding1D, "padding", SIDES, bad) for bad in (-1, (1, 2, 3), "same")),
        (L.ZeroPadding1D, "padding", SIDES, {"left_pad": 1, "top_pad": 2}),
        (L.ZeroPadding1D, "padding", SIDES, {"left_pad": -1}),
        (L.ZeroPadding1D, "padding", SIDES, {"left_pad": (1, 2)}),
        (L.ZeroPadding2D, "padding", TWO, {"top_pad": 1}),
        (L.ZeroPadding2D, "padding", TWO, (1, 2, 3, 4)),
        (L.ZeroPadding2D, "padding", TWO, ((1, 2), (3, -4))),
        *((L.ZeroPadding3D, "padding", THREE, bad) for bad in ((1, 2), True, 0.5)),
        *((L.Cropping1D, "cropping", PAIR, bad) for bad in (-1, ((1, 2), 3), None)),
        *((L.Cropping2D, "cropping", TWO, bad) for bad in ((1,), ((1, 2, 3), 1))),
        (L.Cropping3D, "cropping", THREE, ((1, 2), (3, 4))),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_refused_forms(layer: Any, argument: str, wanted: str, given: Any) -> None:
    text = f"{layer.__name__}: {argument}: expected {wanted}, received {given!r}"
    with pytest.raises(CaptureError, match=f"^{re.escape(text)}$"):
        layer(given)


@pytest.mark.parametrize("layer", [*PADDING.values(), *CROPPING.values()])
def test_other_ranks_are_refused(layer: Any) -> None:
    text = rf"^{layer.__name__}: expected an input of rank \d, received rank 2"
    with pytest.raises(ShapeError, match=text):
        layer()(L.Input((6,)))


@pytest.mark.parametrize(
    ("layer", "shape", "text"),
    [
        (L.Cropping1D((2, 2), name="c"), (4, 3), r"2 \+ 2 off a length of 4 \(axis 1"),
        (L.Cropping2D(((0, 0), (9, 0)), name="c"), (5, 6, 1), "9 .* 6 .axis 2"),
    ],
)
def test_something_must_be_left(layer: Any, shape: Any, text: str) -> None:
    with pytest.raises(ShapeError, match=rf"^crop 'c/crop': cannot cut {text}"):
        layer(L.Input(shape))


def test_unknown_lengths_are_checked_when_they_are_known() -> None:
    x = L.Input((None, 3))
    y = L.Cropping1D((1, 2))(x)
    assert y.shape == (None, None, 3)
    assert L.ZeroPadding1D((1, 2))(x).shape == (None, None, 3)
    assert L.Cropping1D(0)(x).shape == (None, None, 3)
    model = gj.Model(x, y)
    batch = data(2, 5, 3)
    np.testing.assert_array_equal(model(batch), batch[:, 1:3])
    text = r"cannot cut 1 \+ 2 off a length of 3 \(axis 1\)"
    with pytest.raises(ShapeError, match=text):
        model(data(2, 3, 3))


def test_a_side_that_is_not_touched_keeps_its_name() -> None:
    y = L.Cropping2D(((0, 0), (1, 1)))(L.Input(("rows", 5, 2)))
    assert y.type == TensorType(("batch", "rows", 3, 2))


def test_only_a_format_that_keras_2_lacks_is_written() -> None:
    assert "data_format" not in L.ZeroPadding1D(2).get_config()
    config_ = L.ZeroPadding1D(2, "channels_first").get_config()
    assert config_["data_format"] == "channels_first"
    assert L.ZeroPadding1D.from_config(config_).get_config() == config_
    config.set_image_data_format("channels_first")
    assert L.ZeroPadding1D(2).data_format == "channels_last"
    assert L.ZeroPadding2D(2).data_format == "channels_first"


def test_the_documents_cropping() -> None:
    """Document 003, Cropping2D, with its missing quote and its "16. 64" put right."""
    model = gj.Sequential()
    model.add(L.Cropping2D(cropping=((2, 2), (4, 4)), input_shape=(28, 28, 3)))
    assert model.output_shape == (None, 24, 20, 3)
    model.add(L.Conv2D(64, (3, 3), padding="same"))
    model.add(L.Cropping2D(cropping=((2, 2), (2, 2))))
    assert model.output_shape == (None, 20, 16, 64)


def test_crops_of_crops_are_one() -> None:
    x = L.Input((9, 9, 2), name="x")
    y = L.Cropping2D(((1, 0), (0, 2)))(L.Cropping2D((1, 2))(x))
    graph = gj.jit(gj.Model(x, y)).graph
    assert [node.op.kind for node in graph.nodes] == ["crop"]
    image = data(2, 9, 9, 2)
    (found,) = run_op(graph.nodes[0].op, [image])
    np.testing.assert_array_equal(found, image[:, 2:8, 2:5])
