"""Masking, the mean that knows masks, and which layers carry one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.errors import CaptureError, ShapeError
from graphjit.ops.masking import MaskedMean, MaskSteps
from graphjit.types import TensorType
from tests.conformance.case import run_op
from tests.ops.applied import data, graph_of, results

#: Layers that pass a mask on, with the rank of what they are called on.
CARRIERS: dict[str, tuple[Any, int]] = {
    "Activation": (lambda: L.Activation("tanh"), 3),
    "ActivityRegularization": (lambda: L.ActivityRegularization(0.1), 3),
    "AlphaDropout": (lambda: L.AlphaDropout(0.3), 3),
    "BatchNormalization": (L.BatchNormalization, 3),
    "Dense": (lambda: L.Dense(2), 3),
    "Dropout": (lambda: L.Dropout(0.3), 3),
    "GaussianDropout": (lambda: L.GaussianDropout(0.3), 3),
    "GaussianNoise": (lambda: L.GaussianNoise(0.3), 3),
    "Identity": (L.Identity, 3),
    "Normalization": (L.Normalization, 3),
    "ReLU": (L.ReLU, 3),
    "Rescaling": (lambda: L.Rescaling(2.0), 3),
    "Softmax": (L.Softmax, 3),
    "SpatialDropout1D": (lambda: L.SpatialDropout1D(0.3), 3),
    "SpatialDropout2D": (lambda: L.SpatialDropout2D(0.3), 4),
    "SpatialDropout3D": (lambda: L.SpatialDropout3D(0.3), 5),
}

#: Layers that refuse one.
REFUSERS: dict[str, tuple[Any, int]] = {
    **{
        f"{kind}{rank - 2}D": (getattr(L, f"{kind}{rank - 2}D"), rank)
        for kind in (
            "MaxPooling",
            "AveragePooling",
            "GlobalMaxPooling",
            "ZeroPadding",
            "Cropping",
            "UpSampling",
        )
        for rank in (3, 4, 5)
    },
    "GlobalAveragePooling2D": (L.GlobalAveragePooling2D, 4),
    "GlobalAveragePooling3D": (L.GlobalAveragePooling3D, 5),
    "Conv2D": (lambda: L.Conv2D(2, 1), 4),
    "DepthwiseConv2D": (lambda: L.DepthwiseConv2D(1), 4),
    "Flatten": (L.Flatten, 3),
    "Permute": (lambda: L.Permute((2, 1)), 3),
    "RepeatVector": (lambda: L.RepeatVector(2), 2),
    "Reshape": (lambda: L.Reshape((-1, 2)), 3),
    "Lambda": (lambda: L.Lambda(lambda x: x), 3),
}


def masked(rank: int) -> Any:
    """A tensor of this rank with a mask."""
    return L.Masking()(L.Input((4,) * (rank - 1)))


# --- Masking --------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 2.0, -1.5])
def test_steps_of_the_value_are_masked_and_zero(value: float) -> None:
    x = np.array([[[1, value], [value, value], [0.5, 0.25]]], np.float32)
    found, mask = results(graph_of(L.Masking(value), [x]), x)
    np.testing.assert_array_equal(mask, [[True, False, True]])
    np.testing.assert_array_equal(found, np.where(mask[..., None], x, 0))


def test_masking_is_of_the_last_axis_whatever_the_rank() -> None:
    y = L.Masking()(L.Input((None, 5, 3)))
    assert y.mask_type == TensorType(("batch", None, 5), "bool")
    assert L.Masking()(L.Input((3,))).mask_type == TensorType(("batch",), "bool")
    text = r"^Masking: expected an input of rank >= 2, received rank 1"
    with pytest.raises(ShapeError, match=text):
        L.Masking()(L.Input(()))


def test_a_step_that_is_not_a_number_is_no_masked_one() -> None:
    x = np.array([[[np.nan], [0.0]]], np.float32)
    mask = run_op(MaskSteps(0.0, 2), [x])[1]
    np.testing.assert_array_equal(mask, [[True, False]])


def test_masking_replaces_a_mask() -> None:
    x = L.Input((4, 2))
    twice = L.Masking(1.0)(L.Masking(0.0)(x))
    array = np.array([[[0, 0], [1, 1], [1, 0], [3, 3]]], np.float32)
    step = gj.Model(x, twice).step(gj.Model(x, twice).init(), array)
    np.testing.assert_array_equal(step.masks, [[True, False, True, True]])


def test_integers_are_masked_too() -> None:
    x = np.array([[[3], [0], [-2]]], np.int32)
    found, mask = results(graph_of(L.Masking(-2), [x]), x)
    np.testing.assert_array_equal(mask, [[True, True, False]])
    assert found.dtype == np.int32


def test_mask_value_is_a_number() -> None:
    text = r"^Masking: mask_value: expected a number, received 'none'$"
    with pytest.raises(CaptureError, match=text):
        L.Masking("none")
    assert L.Masking(2).get_config()["mask_value"] == 2.0


def test_masking_axes_are_checked() -> None:
    with pytest.raises(ShapeError, match=r"^axis 3 does not fit rank 3$"):
        MaskSteps(0.0, 3).infer(TensorType((2, 3, 4)))


def test_the_documents_masking() -> None:
    """Document 004: two steps of ten are left out."""
    samples, timesteps, features = 32, 10, 8
    x = data(samples, timesteps, features)
    x[:, 3, :] = 0.0
    x[:, 5, :] = 0.0
    model = gj.Sequential()
    model.add(L.Masking(mask_value=0.0, input_shape=(timesteps, features)))
    model.add(L.GlobalAveragePooling1D())
    valid = np.delete(x, [3, 5], axis=1)
    np.testing.assert_allclose(model(x), valid.mean(1), rtol=1e-5, atol=1e-6)


# --- the mean over valid steps --------------------------------------------------------


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("keepdims", [False, True])
def test_the_mean_is_over_valid_steps(data_format: str, keepdims: bool) -> None:
    keras = pytest.importorskip("keras")
    x = data(3, 5, 4)
    mask = np.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1]], bool)
    x[~mask] = np.inf  # what stands in a masked step does not matter
    if data_format == "channels_first":
        x = np.moveaxis(x, 1, 2)
    layer = L.GlobalAveragePooling1D(data_format, keepdims)
    graph = graph_of(layer, [x], [mask])
    found, after = results(graph, x, mask)
    assert after is None
    twin = keras.layers.GlobalAveragePooling1D(data_format, keepdims)
    np.testing.assert_allclose(found, twin(x, mask=mask), rtol=1e-6)


def test_a_row_without_valid_steps_has_no_mean() -> None:
    x, mask = np.ones((2, 3, 1)), np.array([[True] * 3, [False] * 3])
    (found,) = run_op(MaskedMean(1), [x, mask])
    np.testing.assert_array_equal(found, [[1], [np.nan]])


def test_masks_that_do_not_fit_are_refused() -> None:
    x = TensorType(("batch", 5, 3))
    text = r"^mask: expected bool\[n, t\], received float32\[batch, 5\]$"
    with pytest.raises(ShapeError, match=text):
        MaskedMean(1).infer(x, TensorType(("batch", 5)))
    with pytest.raises(ShapeError, match=r"^mask: dims 5 and 4 differ$"):
        MaskedMean(1).infer(x, TensorType(("batch", 4), "bool"))
    with pytest.raises(ShapeError, match=r"^axis 3 does not fit rank 3$"):
        MaskedMean(3).infer(x, TensorType(("batch", 5), "bool"))


def test_a_mask_of_another_length_is_shown() -> None:
    x, mask = L.Input((5, 3), name="x"), L.Input((4,), dtype="bool", name="m")
    with pytest.raises(ShapeError, match=r"g/masked_mean': mask: dims 5 and 4 differ"):
        L.GlobalAveragePooling1D(name="g")(x, mask=mask)


# --- who carries one ------------------------------------------------------------------


@pytest.mark.parametrize("name", CARRIERS)
def test_carries_a_mask(name: str) -> None:
    make, rank = CARRIERS[name]
    source = masked(rank)
    y = make()(source)
    assert y.mask_type == source.mask_type
    # It is the same mask, not a computed one.
    mask = y.call.fragment.outputs[0].mask
    assert mask == y.call.fragment.inputs[1].value


@pytest.mark.parametrize("name", REFUSERS)
def test_refuses_a_mask(name: str) -> None:
    make, rank = REFUSERS[name]
    text = (
        rf"^{name} does not support masking, but its input has a mask\n"
        r"  hint: put it before the layer that makes the mask, or drop the mask$"
    )
    with pytest.raises(CaptureError, match=text):
        make()(masked(rank))


@pytest.mark.parametrize("name", [*CARRIERS, *REFUSERS])
def test_no_mask_comes_of_none(name: str) -> None:
    make, rank = {**CARRIERS, **REFUSERS}[name]
    assert make()(L.Input((4,) * (rank - 1))).mask_type is None
