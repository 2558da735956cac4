"""How spellings are called: signatures, unknown names, errors in the user's words."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.keras1 as k1
import graphjit.layers as L  # noqa: N812
from graphjit.errors import CaptureError, DataError, ShapeError
from graphjit.keras1 import (
    LSTM,
    Bidirectional,
    Convolution1D,
    Convolution2D,
    Cropping1D,
    Cropping2D,
    Cropping3D,
    Deconvolution2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Highway,
    Input,
    Lambda,
    LocallyConnected1D,
    LocallyConnected2D,
    MaxoutDense,
    Permute,
    RepeatVector,
    Reshape,
    SeparableConvolution2D,
    Sequential,
    SimpleRNN,
    UpSampling2D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from graphjit.keras1.spelling import Spelling

SPELLINGS = [
    getattr(k1, name)
    for name in k1.__all__
    if isinstance(inspect.getattr_static(k1, name), Spelling)
]
EACH = pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda s: s.name)


@EACH
def test_a_signature_and_a_text(spelling: Any) -> None:
    signature = inspect.signature(spelling)
    positional = [
        p.name
        for p in signature.parameters.values()
        if p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    assert positional == [argument.name for argument in spelling.arguments]
    assert {"name", "input_shape"} <= set(signature.parameters)
    assert spelling.name in inspect.getdoc(spelling)
    assert spelling.__name__ == spelling.name
    assert spelling.name in repr(spelling)


@EACH
def test_native_names_exist(spelling: Any) -> None:
    taken = {*spelling.native.arguments, "weights", "input_dim", "input_length"}
    for argument in (*spelling.arguments, *spelling.keywords):
        assert argument.native is None or argument.native in taken
    assert set(spelling.fixed or {}) <= taken


@EACH
def test_an_unknown_argument(spelling: Any) -> None:
    with pytest.raises(CaptureError, match=f"{spelling.name}: unknown argument 'qqq'"):
        spelling(qqq=1)


@pytest.mark.parametrize(
    ("spelling", "native", "old"),
    [
        (Dense, "units", "output_dim"),
        (Dense, "use_bias", "bias"),
        (Dense, "kernel_initializer", "init"),
        (Convolution2D, "filters", "nb_filter"),
        (Convolution2D, "kernel_size", "nb_row"),
        (Convolution2D, "padding", "border_mode"),
        (Convolution2D, "kernel_constraint", "W_constraint"),
        (Convolution2D, "data_format", "dim_ordering"),
        (Dropout, "rate", "p"),
        (LSTM, "recurrent_activation", "inner_activation"),
        (LSTM, "implementation", "consume_less"),
    ],
)
def test_a_name_of_keras_2(spelling: Any, native: str, old: str) -> None:
    with pytest.raises(CaptureError, match=f"unknown argument '{native}'") as error:
        spelling(**{native: 3})
    assert error.value.hint == (
        f"it is called {old!r} in Keras 1; graphjit.layers has the Keras 2 spelling"
    )


def test_other_hints() -> None:
    with pytest.raises(CaptureError, match="unknown argument 'dilation_rate'") as error:
        Convolution2D(3, 2, 2, dilation_rate=2)
    hint = "graphjit.layers.Conv2D has it, Keras 1 had not"
    assert error.value.hint == hint
    with pytest.raises(CaptureError, match="unknown argument 'nb_filters'") as error:
        Convolution2D(nb_filters=3)
    assert error.value.hint == "did you mean 'nb_filter'?"


def test_how_many_arguments() -> None:
    with pytest.raises(CaptureError, match="Dense: argument 'output_dim' is missing"):
        Dense()
    with pytest.raises(CaptureError, match="Dense: argument 'output_dim' is given tw"):
        Dense(3, output_dim=3)
    with pytest.raises(CaptureError, match="Dropout: expected at most 1 positional"):
        Dropout(0.5, 0.5)


def test_a_native_refusal_has_the_old_name() -> None:
    with pytest.raises(CaptureError, match="Convolution2D: nb_filter: expected an int"):
        Convolution2D(0, 3, 3)
    with pytest.raises(CaptureError, match="Dropout: p: expected a number from 0 to 1"):
        Dropout(2)
    with pytest.raises(CaptureError, match="Dense: W_regularizer: "):
        Dense(3, W_regularizer="l3")


def test_every_layer_takes_what_the_base_does() -> None:
    layer = Dense(3, name="one", trainable=False, input_shape=(4,), dtype="float64")
    assert (layer.name, layer.trainable, layer.dtype) == ("one", False, "float64")
    first = Dense(3, batch_input_shape=(8, 4), input_dtype="int32").first_input
    assert (first.shape, first.dtype) == ((8, 4), "int32")


def test_instances_are_of_the_native_class() -> None:
    assert isinstance(Dense(3), Dense)
    assert isinstance(L.Dense(3), Dense)
    assert not isinstance(Dense(3), Dropout)


def test_the_config_is_keras_2s() -> None:
    config = Dense(3, init="zero", W_regularizer="l2").get_config()
    assert config["units"] == 3
    assert config["kernel_initializer"] == {"class_name": "Zeros", "config": {}}
    assert config["kernel_regularizer"] == {"class_name": "L2", "config": {"l2": 0.01}}
    assert "output_dim" not in config


def test_star_import_and_submodules() -> None:
    names: dict[str, Any] = {}
    exec("from graphjit.keras1 import *", names)
    assert names["Convolution2D"] is gj.keras1.layers.Convolution2D
    assert names["Sequential"] is gj.keras1.models.Sequential
    assert gj.keras1.activations.relu is gj.activations.relu
    assert gj.keras1.objectives.mse is gj.losses.mse
    for module in (k1, k1.layers, k1.regularizers, k1.constraints, k1.objectives):
        for name in module.__all__:
            assert hasattr(module, name)


# --- what values are refused ------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Cropping1D(2), "Cropping1D: cropping: expected a pair of ints"),
        (lambda: Cropping2D((1, 1)), "cropping: expected 2 pairs of ints >= 0"),
        (lambda: Cropping2D(2), "cropping: expected 2 pairs of ints >= 0"),
        (lambda: Cropping3D(((1, 1), (1, 1))), "expected 3 pairs of ints >= 0"),
        (lambda: UpSampling2D(2), "size: expected 2 ints >= 1"),
        (lambda: UpSampling2D((0, 1)), "UpSampling2D: size: expected an int >= 1"),
        (lambda: ZeroPadding1D({"left": 1}), "ZeroPadding1D: padding: expected an int"),
        (lambda: ZeroPadding2D({"left": 1}), "a dictionary of top_pad, bottom_pad"),
        (lambda: ZeroPadding2D((1, 2, 3)), r"expected \(rows, cols\), \(top, bottom"),
        (lambda: ZeroPadding2D((1, -2)), r"expected \(rows, cols\), \(top, bottom"),
        (lambda: ZeroPadding3D((1, 1)), "padding: expected 3 ints >= 0"),
        (lambda: ZeroPadding3D(((1, 1),) * 3), "padding: expected 3 ints >= 0"),
        (
            lambda: Convolution1D(3, 2, border_mode="causal"),
            "border_mode: expected 'valid', 'same' or 'full'",
        ),
        (
            lambda: SeparableConvolution2D(3, 2, 2, border_mode="full"),
            "border_mode: expected 'valid' or 'same'",
        ),
        (
            lambda: LocallyConnected1D(3, 2, border_mode="same"),
            "LocallyConnected1D: border_mode: expected 'valid'",
        ),
        (
            lambda: SimpleRNN(3, consume_less="tpu"),
            "SimpleRNN: consume_less: expected 'cpu', 'mem' or 'gpu'",
        ),
        (
            lambda: Deconvolution2D(3, 2, 2, output_shape=(3, 14, 14)),
            "output_shape: expected 4 ints > 0, the first of them",
        ),
        (
            lambda: Deconvolution2D(3, 2, 2, output_shape=(None, 14, None, 3)),
            "output_shape: expected 4 ints > 0, the first of them",
        ),
        (
            lambda: Deconvolution2D(3, 2, 2, (None, 3, 14, 14)),
            "output_shape: expected nb_filter = 3 on axis 3",
        ),
        (lambda: Deconvolution2D(3, 2, 2), "argument 'output_shape' is missing"),
        (lambda: Permute((0, 1)), "Permute: dims: expected a permutation of 1 to 2"),
        (lambda: Bidirectional(Dense(3)), "Bidirectional: layer: expected a recurrent"),
    ],
)
def test_refused(make: Any, match: str) -> None:
    with pytest.raises(CaptureError, match=match):
        make()


@pytest.mark.parametrize(
    ("make", "shape", "match"),
    [
        (lambda: Highway(), (4, 3), "Highway: expected an input of rank 2"),
        (lambda: MaxoutDense(3), (4, 3), "MaxoutDense: expected an input of rank 2"),
        (lambda: RepeatVector(3), (4, 3), "RepeatVector: expected an input of rank 2"),
        (lambda: Reshape((5,)), (None, 3), "dims must be known"),
        (lambda: Reshape((5,)), (4,), "5"),
        (lambda: LocallyConnected1D(3, 2), (None, 3), "every dim"),
        (lambda: LocallyConnected2D(3, 2, 2), (6, None, 3), "every dim"),
        (lambda: k1.BatchNormalization(mode=1), (4, 3), "mode 1 takes inputs of rank"),
        (lambda: LSTM(3, unroll=True), (None, 3), "unroll=True needs a known number"),
        (lambda: LSTM(3, stateful=True), (4, 3), "stateful=True needs a fixed batch"),
        (lambda: LSTM(3), (4,), "expected an input of rank 3"),
        (
            lambda: Lambda(lambda x: x, output_shape=(4,)),
            (3,),
            r"output_shape says \(None, 4\)",
        ),
    ],
)
def test_refused_when_called(make: Any, shape: Any, match: str) -> None:
    with pytest.raises(ShapeError, match=match):
        make()(Input(shape))


def test_flatten_and_dense_of_an_unknown_length() -> None:
    model = Sequential()
    model.add(Convolution1D(4, 3, input_dim=5))
    model.add(Flatten())
    with pytest.raises(ShapeError, match="must be known"):
        model.add(Dense(2))


def test_an_unreachable_output_shape_lists_the_reachable_ones() -> None:
    layer = Deconvolution2D(3, 3, 3, output_shape=(None, 24, 27, 3), subsample=(2, 2))
    with pytest.raises(CaptureError, match="expected 25 or 26 for a length of 12"):
        layer(Input((12, 13, 3)))


def test_embedding_is_the_first_layer() -> None:
    hidden = Dense(3)(Input((4,)))
    with pytest.raises(CaptureError, match="it is the first layer of a model") as error:
        Embedding(5, 2)(hidden)
    assert error.value.hint == "graphjit.layers.Embedding may stand anywhere"
    with pytest.raises(CaptureError, match="received the output of Dense"):
        Sequential([Dense(3, input_dim=4), Embedding(5, 2)])
    assert Embedding(5, 2)(Input((4,), dtype="int32")).shape == (None, 4, 2)


def test_ids_out_of_range() -> None:
    model = Sequential([Embedding(5, 2, input_length=3)])
    with pytest.raises(DataError, match="5"):
        model.predict(np.array([[0, 1, 5]]))


# --- weights ----------------------------------------------------------------------


def test_weights_of_another_layout() -> None:
    with pytest.raises(DataError, match="a Keras 1 kernel of rank 4, axis 1 of 1 ele"):
        Convolution1D(4, 3, weights=[np.ones((3, 5, 4)), np.ones(4)])
    with pytest.raises(DataError, match="a Keras 1 kernel of rank 4, received shape"):
        Convolution2D(4, 3, 3, weights=[np.ones((3, 5, 4)), np.ones(4)])


def test_weights_of_another_count_or_shape() -> None:
    with pytest.raises(DataError, match="expected 2 arrays, received 1"):
        Dense(3, weights=[np.ones((4, 3))])(Input((4,)))
    with pytest.raises(DataError, match=r"expected shape \(4, 3\), received \(5, 3\)"):
        Dense(3, weights=[np.ones((5, 3)), np.ones(3)])(Input((4,)))
