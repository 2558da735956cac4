"""Steps with layers that pool, pad, cut, enlarge, mask, rescale and add noise."""

from __future__ import annotations

from collections.abc import Callable

import graphjit.layers as L  # noqa: N812
from graphjit.capture.layer import Layer
from graphjit.capture.tensor import Tensor
from tests.conformance.user_functions import softened
from tests.steps.maker import FORMATS, MOST_ELEMENTS, Maker, Steps, elements, rank_of

__all__ = ["DRAWING", "STEPS"]


def _dims(x: Tensor) -> list[int]:
    return [int(dim or 0) for dim in x.shape[1:]]


# --- sequences ------------------------------------------------------------------------


def pool_sequence(m: Maker, x: Tensor) -> Tensor | None:
    data_format = m.one_of(*FORMATS)
    length = _dims(x)[FORMATS.index(data_format)]
    padding = m.one_of("valid", "same")
    size = m.number(1, min(3, length) if padding == "valid" else 3)
    cls = m.one_of(L.MaxPooling1D, L.AveragePooling1D)
    strides = m.one_of(None, 1, 2)
    return m.call(m.make(cls, size, strides, padding, data_format), x)


def pool_whole_sequence(m: Maker, x: Tensor) -> Tensor | None:
    cls = m.one_of(L.GlobalMaxPooling1D, L.GlobalAveragePooling1D)
    return m.call(m.make(cls, m.one_of(*FORMATS), m.chance(40)), x)


def reshape_sequence(m: Maker, x: Tensor) -> Tensor | None:
    """Pad, repeat and cut steps, in some order."""
    if elements(x) * 6 > MOST_ELEMENTS:
        return None
    padding = m.one_of(1, (0, 2), {"left_pad": 2})
    layers = m.shuffled(
        [
            m.make(L.ZeroPadding1D, padding, data_format=m.one_of(*FORMATS)),
            m.make(L.UpSampling1D, m.number(1, 3)),
        ]
    )
    cut = m.make(L.Cropping1D, m.one_of((1, 0), (0, 1)))
    if _dims(x)[0] > 1:
        layers = m.shuffled([*layers, cut])
    for layer in layers:
        x = m.call(layer, x)
    return x


def repeat_vector(m: Maker, x: Tensor) -> Tensor | None:
    if elements(x) * 3 > MOST_ELEMENTS:
        return None
    return m.call(m.make(L.RepeatVector, m.number(1, 3)), x)


def masked_mean(m: Maker, x: Tensor) -> Tensor | None:
    """A mask of padded steps through layers that carry it, to the one that reads it."""
    positive = L.Activation("sigmoid", dtype=m.dtype)(x)
    padded = L.ZeroPadding1D(m.one_of((1, 0), (0, 2), 1), dtype=m.dtype)(positive)
    masked = m.make(L.Masking)(padded)
    for _ in range(m.number(0, 2)):
        settings = {"dtype": m.dtype}
        carrier = m.one_of(
            L.Dense(m.number(1, 4), **settings),
            L.BatchNormalization(**settings),
            L.ReLU(**settings),
            L.Rescaling(0.5, 0.25, **settings),
        )
        masked = carrier(masked)
    return m.call(m.make(L.GlobalAveragePooling1D, keepdims=m.chance(30)), masked)


# --- images and volumes ---------------------------------------------------------------


def crop(m: Maker, x: Tensor) -> Tensor | None:
    height, width, _ = m.image(x)
    if min(height, width) < 2:
        return None
    small = ((1, 0), (0, 1))
    large = m.one_of(1, (0, 1), ((1, 0), (0, 2)), ((0, 2), (1, 1)))
    cropping = large if min(height, width) > 2 else small
    return m.call(m.make(L.Cropping2D, cropping, m.format_of(x)), x)


def interpolate(m: Maker, x: Tensor) -> Tensor | None:
    if elements(x) * 3 > MOST_ELEMENTS:
        return None
    size = m.one_of((1, 3), (2, 1), (2, 1))
    layer = m.make(L.UpSampling2D, size, m.format_of(x), interpolation="bilinear")
    return m.call(layer, x)


