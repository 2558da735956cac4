"""Initializers, regularizers and constraints as Keras 1 means them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import graphjit as gj
from graphjit import initializers
from graphjit.constraints import MaxNorm, MinMaxNorm, NonNeg, UnitNorm
from graphjit.errors import CaptureError
from graphjit.initializers import (
    GlorotUniform,
    HeUniform,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    VarianceScaling,
    Zeros,
)
from graphjit.keras1 import (
    GRU,
    LSTM,
    AtrousConvolution1D,
    Convolution1D,
    Convolution2D,
    Convolution3D,
    Dense,
    LocallyConnected1D,
    MaxoutDense,
    SimpleRNN,
    SReLU,
    constraints,
    initializations,
    regularizers,
)
from graphjit.keras1_initializers import Keras1Scaling, PerBlock, keras1_fans
from graphjit.ops.recurrent.forget_bias import ForgetBias
from graphjit.regularizers import L1, L1L2, L2

# --- names ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("uniform", RandomUniform(-0.05, 0.05)),
        ("normal", RandomNormal(0.0, 0.05)),
        ("zero", Zeros()),
        ("one", Ones()),
        ("identity", initializers.Identity()),
        ("orthogonal", Orthogonal(1.1)),
        ("lecun_uniform", LecunUniform()),
        ("glorot_uniform", GlorotUniform()),
        ("glorot_normal", VarianceScaling(1.0, "fan_avg", "untruncated_normal")),
        ("he_normal", VarianceScaling(2.0, "fan_in", "untruncated_normal")),
        ("he_uniform", HeUniform()),
    ],
)
def test_names_of_initializers(name: str, wanted: Any) -> None:
    assert Dense(3, init=name).kernel_initializer == wanted
    assert Dense(3, init=getattr(initializations, name)).kernel_initializer == wanted


def test_an_unknown_initializer() -> None:
    with pytest.raises(CaptureError, match=r"Dense: init: initializer.*'he_uni'"):
        Dense(3, init="he_uni")


def test_a_plain_normal_reaches_beyond_two_deviations() -> None:
    initializer = Dense(3, init="he_normal").kernel_initializer
    drawn = initializer.draw((50, 200), "float32", 0, "kernel")
    assert drawn.std() == pytest.approx(math.sqrt(2 / 50), rel=0.03)
    assert abs(drawn).max() > 3 * math.sqrt(2 / 50)


# --- fans -------------------------------------------------------------------------


def test_fans() -> None:
    assert keras1_fans((4, 9)) == (4, 9)
    assert keras1_fans((16,)) == (4.0, 4.0)
    assert keras1_fans((2, 4, 8)) == (8.0, 8.0)
    assert keras1_fans((8, 4, 3, 2)) == (24, 48)


def limit(layer: Any, *shape: int) -> float:
    """Of the uniform distribution that a kernel of this shape is drawn from."""
    layer(gj.Input(shape))
    drawn = layer.kernel_initializer.draw(
        layer.own_cells["kernel"].param.type.shape, "float64", 0, "kernel"
    )
    return float(abs(drawn).max())


@pytest.mark.parametrize(
    ("layer", "shape", "fan_in", "fan_out"),
    [
        # (in, out)
        (Dense(300), (200,), 200, 300),
        # (length, 1, in, out) read as (out, in, rows, cols)
        (Convolution1D(40, 5), (9, 30), 30 * 40, 5 * 30 * 40),
        (AtrousConvolution1D(40, 5), (9, 30), 30 * 40, 5 * 30 * 40),
        (Convolution2D(40, 5, 4), (9, 9, 30), 5 * 4 * 30, 5 * 4 * 40),
        (Convolution2D(40, 5, 4, dim_ordering="th"), (30, 9, 9), 20 * 30, 20 * 40),
        # the third axis of the window is forgotten under "tf" alone
        (Convolution3D(20, 4, 3, 2), (4, 4, 4, 15), 12 * 15, 12 * 20),
        (Convolution3D(20, 4, 3, 2, dim_ordering="th"), (15, 4, 4, 4), 360, 480),
        # three axes: the square root of all
        (MaxoutDense(30, 10), (40,), math.sqrt(12000), math.sqrt(12000)),
        (LocallyConnected1D(30, 2), (9, 20), *[math.sqrt(8 * 40 * 30)] * 2),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "name") else None,
)
def test_glorot_uniform(layer: Any, shape: Any, fan_in: float, fan_out: float) -> None:
    wanted = math.sqrt(6 / (fan_in + fan_out))
    assert limit(layer, *shape) == pytest.approx(wanted, rel=2e-3)


@pytest.mark.parametrize("name", ["he_uniform", "lecun_uniform"])
def test_fan_in_of_a_convolution(name: str) -> None:
    scale = {"he_uniform": 6, "lecun_uniform": 3}[name]
    layer = Convolution1D(40, 5, init=name)
    assert limit(layer, 9, 30) == pytest.approx(math.sqrt(scale / 1200), rel=2e-3)


@pytest.mark.parametrize("shape", [(400,), (20, 30)])
def test_scaling_of_any_shape(shape: tuple[int, ...]) -> None:
    layer = SReLU(a_left_init="glorot_uniform")
    initializer = layer.a_left_initializer
    drawn = initializer.draw(shape, "float64", 0, "a")
    fan_in, fan_out = keras1_fans(shape)
    wanted = math.sqrt(6 / (fan_in + fan_out))
    assert abs(drawn).max() == pytest.approx(wanted, rel=2e-2)


def test_keras1_scaling_checks_its_scale() -> None:
    with pytest.raises(CaptureError, match="Keras1Scaling: scale: expected a number >"):
        Keras1Scaling(0.0)


# --- an array for every gate ------------------------------------------------------


@pytest.mark.parametrize(("make", "gates"), [(LSTM, 4), (GRU, 3)])
def test_gates_are_drawn_alone(make: Any, gates: int) -> None:
    layer = make(50)
    layer(gj.Input((4, 30)))
    kernel, recurrent, _ = layer.get_weights()
    alone = math.sqrt(6 / (30 + 50))
    assert abs(kernel).max() == pytest.approx(alone, rel=1e-2)
    for block in np.split(recurrent, gates, axis=1):
        np.testing.assert_allclose(block.T @ block, 1.21 * np.eye(50), atol=1e-5)
    blocks = np.split(kernel, gates, axis=1)
    assert not np.array_equal(blocks[0], blocks[1])


@pytest.mark.parametrize(("make", "gates"), [(LSTM, 4), (GRU, 3)])
def test_gpu_draws_them_together(make: Any, gates: int) -> None:
    layer = make(50, consume_less="gpu")
    layer(gj.Input((4, 30)))
    together = math.sqrt(6 / (30 + gates * 50))
    assert abs(layer.get_weights()[0]).max() == pytest.approx(together, rel=1e-2)


def test_a_simple_rnn_has_one() -> None:
    assert SimpleRNN(4).kernel_initializer == GlorotUniform()


def test_per_block_in_a_config() -> None:
    one = PerBlock(Orthogonal(1.1), 4)
    again = initializers.get(
        {"class_name": "PerBlock", "config": one.get_config()}, "initializer"
    )
    assert again == one
    assert one.seed is None
    with pytest.raises(CaptureError, match="a last axis of 4 equal parts"):
        one.draw((3, 6), "float32", 0, "k")
    with pytest.raises(CaptureError, match="PerBlock: blocks: expected an int >= 1"):
        PerBlock(Zeros(), 0)
    with pytest.raises(CaptureError, match="PerBlock: expected 'initializer' or 'blo"):
        PerBlock.from_config({"block": 3})


def test_forget_bias_init() -> None:
    assert LSTM(3).argument("unit_forget_bias") is True
    assert LSTM(3, forget_bias_init="zero").argument("unit_forget_bias") is False
    layer = LSTM(3, forget_bias_init=lambda shape, name=None: np.full(shape, 5.0))
    layer(gj.Input((4, 2)))
    assert isinstance(layer.bias_initializer, ForgetBias)
    assert layer.get_weights()[2].tolist() == [0.0] * 3 + [5.0] * 3 + [0.0] * 6


# --- functions --------------------------------------------------------------------


def test_a_function_is_given_a_shape_and_a_name() -> None:
    seen: list[Any] = []

    def my_init(shape: Any, name: str | None = None) -> Any:
        seen.append((tuple(shape), name))
        return initializations.normal(shape, scale=0.01, name=name)

    layer = Dense(30, init=my_init, name="first")
    layer(gj.Input((40,)))
    kernel = layer.get_weights()[0]
    assert seen == [((40, 30), "first/kernel")]
    assert kernel.std() == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize(
    ("layer", "shape", "wanted"),
    [
        (lambda f: Convolution1D(4, 3, init=f), (9, 5), (3, 1, 5, 4)),
        (lambda f: Convolution2D(4, 3, 2, init=f), (9, 9, 5), (3, 2, 5, 4)),
        (
            lambda f: Convolution2D(4, 3, 2, init=f, dim_ordering="th"),
            (5, 9, 9),
            (4, 5, 3, 2),
        ),
    ],
    ids=["1d", "tf", "th"],
)
def test_a_function_sees_keras_1s_kernel(layer: Any, shape: Any, wanted: Any) -> None:
    seen: list[Any] = []

    def numbered(shape: Any, name: str | None = None) -> Any:
        seen.append(tuple(shape))
        return np.arange(math.prod(shape)).reshape(shape)

    made = layer(numbered)
    made(gj.Input(shape))
    kernel = made.get_weights()[0]
    assert seen == [wanted]
    assert "numbered" in repr(made.kernel_initializer)
    given = np.arange(math.prod(wanted)).reshape(wanted)
    if wanted[0] == 4:
        given = given.transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(kernel, given.reshape(kernel.shape))


def test_initializations_draw() -> None:
    np.testing.assert_array_equal(initializations.zero((2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(initializations.one((2,)), np.ones(2))
    assert abs(initializations.uniform((50,), scale=0.2, name="a")).max() <= 0.2
    drawn = initializations.orthogonal((4, 4), name="a")
    np.testing.assert_allclose(drawn.T @ drawn, 1.21 * np.eye(4), atol=1e-5)
    a, b = (initializations.he_normal((5, 5), name=name) for name in "ab")
    assert not np.array_equal(a, b)
    assert initializations.get("orthogonal") == Orthogonal(1.1)


# --- regularizers -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (regularizers.l1(0.1), L1(0.1)),
        (regularizers.l1(), L1(0.01)),
        (regularizers.l2(l=0.1), L2(0.1)),
        (regularizers.l1l2(l1=0.1, l2=0.2), L1L2(0.1, 0.2)),
        (regularizers.l1l2(), L1L2(0.01, 0.01)),
        (regularizers.WeightRegularizer(l1=0.1, l2=0.2), L1L2(0.1, 0.2)),
        (regularizers.WeightRegularizer(), L1L2(0.0, 0.0)),
        (regularizers.ActivityRegularizer(l2=0.2), L1L2(0.0, 0.2)),
        (regularizers.activity_l1(0.1), L1(0.1)),
        (regularizers.activity_l2(0.1), L2(0.1)),
        (regularizers.activity_l1l2(0.1, 0.2), L1L2(0.1, 0.2)),
        ("l1", L1(0.01)),
        ("l2", L2(0.01)),
        ("l1l2", L1L2(0.01, 0.01)),
        ("activity_l1", L1(0.01)),
        ("activity_l1l2", L1L2(0.01, 0.01)),
        (
            {"name": "WeightRegularizer", "l1": 0.0, "l2": 0.3},
            L1L2(0.0, 0.3),
        ),
    ],
)
def test_regularizers(given: Any, wanted: Any) -> None:
    assert Dense(3, W_regularizer=given).kernel_regularizer == wanted
    assert Dense(3, activity_regularizer=given).activity_regularizer == wanted


# --- constraints ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (constraints.maxnorm(), MaxNorm(2.0, 0)),
        (constraints.maxnorm(m=3, axis=1), MaxNorm(3.0, 1)),
        (constraints.nonneg(), NonNeg()),
        (constraints.unitnorm(axis=1), UnitNorm(1)),
        (constraints.min_max_norm(low=0.5, high=2), MinMaxNorm(0.5, 2.0, 1.0, 0)),
        ("maxnorm", MaxNorm(2.0, 0)),
        ("nonneg", NonNeg()),
        ("unitnorm", UnitNorm(0)),
        ({"name": "MaxNorm", "m": 3, "axis": 0}, MaxNorm(3.0, 0)),
    ],
)
def test_constraints(given: Any, wanted: Any) -> None:
    assert Dense(3, W_constraint=given).kernel_constraint == wanted


@pytest.mark.parametrize(
    ("axis", "native"),
    [(0, 3), (1, 2), (2, 0), (3, 1), (-1, 1), ((1, 2, 3), (2, 0, 1))],
)
def test_axes_of_a_th_kernel(axis: Any, native: Any) -> None:
    """(out, in, rows, cols), natively (rows, cols, in, out)."""
    given = constraints.maxnorm(3, axis=axis)
    layer = Convolution2D(4, 3, 2, W_constraint=given, dim_ordering="th")
    assert layer.kernel_constraint == MaxNorm(3.0, native)
    kernel = np.random.default_rng(0).normal(size=(4, 5, 3, 2)).astype(np.float32)
    with np.errstate(all="ignore"):
        wanted = np.asarray(given.project(kernel)).transpose(2, 3, 1, 0)
    found = layer.kernel_constraint.project(kernel.transpose(2, 3, 1, 0))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("axis", "native"), [(0, 0), (2, 1), (3, 2), ((0, 1, 2), (0, 1))]
)
def test_axes_of_a_kernel_of_sequences(axis: Any, native: Any) -> None:
    """(length, 1, in, out), natively (length, in, out)."""
    layer = Convolution1D(4, 3, W_constraint=constraints.unitnorm(axis=axis))
    assert layer.kernel_constraint == UnitNorm(native)


def test_an_axis_of_one_element() -> None:
    with pytest.raises(CaptureError, match="UnitNorm: axis 1 of a Keras 1 kernel has"):
        Convolution1D(4, 3, W_constraint=constraints.unitnorm(axis=1))


def test_constraints_without_axes_stay() -> None:
    layer = Convolution2D(4, 3, 2, W_constraint="nonneg", dim_ordering="th")
    assert layer.kernel_constraint == NonNeg()
    assert Convolution2D(4, 3, 2, W_constraint=None).kernel_constraint is None
