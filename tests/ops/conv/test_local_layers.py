"""LocallyConnected1D and 2D: weights, formulas in both formats, and what is refused."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphjit.layers as L  # noqa: N812
from graphjit import config
from graphjit.capture.layer import Layer
from graphjit.capture.tracer import capture
from graphjit.errors import CaptureError, ShapeError
from graphjit.ir import Graph
from tests.graphs import evaluate, random_inputs, variables_for

FIRST = "channels_first"


def graph_of(layer: Layer, *shape: int) -> Graph:
    x = L.Input(shape, dtype=layer.dtype or "float32", name="x")
    return capture([x], [layer(x)], "one").graph


@pytest.mark.parametrize("layer", [L.LocallyConnected1D, L.LocallyConnected2D])
def test_the_order_of_arguments_is_that_of_keras_2(layer: type[Layer]) -> None:
    order = """filters kernel_size strides padding data_format activation use_bias
    kernel_initializer bias_initializer kernel_regularizer bias_regularizer
    activity_regularizer kernel_constraint bias_constraint""".split()
    parameters = inspect.signature(layer).parameters.values()
    assert [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY] == order


@pytest.mark.parametrize(
    ("layer", "given", "wanted", "count"),
    [
        (L.LocallyConnected1D(64, 3), (10, 32), (8, 64), 8 * 96 * 64 + 8 * 64),
        (L.LocallyConnected1D(32, 3), (8, 64), (6, 32), 6 * 192 * 32 + 6 * 32),
        (
            L.LocallyConnected2D(64, 3, data_format=FIRST),
            (3, 32, 32),
            (64, 30, 30),
            1_612_800,
        ),
        (
            L.LocallyConnected2D(32, 3, data_format=FIRST),
            (64, 30, 30),
            (32, 28, 28),
            14_475_776,
        ),
        (L.LocallyConnected2D(64, 3), (32, 32, 3), (30, 30, 64), 1_612_800),
    ],
)
def test_the_documents_examples(
    layer: Layer, given: Any, wanted: Any, count: int
) -> None:
    assert layer(L.Input(given)).shape == (None, *wanted)
    shapes = [cell.param.type.shape for cell in layer.cells.values()]
    assert sum(math.prod(d for d in s if isinstance(d, int)) for s in shapes) == count


def test_weights_lie_as_in_keras() -> None:
    layer = L.LocallyConnected2D(5, (3, 2), strides=(2, 1))
    graph_of(layer, 9, 6, 4)
    shapes = {name: cell.param.type.shape for name, cell in layer.cells.items()}
    assert shapes == {"kernel": (4 * 5, 3 * 2 * 4, 5), "bias": (4, 5, 5)}


def test_the_channels_of_sequences_are_last_whatever_is_configured() -> None:
    config.set_image_data_format(FIRST)
    assert L.LocallyConnected1D(4, 3)(L.Input((10, 32))).shape == (None, 8, 4)
    made = L.LocallyConnected1D(4, 3, data_format=None)
    assert made(L.Input((32, 10))).shape == (None, 4, 8)
    assert L.LocallyConnected2D(4, 3)(L.Input((3, 8, 9))).shape == (None, 4, 6, 7)


# --- Keras's formulas -----------------------------------------------------------------


def keras_local(x: Any, kernel: Any, bias: Any, size: Any, strides: Any) -> Any:
    """channels_last: every window flattened as it lies, the bias added as it is."""
    lengths = bias.shape[:-1]
    y = np.zeros((len(x), *bias.shape))
    for number, place in enumerate(np.ndindex(*lengths)):
        cut = [slice(p * s, p * s + k) for p, s, k in zip(place, strides, size)]  # noqa: B905
        window = x[(slice(None), *cut)].reshape(len(x), -1)
        y[(slice(None), *place)] = window @ kernel[number]
    return y + bias


def keras_local_first(x: Any, kernel: Any, bias: Any, size: Any, strides: Any) -> Any:
    """channels_first: windows (channel, …), and the bias reshaped, not transposed."""
    *lengths, filters = bias.shape
    y = np.zeros((len(x), filters, *lengths))
    for number, place in enumerate(np.ndindex(*lengths)):
        cut = [slice(p * s, p * s + k) for p, s, k in zip(place, strides, size)]  # noqa: B905
        window = x[(slice(None), slice(None), *cut)].reshape(len(x), -1)
        y[(slice(None), slice(None), *place)] = window @ kernel[number]
    return y + bias.reshape(filters, *lengths)


@pytest.mark.parametrize("data_format", ["channels_last", FIRST])
@pytest.mark.parametrize(
    ("layer", "dims", "size", "strides"),
    [
        (L.LocallyConnected1D, (9,), (3,), (2,)),
        (L.LocallyConnected2D, (7, 6), (3, 2), (1, 2)),
    ],
)
def test_the_formula(
    layer: type[Layer], dims: Any, size: Any, strides: Any, data_format: str
) -> None:
    first = data_format == FIRST
    shape = (3, *dims) if first else (*dims, 3)
    settings: dict[str, Any] = {"data_format": data_format, "dtype": "float64"}
    graph = graph_of(layer(4, size, strides, name="l", **settings), *shape)
    weights = variables_for(graph)["params"]["l"]
    (x,) = random_inputs(graph)
    formula = keras_local_first if first else keras_local
    wanted = formula(x, weights["kernel"], weights["bias"], size, strides)
    found = evaluate(graph, inputs=[x])["output l"]
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("implementation", [1, 2, 3])
def test_the_implementation_changes_nothing(implementation: int) -> None:
    layer = L.LocallyConnected2D(3, 2, implementation=implementation, name="l")
    assert layer.get_config()["implementation"] == implementation
    wanted = graph_of(L.LocallyConnected2D(3, 2, name="l"), 4, 5, 2)
    assert graph_of(layer, 4, 5, 2).nodes == wanted.nodes


ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "same": (
        lambda: L.LocallyConnected2D(4, 3, padding="same"),
        "LocallyConnected2D: padding: expected 'valid' (put a ZeroPadding2D before the "
        "layer), received 'same'",
    ),
    "same in one axis": (
        lambda: L.LocallyConnected1D(4, 3, padding="Same"),
        "LocallyConnected1D: padding: expected 'valid' (put a ZeroPadding1D before the "
        "layer), received 'same'",
    ),
    "implementation": (
        lambda: L.LocallyConnected1D(4, 3, implementation=4),
        "LocallyConnected1D: implementation: expected 1, 2 or 3, received 4",
    ),
    "an unknown length": (
        lambda: L.LocallyConnected1D(4, 3)(L.Input((None, 3))),
        "LocallyConnected1D: every dim (axis 1) must be known, the input is "
        "float32[batch, ?, 3]\n  hint: give the full shape: Input",
    ),
    "unknown columns": (
        lambda: L.LocallyConnected2D(4, 3, data_format=FIRST)(L.Input((3, 8, None))),
        "LocallyConnected2D: every dim (axis 3) must be known, the input is "
        "float32[batch, 3, 8, ?]",
    ),
    "unknown channels": (
        lambda: L.LocallyConnected2D(4, 3)(L.Input((8, 8, None))),
        "LocallyConnected2D: the channel axis (axis 3) must be known, the input is "
        "float32[batch, 8, 8, ?]",
    ),
    "a window that does not fit": (
        lambda: L.LocallyConnected2D(4, (3, 9))(L.Input((8, 8, 3))),
        "LocallyConnected2D: a window of 9 does not fit a length of 8 (axis 2)",
    ),
    "rank": (
        lambda: L.LocallyConnected2D(4, 3)(L.Input((8, 3))),
        "LocallyConnected2D: expected an input of rank 4, received rank 3: "
        "float32[batch, 8, 3]",
    ),
    "dilation": (
        lambda: L.LocallyConnected2D(4, 3, dilation_rate=2),
        "LocallyConnected2D: unknown argument 'dilation_rate'",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    make, text = ERRORS[name]
    with pytest.raises((CaptureError, ShapeError), match=f"^{re.escape(text)}"):
        make()