def _through_a_volume(
    m: Maker, x: Tensor, make: Callable[[Tensor, str], list[Layer]]
) -> Tensor:
    """What layers make of x, of rank 4, as a volume; back in rank 4 where it has 5.

    No other step takes volumes, so they stay out of the pool.
    """
    first, *rest = _dims(x)
    depth = next((d for d in (2, 3, 5) if first % d == 0), 1)
    y = m.make(L.Reshape, (depth, first // depth, *rest))(x)
    for layer in make(y, m.one_of(*FORMATS)):
        y = layer(y)
    if rank_of(y) != 5:
        return m.call(m.make(L.Activation, "tanh"), y)
    a, b, *rest = _dims(y)
    return m.call(m.make(L.Reshape, (a * b, *rest)), y, keep=False)


def volume(m: Maker, x: Tensor) -> Tensor | None:
    """Some of the layers for volumes, one after the other."""
    if elements(x) * 4 > MOST_ELEMENTS:
        return None

    def layers(volume: Tensor, data_format: str) -> list[Layer]:
        def pool(cls: type[Layer]) -> Layer:
            size, strides = m.one_of((2, 1, 3), (1, 2, 2)), m.one_of(1, (1, 2, 1))
            return m.make(cls, size, strides, "same", data_format)

        grown = m.shuffled(
            [
                m.make(L.ZeroPadding3D, ((0, 1), (1, 0), (0, 0)), data_format),
                m.make(L.UpSampling3D, m.one_of((1, 1, 2), (2, 1, 1)), data_format),
            ]
        )
        cut = m.make(L.Cropping3D, ((1, 0), (0, 0), (0, 0)), data_format)
        shrunk = [cut, pool(L.MaxPooling3D), pool(L.AveragePooling3D)]
        whole = m.one_of(L.GlobalMaxPooling3D, L.GlobalAveragePooling3D)
        last = [m.make(whole, data_format)] if m.chance(70) else []
        return [*grown, *m.shuffled(shrunk), *last]

    return _through_a_volume(m, x, layers)


# --- any shape ------------------------------------------------------------------------


def rescale(m: Maker, x: Tensor) -> Tensor | None:
    last = _dims(x)[-1]
    vector = [0.5 + at for at in range(last)]
    other = m.number(1, rank_of(x) - 1)
    layer = m.one_of(
        m.make(L.Rescaling, m.one_of(0.5, -2.0, vector), m.one_of(0.0, 1.0)),
        m.make(L.Normalization, m.one_of(-1, other, None), invert=m.chance(20)),
        m.make(L.Normalization, -1, vector, vector),
        m.make(L.Identity),
        m.make(L.ActivityRegularization, m.one_of(0.0, 0.1), 0.2),
    )
    return m.call(layer, x)


def function(m: Maker, x: Tensor) -> Tensor | None:
    return m.call(m.make(L.Lambda, softened, arguments={"by": 2.0}), x)


def noise(m: Maker, x: Tensor) -> Tensor | None:
    seed = m.one_of(None, 3)
    layers = [
        m.make(L.GaussianNoise, 0.3, seed),
        m.make(L.GaussianDropout, 0.3, seed),
        m.make(L.AlphaDropout, 0.3, seed=seed),
    ]
    if rank_of(x) == 3:
        layers += [m.make(L.SpatialDropout1D, 0.4, seed)] * 6
    if rank_of(x) == 4:
        layers += [m.make(L.SpatialDropout2D, 0.4, m.format_of(x), seed)] * 3
    return m.call(m.one_of(*layers), x)


def volume_noise(m: Maker, x: Tensor) -> Tensor | None:
    def layers(volume: Tensor, data_format: str) -> list[Layer]:
        return [m.make(L.SpatialDropout3D, 0.4, data_format)]

    return _through_a_volume(m, x, layers)


VECTORS, SEQUENCES, IMAGES, ANY = (2,), (3,), (4,), (2, 3, 4)
STEPS: Steps = {
    pool_sequence: (3, SEQUENCES),
    pool_whole_sequence: (2, SEQUENCES),
    reshape_sequence: (2, SEQUENCES),
    repeat_vector: (1, VECTORS),
    masked_mean: (1, SEQUENCES),
    crop: (2, IMAGES),
    interpolate: (1, IMAGES),
    volume: (3, IMAGES),
    rescale: (2, ANY),
    function: (1, ANY),
    noise: (2, ANY),
    volume_noise: (1, IMAGES),
}
DRAWING = frozenset({noise, volume_noise})
