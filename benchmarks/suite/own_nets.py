"""Networks that keras.applications has not.

Each is a function of a namespace `k` with `Input`, `Model` and `layers`: graphjit or
Keras, which spell these layers alike. Layouts are channels last; `twin` makes the other
one. Shapes are those of one example.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = [
    "cnn6",
    "conv3d",
    "generator",
    "gru",
    "lstm",
    "mlp",
    "resnext",
    "text_cnn",
    "transformer",
    "unet",
]

Shape = Sequence[int]


def mlp(k: Any, shape: Shape, classes: int) -> Any:
    """Two matrices, 64 in between."""
    x = k.Input(tuple(shape))
    h = k.layers.Dense(64, activation="relu")(x)
    return k.Model(x, k.layers.Dense(classes, activation="softmax")(h), name="mlp")


def _conv_norm(
    k: Any,
    x: Any,
    filters: int,
    size: int = 3,
    strides: int = 1,
    groups: int = 1,
    activation: str | None = "relu",
) -> Any:
    layers = k.layers
    x = layers.Conv2D(filters, size, strides, "same", groups=groups, use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return x if activation is None else layers.Activation(activation)(x)


def cnn6(k: Any, shape: Shape, classes: int) -> Any:
    """Six 3 × 3 convolutions with batch norm, halved twice, for small pictures."""
    image = x = k.Input(tuple(shape))
    for filters in (32, 64, 128):
        x = _conv_norm(k, _conv_norm(k, x, filters), filters)
        if filters != 128:
            x = k.layers.MaxPooling2D(2)(x)
    x = k.layers.GlobalAveragePooling2D()(x)
    y = k.layers.Dense(classes, activation="softmax")(x)
    return k.Model(image, y, name="cnn6")


def unet(k: Any, shape: Shape, classes: int) -> Any:
    """The U-Net (arXiv:1505.04597) at half its width, padded "same", with norms."""
    layers = k.layers
    image = x = k.Input(tuple(shape))
    skips: list[Any] = []
    for filters in (32, 64, 128):
        x = _conv_norm(k, _conv_norm(k, x, filters), filters)
        skips.append(x)
        x = layers.MaxPooling2D(2)(x)
    x = _conv_norm(k, _conv_norm(k, x, 256), 256)
    for filters, skip in zip((128, 64, 32), reversed(skips), strict=True):
        x = layers.Conv2DTranspose(filters, 2, strides=2, padding="same")(x)
        x = layers.Concatenate()([skip, x])
        x = _conv_norm(k, _conv_norm(k, x, filters), filters)
    y = layers.Conv2D(classes, 1, activation="sigmoid")(x)
    return k.Model(image, y, name="unet")


def generator(k: Any, shape: Shape, classes: int) -> Any:
    """The generator of a DCGAN (arXiv:1511.06434): noise to 64 × 64 pictures."""
    layers = k.layers
    noise = k.Input(tuple(shape))
    x = layers.Conv2DTranspose(256, 4, use_bias=False)(noise)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    for filters in (128, 64, 32):
        x = layers.Conv2DTranspose(
            filters, 4, strides=2, padding="same", use_bias=False
        )(x)
        x = layers.Activation("relu")(layers.BatchNormalization()(x))
    y = layers.Conv2DTranspose(
        classes, 4, strides=2, padding="same", activation="tanh"
    )(x)
    return k.Model(noise, y, name="generator")


def conv3d(k: Any, shape: Shape, classes: int) -> Any:
    """A small C3D (arXiv:1412.0767) for clips: (frames, rows, columns, channels)."""
    layers = k.layers
    clip = x = k.Input(tuple(shape))
    for filters, pool in ((16, (1, 2, 2)), (32, 2), (64, 2)):
        x = layers.Conv3D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.Activation("relu")(layers.BatchNormalization()(x))
        x = layers.MaxPooling3D(pool)(x)
    x = layers.Conv3D(128, 3, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling3D()(x)
    y = layers.Dense(classes, activation="softmax")(x)
    return k.Model(clip, y, name="conv3d")


def resnext(k: Any, shape: Shape, classes: int) -> Any:
    """ResNeXt (arXiv:1611.05431) of 26 layers, 32 groups of 4 channels and up."""
    layers = k.layers
    image = k.Input(tuple(shape))
    large = shape[0] > 64
    x = _conv_norm(k, image, 64, 7 if large else 3, 2 if large else 1)
    if large:
        x = layers.MaxPooling2D(3, 2, "same")(x)
    for stage, width in enumerate((128, 256, 512, 1024)):
        for block in range(2):
            strides = 2 if stage and not block else 1
            short = x
            if not block:
                short = _conv_norm(k, x, 2 * width, 1, strides, activation=None)
            y = _conv_norm(k, x, width, 1)
            y = _conv_norm(k, y, width, 3, strides, groups=32)
            y = _conv_norm(k, y, 2 * width, 1, activation=None)
            x = layers.Activation("relu")(layers.Add()([short, y]))
    x = layers.GlobalAveragePooling2D()(x)
    y = layers.Dense(classes, activation="softmax")(x)
    return k.Model(image, y, name="resnext")


def lstm(k: Any, shape: Shape, classes: int) -> Any:
    """Two layers of 128 units; shape is (steps, features)."""
    return _recurrent(k, k.layers.LSTM, shape, classes, "lstm")


def gru(k: Any, shape: Shape, classes: int) -> Any:
    """Two layers of 128 units, in the form that resets after the product."""
    return _recurrent(k, k.layers.GRU, shape, classes, "gru")


def _recurrent(k: Any, layer: Any, shape: Shape, classes: int, name: str) -> Any:
    x = k.Input(tuple(shape))
    h = layer(128)(layer(128, return_sequences=True)(x))
    y = k.layers.Dense(classes, activation="softmax")(h)
    return k.Model(x, y, name=name)


def text_cnn(k: Any, shape: Shape, classes: int) -> Any:
    """Windows of three widths over word vectors (arXiv:1408.5882)."""
    layers = k.layers
    words = k.Input(tuple(shape), dtype="int32")
    x = layers.Embedding(VOCABULARY, 128)(words)
    windows = [
        layers.GlobalMaxPooling1D()(layers.Conv1D(128, size, activation="relu")(x))
        for size in (3, 4, 5)
    ]
    y = layers.Dense(classes, activation="softmax")(layers.Concatenate()(windows))
    return k.Model(words, y, name="text_cnn")


#: Ids below this are words.
VOCABULARY = 8000


def transformer(k: Any, shape: Shape, classes: int, blocks: int = 12) -> Any:
    """A pre-norm encoder (arXiv:2002.04745), width 256, four heads.

    Word vectors of 128 are widened by one product (arXiv:1909.11942); its bias, one per
    place, stands for the positions.
    """
    layers = k.layers
    words = k.Input(tuple(shape), dtype="int32")
    x = layers.Embedding(VOCABULARY, 128)(words)
    x = layers.EinsumDense("btd,de->bte", output_shape=(shape[0], 256), bias_axes="te")(
        x
    )
    for _ in range(blocks):
        h = layers.LayerNormalization(epsilon=1e-5)(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, 64)(h, h)])
        h = layers.LayerNormalization(epsilon=1e-5)(x)
        h = layers.Dense(256)(layers.Dense(1024, activation="gelu")(h))
        x = layers.Add()([x, h])
    x = layers.LayerNormalization(epsilon=1e-5)(x)
    x = layers.GlobalAveragePooling1D()(x)
    y = layers.Dense(classes, activation="softmax")(x)
    return k.Model(words, y, name="transformer")
