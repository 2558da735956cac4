"""DepthwiseConv1D, SeparableConv1D and SeparableConv2D."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphjit.layers as L  # noqa: N812
from graphjit import config
from graphjit.capture.layer import LAYERS, Layer
from graphjit.capture.tracer import capture
from graphjit.constraints import MaxNorm, NonNeg
from graphjit.errors import CaptureError, ShapeError
from graphjit.initializers import Ones, Zeros
from graphjit.ir import Graph
from graphjit.regularizers import L1, L2
from tests.graphs import evaluate, random_inputs, variables_for

FIRST = "channels_first"
WEIGHTS = """
activation use_bias depthwise_initializer pointwise_initializer bias_initializer
depthwise_regularizer pointwise_regularizer bias_regularizer activity_regularizer
depthwise_constraint pointwise_constraint bias_constraint
""".split()
WINDOW = ["filters", "kernel_size", "strides", "padding", "data_format"]


def graph_of(layer: Layer, *shape: int) -> Graph:
    x = L.Input(shape, dtype=layer.dtype or "float32", name="x")
    return capture([x], [layer(x)], "one").graph


def positional(layer: type[Layer]) -> list[str]:
    parameters = inspect.signature(layer).parameters.values()
    return [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]


@pytest.mark.parametrize(
    ("layer", "order"),
    [
        (L.SeparableConv2D, [*WINDOW, "depth_multiplier", *WEIGHTS]),
        (L.SeparableConv1D, [*WINDOW, "dilation_rate", "depth_multiplier", *WEIGHTS]),
    ],
)
def test_the_order_of_arguments_is_the_documents(
    layer: type[Layer], order: list[str]
) -> None:
    assert positional(layer) == order


@pytest.mark.parametrize("rank", [1, 2])
def test_aliases(rank: int) -> None:
    layer = getattr(L, f"SeparableConv{rank}D")
    assert getattr(L, f"SeparableConvolution{rank}D") is layer
    assert LAYERS.get(f"SeparableConvolution{rank}D") is layer


def test_sequences_have_their_channels_last_unless_keras_says_otherwise() -> None:
    config.set_image_data_format(FIRST)
    assert L.SeparableConv1D(4, 3)(L.Input((10, 32))).shape == (None, 8, 4)
    assert L.DepthwiseConv1D(3)(L.Input((32, 10))).shape == (None, 32, 8)
    assert L.SeparableConv2D(4, 3)(L.Input((3, 8, 9))).shape == (None, 4, 6, 7)


SETTINGS = {
    "depthwise_initializer": "ones",
    "pointwise_initializer": "zeros",
    "depthwise_regularizer": "l1",
    "pointwise_regularizer": "l2",
    "depthwise_constraint": "non_neg",
    "pointwise_constraint": "max_norm",
}


@pytest.mark.parametrize(
    ("layer", "shape", "shapes"),
    [
        (
            L.SeparableConv1D(5, 3, depth_multiplier=2, **SETTINGS),
            (9, 4),
            {"depthwise_kernel": (3, 4, 2), "pointwise_kernel": (1, 8, 5)},
        ),
        (
            L.SeparableConv2D(5, (3, 2), depth_multiplier=2, **SETTINGS),
            (9, 8, 4),
            {"depthwise_kernel": (3, 2, 4, 2), "pointwise_kernel": (1, 1, 8, 5)},
        ),
    ],
)
def test_each_kernel_has_settings_of_its_own(
    layer: Layer, shape: tuple[int, ...], shapes: dict[str, Any]
) -> None:
    graph_of(layer, *shape)
    params = {name: cell.param for name, cell in layer.cells.items()}
    found = {name: param.type.shape for name, param in params.items()}
    assert found == {**shapes, "bias": (5,)}
    assert list(found) == ["depthwise_kernel", "pointwise_kernel", "bias"]
    depthwise, pointwise = params["depthwise_kernel"], params["pointwise_kernel"]
    assert (depthwise.initializer, pointwise.initializer) == (Ones(), Zeros())
    assert depthwise.regularizer == L1(0.01)
    assert pointwise.regularizer == L2(0.01)
    assert isinstance(depthwise.constraint, NonNeg)
    assert isinstance(pointwise.constraint, MaxNorm)


def test_an_output_channel_reads_the_input_channel_it_is_made_of() -> None:
    layer = L.DepthwiseConv1D(2, depth_multiplier=3, name="d", dtype="float64")
    graph = graph_of(layer, 6, 4)
    weights = variables_for(graph)["params"]["d"]
    (x,) = random_inputs(graph)
    found = evaluate(graph, inputs=[x])["output d"]
    for channel in range(4):
        for at in range(3):
            first, second = weights["kernel"][:, channel, at]
            wanted = x[:, :-1, channel] * first + x[:, 1:, channel] * second
            wanted = wanted + weights["bias"][3 * channel + at]
            np.testing.assert_allclose(found[..., 3 * channel + at], wanted)


def test_separable_is_depthwise_then_one_by_one() -> None:
    settings: dict[str, Any] = {"strides": 2, "padding": "same", "dtype": "float64"}
    both = L.SeparableConv2D(
        5, 3, depth_multiplier=2, activation="tanh", name="s", **settings
    )
    graph = graph_of(both, 7, 6, 4)
    weights = variables_for(graph)["params"]["s"]
    (x,) = random_inputs(graph)
    apart = L.Input((7, 6, 4), dtype="float64")
    y = L.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="d", **settings)(
        apart
    )
    y = L.Conv2D(5, 1, activation="tanh", name="p", dtype="float64")(y)
    twin = capture([apart], [y], "twin").graph
    params = {
        "d": {"kernel": weights["depthwise_kernel"]},
        "p": {"kernel": weights["pointwise_kernel"], "bias": weights["bias"]},
    }
    wanted = evaluate(twin, {"params": params, "state": {}}, [x])["output p"]
    np.testing.assert_allclose(evaluate(graph, inputs=[x])["output s"], wanted)
    kinds = [node.op.kind for node in graph.nodes]
    assert kinds == ["reshape", "conv", "conv", "tanh"]


ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "strides and dilation": (
        lambda: L.SeparableConv2D(4, 3, strides=2, dilation_rate=2),
        "SeparableConv2D: dilation_rate: expected 1 where strides are not 1, received "
        "(2, 2)",
    ),
    "strides and dilation, depthwise": (
        lambda: L.DepthwiseConv1D(3, strides=2, dilation_rate=2),
        "DepthwiseConv1D: dilation_rate: expected 1 where strides are not 1, received "
        "(2,)",
    ),
    "causal": (
        lambda: L.SeparableConv1D(4, 3, padding="causal"),
        "SeparableConv1D: padding: expected one of 'valid', 'same', or a pair of ints "
        ">= 0 per spatial axis, received 'causal'",
    ),
    "full": (
        lambda: L.SeparableConv2D(4, 3, padding="full"),
        "SeparableConv2D: padding: expected one of 'valid', 'same', or a pair of ints "
        ">= 0 per spatial axis, received 'full'",
    ),
    "a multiplier of 0": (
        lambda: L.DepthwiseConv1D(3, depth_multiplier=0),
        "DepthwiseConv1D: depth_multiplier: expected an int >= 1, received 0",
    ),
    "a name of Keras 1": (
        lambda: L.SeparableConv2D(4, 3, init="ones"),
        "SeparableConv2D: unknown argument 'init'\n  hint: it is called "
        "'depthwise_initializer' here; graphjit.keras1 has the old spelling",
    ),
    "rank": (
        lambda: L.SeparableConv1D(4, 3)(L.Input((8, 8, 3))),
        "SeparableConv1D: expected an input of rank 3, received rank 4: "
        "float32[batch, 8, 8, 3]",
    ),
    "unknown channels": (
        lambda: L.DepthwiseConv1D(3)(L.Input((8, None))),
        "DepthwiseConv1D: the channel axis (axis 2) must be known, the input is "
        "float32[batch, 8, ?]",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    make, text = ERRORS[name]
    with pytest.raises((CaptureError, ShapeError), match=f"^{re.escape(text)}"):
        make()
