"""Networks that tests and benchmarks share.

ResNet50 and MobileNetV2 are layer for layer those of keras.applications: the same
names, padding, epsilon and momentum, the same weights in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphjit as gj

__all__ = ["cnn", "lively_weights", "mlp", "mobilenet_v2", "resnet50"]

L = gj.layers


@dataclass(frozen=True)
class _Builder:
    """Makes layers that share a data format and a dtype."""

    data_format: str
    dtype: str | None

    @property
    def channel_axis(self) -> int:
        return 1 if self.data_format == "channels_first" else 3

    def input(self, shape: Sequence[int]) -> Any:
        return gj.Input(shape, dtype=self.dtype)

    def conv(self, x: Any, filters: int, size: int, **kwargs: Any) -> Any:
        layer = L.Conv2D(
            filters, size, data_format=self.data_format, dtype=self.dtype, **kwargs
        )
        return layer(x)

    def depthwise(self, x: Any, **kwargs: Any) -> Any:
        layer = L.DepthwiseConv2D(
            3, data_format=self.data_format, dtype=self.dtype, **kwargs
        )
        return layer(x)

    def norm(self, x: Any, **kwargs: Any) -> Any:
        layer = L.BatchNormalization(axis=self.channel_axis, dtype=self.dtype, **kwargs)
        return layer(x)

    def pad(self, x: Any, padding: Any, name: str) -> Any:
        layer = L.ZeroPadding2D(
            padding, data_format=self.data_format, dtype=self.dtype, name=name
        )
        return layer(x)

    def max_pool(self, x: Any, size: int, strides: int, name: str | None) -> Any:
        layer = L.MaxPooling2D(
            size,
            strides=strides,
            data_format=self.data_format,
            dtype=self.dtype,
            name=name,
        )
        return layer(x)

    def mean(self, x: Any, name: str | None = None) -> Any:
        layer = L.GlobalAveragePooling2D(
            data_format=self.data_format, dtype=self.dtype, name=name
        )
        return layer(x)

    def relu(self, x: Any, name: str) -> Any:
        return L.Activation("relu", dtype=self.dtype, name=name)(x)

    def relu6(self, x: Any, name: str) -> Any:
        return L.ReLU(6.0, dtype=self.dtype, name=name)(x)

    def add(self, tensors: list[Any], name: str) -> Any:
        return L.Add(dtype=self.dtype, name=name)(tensors)

    def dense(self, x: Any, units: int, activation: str, name: str) -> Any:
        return L.Dense(units, activation=activation, dtype=self.dtype, name=name)(x)


def _image_shape(
    given: Sequence[int] | None, default: tuple[int, int, int], data_format: str
) -> tuple[int, ...]:
    if given is not None:
        return tuple(given)
    rows, columns, channels = default
    if data_format == "channels_first":
        return channels, rows, columns
    return default


# --- ResNet50 (arXiv:1512.03385) ----------------------------------------------------

#: Keras's, of the Caffe weights it started from.
_RESNET_EPSILON = 1.001e-5


def resnet50(
    data_format: str = "channels_last",
    classes: int = 1000,
    input_shape: Sequence[int] | None = None,
    dtype: str | None = None,
) -> gj.Model:
    """ResNet50 as keras.applications builds it: 25,636,712 params.

    Args:
        data_format: "channels_last" or "channels_first".
        classes: Units of the last layer.
        input_shape: In the data format's order; None for 224 × 224 × 3.
        dtype: Of every layer; None for the configured floatx.
    """
    b = _Builder(data_format, dtype)
    image = b.input(_image_shape(input_shape, (224, 224, 3), data_format))
    x = b.pad(image, ((3, 3), (3, 3)), "conv1_pad")
    x = b.conv(x, 64, 7, strides=2, name="conv1_conv")
    x = b.norm(x, epsilon=_RESNET_EPSILON, name="conv1_bn")
    x = b.relu(x, "conv1_relu")
    x = b.pad(x, ((1, 1), (1, 1)), "pool1_pad")
    x = b.max_pool(x, 3, 2, "pool1_pool")
    for stage, filters, blocks in ((2, 64, 3), (3, 128, 4), (4, 256, 6), (5, 512, 3)):
        for block in range(1, blocks + 1):
            stride = 2 if block == 1 and stage > 2 else 1
            name = f"conv{stage}_block{block}"
            x = _bottleneck(b, x, filters, stride, block == 1, name)
    x = b.mean(x, "avg_pool")
    return gj.Model(image, b.dense(x, classes, "softmax", "predictions"), "resnet50")


def _bottleneck(
    b: _Builder, x: Any, filters: int, stride: int, conv_shortcut: bool, name: str
) -> Any:
    shortcut = x
    if conv_shortcut:
        shortcut = b.conv(x, 4 * filters, 1, strides=stride, name=f"{name}_0_conv")
        shortcut = b.norm(shortcut, epsilon=_RESNET_EPSILON, name=f"{name}_0_bn")
    x = b.conv(x, filters, 1, strides=stride, name=f"{name}_1_conv")
    x = b.norm(x, epsilon=_RESNET_EPSILON, name=f"{name}_1_bn")
    x = b.relu(x, f"{name}_1_relu")
    x = b.conv(x, filters, 3, padding="same", name=f"{name}_2_conv")
    x = b.norm(x, epsilon=_RESNET_EPSILON, name=f"{name}_2_bn")
    x = b.relu(x, f"{name}_2_relu")
    x = b.conv(x, 4 * filters, 1, name=f"{name}_3_conv")
    x = b.norm(x, epsilon=_RESNET_EPSILON, name=f"{name}_3_bn")
    return b.relu(b.add([shortcut, x], f"{name}_add"), f"{name}_out")


# --- MobileNetV2 (arXiv:1801.04381) -------------------------------------------------

_MOBILE_NORM = {"epsilon": 1e-3, "momentum": 0.999}

#: (filters, stride, expansion) of the inverted residual blocks.
_MOBILE_BLOCKS = (
    (16, 1, 1),
    (24, 2, 6),
    (24, 1, 6),
    (32, 2, 6),
    (32, 1, 6),
    (32, 1, 6),
    (64, 2, 6),
    (64, 1, 6),
    (64, 1, 6),
    (64, 1, 6),
    (96, 1, 6),
    (96, 1, 6),
    (96, 1, 6),
    (160, 2, 6),
    (160, 1, 6),
    (160, 1, 6),
    (320, 1, 6),
)


def mobilenet_v2(
    data_format: str = "channels_last",
    classes: int = 1000,
    input_shape: Sequence[int] | None = None,
    dtype: str | None = None,
) -> gj.Model:
    """MobileNetV2 of width 1 as keras.applications builds it: 3,538,984 params.

    Args:
        data_format: "channels_last" or "channels_first".
        classes: Units of the last layer.
        input_shape: In the data format's order; None for 224 × 224 × 3.
        dtype: Of every layer; None for the configured floatx.
    """
    b = _Builder(data_format, dtype)
    shape = _image_shape(input_shape, (224, 224, 3), data_format)
    image = b.input(shape)
    x = b.conv(image, 32, 3, strides=2, padding="same", use_bias=False, name="Conv1")
    x = b.norm(x, **_MOBILE_NORM, name="bn_Conv1")
    x = b.relu6(x, "Conv1_relu")
    for at, (filters, stride, expansion) in enumerate(_MOBILE_BLOCKS):
        x = _inverted_residual(b, x, filters, stride, expansion, at)
    x = b.conv(x, 1280, 1, use_bias=False, name="Conv_1")
    x = b.norm(x, **_MOBILE_NORM, name="Conv_1_bn")
    x = b.mean(b.relu6(x, "out_relu"))
    rows = shape[1 if data_format == "channels_first" else 0]
    y = b.dense(x, classes, "softmax", "predictions")
    return gj.Model(image, y, f"mobilenetv2_1.00_{rows}")


def _inverted_residual(
    b: _Builder, x: Any, filters: int, stride: int, expansion: int, at: int
) -> Any:
    entry, channels = x, x.shape[b.channel_axis]
    name = f"block_{at}_" if at else "expanded_conv_"
    if at:
        x = b.conv(
            x,
            expansion * channels,
            1,
            padding="same",
            use_bias=False,
            name=f"{name}expand",
        )
        x = b.norm(x, **_MOBILE_NORM, name=f"{name}expand_BN")
        x = b.relu6(x, f"{name}expand_relu")
    if stride == 2:
        first = 2 if b.data_format == "channels_first" else 1
        # As TensorFlow's "same": an even length is padded behind only.
        pads = tuple((size % 2, 1) for size in x.shape[first : first + 2])
        x = b.pad(x, pads, f"{name}pad")
    x = b.depthwise(
        x,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        name=f"{name}depthwise",
    )
    x = b.norm(x, **_MOBILE_NORM, name=f"{name}depthwise_BN")
    x = b.relu6(x, f"{name}depthwise_relu")
    x = b.conv(x, filters, 1, padding="same", use_bias=False, name=f"{name}project")
    x = b.norm(x, **_MOBILE_NORM, name=f"{name}project_BN")
    if channels == filters and stride == 1:
        return b.add([entry, x], f"{name}add")
    return x


# --- small ones ---------------------------------------------------------------------


def mlp(
    features: int = 64, hidden: int = 64, classes: int = 10, dtype: str | None = None
) -> gj.Model:
    """Two matrices: features -> hidden (relu) -> classes (softmax)."""
    x = gj.Input((features,), dtype=dtype)
    h = L.Dense(hidden, activation="relu", dtype=dtype)(x)
    y = L.Dense(classes, activation="softmax", dtype=dtype)(h)
    return gj.Model(x, y, "mlp")


def cnn(
    data_format: str = "channels_last",
    classes: int = 10,
    input_shape: Sequence[int] | None = None,
    dtype: str | None = None,
) -> gj.Model:
    """Three convolutions for 8 × 8 digits, with batch norm, pooling and a dropout."""
    b = _Builder(data_format, dtype)
    image = b.input(_image_shape(input_shape, (8, 8, 1), data_format))
    x = image
    for at, filters in enumerate((16, 32)):
        x = b.conv(x, filters, 3, padding="same", use_bias=False, name=f"conv{at}")
        x = b.relu(b.norm(x, name=f"norm{at}"), f"relu{at}")
    x = b.max_pool(x, 2, 2, "pool")
    x = b.conv(x, 64, 3, padding="same", activation="relu", name="conv2")
    x = L.Flatten(data_format=data_format, dtype=dtype, name="flatten")(x)
    x = L.Dropout(0.3, dtype=dtype, name="dropout")(x)
    return gj.Model(image, b.dense(x, classes, "softmax", "predictions"), "cnn")


# --- weights ------------------------------------------------------------------------


def lively_weights(model: gj.Model, seed: int = 0) -> list[NDArray[np.float32]]:
    """Weights, in `get_weights` order, under which a deep net still says something.

    Fresh ones do not: with glorot kernels and untouched statistics the activations of
    MobileNetV2 fade to 1e-6 on the way, every class gets 1 / classes, and any two
    lowerings agree. Here kernels keep the variance (arXiv:1502.01852), statistics are
    neither 0 nor 1, and biases are not 0.
    """
    rng = np.random.default_rng(seed)
    return [
        _lively(rng, param.name, param.type.shape).astype(np.float32)
        for param in model.graph.params
    ]


def _lively(rng: np.random.Generator, name: str, shape: Any) -> NDArray[np.float64]:
    path, _, slot = name.rpartition("/")
    if slot == "gamma":
        # Where ResNet's branches end: sixteen sums would otherwise double it sixteen
        # times (the remedy of arXiv:1706.02677 is 0).
        return rng.uniform(0.6, 1.4, shape) * (0.2 if path.endswith("_3_bn") else 1.0)
    if slot == "moving_variance":
        return rng.uniform(0.5, 1.5, shape)
    if slot in ("beta", "moving_mean", "bias"):
        return rng.normal(0.0, 0.2, shape)
    # A depthwise kernel (kh, kw, c, 1) reads kh * kw values per output.
    depthwise = len(shape) == 4 and shape[-1] == 1
    fan_in = np.prod(shape[:2] if depthwise else shape[:-1])
    return rng.normal(0.0, np.sqrt(2.0 / fan_in), shape)
