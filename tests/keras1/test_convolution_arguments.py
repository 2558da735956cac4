"""Every argument of convolutions and local layers, and what it becomes natively."""

from __future__ import annotations

import pytest

import graphjit.layers as L  # noqa: N812
from graphjit.constraints import MaxNorm, NonNeg, UnitNorm
from graphjit.initializers import HeUniform
from graphjit.keras1 import (
    AtrousConvolution1D,
    AtrousConvolution2D,
    Convolution1D,
    Convolution2D,
    Convolution3D,
    Deconvolution2D,
    LocallyConnected1D,
    LocallyConnected2D,
    SeparableConvolution2D,
)
from graphjit.keras1.constraints import maxnorm, nonneg, unitnorm
from graphjit.keras1.regularizers import activity_l1, l1, l2
from graphjit.regularizers import L1, L2
from tests.keras1.native_arguments import PENALTIES, check, draw, same, weights_of

# --- convolution ------------------------------------------------------------------


def test_convolution1d() -> None:
    kernel, bias = draw(3, 1, 5, 4), draw(4)
    layer = Convolution1D(
        4,
        3,
        init="uniform",
        activation="relu",
        weights=[kernel, bias],
        border_mode="same",
        subsample_length=2,
        W_regularizer=l2(0.1),
        b_regularizer=l1(0.2),
        activity_regularizer=activity_l1(0.3),
        W_constraint=maxnorm(3),
        b_constraint=nonneg(),
        bias=True,
        input_dim=5,
        input_length=9,
    )
    check(
        layer,
        L.Conv1D,
        filters=4,
        kernel_size=(3,),
        strides=(2,),
        padding="same",
        activation="relu",
        **PENALTIES,
    )
    assert layer.first_input.shape == (None, 9, 5)
    same(weights_of(layer, 9, 5), kernel[:, 0], bias)
    free = Convolution1D(4, 3, input_dim=5)
    assert free.first_input.shape == (None, None, 5)


def test_atrous_convolution1d() -> None:
    kernel, bias = draw(3, 1, 5, 4), draw(4)
    layer = AtrousConvolution1D(
        4,
        3,
        init="uniform",
        activation="relu",
        weights=[kernel, bias],
        border_mode="full",
        subsample_length=2,
        atrous_rate=3,
        W_regularizer=l2(0.1),
        b_regularizer=l1(0.2),
        activity_regularizer=activity_l1(0.3),
        W_constraint=maxnorm(3),
        b_constraint=nonneg(),
        bias=True,
        input_dim=5,
        input_length=9,
    )
    check(
        layer,
        L.Conv1D,
        strides=(2,),
        dilation_rate=(3,),
        padding="full",
        **PENALTIES,
    )
    assert layer.first_input.shape == (None, 9, 5)
    same(weights_of(layer, 9, 5), kernel[:, 0], bias)


def test_convolution2d() -> None:
    kernel, bias = draw(4, 5, 3, 2), draw(4)
    layer = Convolution2D(
        4,
        3,
        2,
        init="glorot_uniform",
        activation="relu",
        weights=[kernel, bias],
        border_mode="same",
        subsample=(2, 3),
        dim_ordering="th",
        W_regularizer=l2(0.1),
        b_regularizer=l1(0.2),
        activity_regularizer=activity_l1(0.3),
        W_constraint=maxnorm(3),
        b_constraint=nonneg(),
        bias=True,
    )
    # Axis 0 of a "th" kernel is the outputs'.
    wanted = {**PENALTIES, "kernel_constraint": MaxNorm(3.0, 3)}
    check(
        layer,
        L.Conv2D,
        filters=4,
        kernel_size=(3, 2),
        strides=(2, 3),
        padding="same",
        data_format="channels_first",
        **wanted,
    )
    same(weights_of(layer, 5, 8, 9), kernel.transpose(2, 3, 1, 0), bias)
    last = Convolution2D(4, 3, 2, weights=[draw(3, 2, 5, 4)], bias=False)
    same(weights_of(last, 8, 9, 5), draw(3, 2, 5, 4))


def test_atrous_convolution2d() -> None:
    layer = AtrousConvolution2D(
        4,
        3,
        2,
        init="glorot_uniform",
        activation="relu",
        weights=[draw(3, 2, 5, 4), draw(4)],
        border_mode="same",
        subsample=(2, 3),
        atrous_rate=(3, 2),
        dim_ordering="tf",
        W_regularizer=l2(0.1),
        b_regularizer=l1(0.2),
        activity_regularizer=activity_l1(0.3),
        W_constraint=maxnorm(3),
        b_constraint=nonneg(),
        bias=True,
    )
    check(
        layer,
        L.Conv2D,
        strides=(2, 3),
        dilation_rate=(3, 2),
        data_format="channels_last",
        **PENALTIES,
    )
    same(weights_of(layer, 8, 9, 5), draw(3, 2, 5, 4), draw(4))


