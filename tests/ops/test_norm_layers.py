"""LayerNormalization, GroupNormalization, RMSNormalization, UnitNormalization."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.capture.layer import Layer
from graphjit.errors import CaptureError, ShapeError
from graphjit.ops.norms import GroupNorm, LayerNorm, UnitNorm
from graphjit.types import TensorType
from tests.conformance.case import run_op
from tests.ops.applied import data, graph_of, results


@pytest.mark.parametrize(
    ("layer", "shape", "slots"),
    [
        (L.LayerNormalization(), (5, 4), {"gamma": (4,), "beta": (4,)}),
        (L.LayerNormalization([3, 1]), (5, 4, 3), {"gamma": (5, 3), "beta": (5, 3)}),
        (L.LayerNormalization((-1, -2)), (5, 4, 3), {"gamma": (4, 3), "beta": (4, 3)}),
        (L.LayerNormalization(center=False), (4,), {"gamma": (4,)}),
        (L.LayerNormalization(scale=False), (4,), {"beta": (4,)}),
        (L.LayerNormalization(scale=False, rms_scaling=True), (4,), {"gamma": (4,)}),
        (L.GroupNormalization(2), (5, 4), {"gamma": (4,), "beta": (4,)}),
        (L.GroupNormalization(2, axis=1, scale=False), (6, 5), {"beta": (6,)}),
        (L.RMSNormalization(), (5, 4), {"scale": (4,)}),
        (L.UnitNormalization(), (5, 4), {}),
    ],
)
def test_weights(layer: Layer, shape: Any, slots: dict[str, tuple[int, ...]]) -> None:
    x = gj.Input(shape)
    assert layer(x).shape == x.shape
    found = {slot: cell.param.type.shape for slot, cell in layer.cells.items()}
    assert found == slots
    assert list(found) == list(slots)


def test_what_they_are_at_first() -> None:
    """Mean 0 and variance 1 of each sample, as the documents of norms say."""
    x = data(6, 5, 8) * 7 + 3
    for layer, axes in (
        (L.LayerNormalization(epsilon=1e-9), (2,)),
        (L.LayerNormalization([1, 2], 1e-9), (1, 2)),
        (L.GroupNormalization(1, epsilon=1e-9), (1, 2)),
        (L.GroupNormalization(-1, epsilon=1e-9), (1,)),
    ):
        tensor = gj.Input(x.shape[1:])
        y = gj.Model(tensor, layer(tensor)).predict(x)
        np.testing.assert_allclose(y.mean(axes), 0, atol=1e-5)
        np.testing.assert_allclose(y.var(axes), 1, atol=1e-4)


def test_groups_lie_together() -> None:
    """Two groups of two channels: the second of large numbers, the first of small."""
    x = np.array([[[1.0, 2.0, 100.0, 300.0]]])
    (y,) = run_op(GroupNorm(2, 2, 1e-12), [x])
    np.testing.assert_allclose(y, [[[-1, 1, -1, 1]]])


def test_zeros_stay_zeros() -> None:
    x = np.array([[3.0, 4.0], [0.0, 0.0]])
    (y,) = run_op(UnitNorm((1,)), [x])
    np.testing.assert_allclose(y, [[0.6, 0.8], [0, 0]])
    slope = jax.grad(lambda x: UnitNorm((1,)).lower(x).sum())(np.float32(x))
    assert np.isfinite(slope).all()


def test_narrow_floats_are_summed_in_wide_ones() -> None:
    x = np.full((1, 4096), 300, np.float16)
    x[0, ::2] = -300
    (y,) = run_op(LayerNorm((1,), 1e-3, "rms"), [x])
    np.testing.assert_allclose(np.abs(y), 1, rtol=1e-3)  # 300² · 4096 > 65504


@pytest.mark.parametrize(
    "layer",
    [
        L.LayerNormalization(),
        L.GroupNormalization(1),
        L.RMSNormalization(),
        L.UnitNormalization(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_masks_pass_and_change_nothing(layer: Layer) -> None:
    x, mask = data(2, 4, 3), np.array([[True, True, False, False], [True] * 4])
    plain, none = results(graph_of(layer, [x]), x)
    found, carried = results(graph_of(layer, [x], [mask]), x, mask)
    assert none is None
    np.testing.assert_array_equal(carried, mask)
    np.testing.assert_array_equal(found, plain)


def test_lengths_may_be_unknown() -> None:
    x = gj.Input((None, None, 6))
    assert L.LayerNormalization()(x).shape == x.shape
    assert L.GroupNormalization(3)(x).shape == x.shape
    assert L.UnitNormalization([1, 2])(x).shape == x.shape
    with pytest.raises(ShapeError, match=r"a normalized axis \(axis 1\) must be known"):
        L.LayerNormalization(1)(x)
    with pytest.raises(ShapeError, match=r"the channel axis \(axis 2\) must be known"):
        L.GroupNormalization(1, axis=2)(x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: L.LayerNormalization(0)(x), "axis: expected different axes other"),
        (lambda x: L.RMSNormalization([1, -2])(x), "axis: expected different axes"),
        (lambda x: L.GroupNormalization(2, -3)(x), "axis: expected different axes"),
        (lambda x: L.UnitNormalization(3)(x), "axis 3 does not fit an input of rank 3"),
        (lambda x: L.LayerNormalization("a")(x), "axis: expected an int, or a tuple"),
        (lambda x: L.LayerNormalization([])(x), "axis: expected an int, or a tuple"),
        (lambda x: L.GroupNormalization(0)(x), "groups: expected an int >= 1, or -1"),
        (
            lambda x: L.GroupNormalization(4)(x),
            r"groups: expected a divisor of the 6 channels \(axis 2\), received 4",
        ),
        (lambda x: L.GroupNormalization()(x), r"a divisor of the 6 .* received 32"),
    ],
)
def test_what_does_not_fit(make: Any, message: str) -> None:
    with pytest.raises((CaptureError, ShapeError), match=message):
        make(gj.Input((4, 6)))


def test_malformed_ops() -> None:
    x, gamma = TensorType(("batch", 4, 6)), TensorType((4,))
    with pytest.raises(ShapeError, match=r"axes \(0, 1\) do not fit rank 3"):
        LayerNorm((0, 1)).infer(x)
    with pytest.raises(ShapeError, match=r"axes \(2, 1\) do not fit rank 3"):
        UnitNorm((2, 1)).infer(x)
    with pytest.raises(ShapeError, match=r"axes \(\) do not fit rank 3"):
        LayerNorm(()).infer(x)
    with pytest.raises(ShapeError, match=r"gamma: expected shape \(6,\), received"):
        LayerNorm((2,)).infer(x, gamma)
    with pytest.raises(ShapeError, match=r"beta: expected shape \(4, 6\), received"):
        LayerNorm((1, 2)).infer(x, None, gamma)
    with pytest.raises(ShapeError, match="expected a form of"):
        LayerNorm((2,), form="max").infer(x)
    with pytest.raises(ShapeError, match="groups 4 do not divide 6 channels"):
        GroupNorm(4, 2).infer(x)
    with pytest.raises(ShapeError, match="groups 2 do not divide None channels"):
        GroupNorm(2, 1).infer(TensorType(("batch", None, 6)))


def test_configs() -> None:
    config = L.LayerNormalization([1, -1], rms_scaling=True).get_config()
    assert config["axis"] == [1, -1]
    assert config["rms_scaling"] is True
    assert "rms_scaling" not in L.LayerNormalization().get_config()
    assert L.LayerNormalization.from_config({"axis": [2]}).axis == (2,)
    assert L.LayerNormalization(rms_scaling=False).epsilon == 1e-3
    assert L.RMSNormalization().epsilon == 1e-6


def test_a_norm_lets_a_transpose_pass() -> None:
    """Two images turned around a norm: no transpose is left."""
    x = gj.Input((3, 5, 4))
    for layer in (
        L.LayerNormalization(1),
        L.LayerNormalization([1, 3]),
        L.GroupNormalization(2, axis=1),
        L.UnitNormalization(1),
        L.PReLU(shared_axes=[2]),
    ):
        turned = layer(L.Permute((3, 1, 2))(x))
        model = gj.Model(x, L.Permute((2, 3, 1))(turned))
        assert model.graph.count("transpose") == 2
        assert "transpose(%input" not in str(gj.jit(model).graph)
        assert gj.jit(model).graph.count("transpose") == 0
