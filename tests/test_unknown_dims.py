"""One fully convolutional model for images of every size."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import graphjit.layers as L  # noqa: N812
from graphjit.capture.tensor import Tensor
from graphjit.capture.tracer import capture
from graphjit.errors import DataError, ShapeError
from graphjit.ir import Graph
from graphjit.lower import lower
from tests.graphs import evaluate, same_results, variables_for


def unet(height: int | None, width: int | None) -> Graph:
    """Down twice, up twice, with skip additions; every layer knows its channels."""
    image = L.Input((height, width, 3), name="image")

    def block(x: Tensor, filters: int, name: str, **settings: Any) -> Tensor:
        x = L.Conv2D(filters, 3, padding="same", name=f"{name}_conv", **settings)(x)
        x = L.BatchNormalization(epsilon=0.02, name=f"{name}_norm")(x)
        return L.ReLU(name=f"{name}_relu")(x)

    top = block(image, 4, "top")
    middle = block(L.MaxPooling2D(2)(top), 6, "middle", dilation_rate=2)
    bottom = block(middle, 6, "bottom", strides=2)
    up = L.UpSampling2D(2)(bottom)
    up = L.Add(name="add_middle")([up, middle])
    up = L.Conv2D(4, 1, name="narrow")(L.UpSampling2D(2)(up))
    up = L.Add(name="add_top")([up, top])
    mean = L.GlobalAveragePooling2D(keepdims=True)(up)
    y = L.Multiply(name="gate")([up, mean])
    return capture([image], [L.Softmax(name="out")(y)], "unet").graph


FREE = unet(None, None)
VARIABLES = variables_for(FREE)


def test_unknown_dims_stay_unknown_and_channels_known() -> None:
    types = {node.name: str(node.types[0]) for node in FREE.nodes}
    assert types["top_conv/conv"] == "float32[batch, ?, ?, 4]"
    assert types["bottom_conv/conv"] == "float32[batch, ?, ?, 6]"
    assert types["out/softmax"] == "float32[batch, ?, ?, 4]"


@pytest.mark.parametrize("size", [(4, 8), (16, 12)])
def test_equal_to_the_model_of_that_size(size: tuple[int, int]) -> None:
    fixed = unet(*size)
    assert [p.name for p in fixed.params] == [p.name for p in FREE.params]
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    found = evaluate(FREE, VARIABLES, [x])
    same_results(found, evaluate(fixed, VARIABLES, [x]), 1e-6)
    assert found["output out"].shape == (2, *size, 4)


def test_one_function_compiles_once_per_size() -> None:
    function = jax.jit(lower(FREE))
    shapes = [(1, 4, 4, 3), (3, 4, 8, 3), (1, 4, 4, 3)]
    for shape in shapes:
        x = np.ones(shape, np.float32)
        step = function(VARIABLES["params"], VARIABLES["state"], x)
        assert step.outputs.shape == (*shape[:3], 4)
    assert function._cache_size() == 2  # type: ignore[attr-defined]


def test_channels_first_images_of_any_size() -> None:
    image = L.Input((3, None, None), name="image")
    first = {"data_format": "channels_first"}
    h = L.Conv2D(4, 3, strides=2, padding="same", **first)(image)
    h = L.ZeroPadding2D(((0, 1), (1, 0)), **first)(h)
    y = L.GlobalMaxPooling2D(**first)(L.AveragePooling2D(2, **first)(h))
    graph = capture([image], [y], "first").graph
    assert y.shape == (None, 4)
    for size in ((4, 6), (9, 5)):
        x = np.ones((2, 3, *size), np.float32)
        assert next(iter(evaluate(graph, inputs=[x]).values())).shape == (2, 4)


def test_named_dims_are_one_dim() -> None:
    words = L.Input(("time", 4), name="words")
    tags = L.Input(("time", 3), name="tags")
    both = L.Concatenate()([words, tags])
    graph = capture([words, tags], [L.Dense(2)(both)], "named").graph
    assert str(graph.nodes[0].types[0]) == "float32[batch, time, 7]"
    good = [np.ones((2, 5, 4)), np.ones((2, 5, 3))]
    assert evaluate(graph, inputs=good)["output dense"].shape == (2, 5, 2)
    text = r"^input 'tags': axis 1 \(time\) is 6, but input 'words' has time = 5$"
    with pytest.raises(DataError, match=text):
        evaluate(graph, inputs=[good[0], np.ones((2, 6, 3))], jit=False)


def test_names_that_differ_do_not_meet() -> None:
    pair = [L.Input(("time", 4), name="a"), L.Input(("space", 4), name="b")]
    text = r"^add 'add': shapes do not broadcast: dims time and space differ"
    with pytest.raises(ShapeError, match=text):
        L.Add()(pair)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: L.Conv2D(4, 3)(L.Input((8, 8, None))),
            r"^Conv2D: the channel axis \(axis 3\) must be known, the input is "
            r"float32\[batch, 8, 8, \?\]\n  hint: give the full shape: Input",
        ),
        (
            lambda: L.Dense(3)(L.Flatten()(L.Input((None, 4)))),
            r"^Dense: the last axis \(axis 1\) must be known, the input is "
            r"float32\[batch, \?\]\n  hint: give the full shape: Input",
        ),
        (
            lambda: L.BatchNormalization(axis=1)(L.Input((None, 4))),
            r"^BatchNormalization: the channel axis \(axis 1\) must be known, the ",
        ),
        (
            lambda: L.Reshape((2, 3))(L.Input((None, 4))),
            r"^Reshape: the input's dims must be known, or target_shape have a -1, "
            r"the input is float32\[batch, \?, 4\]$",
        ),
    ],
)
def test_layers_that_need_a_number_say_so(make: Any, text: str) -> None:
    with pytest.raises(ShapeError, match=text):
        make()


def test_a_free_dim_may_be_reshaped() -> None:
    x = L.Input((None, 4), name="x")
    y = L.Reshape((-1, 2), name="y")(x)
    graph = capture([x], [y], "reshaped").graph
    assert y.shape == (None, None, 2)
    found = evaluate(graph, inputs=[np.ones((2, 3, 4))])["output y"]
    assert found.shape == (2, 6, 2)
