"""Every argument of the core layers, and what it becomes in the native layer."""

from __future__ import annotations

import inspect

import numpy as np

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.initializers import HeUniform, Ones, RandomNormal
from graphjit.keras1 import (
    Activation,
    ActivityRegularization,
    Dense,
    Dropout,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    Highway,
    Lambda,
    Masking,
    MaxoutDense,
    Permute,
    RepeatVector,
    Reshape,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
    TimeDistributedDense,
)
from graphjit.keras1.constraints import maxnorm, nonneg
from graphjit.keras1.regularizers import activity_l1, l1, l2
from tests.keras1.native_arguments import PENALTIES, check, draw, same, weights_of


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