def test_separable_convolution2d() -> None:
    depthwise, pointwise, bias = draw(2, 5, 3, 2), draw(4, 10, 1, 1), draw(4)
    layer = SeparableConvolution2D(
        4,
        3,
        2,
        init="he_uniform",
        activation="relu",
        weights=[depthwise, pointwise, bias],
        border_mode="same",
        subsample=(2, 2),
        depth_multiplier=2,
        dim_ordering="th",
        depthwise_regularizer=l2(0.1),
        pointwise_regularizer=l2(0.4),
        b_regularizer=l1(0.2),
        activity_regularizer=activity_l1(0.3),
        depthwise_constraint=unitnorm(1),
        pointwise_constraint=maxnorm(3),
        b_constraint=nonneg(),
        bias=True,
    )
    check(
        layer,
        L.SeparableConv2D,
        filters=4,
        kernel_size=(3, 2),
        strides=(2, 2),
        padding="same",
        depth_multiplier=2,
        data_format="channels_first",
        depthwise_initializer=HeUniform(),
        pointwise_initializer=HeUniform(),
        depthwise_regularizer=L2(0.1),
        pointwise_regularizer=L2(0.4),
        bias_regularizer=L1(0.2),
        activity_regularizer=L1(0.3),
        depthwise_constraint=UnitNorm(2),
        pointwise_constraint=MaxNorm(3.0, 3),
        bias_constraint=NonNeg(),
    )
    moved = [array.transpose(2, 3, 1, 0) for array in (depthwise, pointwise)]
    same(weights_of(layer, 5, 8, 9), *moved, bias)


@pytest.mark.parametrize("ordering", ["th", "tf"])
def test_deconvolution2d(ordering: str) -> None:
    th = ordering == "th"
    kernel, bias = draw(4, 5, 3, 2) if th else draw(3, 2, 5, 4), draw(4)
    layer = Deconvolution2D(
        4,
        3,
        2,
        output_shape=(None, 4, 17, 19) if th else (None, 17, 19, 4),
        init="he_uniform",
        activation="relu",
        weights=[kernel, bias],
        border_mode="valid",
        subsample=(2, 2),
        dim_ordering=ordering,
        W_regularizer=l2(0.1),
        b_regularizer=l1(0.2),
        activity_regularizer=activity_l1(0.3),
        W_constraint=maxnorm(3),
        b_constraint=nonneg(),
        bias=True,
    )
    # Natively (rows, cols, out, in).
    wanted = {**PENALTIES, "kernel_constraint": MaxNorm(3.0, 2 if th else 0)}
    check(
        layer,
        L.Conv2DTranspose,
        filters=4,
        kernel_size=(3, 2),
        strides=(2, 2),
        output_size=(17, 19),
        kernel_initializer=HeUniform(None, (0, 1, 3), (0, 1, 2)),
        **wanted,
    )
    perm = (2, 3, 0, 1) if th else (0, 1, 3, 2)
    shape = (5, 8, 9) if th else (8, 9, 5)
    same(weights_of(layer, *shape), kernel.transpose(perm), bias)


@pytest.mark.parametrize("ordering", ["th", "tf"])
def test_convolution3d(ordering: str) -> None:
    th = ordering == "th"
    kernel, bias = draw(4, 5, 3, 2, 1) if th else draw(3, 2, 1, 5, 4), draw(4)
    layer = Convolution3D(
        4,
        kernel_dim1=3,
        kernel_dim2=2,
        kernel_dim3=1,
        init="he_uniform",
        activation="relu",
        weights=[kernel, bias],
        border_mode="same",
        subsample=(1, 2, 2),
        dim_ordering=ordering,
        W_regularizer=l2(0.1),
        b_regularizer=l1(0.2),
        activity_regularizer=activity_l1(0.3),
        W_constraint=unitnorm(1),
        b_constraint=nonneg(),
        bias=True,
    )
    wanted = {**PENALTIES, "kernel_constraint": UnitNorm(3 if th else 1)}
    check(
        layer,
        L.Conv3D,
        kernel_size=(3, 2, 1),
        strides=(1, 2, 2),
        padding="same",
        **wanted,
    )
    shape = (5, 6, 7, 8) if th else (6, 7, 8, 5)
    native = kernel.transpose(2, 3, 4, 1, 0) if th else kernel
    same(weights_of(layer, *shape), native, bias)


# --- locally connected ------------------------------------------------------------


def test_locally_connected1d() -> None:
    arrays = [draw(4, 15, 6), draw(4, 6)]
    layer = LocallyConnected1D(
        6,
        3,
        init="one",
        activation="relu",
        weights=arrays,
        border_mode="valid",
        subsample_length=2,
        W_regularizer=l2(0.1),
        b_regularizer=l1(0.2),
        activity_regularizer=activity_l1(0.3),
        W_constraint=maxnorm(3),
        b_constraint=nonneg(),
        bias=True,
        input_dim=5,
        input_length=9,
    )
    check(layer, L.LocallyConnected1D, filters=6, strides=(2,), **PENALTIES)
    assert layer.first_input.shape == (None, 9, 5)
    same(weights_of(layer, 9, 5), *arrays)


def test_locally_connected2d() -> None:
    arrays = [draw(12, 30, 6), draw(3, 4, 6)]
    layer = LocallyConnected2D(
        6,
        3,
        2,
        init="one",
        activation="relu",
        weights=arrays,
        border_mode="valid",
        subsample=(2, 2),
        dim_ordering="th",
        W_regularizer=l2(0.1),
        b_regularizer=l1(0.2),
        activity_regularizer=activity_l1(0.3),
        W_constraint=maxnorm(3),
        b_constraint=nonneg(),
        bias=True,
    )
    check(
        layer,
        L.LocallyConnected2D,
        kernel_size=(3, 2),
        strides=(2, 2),
        data_format="channels_first",
        **PENALTIES,
    )
    same(weights_of(layer, 5, 8, 9), *arrays)
