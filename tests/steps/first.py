"""Steps with the layers that most image models are made of."""

from __future__ import annotations

from typing import Any

import graphjit.layers as L  # noqa: N812
from graphjit.capture.tensor import Tensor
from tests.steps.maker import (
    ACTIVATIONS,
    FORMATS,
    MOST_ELEMENTS,
    Maker,
    Steps,
    elements,
    rank_of,
)

# --- convolution and pooling ----------------------------------------------------------


def _window(m: Maker, x: Tensor, most: int = 3) -> dict[str, Any]:
    """A window's settings that fit the image: size, strides or dilation, padding."""
    height, width, _ = m.image(x)
    padding = m.one_of("valid", "same")
    limit = (height, width) if padding == "valid" else (most, most)
    size = tuple(m.number(1, min(most, side)) for side in limit)
    strides = m.one_of((1, 1), (1, 1), (2, 1), (1, 2), (2, 3))
    return {"size": size, "strides": strides, "padding": padding}


def _dilation(m: Maker, x: Tensor, window: dict[str, Any]) -> dict[str, Any]:
    """The window's strides, or a dilation that fits in their place."""
    sides = m.image(x)[:2]
    rates = m.one_of((2, 1), (1, 2), (2, 2))
    reach = [(k - 1) * rate + 1 for k, rate in zip(window["size"], rates, strict=True)]
    fits = window["padding"] == "same" or all(
        r <= side for r, side in zip(reach, sides, strict=True)
    )
    if fits and m.chance(30):
        return {"dilation_rate": rates}
    return {"strides": window["strides"]}


def conv(m: Maker, x: Tensor) -> Tensor | None:
    if rank_of(x) != 4:
        return None
    channels = m.image(x)[2]
    groups = m.one_of(*(g for g in (1, 1, 2, 3) if channels % g == 0))
    window = _window(m, x)
    layer = m.make(
        L.Conv2D,
        groups * m.number(1, 3),
        window["size"],
        padding=window["padding"],
        data_format=m.format_of(x),
        groups=groups,
        use_bias=m.chance(70),
        activation=m.one_of(None, None, *ACTIVATIONS),
        **_dilation(m, x, window),
        **m.weights("kernel", "bias"),
    )
    return m.call(layer, x)


def depthwise(m: Maker, x: Tensor) -> Tensor | None:
    if rank_of(x) != 4:
        return None
    window = _window(m, x)
    layer = m.make(
        L.DepthwiseConv2D,
        window["size"],
        padding=window["padding"],
        depth_multiplier=1 if m.image(x)[2] > 3 else m.number(1, 2),
        data_format=m.format_of(x),
        use_bias=m.chance(70),
        activation=m.one_of(None, None, *ACTIVATIONS),
        **_dilation(m, x, window),
    )
    return m.call(layer, x)


def pool(m: Maker, x: Tensor) -> Tensor | None:
    if rank_of(x) != 4:
        return None
    window = _window(m, x)
    layer = m.make(
        m.one_of(L.MaxPooling2D, L.AveragePooling2D),
        window["size"],
        window["strides"] if m.chance(60) else None,
        window["padding"],
        m.format_of(x),
    )
    return m.call(layer, x)


def global_pool(m: Maker, x: Tensor) -> Tensor | None:
    if rank_of(x) != 4:
        return None
    cls = m.one_of(L.GlobalAveragePooling2D, L.GlobalMaxPooling2D)
    keepdims = m.chance(40)
    pooled = m.call(m.make(cls, m.format_of(x), keepdims), x)
    if keepdims and m.chance(60):
        return m.call(m.make(L.Multiply), x, pooled)
    return pooled


# --- norms, activations, randomness ---------------------------------------------------


def norm(m: Maker, x: Tensor) -> Tensor | None:
    if rank_of(x) < 2:
        return None
    usual = 1 if rank_of(x) == 4 and m.format_of(x) == "channels_first" else -1
    layer = m.make(
        L.BatchNormalization,
        axis=usual if m.chance(80) else m.number(1, rank_of(x) - 1),
        momentum=m.one_of(0.99, 0.9, 0.5),
        epsilon=m.one_of(1e-3, 0.02, 0.3),
        center=m.chance(80),
        scale=m.chance(80),
    )
    return m.call(layer, x)


def activation(m: Maker, x: Tensor) -> Tensor | None:
    return m.call(m.make(L.Activation, m.one_of(*ACTIVATIONS)), x)


def relu(m: Maker, x: Tensor) -> Tensor | None:
    top, slope = m.one_of(None, 1.5), m.one_of(0.0, 0.2)
    return m.call(m.make(L.ReLU, top, slope, m.one_of(0.0, 0.0, 0.3)), x)


def softmax(m: Maker, x: Tensor) -> Tensor | None:
    return m.call(m.make(L.Softmax, m.number(1, rank_of(x) - 1)), x)


def dropout(m: Maker, x: Tensor) -> Tensor | None:
    shared = (None, *m.one_of((None,), (1,)) * (rank_of(x) - 1))
    noise_shape = shared if m.chance(30) else None
    rate = m.one_of(0.0, 0.3, 0.5)
    return m.call(m.make(L.Dropout, rate, noise_shape, seed=m.one_of(None, 3)), x)


# --- shapes ---------------------------------------------------------------------------


