"""Activation layers with settings or weights of their own."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.capture.layer import Layer
from graphjit.errors import CaptureError, ShapeError
from graphjit.initializers import Constant, GlorotUniform, Ones, Zeros
from graphjit.ops.elementwise import ThresholdedRelu
from graphjit.ops.learned_activations import Prelu, Srelu
from graphjit.types import TensorType
from tests.ops.applied import data, graph_of, results

LINE = np.array([[-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0]], np.float32)


def of(layer: Layer, **params: Any) -> Any:
    """A layer called "one" on the line, with these weights along it."""
    arrays = {k: np.full(LINE.shape[1:], v, np.float32) for k, v in params.items()}
    variables = {"params": {"one": arrays} if arrays else {}, "state": {}}
    return results(graph_of(layer, [LINE]), LINE, variables=variables)[0]


# --- fixed ----------------------------------------------------------------------------


def test_leaky_relu() -> None:
    found = of(L.LeakyReLU())
    np.testing.assert_allclose(found, np.where(LINE >= 0, LINE, 0.3 * LINE))
    found = of(L.LeakyReLU(0.5))
    np.testing.assert_allclose(found, np.where(LINE >= 0, LINE, 0.5 * LINE))


def test_elu() -> None:
    wanted = np.where(LINE >= 0, LINE, 0.7 * (np.exp(LINE) - 1))
    np.testing.assert_allclose(of(L.ELU(0.7)), wanted, rtol=1e-6)
    assert L.ELU().alpha == 1.0


def test_the_threshold_itself_gives_zero() -> None:
    np.testing.assert_array_equal(of(L.ThresholdedReLU()), [[0, 0, 0, 0, 0, 0, 2]])
    found = of(L.ThresholdedReLU(0.5))
    np.testing.assert_array_equal(found, [[0, 0, 0, 0, 0, 1, 2]])
    np.testing.assert_array_equal(of(L.ThresholdedReLU(0)), [[0, 0, 0, 0, 0.5, 1, 2]])


@pytest.mark.parametrize(
    "layer", [L.LeakyReLU(0.3), L.ELU(0.6), L.PReLU("ones")], ids=lambda v: repr(v)
)
def test_the_identity_at_and_above_zero(layer: Layer) -> None:
    x = np.array([[0.0, 0.5, 3.0]], np.float32)
    graph = graph_of(layer, [x])
    function = gj.lower(graph)
    params = {p.name.split("/")[0]: {"alpha": np.full(3, 0.25)} for p in graph.params}

    def total(x: Any) -> Any:
        weights = jax.tree.map(lambda a: a.astype(np.float32), params)
        return function(weights, {}, x).outputs.sum()

    found, slope = jax.value_and_grad(total)(x)
    assert float(found) == 3.5
    if not isinstance(layer, L.ELU):  # of two slopes at 0 it has the lower one
        np.testing.assert_array_equal(slope, np.ones((1, 3)))


def test_the_keras_3_name_of_a_slope() -> None:
    layer = L.LeakyReLU(negative_slope=0.1)
    assert layer.alpha == 0.1
    assert layer.get_config()["alpha"] == 0.1
    assert "negative_slope" not in layer.get_config()
    assert L.LeakyReLU(0.1, negative_slope=0.1).alpha == 0.1
    with pytest.raises(CaptureError, match=r"negative_slope: expected alpha or it"):
        L.LeakyReLU(0.2, negative_slope=0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: L.LeakyReLU(-0.1), r"alpha: expected a number >= 0, received -0\.1"),
        (
            lambda: L.LeakyReLU(negative_slope=-0.1),
            r"alpha: expected a number >= 0, received -0\.1",
        ),
        (lambda: L.ThresholdedReLU(-1), r"theta: expected a number >= 0, received -1"),
        (lambda: L.ELU("a"), r"alpha: expected a number, received 'a'"),
        (lambda: L.LeakyReLU(None), r"alpha: expected a number, received None"),
    ],
)
def test_wrong_settings(make: Any, message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        make()


def test_a_fixed_activation_is_fused() -> None:
    x = gj.Input((4,))
    dense = L.Dense(3)(x)
    for layer in (L.ELU(), L.LeakyReLU(), L.ThresholdedReLU()):
        (node,) = gj.jit(gj.Model(x, layer(dense))).graph.nodes
        assert len(node.epilogue) == 1
    assert node.epilogue == (ThresholdedRelu(1.0),)


# --- with weights ---------------------------------------------------------------------


def test_prelu() -> None:
    found = of(L.PReLU(name="one"), alpha=0.25)
    np.testing.assert_allclose(found, np.where(LINE >= 0, LINE, 0.25 * LINE))


def test_parametric_softplus() -> None:
    found = of(L.ParametricSoftplus(name="one"), alpha=0.3, beta=2.0)
    wanted = 0.3 * np.log1p(np.exp(2 * LINE.astype(np.float64)))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    found = of(L.ParametricSoftplus(name="one"), alpha=1.0, beta=1000.0)
    np.testing.assert_allclose(found[0, -1], 2000.0)


@pytest.mark.parametrize("right", [1.2, -1.2])
def test_srelu(right: float) -> None:
    """t_right is the distance from t_left, whatever its sign: 1.2 - 0.7 = 0.5."""
    learned = {"t_left": -0.7, "a_left": 0.2, "t_right": right, "a_right": 3.0}
    wanted = [[-0.96, -0.76, -0.5, 0.0, 0.5, 2.0, 5.0]]
    found = of(L.SReLU(name="one"), **learned)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)


def test_srelu_at_its_thresholds() -> None:
    """A line of slope 1 meets both others there, so each threshold is itself."""
    learned = {"t_left": -1.0, "a_left": 0.5, "t_right": 1.5, "a_right": 4.0}
    found = of(L.SReLU(name="one"), **learned)
    np.testing.assert_allclose(found[0, [1, 4]], [-1.0, 0.5])


def test_initial_weights() -> None:
    assert L.PReLU().alpha_initializer == Zeros()
    softplus = L.ParametricSoftplus()
    assert softplus.alpha_initializer == Constant(0.2)
    assert softplus.beta_initializer == Constant(5.0)
    assert L.ParametricSoftplus("ones", 2).beta_initializer == Constant(2.0)
    assert L.ParametricSoftplus("ones").alpha_initializer == Ones()
    srelu = L.SReLU()
    assert srelu.t_left_initializer == Zeros()
    assert srelu.a_left_initializer == GlorotUniform()
    assert srelu.t_right_initializer == GlorotUniform()
    assert srelu.a_right_initializer == Ones()


@pytest.mark.parametrize(
    ("layer", "slots"),
    [
        (L.PReLU, ["alpha"]),
        (L.ParametricSoftplus, ["alpha", "beta"]),
        (L.SReLU, ["t_left", "a_left", "t_right", "a_right"]),
    ],
)
@pytest.mark.parametrize(
    ("shared", "shape"),
    [
        (None, (5, 4, 3)),
        ([1, 2], (1, 1, 3)),
        ((3,), (5, 4, 1)),
        (2, (5, 1, 3)),
        ([3, 1, 2], (1, 1, 1)),
    ],
)
def test_weights_and_shared_axes(
    layer: Any, slots: list[str], shared: Any, shape: tuple[int, ...]
) -> None:
    """Document 004: shared_axes=[1, 2] gives each filter one set of parameters."""
    made = layer(shared_axes=shared)
    assert made(gj.Input((5, 4, 3))).shape == (None, 5, 4, 3)
    found = {slot: cell.param.type.shape for slot, cell in made.cells.items()}
    assert found == dict.fromkeys(slots, shape)
    assert list(found) == slots


def test_shared_axes_may_be_unknown() -> None:
    x = gj.Input((None, 3))
    assert L.PReLU(shared_axes=[1])(x).shape == (None, None, 3)
    with pytest.raises(ShapeError, match="PReLU: its weights need to know axis 1") as e:
        L.PReLU()(x)
    assert e.value.hint == "give the full shape to Input, or shared_axes=[1]"


def test_wrong_shared_axes() -> None:
    wanted = "shared_axes: expected axes counted with the batch, from 1"
    for wrong in ([0, 1], -1, "a", [1.5]):
        with pytest.raises(CaptureError, match=wanted):
            L.SReLU(shared_axes=wrong)
    with pytest.raises(ShapeError, match="axis 3 does not fit an input of rank 3"):
        L.PReLU(shared_axes=[3])(gj.Input((5, 4)))
    with pytest.raises(ShapeError, match="expected an input of rank >= 2"):
        L.PReLU()(gj.Input(()))


@pytest.mark.parametrize(
    ("cls", "old", "new"),
    [
        (L.PReLU, "init", "alpha_initializer"),
        (L.ParametricSoftplus, "alpha_init", "alpha_initializer"),
        (L.ParametricSoftplus, "beta_init", "beta_initializer"),
        (L.SReLU, "t_left_init", "t_left_initializer"),
        (L.SReLU, "a_right_init", "a_right_initializer"),
    ],
)
def test_the_hint_for_an_old_name(cls: Any, old: str, new: str) -> None:
    with pytest.raises(CaptureError, match=f"called '{new}' here"):
        cls(**{old: "zeros"})


def test_order_of_arguments() -> None:
    assert L.PReLU("ones", "l2", "non_neg", [1]).get_config() == {
        "name": None,
        "trainable": True,
        "dtype": "float32",
        "alpha_initializer": {"class_name": "Ones", "config": {}},
        "alpha_regularizer": {"class_name": "L2", "config": {"l2": 0.01}},
        "alpha_constraint": {"class_name": "NonNeg", "config": {}},
        "shared_axes": [1],
    }
    layer = L.SReLU("zeros", "ones", "he_normal", "uniform", [1])
    assert layer.a_left_initializer == Ones()
    assert layer.shared_axes == (1,)


def test_malformed_weights() -> None:
    x = TensorType(("batch", 4, 3))
    message = r"alpha: expected the shape \(4, 3\) or 1 on its axes, received"
    for wrong in ((3,), (4, 2), (1, 4, 3)):
        with pytest.raises(ShapeError, match=message):
            Prelu().infer(x, TensorType(wrong))
    good = TensorType((1, 3))
    with pytest.raises(ShapeError, match="t_right: expected the shape"):
        Srelu().infer(x, good, good, TensorType((2, 3)), good)


@pytest.mark.parametrize(
    "layer",
    [
        L.LeakyReLU(),
        L.ELU(),
        L.ThresholdedReLU(),
        L.PReLU(),
        L.ParametricSoftplus(),
        L.SReLU(),
        L.ReLU(),
        L.Softmax(),
        L.Activation("tanh"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_masks_are_carried(layer: Layer) -> None:
    x, mask = data(2, 4, 3), np.array([[True, True, False, False], [True] * 4])
    _, found = results(graph_of(layer, [x], [mask]), x, mask)
    np.testing.assert_array_equal(found, mask)


def test_integers_are_cast() -> None:
    x = gj.Input((3,), dtype="int32")
    for layer in (L.LeakyReLU(), L.ELU(), L.ThresholdedReLU(), L.PReLU(), L.SReLU()):
        assert layer(x).dtype == "float32"
