"""The table of layers: a row for every class in `graphjit.layers`. None may be missing.

A row names the class and cases: settings (strides, dilation, groups, both data formats,
…) and the shapes of its inputs, without the batch. To add one::

    row(L.MyLayer, case((5, 4, 3), units=3), case((5, 4, 3), units=2, use_bias=False)),

Each case is captured, run, taken through its configuration, and compared with Keras 3's
layer of the same name, unless `keras=None` says that Keras has none of that meaning;
`keras={...}` are settings that Keras spells otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import graphjit.layers as L  # noqa: N812
from graphjit.capture.layer import Layer
from graphjit.capture.tracer import Captured, capture
from tests.conformance.layer_case import FIRST, LayerRow, Shape, case, row
from tests.conformance.layer_rows import (
    activations,
    attention,
    conv,
    early,
    embedding,
    merge,
    norms,
    passing,
    pooling,
    recurrent,
    shaping,
)

#: Cells take and return several tensors: tests/ops/recurrent tries them.
CELLS = {"GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"}

#: Names in `graphjit.layers` that are no layers to call: functions among them.
NOT_LAYERS = frozenset(
    {"Input", "InputLayer", "Layer", *(name for name in L.__all__ if name.islower())}
    | CELLS
)

# fmt: off
ACTIVATIONS = (
    "linear", "relu", "relu6", "leaky_relu", "sigmoid", "tanh", "elu", "selu",
    "softplus", "softsign", "exponential", "silu", "swish", "gelu", "mish", "hard_silu",
    "softmax", "log_softmax",
)
# fmt: on
IMAGE, IMAGE_FIRST = (7, 6, 4), (4, 7, 6)


LAYER_ROWS: list[LayerRow] = [
    row(
        L.Activation,
        *(case((5, 3), activation=name) for name in ACTIVATIONS),
        case((5, 3), activation="hard_sigmoid", keras=None),
        case(
            (5, 3),
            activation="hard_sigmoid_relu6",
            keras={"activation": "hard_sigmoid"},
        ),
    ),
    row(
        L.BatchNormalization,
        case((5, 4, 3), epsilon=0.02, momentum=0.8),
        case((3, 5, 4), axis=1),
        case((6,), scale=False),
        case((4, 5), axis=-2, center=False),
        case((4, 5), center=False, scale=False),
        case((6,), mode=1, epsilon=0.1, keras=None),
        case((4, 5), mode=2, center=False, keras=None),
        case((4, 5), masked=False, frozen="keep", keras=None),
    ),
    row(
        L.Conv2D,
        case(IMAGE, filters=6, kernel_size=(3, 2)),
        case(IMAGE, filters=3, kernel_size=3, strides=(2, 3), padding="same"),
        case(IMAGE, filters=6, kernel_size=(1, 2), groups=2, activation="tanh"),
        case(IMAGE, filters=2, kernel_size=2, dilation_rate=(2, 3), use_bias=False),
        case(IMAGE_FIRST, filters=3, kernel_size=(2, 3), strides=2, **FIRST),
        case(
            IMAGE_FIRST,
            filters=4,
            kernel_size=(3, 2),
            dilation_rate=2,
            groups=2,
            padding="same",
            activation="relu",
            **FIRST,
        ),
    ),
    row(
        L.Dense,
        case((5,), units=3, activation="softmax"),
        case((4, 5), units=2, use_bias=False),
        case((3, 4, 5), units=6, activation="elu"),
    ),
    row(
        L.DepthwiseConv2D,
        case(IMAGE, kernel_size=(3, 2)),
        case(IMAGE, kernel_size=2, depth_multiplier=3, strides=2, padding="same"),
        case(IMAGE, kernel_size=(2, 3), dilation_rate=(2, 1), use_bias=False),
        case(IMAGE_FIRST, kernel_size=(3, 2), depth_multiplier=2, **FIRST),
    ),
    row(
        L.ReLU,
        case((5, 3)),
        case((5, 3), max_value=0.7, negative_slope=0.1),
        case((5, 3), threshold=0.4, negative_slope=0.2, max_value=1.1),
    ),
    row(L.Softmax, case((5, 3)), case((5, 4, 3), axis=1)),
    *attention.LAYER_ROWS,
    *conv.LAYER_ROWS,
    *activations.LAYER_ROWS,
    *early.LAYER_ROWS,
    *embedding.LAYER_ROWS,
    *merge.LAYER_ROWS,
    *norms.LAYER_ROWS,
    *passing.LAYER_ROWS,
    *pooling.LAYER_ROWS,
    *recurrent.LAYER_ROWS,
    *shaping.LAYER_ROWS,
]

EACH_LAYER_CASE = pytest.mark.parametrize(
    ("layer", "case"),
    [
        pytest.param(row.layer, case, id=f"{row.layer.__name__}{case}")
        for row in LAYER_ROWS
        for case in row.cases
    ],
)


def called(layer: Layer, inputs: Sequence[Shape], dtype: str | None = None) -> Captured:
    """The model that is one call of the layer; a layer of ids is called on integers."""
    dtype = dtype or layer.first_input.dtype or "float32"
    tensors = [
        L.Input(shape, dtype=dtype, name=f"in{at}") for at, shape in enumerate(inputs)
    ]
    output = layer(tensors if len(tensors) > 1 else tensors[0])
    return capture(tensors, [output], "one")
