"""Pooling of windows and of everything, in 1, 2 and 3 dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit import config
from graphjit.errors import CaptureError, ShapeError
from graphjit.layout import Layout
from graphjit.ops.pool import AveragePool, MaxPool
from graphjit.types import TensorType
from tests.conformance.case import run_op
from tests.ops.applied import data, graph_of, inference, results

WINDOWED = {
    1: (L.MaxPooling1D, L.AveragePooling1D),
    2: (L.MaxPooling2D, L.AveragePooling2D),
    3: (L.MaxPooling3D, L.AveragePooling3D),
}
EACH_RANK = pytest.mark.parametrize("rank", WINDOWED)


def applied(layer: Any, x: Any) -> Any:
    return results(graph_of(layer, [x]), x)[0]


# --- arguments ------------------------------------------------------------------------


@EACH_RANK
def test_defaults_halve(rank: int) -> None:
    for cls in WINDOWED[rank]:
        layer = cls()
        assert layer.pool_size == layer.strides == (2,) * rank
        assert layer.padding == "valid"
        x = L.Input((7,) * rank + (3,))
        assert layer(x).shape == (None, *(3,) * rank, 3)


@EACH_RANK
@pytest.mark.parametrize("form", [int, list, tuple, np.int64, np.array])
def test_sizes_in_every_form(rank: int, form: Any) -> None:
    size = form(3) if form in (int, np.int64) else form([3] * rank)
    for cls in WINDOWED[rank]:
        layer = cls(size, strides=size)
        assert layer.pool_size == layer.strides == (3,) * rank


def test_one_element_is_an_int_for_every_axis() -> None:
    assert L.MaxPooling1D([4]).pool_size == (4,)
    assert L.MaxPooling3D((2,), [1]).strides == (1, 1, 1)


@EACH_RANK
def test_strides_are_written_out_as_keras_2_does(rank: int) -> None:
    config_ = WINDOWED[rank][0](pool_size=3).get_config()
    assert config_["strides"] == config_["pool_size"] == [3] * rank
    again = WINDOWED[rank][0].from_config({**config_, "strides": None})
    assert again.get_config() == config_


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: L.MaxPooling1D(0), "MaxPooling1D: pool_size: expected an int >= 1, "),
        (
            lambda: L.AveragePooling2D((1, 2, 3)),
            r"AveragePooling2D: pool_size: expected an int >= 1 or 2 of them, received "
            r"\(1, 2, 3\)",
        ),
        (
            lambda: L.MaxPooling3D(strides=(1, 2)),
            "MaxPooling3D: strides: expected an int >= 1 or 3 of them, received ",
        ),
        (
            lambda: L.MaxPooling1D(padding="causal"),
            "MaxPooling1D: padding: expected one of 'valid', 'same', or a pair of ints "
            ">= 0 per spatial axis, received 'causal'",
        ),
        (
            lambda: L.GlobalMaxPooling3D(data_format="last"),
            "GlobalMaxPooling3D: data_format: expected 'channels_last' or ",
        ),
        (
            lambda: L.MaxPooling1D(pool_length=3),
            r"MaxPooling1D: unknown argument 'pool_length'\n  hint: it is called "
            "'pool_size' here; graphjit.keras1",
        ),
        (
            lambda: L.AveragePooling1D(stride=3),
            r"unknown argument 'stride'\n  hint: it is called 'strides' here",
        ),
        (
            lambda: L.MaxPooling3D(border_mode="same"),
            r"unknown argument 'border_mode'\n  hint: it is called 'padding' here",
        ),
        (
            lambda: L.GlobalAveragePooling2D(dim_ordering="th"),
            r"unknown argument 'dim_ordering'\n  hint: it is called 'data_format' here",
        ),
    ],
)
def test_refused_arguments(make: Any, text: str) -> None:
    with pytest.raises(CaptureError, match=text):
        make()


@pytest.mark.parametrize("padding", ["SAME", "Valid"])
def test_padding_in_any_case(padding: str) -> None:
    assert L.MaxPooling1D(padding=padding).padding == padding.lower()


@pytest.mark.parametrize(
    ("layer", "rank"),
    [
        (L.MaxPooling1D(), 3),
        (L.AveragePooling2D(), 4),
        (L.MaxPooling3D(), 5),
        (L.GlobalMaxPooling1D(), 3),
        (L.GlobalAveragePooling2D(), 4),
        (L.GlobalAveragePooling3D(), 5),
    ],
)
def test_other_ranks_are_refused(layer: Any, rank: int) -> None:
    name = type(layer).__name__
    text = rf"^{name}: expected an input of rank {rank}, received rank 2: float32\[ba"
    with pytest.raises(ShapeError, match=text):
        layer(L.Input((6,)))


def test_a_window_larger_than_the_input_is_shown() -> None:
    text = r"max_pool 'p/max_pool': a window of 4 does not fit a length of 3 \(axis 2 "
    with pytest.raises(ShapeError, match=text):
        L.MaxPooling2D((2, 4), name="p")(L.Input((5, 3, 1)))


# --- data formats and unknown dims ----------------------------------------------------


def test_sequences_have_steps_first_whatever_the_configuration() -> None:
    """The documents know no other order for them: (samples, steps, features)."""
    config.set_image_data_format("channels_first")
    x = L.Input((8, 3))
    assert L.MaxPooling1D(2)(x).shape == (None, 4, 3)
    assert L.GlobalAveragePooling1D()(x).shape == (None, 3)
    assert L.AveragePooling1D(2, data_format="channels_first")(x).shape == (None, 8, 1)
    assert L.AveragePooling1D(2, data_format=None)(x).shape == (None, 8, 1)


def test_images_and_volumes_follow_the_configuration() -> None:
    config.set_image_data_format("channels_first")
    assert L.MaxPooling2D()(L.Input((3, 8, 6))).shape == (None, 3, 4, 3)
    assert L.MaxPooling3D()(L.Input((3, 8, 6, 4))).shape == (None, 3, 4, 3, 2)
    assert L.GlobalMaxPooling3D()(L.Input((3, 8, 6, 4))).shape == (None, 3)


@EACH_RANK
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_unknown_dims(rank: int, padding: str) -> None:
    free = (None,) * rank
    x = data(2, *(7, 6, 5)[:rank], 2)
    for cls in WINDOWED[rank]:
        images = L.Input((*free, 2))
        y = cls(3, 2, padding)(images)
        assert y.shape == (None, *free, 2)
        found = gj.Model(images, y)(x)
        # Means of numbers of size 1 may cancel: what is left is their rounding.
        np.testing.assert_allclose(found, applied(cls(3, 2, padding), x), 1e-6, 1e-7)


def test_stride_one_with_same_keeps_a_named_dim() -> None:
    y = L.AveragePooling1D(3, 1, "same")(L.Input(("time", 4)))
    assert y.type.shape == ("batch", "time", 4)


# --- meaning --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int32", "uint8", "float64", "bfloat16"])
def test_max_pooling_keeps_every_dtype(dtype: str) -> None:
    x = np.array([[[3], [1], [2]], [[0], [7], [200]]]).astype("float32")
    layer = L.MaxPooling1D(2, 1, "same", dtype=dtype if "float" in dtype else None)
    y = layer(L.Input((3, 1), dtype=dtype))
    assert y.dtype == dtype
    op = MaxPool((2,), (1,), "same")
    (found,) = run_op(op, [x.astype(np.dtype(y.dtype))])
    np.testing.assert_array_equal(found[..., 0], [[3, 2, 2], [7, 200, 200]])


def test_averages_of_integers_are_floats() -> None:
    y = L.AveragePooling1D(2)(L.Input((4, 1), dtype="int32"))
    assert y.dtype == "float32"
    assert L.GlobalAveragePooling3D()(L.Input((2, 2, 2, 1), dtype="int32")).dtype == (
        "float32"
    )


def test_pads_of_same_count_in_no_average_and_no_maximum() -> None:
    x = -np.arange(1.0, 6.0, dtype=np.float32).reshape(1, 5, 1)
    mean = applied(L.AveragePooling1D(3, 2, "same"), x)
    np.testing.assert_allclose(mean.ravel(), [-1.5, -3, -4.5])
    top = applied(L.MaxPooling1D(3, 2, "same"), x)
    np.testing.assert_allclose(top.ravel(), [-1, -2, -4])


def test_theanos_same_is_explicit_padding() -> None:
    """keras-semantics.md: p - 2 or p - 1 on both sides, cropped to ceil(n / s)."""
    x = np.arange(1.0, 6.0).reshape(1, 5, 1)
    # p = 2, s = 2: one before; windows start at -1; ceil(5 / 2) = 3 of them.
    (found,) = run_op(AveragePool((2,), (2,), ((1, 0),)), [x])
    np.testing.assert_allclose(found.ravel(), [1, 2.5, 4.5])
    (found,) = run_op(MaxPool((3,), (1,), ((1, 1),)), [x])
    np.testing.assert_allclose(found.ravel(), [2, 3, 4, 5, 5])


@pytest.mark.parametrize("op", [MaxPool, AveragePool])
def test_spatial_axes_may_be_reordered(op: Any) -> None:
    x = np.random.default_rng(0).normal(size=(2, 7, 5, 3))
    pool = op((3, 2), (2, 1), ((1, 0), (0, 1)))
    types = [TensorType(x.shape, "float64")]
    rule = pool.permuted(Layout((0, 2, 1, 3)), types)
    assert rule is not None
    (plain,), (moved,) = run_op(pool, [x]), run_op(rule.op, [x.transpose(0, 2, 1, 3)])
    np.testing.assert_allclose(moved, plain.transpose(0, 2, 1, 3), rtol=1e-14)
    assert pool.permuted(Layout((0, 3, 1, 2)), types) is None


@pytest.mark.parametrize(
    ("layer", "formula"),
    [
        (L.GlobalMaxPooling1D, np.max),
        (L.GlobalAveragePooling1D, np.mean),
        (L.GlobalMaxPooling3D, np.max),
        (L.GlobalAveragePooling3D, np.mean),
    ],
)
@pytest.mark.parametrize("keepdims", [False, True])
def test_whole_axes(layer: Any, formula: Any, keepdims: bool) -> None:
    rank = 3 if "1D" in layer.__name__ else 5
    x = data(2, *(3, 4, 5)[: rank - 2], 6)
    axes = tuple(range(1, rank - 1))
    found = applied(layer(keepdims=keepdims), x)
    np.testing.assert_allclose(found, formula(x, axes, keepdims=keepdims), rtol=1e-6)


def test_a_channels_first_stack_ends_with_two_transposes_at_most() -> None:
    """conv → pool → pool, all channels_first: transposes between them cancel."""
    x = L.Input((3, 12, 10))
    first = {"data_format": "channels_first"}
    y = L.AveragePooling2D(2, 1, "same", **first)(
        L.MaxPooling2D(2, **first)(L.Conv2D(4, 3, **first)(x))
    )
    graph = gj.jit(gj.Model(x, y)).graph
    assert graph.count("transpose") <= 2
    assert inference(gj.Model(x, y).graph).count("transpose") == 6
