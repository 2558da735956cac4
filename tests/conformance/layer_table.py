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

#: Names in `graphjit.layers` that are called on nothing.
NOT_LAYERS = frozenset({"Input", "InputLayer", "Layer"})

# fmt: off
ACTIVATIONS = (
    "linear", "relu", "relu6", "leaky_relu", "sigmoid", "tanh", "elu", "selu",
    "softplus", "softsign", "exponential", "silu", "swish", "gelu", "mish", "hard_silu",
    "softmax", "log_softmax",
)
# fmt: on
IMAGE, IMAGE_FIRST = (7, 6, 4), (4, 7, 6)


def pooling(layer: type[Layer]) -> LayerRow:
    return row(
        layer,
        case(IMAGE, keras={"pool_size": 2}),
        case(IMAGE, pool_size=(3, 2), strides=(2, 1)),
        case(IMAGE, pool_size=(2, 3), strides=2, padding="same"),
        case(IMAGE_FIRST, pool_size=3, strides=(1, 2), padding="same", **FIRST),
    )


def global_pooling(layer: type[Layer]) -> LayerRow:
    return row(
        layer,
        case(IMAGE),
        case(IMAGE, keepdims=True),
        case(IMAGE_FIRST, **FIRST),
        case(IMAGE_FIRST, keepdims=True, **FIRST),
    )


def merge(layer: type[Layer]) -> LayerRow:
    return row(
        layer,
        case((5, 3), (5, 3)),
        case((4,), (4,), (4,)),
        case((5, 4, 3), (1, 1, 3)),
        case((5, 3), (3,)),
    )


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
    merge(L.Add),
    pooling(L.AveragePooling2D),
    row(
        L.BatchNormalization,
        case((5, 4, 3), epsilon=0.02, momentum=0.8),
        case((3, 5, 4), axis=1),
        case((6,), scale=False),
        case((4, 5), axis=-2, center=False),
        case((4, 5), center=False, scale=False),
    ),
    row(
        L.Concatenate,
        case((5, 4, 3), (5, 4, 2)),
        case((3, 5), (2, 5), (1, 5), axis=1),
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
        L.Dropout,
        case((5, 3), rate=0.4, random=True),
        case((5, 3), rate=0.4, noise_shape=(None, 1, 3), seed=3, random=True),
        case((5, 3), rate=0.0),
    ),
    row(
        L.Flatten,
        case((5, 4, 3)),
        case((3, 5, 4), **FIRST),
        case((5, 3), **FIRST),
        case((4,)),
    ),
    global_pooling(L.GlobalAveragePooling2D),
    global_pooling(L.GlobalMaxPooling2D),
    pooling(L.MaxPooling2D),
    merge(L.Multiply),
    row(L.Permute, case((5, 4, 3), dims=(3, 1, 2)), case((5, 4), dims=(2, 1))),
    row(
        L.ReLU,
        case((5, 3)),
        case((5, 3), max_value=0.7, negative_slope=0.1),
        case((5, 3), threshold=0.4, negative_slope=0.2, max_value=1.1),
    ),
    row(
        L.Reshape,
        case((5, 4, 3), target_shape=(4, 15)),
        case((5, 4, 3), target_shape=(2, -1)),
        case((6,), target_shape=(3, 2)),
    ),
    row(L.Softmax, case((5, 3)), case((5, 4, 3), axis=1)),
    row(
        L.UpSampling2D,
        case((3, 4, 2)),
        case((3, 4, 2), size=(1, 3)),
        case((2, 3, 4), size=(3, 2), **FIRST),
    ),
    row(
        L.ZeroPadding2D,
        case((3, 4, 2)),
        case((3, 4, 2), padding=(2, 1)),
        case((2, 3, 4), padding=((1, 0), (2, 3)), **FIRST),
    ),
]

EACH_LAYER_CASE = pytest.mark.parametrize(
    ("layer", "case"),
    [
        pytest.param(row.layer, case, id=f"{row.layer.__name__}{case}")
        for row in LAYER_ROWS
        for case in row.cases
    ],
)


def called(layer: Layer, inputs: Sequence[Shape], dtype: str = "float32") -> Captured:
    """The model that is one call of the layer."""
    tensors = [
        L.Input(shape, dtype=dtype, name=f"in{at}") for at, shape in enumerate(inputs)
    ]
    output = layer(tensors if len(tensors) > 1 else tensors[0])
    return capture(tensors, [output], "one")
