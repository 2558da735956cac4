"""Dropout in all its forms, and noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit import config
from graphjit.errors import CaptureError, ShapeError
from graphjit.ops.dropout import GaussianNoiseOp
from tests.ops.applied import data, graph_of, inference, results

ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805

#: Layers that draw in training, with what they are called on.
DRAWING: dict[str, tuple[Any, tuple[int, ...]]] = {
    "Dropout": (lambda: L.Dropout(0.3), (3, 4)),
    "SpatialDropout1D": (lambda: L.SpatialDropout1D(0.3), (3, 4)),
    "SpatialDropout2D": (lambda: L.SpatialDropout2D(0.3), (3, 4, 2)),
    "SpatialDropout3D": (lambda: L.SpatialDropout3D(0.3), (2, 3, 4, 2)),
    "AlphaDropout": (lambda: L.AlphaDropout(0.3), (3, 4)),
    "GaussianDropout": (lambda: L.GaussianDropout(0.3), (3, 4)),
    "GaussianNoise": (lambda: L.GaussianNoise(0.3), (3, 4)),
}
EACH = pytest.mark.parametrize(("make", "shape"), DRAWING.values(), ids=list(DRAWING))


def trained(layer: Any, x: Any, rng: int = 0) -> Any:
    return results(graph_of(layer, [x]), x, rng=rng)[0]


# --- all of them ----------------------------------------------------------------------


@EACH
def test_inference_is_the_identity(make: Any, shape: tuple[int, ...]) -> None:
    x = data(5, *shape)
    graph = inference(graph_of(make(), [x]))
    assert graph.nodes == ()
    np.testing.assert_array_equal(results(graph, x, rng=None)[0], x)


@EACH
def test_one_key_one_draw(make: Any, shape: tuple[int, ...]) -> None:
    x = data(20, *shape)
    first = trained(make(), x)
    np.testing.assert_array_equal(trained(make(), x), first)
    assert (trained(make(), x, rng=1) != first).any()
    seeded = make().from_config({**make().get_config(), "seed": 4})
    assert (trained(seeded, x) != first).any()


@EACH
def test_integers_become_floats(make: Any, shape: tuple[int, ...]) -> None:
    assert make()(L.Input(shape, dtype="int32")).dtype == "float32"


@EACH
def test_rate_and_seed_are_read(make: Any, shape: tuple[int, ...]) -> None:
    layer = make()
    first = next(iter(set(type(layer).arguments) & {"rate", "stddev"}))
    bad: tuple[Any, ...] = (-0.1, "much", None, True, float("nan"))
    for value in (*bad, 1.5) if first == "rate" else bad:
        text = rf"^{type(layer).__name__}: {first}: expected a .*number"
        with pytest.raises(CaptureError, match=text):
            type(layer)(value)
    text = rf"^{type(layer).__name__}: seed: expected an int, received 'x'$"
    with pytest.raises(CaptureError, match=text):
        type(layer)(0.3, seed="x")


@pytest.mark.parametrize(
    "layer",
    [
        *(cls(rate) for cls in (L.AlphaDropout, L.GaussianDropout) for rate in (0, 1)),
        *(L.SpatialDropout1D(rate) for rate in (0, 1)),
        L.GaussianNoise(0),
    ],
    ids=repr,
)
def test_nothing_is_drawn_at_either_end(layer: Any) -> None:
    assert graph_of(layer, [data(2, 3, 4)]).nodes == ()


@pytest.mark.parametrize(
    ("make", "old", "new"),
    [
        (L.Dropout, "p", "rate"),
        (L.SpatialDropout1D, "p", "rate"),
        (L.SpatialDropout2D, "dim_ordering", "data_format"),
        (L.GaussianDropout, "p", "rate"),
        (L.GaussianNoise, "sigma", "stddev"),
    ],
)
def test_old_names_are_known(make: Any, old: str, new: str) -> None:
    text = rf"unknown argument '{old}'\n  hint: it is called '{new}' here"
    with pytest.raises(CaptureError, match=text):
        make(**{old: 0.5})


# --- spatial dropout ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "rank", "spatial"),
    [
        (L.SpatialDropout1D(0.4), 3, (1,)),
        (L.SpatialDropout2D(0.4), 4, (1, 2)),
        (L.SpatialDropout2D(0.4, "channels_first"), 4, (2, 3)),
        (L.SpatialDropout3D(0.4), 5, (1, 2, 3)),
        (L.SpatialDropout3D(0.4, "channels_first"), 5, (2, 3, 4)),
    ],
    ids=str,
)
def test_whole_channels_go(layer: Any, rank: int, spatial: tuple[int, ...]) -> None:
    shape = [3 if axis in spatial else 40 for axis in range(rank)]
    found = trained(layer, np.ones(shape, np.float32))
    kept = found.any(spatial, keepdims=True)
    np.testing.assert_allclose(found, np.where(kept, 1 / 0.6, 0) + 0 * found, rtol=1e-6)
    assert abs(kept.mean() - 0.6) < 0.06  # 1600 draws


def test_spatial_dropout_wants_its_rank() -> None:
    text = r"^SpatialDropout2D: expected an input of rank 4, received rank 3"
    for rate in (0.0, 0.5):
        with pytest.raises(ShapeError, match=text):
            L.SpatialDropout2D(rate)(L.Input((3, 4)))


def test_spatial_dropout_follows_the_configured_format() -> None:
    config.set_image_data_format("channels_first")
    assert L.SpatialDropout2D(0.5).data_format == "channels_first"
    graph = graph_of(L.SpatialDropout3D(0.5), [data(2, 3, 4, 2, 2)])
    assert graph.nodes[0].op.noise_shape == (None, None, 1, 1, 1)  # type: ignore[attr-defined]


# --- alpha dropout --------------------------------------------------------------------


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    x = np.random.default_rng(0).normal(size=(300, 400)).astype(np.float32)
    found = trained(L.AlphaDropout(0.3), x)
    # 120,000 numbers: a standard error of 0.003.
    assert abs(found.mean()) < 0.015
    assert abs(found.std() - 1) < 0.015
    most = np.unique(found, return_counts=True)[1].max()
    assert abs(most / x.size - 0.3) < 0.01


def test_alpha_dropout_shares_its_draw() -> None:
    x = np.full((50, 4, 6), 2.0, np.float32)
    found = trained(L.AlphaDropout(0.5, noise_shape=(None, 1, None)), x)
    np.testing.assert_array_equal(found, found[:, :1].repeat(4, 1))
    text = r"alpha_dropout 'a/alpha_dropout': noise_shape \(1, 2\) does not fit rank 3"
    with pytest.raises(ShapeError, match=text):
        L.AlphaDropout(0.5, (1, 2), name="a")(L.Input((4, 6)))
    text = r"noise_shape \(None, 3, 1\) does not fit float32\[batch, 4, 6\]"
    with pytest.raises(ShapeError, match=text):
        L.AlphaDropout(0.5, (None, 3, 1), name="a")(L.Input((4, 6)))
    text = r"^AlphaDropout: noise_shape: expected a tuple of ints or None, received 3$"
    with pytest.raises(CaptureError, match=text):
        L.AlphaDropout(0.5, 3)


def test_alpha_dropout_against_its_formula() -> None:
    x = data(40, 30)
    found, rate = trained(L.AlphaDropout(0.3), x), 0.3
    lowest = -ALPHA * SCALE
    a = ((1 - rate) * (1 + rate * lowest**2)) ** -0.5
    b = -a * lowest * rate
    dropped = np.isclose(found, a * lowest + b, rtol=1e-5)
    wanted = a * np.where(dropped, lowest, x) + b
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


# --- noise ----------------------------------------------------------------------------


def test_noise_has_the_stated_deviation() -> None:
    x = np.full((200, 300), 3.0, np.float32)
    added = trained(L.GaussianNoise(0.4), x) - 3
    assert abs(added.mean()) < 0.01
    assert abs(added.std() - 0.4) < 0.01
    factors = trained(L.GaussianDropout(0.2), x) / 3
    # sqrt(0.2 / 0.8)
    assert abs(factors.mean() - 1) < 0.01
    assert abs(factors.std() - 0.5) < 0.01


def test_strong_noise_is_allowed() -> None:
    """Keras 1 and 2 take any; Keras 3 stops at 1."""
    graph = graph_of(L.GaussianNoise(2.5), [data(2, 3)])
    op = graph.nodes[0].op
    assert isinstance(op, GaussianNoiseOp)
    assert op.stddev == 2.5
    with pytest.raises(CaptureError, match=r"stddev: expected a number >= 0, received"):
        L.GaussianNoise(-1)


def test_two_layers_draw_apart() -> None:
    x = L.Input((50,))
    both = [L.GaussianNoise(0.5)(x), L.GaussianNoise(0.5)(x)]
    model = gj.Model(x, both)
    zeros = np.zeros((4, 50), np.float32)
    first, second = model.apply(model.init(), zeros, training=True, rng=0)
    assert (np.asarray(first) != np.asarray(second)).all()