def dense(m: Maker, x: Tensor) -> Tensor | None:
    layer = m.make(
        L.Dense,
        m.number(1, 5),
        activation=m.one_of(None, None, *ACTIVATIONS),
        use_bias=m.chance(70),
        **m.weights("kernel", "bias"),
    )
    return m.call(layer, x)


def flatten(m: Maker, x: Tensor) -> Tensor | None:
    if rank_of(x) < 3:
        return None
    flat = m.call(m.make(L.Flatten, m.format_of(x)), x)
    return dense(m, flat) if m.chance(60) else flat


def reshape(m: Maker, x: Tensor) -> Tensor | None:
    *dims, last = (int(dim or 0) for dim in x.shape[1:])
    if len(dims) == 2:
        target = m.one_of((dims[0] * dims[1], last), (dims[0], -1), (-1, last))
    elif len(dims) == 1:
        target = m.one_of((dims[0], 1, last), (-1,), (last, dims[0]))
    else:
        divisor = next((f for f in (2, 3, 5) if last % f == 0), 1)
        target = m.one_of((divisor, last // divisor), (1, 1, last))
    return m.call(m.make(L.Reshape, target), x, keep=False)


def permute(m: Maker, x: Tensor) -> Tensor | None:
    if rank_of(x) < 3:
        return None
    if rank_of(x) == 4 and m.chance(70):
        first = m.format_of(x) == "channels_first"
        moved = m.call(m.make(L.Permute, (2, 3, 1) if first else (3, 1, 2)), x)
        m.formats[moved] = FORMATS[0] if first else FORMATS[1]
        return moved
    dims = m.shuffled(range(1, rank_of(x)))
    return m.call(m.make(L.Permute, dims), x)


def pad(m: Maker, x: Tensor) -> Tensor | None:
    if rank_of(x) != 4 or elements(x) > MOST_ELEMENTS:
        return None
    padding = m.one_of(1, (0, 1), ((1, 0), (0, 2)), ((2, 0), (1, 1)))
    padded = m.call(m.make(L.ZeroPadding2D, padding, m.format_of(x)), x)
    return conv(m, padded) if m.chance(60) else padded


def upsample(m: Maker, x: Tensor) -> Tensor | None:
    if rank_of(x) != 4 or elements(x) * 2 > MOST_ELEMENTS:
        return None
    size = m.one_of((1, 2), (2, 1), (2, 2))
    return m.call(m.make(L.UpSampling2D, size, m.format_of(x)), x)


# --- several tensors ------------------------------------------------------------------


def merge(m: Maker, x: Tensor) -> Tensor | None:
    """x with tensors of its shape, or with something made of it."""
    alike = [t for t in m.pool if t.shape == x.shape and t is not x]
    others = [m.one_of(*alike)] if alike else []
    if not others or m.chance(30):
        made = m.one_of(norm, activation, relu)(m, x)
        others.append(x if made is None else made)
    tensors = m.shuffled([x, *others])
    return m.call(m.make(m.one_of(L.Add, L.Add, L.Multiply)), *tensors)


def concatenate(m: Maker, x: Tensor) -> Tensor | None:
    if elements(x) > MOST_ELEMENTS:
        return None
    axis = m.number(1, rank_of(x) - 1)

    def off_axis(t: Tensor) -> Any:
        return (*t.shape[:axis], None, *t.shape[axis + 1 :])

    alike = [t for t in m.pool if rank_of(t) == rank_of(x)]
    fits = [t for t in alike if off_axis(t) == off_axis(x)]
    others = [m.one_of(*fits) for _ in range(m.number(1, 2))]
    signed = axis if m.chance(50) else axis - rank_of(x)
    return m.call(m.make(L.Concatenate, signed), x, *others)


def again(m: Maker, x: Tensor) -> Tensor | None:
    """Call a layer a second time: the one thing that shares weights and state."""
    known = [
        (layer, shapes)
        for layer, shapes in m.calls
        if x.shape in shapes and not isinstance(layer, L.Embedding)  # x is no ids
    ]
    with_weights = [call for call in known if call[0].cells] or known
    if not with_weights:
        return None
    layer, shapes = m.one_of(*with_weights)
    inputs = [
        x if shape == x.shape else m.one_of(*(t for t in m.pool if t.shape == shape))
        for shape in shapes
    ]
    return m.call(layer, *inputs)


def norm_and_neighbours(m: Maker, x: Tensor) -> Tensor | None:
    """What folding looks for: a norm before or behind a layer with weights."""
    weighted = m.one_of(conv, depthwise, dense) if rank_of(x) == 4 else dense
    steps = m.one_of((weighted, norm, relu), (norm, weighted), (weighted, norm))
    for step in steps:
        made = step(m, x)
        x = x if made is None else made
    return x


IMAGES, MANY, ANY = (4,), (3, 4), (2, 3, 4)
STEPS: Steps = {
    norm_and_neighbours: (4, ANY),
    conv: (4, IMAGES),
    norm: (3, ANY),
    merge: (3, ANY),
    again: (4, ANY),
    depthwise: (3, IMAGES),
    pool: (3, IMAGES),
    activation: (1, ANY),
    relu: (1, ANY),
    concatenate: (2, ANY),
    pad: (2, IMAGES),
    dense: (2, ANY),
    flatten: (1, MANY),
    permute: (2, MANY),
    reshape: (1, ANY),
    upsample: (2, IMAGES),
    global_pool: (1, IMAGES),
    dropout: (2, ANY),
    softmax: (1, ANY),
}
