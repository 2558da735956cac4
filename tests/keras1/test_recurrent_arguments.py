"""Every argument of the other layers, and what it becomes in the native layer."""

from __future__ import annotations

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.constraints import MaxNorm
from graphjit.initializers import Ones, RandomNormal, Zeros
from graphjit.keras1 import (
    ELU,
    GRU,
    LSTM,
    BatchNormalization,
    Bidirectional,
    Dense,
    Embedding,
    LeakyReLU,
    ParametricSoftplus,
    PReLU,
    Recurrent,
    SimpleRNN,
    SReLU,
    ThresholdedReLU,
    TimeDistributed,
)
from graphjit.keras1.constraints import maxnorm
from graphjit.keras1.regularizers import activity_l1, l1, l1l2, l2
from graphjit.regularizers import L1, L1L2, L2
from tests.keras1.native_arguments import check, draw, same, weights_of

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
