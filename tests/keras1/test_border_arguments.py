"""Every argument of pooling and borders, and what it becomes in the native layer."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit import config
from graphjit.keras1 import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    Cropping1D,
    Cropping2D,
    Cropping3D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
    layers,
)
from tests.keras1.native_arguments import check

# --- borders, pooling -------------------------------------------------------------


def test_cropping() -> None:
    check(Cropping1D(cropping=(1, 2)), L.Cropping1D, cropping=(1, 2))
    pairs = ((1, 2), (3, 4))
    check(
        Cropping2D(cropping=pairs, dim_ordering="th"),
        L.Cropping2D,
        cropping=pairs,
        data_format="channels_first",
    )
    pairs = ((1, 2), (3, 4), (5, 6))
    check(
        Cropping3D(cropping=pairs, dim_ordering="tf"),
        L.Cropping3D,
        cropping=pairs,
        data_format="channels_last",
    )


def test_upsampling() -> None:
    check(UpSampling1D(length=3), L.UpSampling1D, size=3)
    check(
        UpSampling2D(size=(2, 3), dim_ordering="th"),
        L.UpSampling2D,
        size=(2, 3),
        data_format="channels_first",
    )
    check(
        UpSampling3D(size=(2, 3, 1), dim_ordering="th"),
        L.UpSampling3D,
        size=(2, 3, 1),
        data_format="channels_first",
    )


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (2, (2, 2)),
        ((1, 2), (1, 2)),
        ({"left_pad": 1, "right_pad": 2}, (1, 2)),
        ({"right_pad": 2}, (0, 2)),
        ({}, (0, 0)),
    ],
)
def test_zero_padding1d(given: Any, wanted: Any) -> None:
    check(ZeroPadding1D(padding=given), L.ZeroPadding1D, padding=wanted)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((1, 2), ((1, 1), (2, 2))),
        ((1, 2, 3, 4), ((1, 2), (3, 4))),
        ([1, 2, 3, 4], ((1, 2), (3, 4))),
        (
            {"top_pad": 1, "bottom_pad": 2, "left_pad": 3, "right_pad": 4},
            ((1, 2), (3, 4)),
        ),
        ({"left_pad": 3}, ((0, 0), (3, 0))),
    ],
)
def test_zero_padding2d(given: Any, wanted: Any) -> None:
    layer = ZeroPadding2D(padding=given, dim_ordering="th")
    check(layer, L.ZeroPadding2D, padding=wanted, data_format="channels_first")


def test_zero_padding3d() -> None:
    layer = ZeroPadding3D(padding=(1, 2, 3), dim_ordering="th")
    wanted = ((1, 1), (2, 2), (3, 3))
    check(layer, L.ZeroPadding3D, padding=wanted, data_format="channels_first")


def test_pooling_of_sequences() -> None:
    check(
        MaxPooling1D(pool_length=3, stride=2, border_mode="same"),
        L.MaxPooling1D,
        pool_size=(3,),
        strides=(2,),
        padding="same",
    )
    check(
        AveragePooling1D(pool_length=3, stride=None, border_mode="valid"),
        L.AveragePooling1D,
        pool_size=(3,),
        strides=(3,),
        padding="valid",
    )
    assert isinstance(GlobalMaxPooling1D(), L.GlobalMaxPooling1D)
    assert isinstance(GlobalAveragePooling1D(), L.GlobalAveragePooling1D)


def test_pooling_of_images_and_volumes() -> None:
    wanted = {"padding": "same", "data_format": "channels_first"}
    two = {"pool_size": (2, 3), "strides": (1, 2), **wanted}
    three = {"pool_size": (2, 3, 1), "strides": (2, 3, 1), **wanted}
    check(
        MaxPooling2D(
            pool_size=(2, 3), strides=(1, 2), border_mode="same", dim_ordering="th"
        ),
        L.MaxPooling2D,
        **two,
    )
    check(
        AveragePooling2D(
            pool_size=(2, 3), strides=(1, 2), border_mode="same", dim_ordering="th"
        ),
        L.AveragePooling2D,
        **two,
    )
    check(
        MaxPooling3D(
            pool_size=(2, 3, 1), strides=None, border_mode="same", dim_ordering="th"
        ),
        L.MaxPooling3D,
        **three,
    )
    check(
        AveragePooling3D(
            pool_size=(2, 3, 1), strides=None, border_mode="same", dim_ordering="th"
        ),
        L.AveragePooling3D,
        **three,
    )
    check(
        GlobalMaxPooling2D(dim_ordering="th"),
        L.GlobalMaxPooling2D,
        data_format="channels_first",
    )
    check(
        GlobalAveragePooling2D(dim_ordering="th"),
        L.GlobalAveragePooling2D,
        data_format="channels_first",
    )


# --- all of them ------------------------------------------------------------------

ORDERED = [
    name
    for name in layers.__all__
    if "dim_ordering" in inspect.signature(getattr(layers, name)).parameters
]
FIRST = {
    "Convolution2D": (2, 3, 3),
    "AtrousConvolution2D": (2, 3, 3),
    "SeparableConvolution2D": (2, 3, 3),
    "LocallyConnected2D": (2, 3, 3),
    "Convolution3D": (2, 3, 3, 3),
    "SpatialDropout2D": (0.5,),
    "SpatialDropout3D": (0.5,),
}


@pytest.mark.parametrize("name", [n for n in ORDERED if n != "Deconvolution2D"])
def test_the_configured_dim_ordering_is_read_when_a_layer_is_made(name: str) -> None:
    config.set_image_dim_ordering("th")
    first = getattr(layers, name)(*FIRST.get(name, ()))
    config.set_image_dim_ordering("tf")
    last = getattr(layers, name)(*FIRST.get(name, ()))
    assert first.argument("data_format") == "channels_first"
    assert last.argument("data_format") == "channels_last"
    with pytest.raises(gj.errors.CaptureError, match="'th', 'tf' or 'default'"):
        getattr(layers, name)(*FIRST.get(name, ()), dim_ordering="channels_last")


def test_every_layer_of_two_or_three_axes_has_dim_ordering() -> None:
    spatial = {name for name in layers.__all__ if name.endswith(("2D", "3D"))}
    assert set(ORDERED) == spatial
