"""Steps with convolutions of one and three axes, transposed, separable, local ones."""

from __future__ import annotations

from typing import Any

import graphjit.layers as L  # noqa: N812
from graphjit.capture.layer import Layer
from graphjit.capture.tensor import Tensor
from tests.steps import first
from tests.steps.maker import (
    ACTIVATIONS,
    FORMATS,
    MOST_ELEMENTS,
    Maker,
    Step,
    Steps,
    elements,
    rank_of,
)

__all__ = ["STEPS"]

#: By the rank of a tensor.
PLAIN: dict[int, type[Layer]] = {3: L.Conv1D, 4: L.Conv2D, 5: L.Conv3D}
TRANSPOSED: dict[int, type[Layer]] = {
    3: L.Conv1DTranspose,
    4: L.Conv2DTranspose,
    5: L.Conv3DTranspose,
}
SEPARABLE: dict[int, type[Layer]] = {3: L.SeparableConv1D, 4: L.SeparableConv2D}
LOCAL: dict[int, type[Layer]] = {3: L.LocallyConnected1D, 4: L.LocallyConnected2D}


def _format(m: Maker, x: Tensor) -> str:
    """An image's own format; sequences and volumes are read in either."""
    return m.format_of(x) if rank_of(x) == 4 else m.one_of(*FORMATS)


def _sides(x: Tensor, data_format: str) -> tuple[list[int], int]:
    """The spatial dims, and the channels."""
    dims = [int(dim or 0) for dim in x.shape[1:]]
    if data_format == "channels_first":
        return dims[1:], dims[0]
    return dims[:-1], dims[-1]


def _window(m: Maker, sides: list[int], *paddings: str) -> dict[str, Any]:
    """A window that fits, with strides or with dilation."""
    padding = m.one_of("valid", "same", *paddings)
    size = [m.number(1, min(3, side)) for side in sides]
    found: dict[str, Any] = {"kernel_size": size, "padding": padding}
    rate = m.one_of(2, 3)
    reach = max((k - 1) * rate + 1 for k in size)
    if (padding == "same" or reach <= min(sides)) and m.chance(30):
        return {**found, "dilation_rate": rate}
    return {**found, "strides": [m.one_of(1, 1, 2) for _ in sides]}


def _weights(m: Maker) -> dict[str, Any]:
    return {
        "use_bias": m.chance(70),
        "activation": m.one_of(None, None, *ACTIVATIONS),
    }


def _through(m: Maker, x: Tensor, *steps: Step) -> Tensor:
    """x after the steps that apply."""
    for step in steps:
        made = step(m, x)
        x = x if made is None else made
    return x


def conv(m: Maker, x: Tensor) -> Tensor | None:
    data_format = _format(m, x)
    sides, channels = _sides(x, data_format)
    more = ("causal", "full") if rank_of(x) == 3 else ()
    window = _window(m, sides, *more)
    if window["padding"] == "full" and elements(x) > MOST_ELEMENTS:
        return None
    groups = m.one_of(*(g for g in (1, 1, 2, 3) if channels % g == 0))
    layer = m.make(
        PLAIN[rank_of(x)],
        groups * m.number(1, 3),
        data_format=data_format,
        groups=groups,
        **window,
        **_weights(m),
        **m.weights("kernel", "bias"),
    )
    return m.call(layer, x)


def transposed(m: Maker, x: Tensor) -> Tensor | None:
    if elements(x) > MOST_ELEMENTS:
        return None
    data_format = _format(m, x)
    sides, _ = _sides(x, data_format)
    window = _window(m, sides, *(("full",) if min(sides) > 4 else ()))
    strides = window.get("strides")
    if strides is not None and m.chance(30):
        window["output_padding"] = [m.number(0, stride - 1) for stride in strides]
    layer = m.make(
        TRANSPOSED[rank_of(x)],
        m.number(1, 3),
        data_format=data_format,
        **window,
        **_weights(m),
        **m.weights("kernel", "bias"),
    )
    return m.call(layer, x)


def separable(m: Maker, x: Tensor) -> Tensor | None:
    data_format = _format(m, x)
    sides, channels = _sides(x, data_format)
    layer = m.make(
        SEPARABLE[rank_of(x)],
        m.number(1, 4),
        data_format=data_format,
        depth_multiplier=1 if channels > 3 else m.number(1, 2),
        **_window(m, sides),
        **_weights(m),
        **m.weights("depthwise", "pointwise", "bias"),
    )
    return m.call(layer, x)


def depthwise(m: Maker, x: Tensor) -> Tensor | None:
    data_format = _format(m, x)
    sides, channels = _sides(x, data_format)
    layer = m.make(
        L.DepthwiseConv1D,
        data_format=data_format,
        depth_multiplier=1 if channels > 3 else m.number(1, 2),
        **_window(m, sides),
        **_weights(m),
    )
    return m.call(layer, x)


def local(m: Maker, x: Tensor) -> Tensor | None:
    data_format = _format(m, x)
    sides, _ = _sides(x, data_format)
    layer = m.make(
        LOCAL[rank_of(x)],
        m.number(1, 3),
        [m.number(1, min(3, side)) for side in sides],
        [m.one_of(1, 1, 2) for _ in sides],
        data_format=data_format,
        **_weights(m),
        **m.weights("kernel", "bias"),
    )
    return m.call(layer, x)


def along_time(m: Maker, x: Tensor) -> Tensor | None:
    """Several of the layers for sequences, one after the other."""
    kinds = m.shuffled([conv, transposed, separable, depthwise, local])
    return _through(m, x, *kinds[:3])


def volume(m: Maker, x: Tensor) -> Tensor | None:
    """An image as a volume, through a layer or two, and often back."""
    if elements(x) > MOST_ELEMENTS:
        return None
    dims = [int(dim or 0) for dim in x.shape[1:]]
    dims.insert(m.number(1, 2), 1)
    made = m.call(m.make(L.Reshape, dims), x)
    made = _through(m, made, *m.one_of((conv,), (transposed, conv), (conv, transposed)))
    return flat(m, made) if m.chance(70) else made


def flat(m: Maker, x: Tensor) -> Tensor | None:
    """A volume as an image of its planes side by side."""
    rows, *rest, last = (int(dim or 0) for dim in x.shape[1:])
    made = m.call(m.make(L.Reshape, (rows, rest[0] * rest[1], last)), x, keep=False)
    m.formats[made] = "channels_last"
    return made


def twice(m: Maker, x: Tensor) -> Tensor | None:
    """One convolution after itself: its weights are read twice."""
    data_format = _format(m, x)
    sides, channels = _sides(x, data_format)
    layer = m.make(
        PLAIN[rank_of(x)],
        channels,
        [m.number(1, 3) for _ in sides],
        padding="same",
        data_format=data_format,
        **_weights(m),
    )
    once = m.call(layer, x)
    if m.chance(50):
        once = _through(m, once, first.norm)
    return m.call(layer, once)


def norm_and_neighbours(m: Maker, x: Tensor) -> Tensor | None:
    """A norm before or behind one of these layers: what folding looks for."""
    steps = {3: (conv, transposed, local), 4: (transposed, local)}
    weighted = m.one_of(*steps[rank_of(x)])
    return _through(m, x, *m.one_of((weighted, first.norm), (first.norm, weighted)))


STEPS: Steps = {
    along_time: (6, (3,)),
    conv: (2, (5,)),
    transposed: (2, (4, 5)),
    separable: (2, (4,)),
    local: (2, (4,)),
    volume: (2, (4,)),
    flat: (3, (5,)),
    twice: (2, (3, 4)),
    norm_and_neighbours: (2, (3, 4)),
}
