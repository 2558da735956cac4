"""Every argument of every Keras 1 layer, and what it becomes in the native layer."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit import config
from graphjit.capture.layer import Layer
from graphjit.constraints import MaxNorm, NonNeg, UnitNorm
from graphjit.initializers import HeUniform, Ones, RandomNormal, Zeros
from graphjit.keras1 import (
    ELU,
    GRU,
    LSTM,
    Activation,
    ActivityRegularization,
    AtrousConvolution1D,
    AtrousConvolution2D,
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    BatchNormalization,
    Bidirectional,
    Convolution1D,
    Convolution2D,
    Convolution3D,
    Cropping1D,
    Cropping2D,
    Cropping3D,
    Deconvolution2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    Highway,
    Lambda,
    LeakyReLU,
    LocallyConnected1D,
    LocallyConnected2D,
    Masking,
    MaxoutDense,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
    ParametricSoftplus,
    Permute,
    PReLU,
    Recurrent,
    RepeatVector,
    Reshape,
    SeparableConvolution2D,
    SimpleRNN,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
    SReLU,
    ThresholdedReLU,
    TimeDistributed,
    TimeDistributedDense,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
    layers,
)
from graphjit.keras1.constraints import maxnorm, nonneg, unitnorm
from graphjit.keras1.regularizers import activity_l1, l1, l1l2, l2
from graphjit.regularizers import L1, L1L2, L2

#: What W_regularizer and its like are given below, and become.
PENALTIES = {
    "kernel_regularizer": L2(0.1),
    "bias_regularizer": L1(0.2),
    "activity_regularizer": L1(0.3),
    "kernel_constraint": MaxNorm(3.0, 0),
    "bias_constraint": NonNeg(),
}


def check(layer: Layer, cls: type[Layer], **wanted: Any) -> None:
    """The layer is of the class, and has these native arguments."""
    assert isinstance(layer, cls)
    assert layer.class_name() == cls.__name__
    found = {name: layer.argument(name) for name in wanted}
    if "activation" in wanted:
        found["activation"] = layer.argument("activation").name
    assert found == wanted


def weights_of(layer: Layer, *shape: int | None) -> list[np.ndarray[Any, Any]]:
    layer(gj.Input(shape))
    return layer.get_weights()


def same(found: list[np.ndarray[Any, Any]], *wanted: Any) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, np.asarray(other, one.dtype))


def draw(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(list(shape)).normal(size=shape).astype(np.float32)


# --- core -------------------------------------------------------------------------


def test_dense() -> None:
    kernel, bias = draw(5, 3), draw(3)
    layer = Dense(
        3,
        init="he_uniform",
        activation="tanh",
        weights=[kernel, bias],
        W_regularizer=l2(0.1),
        b_regularizer=l1(0.2),
        activity_regularizer=activity_l1(0.3),
        W_constraint=maxnorm(3),
        b_constraint=nonneg(),
        bias=True,
        input_dim=5,
    )
    check(
        layer,
        L.Dense,
        units=3,
        activation="tanh",
        kernel_initializer=HeUniform(),
        **PENALTIES,
    )
    assert layer.first_input.shape == (None, 5)
    same(weights_of(layer, 5), kernel, bias)
    check(Dense(3, bias=False), L.Dense, use_bias=False)


def test_time_distributed_dense() -> None:
    kernel, bias = draw(5, 3), draw(3)
    layer = TimeDistributedDense(
        3,
        init="one",
        activation="tanh",
        weights=[kernel, bias],
        W_regularizer=l2(0.1),
        b_regularizer=l1(0.2),
        activity_regularizer=activity_l1(0.3),
        W_constraint=maxnorm(3),
        b_constraint=nonneg(),
        bias=True,
        input_dim=5,
        input_length=7,
    )
    check(layer, L.Dense, units=3, kernel_initializer=Ones(), **PENALTIES)
    assert layer.first_input.shape == (None, 7, 5)
    same(weights_of(layer, 7, 5), kernel, bias)


def test_highway() -> None:
    arrays = [draw(5, 5), draw(5, 5), draw(5), draw(5)]
    layer = Highway(
        init="normal",
        activation="relu",
        weights=arrays,
        W_regularizer=l2(0.1),
        b_regularizer=l1(0.2),
        activity_regularizer=activity_l1(0.3),
        W_constraint=maxnorm(3),
        b_constraint=nonneg(),
        bias=True,
        input_dim=5,
    )
    check(
        layer,
        L.Highway,
        activation="relu",
        kernel_initializer=RandomNormal(0.0, 0.05),
        gate_bias_initializer=Ones(),
        **PENALTIES,
    )
    assert layer.first_input.shape == (None, 5)
    same(weights_of(layer, 5), *arrays)


def test_maxout_dense() -> None:
    arrays = [draw(2, 5, 3), draw(2, 3)]
    layer = MaxoutDense(
        3,
        nb_feature=2,
        init="zero",
        weights=arrays,
        W_regularizer=l2(0.1),
        b_regularizer=l1(0.2),
        activity_regularizer=activity_l1(0.3),
        W_constraint=maxnorm(3),
        b_constraint=nonneg(),
        bias=True,
        input_dim=5,
    )
    check(layer, L.MaxoutDense, units=3, nb_feature=2, **PENALTIES)
    assert layer.first_input.shape == (None, 5)
    same(weights_of(layer, 5), *arrays)
    assert "activation" not in inspect.signature(MaxoutDense).parameters


def test_core_layers_without_weights() -> None:
    check(Activation("softplus"), L.Activation, activation="softplus")
    check(Dropout(0.3), L.Dropout, rate=0.3)
    check(Dropout(p=0.3), L.Dropout, rate=0.3)
    check(Flatten(), L.Flatten, data_format="channels_last")
    check(Reshape((3, 4)), L.Reshape, target_shape=(3, 4))
    check(Reshape(target_shape=[2]), L.Reshape, target_shape=(2,))
    check(Permute(dims=(2, 1)), L.Permute, dims=(2, 1))
    check(RepeatVector(n=3), L.RepeatVector, n=3)
    check(
        ActivityRegularization(l1=0.1, l2=0.2),
        L.ActivityRegularization,
        l1=0.1,
        l2=0.2,
    )
    check(Masking(mask_value=-1.0), L.Masking, mask_value=-1.0)
    check(GaussianNoise(sigma=0.2), L.GaussianNoise, stddev=0.2)
    check(GaussianDropout(p=0.2), L.GaussianDropout, rate=0.2)
    check(SpatialDropout1D(p=0.2), L.SpatialDropout1D, rate=0.2)
    for spelling, cls in (
        (SpatialDropout2D, L.SpatialDropout2D),
        (SpatialDropout3D, L.SpatialDropout3D),
    ):
        made = spelling(0.2, dim_ordering="th")
        check(made, cls, rate=0.2, data_format="channels_first")


def test_lambda() -> None:
    layer = Lambda(
        function=lambda x, by: x * by, output_shape=(3,), arguments={"by": 2.0}
    )
    x = gj.Input((3,))
    model = gj.Model(x, layer(x))
    assert isinstance(layer, L.Lambda)
    np.testing.assert_array_equal(model.predict(np.ones((2, 3))), np.full((2, 3), 2.0))
    by_function = Lambda(lambda x: x[:, :2], output_shape=lambda shape: (shape[0], 2))
    assert by_function(x).shape == (None, 2)


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


# --- recurrent --------------------------------------------------------------------

RECURRENT = {
    "kernel_regularizer": L2(0.1),
    "recurrent_regularizer": L1L2(0.2, 0.3),
    "bias_regularizer": L1(0.4),
    "dropout": 0.2,
    "recurrent_dropout": 0.3,
    "return_sequences": True,
    "go_backwards": True,
    "unroll": True,
}


def test_simple_rnn() -> None:
    arrays = [draw(5, 4), draw(4, 4), draw(4)]
    layer = SimpleRNN(
        4,
        init="zero",
        inner_init="one",
        activation="relu",
        W_regularizer=l2(0.1),
        U_regularizer=l1l2(0.2, 0.3),
        b_regularizer=l1(0.4),
        dropout_W=0.2,
        dropout_U=0.3,
        weights=arrays,
        return_sequences=True,
        go_backwards=True,
        unroll=True,
        consume_less="mem",
        input_dim=5,
        input_length=7,
    )
    check(
        layer,
        L.SimpleRNN,
        units=4,
        activation="relu",
        kernel_initializer=Zeros(),
        recurrent_initializer=Ones(),
        **RECURRENT,
    )
    assert layer.first_input.shape == (None, 7, 5)
    same(weights_of(layer, 7, 5), *arrays)


def test_gru() -> None:
    arrays = [draw(5, 12), draw(4, 12), draw(12)]
    layer = GRU(
        4,
        init="zero",
        inner_init="one",
        activation="relu",
        inner_activation="sigmoid",
        W_regularizer=l2(0.1),
        U_regularizer=l1l2(0.2, 0.3),
        b_regularizer=l1(0.4),
        dropout_W=0.2,
        dropout_U=0.3,
        weights=arrays,
        return_sequences=True,
        go_backwards=True,
        unroll=True,
        consume_less="gpu",
        input_dim=5,
        input_length=7,
    )
    check(
        layer,
        L.GRU,
        units=4,
        activation="relu",
        kernel_initializer=Zeros(),
        recurrent_initializer=Ones(),
        implementation=2,
        reset_after=False,
        **RECURRENT,
    )
    assert layer.argument("recurrent_activation").name == "sigmoid"
    same(weights_of(layer, 7, 5), *arrays)


def test_lstm() -> None:
    arrays = [draw(5, 16), draw(4, 16), draw(16)]
    layer = LSTM(
        4,
        init="zero",
        inner_init="one",
        forget_bias_init="zero",
        activation="relu",
        inner_activation="sigmoid",
        W_regularizer=l2(0.1),
        U_regularizer=l1l2(0.2, 0.3),
        b_regularizer=l1(0.4),
        dropout_W=0.2,
        dropout_U=0.3,
        weights=arrays,
        return_sequences=True,
        go_backwards=True,
        unroll=True,
        consume_less="gpu",
        input_dim=5,
        input_length=7,
    )
    check(
        layer,
        L.LSTM,
        units=4,
        activation="relu",
        kernel_initializer=Zeros(),
        recurrent_initializer=Ones(),
        unit_forget_bias=False,
        implementation=2,
        **RECURRENT,
    )
    assert layer.argument("recurrent_activation").name == "sigmoid"
    same(weights_of(layer, 7, 5), *arrays)


def test_recurrent_is_abstract() -> None:
    with pytest.raises(gj.errors.CaptureError, match="abstract class") as error:
        Recurrent(
            weights=None,
            return_sequences=False,
            go_backwards=False,
            stateful=False,
            unroll=False,
            consume_less="cpu",
            input_dim=3,
            input_length=None,
        )
    assert error.value.hint == (
        "use LSTM, GRU or SimpleRNN, which take its arguments too"
    )


def test_wrappers() -> None:
    assert isinstance(TimeDistributed(Dense(3)), L.TimeDistributed)
    made = Bidirectional(LSTM(4, return_sequences=True), merge_mode="sum")
    check(made, L.Bidirectional, merge_mode="sum", zeros_where_masked=False)
    forth = [draw(5, 4), draw(4, 4), draw(4)]
    back = [array + 1 for array in forth]
    both = Bidirectional(SimpleRNN(4), weights=[*forth, *back])
    same(weights_of(both, 7, 5), *forth, *back)


# --- embedding, activations, normalization ----------------------------------------


def test_embedding() -> None:
    table = draw(7, 3)
    layer = Embedding(
        7,
        3,
        init="normal",
        input_length=5,
        W_regularizer=l2(0.1),
        activity_regularizer=activity_l1(0.3),
        W_constraint=maxnorm(3),
        mask_zero=True,
        weights=[table],
        dropout=0.4,
    )
    check(
        layer,
        L.Embedding,
        input_dim=7,
        output_dim=3,
        embeddings_initializer=RandomNormal(0.0, 0.05),
        input_length=5,
        embeddings_regularizer=L2(0.1),
        activity_regularizer=L1(0.3),
        embeddings_constraint=MaxNorm(3.0, 0),
        mask_zero=True,
        dropout=0.4,
    )
    same(weights_of(layer, 5), table)


def test_activations_with_settings() -> None:
    check(LeakyReLU(alpha=0.1), L.LeakyReLU, alpha=0.1)
    check(ELU(alpha=0.7), L.ELU, alpha=0.7)
    check(ThresholdedReLU(theta=0.6), L.ThresholdedReLU, theta=0.6)


def test_activations_with_weights() -> None:
    alpha = draw(1, 4)
    prelu = PReLU(init="one", weights=[alpha], shared_axes=[1])
    check(prelu, L.PReLU, alpha_initializer=Ones(), shared_axes=(1,))
    same(weights_of(prelu, 3, 4), alpha)
    softplus = ParametricSoftplus(
        alpha_init=0.3, beta_init=4.0, weights=[alpha, 2 * alpha], shared_axes=[1]
    )
    check(softplus, L.ParametricSoftplus, shared_axes=(1,))
    same(weights_of(softplus, 3, 4), alpha, 2 * alpha)
    fresh = ParametricSoftplus(0.3, 4.0)
    same(weights_of(fresh, 2), [0.3, 0.3], [4.0, 4.0])
    srelu = SReLU(
        t_left_init="one",
        a_left_init="zero",
        t_right_init="uniform",
        a_right_init="normal",
        shared_axes=[1],
    )
    check(
        srelu,
        L.SReLU,
        t_left_initializer=Ones(),
        a_left_initializer=Zeros(),
        a_right_initializer=RandomNormal(0.0, 0.05),
        shared_axes=(1,),
    )


def test_batch_normalization() -> None:
    arrays = [draw(4), draw(4) + 1, draw(4) + 2, draw(4) ** 2]
    layer = BatchNormalization(
        epsilon=0.01,
        mode=2,
        axis=1,
        momentum=0.9,
        weights=arrays,
        beta_init="one",
        gamma_init="zero",
        gamma_regularizer=l2(0.1),
        beta_regularizer=l1(0.2),
    )
    check(
        layer,
        L.BatchNormalization,
        epsilon=0.01,
        mode=2,
        axis=1,
        momentum=0.9,
        beta_initializer=Ones(),
        gamma_initializer=Zeros(),
        gamma_regularizer=L2(0.1),
        beta_regularizer=L1(0.2),
        frozen="update",
    )
    same(weights_of(layer, 4, 3), *arrays)
    two = BatchNormalization(weights=arrays[:2])
    same(weights_of(two, 3, 4), *arrays[:2], np.zeros(4), np.ones(4))


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
