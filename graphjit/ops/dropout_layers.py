"""Layers that drop elements or add noise in training, and do nothing else."""

from __future__ import annotations

import math
from typing import Any

from graphjit.capture.arguments import Unfit, arg, fraction, integer, number, optional
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.ir import Value
from graphjit.narrow import sequence_of
from graphjit.ops.dropout import AlphaDropoutOp, DropoutOp, GaussianNoiseOp
from graphjit.ops.image import data_format, spatial_axes

__all__ = [
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
]


def _noise_shape(value: Any) -> tuple[int | None, ...]:
    items = sequence_of(value)
    if items is None or not all(n is None or isinstance(n, int) for n in items):
        raise Unfit("a tuple of ints or None")
    return tuple(items)


def _stddev(value: float) -> float:
    found = number(value)
    if found < 0:
        raise Unfit("a number >= 0")
    return found


@LAYERS.register("Dropout")
class Dropout(Layer):
    """Zero a fraction of the elements in training, scale the others up.

    Shapes:
        x: (...)  ->  (...)

    Args:
        rate: The fraction dropped; the kept ones are scaled by 1 / (1 - rate).
        noise_shape: Shape of the draw; axes of size 1 share it, None means x's dim.
        seed: Mixed into the caller's key; None for 0.
    """

    carries_mask = True
    renamed = {"p": "rate"}

    rate: float = arg(converter=fraction)
    noise_shape: tuple[int | None, ...] | None = arg(
        default=None, converter=optional(_noise_shape)
    )
    seed: int | None = arg(default=None, converter=optional(integer))

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        if not 0 < self.rate < 1:
            return x  # Keras draws nothing at either end.
        op = DropoutOp(self.rate, self.seed or 0, self.noise_shape)
        return emitter(op, emitter.cast(x))


def _drop_channels(
    emitter: Emitter, x: Value, rank: int, rate: float, seed: int, data_format: str
) -> Value:
    """Dropout whose draw is shared along the spatial axes."""
    emitter.check_rank(x, rank)
    if not 0 < rate < 1:
        return x
    spatial = spatial_axes(rank, data_format)
    noise_shape = tuple(1 if axis in spatial else None for axis in range(rank))
    return emitter(DropoutOp(rate, seed, noise_shape), emitter.cast(x))


@LAYERS.register("SpatialDropout1D")
class SpatialDropout1D(Layer):
    """Zero whole channels of a sequence in training, scale the others up.

    Source: arXiv:1411.4280.

    Shapes:
        x: (n, t, c)  ->  (n, t, c)

    Args:
        rate: The fraction of channels dropped.
        seed: Mixed into the caller's key; None for 0.
    """

    carries_mask = True
    renamed = {"p": "rate"}

    rate: float = arg(converter=fraction)
    seed: int | None = arg(default=None, converter=optional(integer))

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        return _drop_channels(emitter, x, 3, self.rate, self.seed or 0, "channels_last")


@LAYERS.register("SpatialDropout2D")
class SpatialDropout2D(Layer):
    """Zero whole channels of an image in training, scale the others up.

    Source: arXiv:1411.4280.

    Shapes:
        x: (n, h, w, c)  ->  (n, h, w, c); (n, c, h, w) for channels_first

    Args:
        rate: The fraction of channels dropped.
        data_format: "channels_last", "channels_first", None for the configured one.
        seed: Mixed into the caller's key; None for 0.
    """

    carries_mask = True
    renamed = {"p": "rate", "dim_ordering": "data_format"}

    rate: float = arg(converter=fraction)
    data_format: str = arg(default=None, converter=data_format)
    seed: int | None = arg(default=None, converter=optional(integer))

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        return _drop_channels(
            emitter, x, 4, self.rate, self.seed or 0, self.data_format
        )


@LAYERS.register("SpatialDropout3D")
class SpatialDropout3D(Layer):
    """Zero whole channels of a volume in training, scale the others up.

    Source: arXiv:1411.4280.

    Shapes:
        x: (n, d, h, w, c)  ->  (n, d, h, w, c); (n, c, d, h, w) for channels_first

    Args:
        rate: The fraction of channels dropped.
        data_format: "channels_last", "channels_first", None for the configured one.
        seed: Mixed into the caller's key; None for 0.
    """

    carries_mask = True
    renamed = {"p": "rate", "dim_ordering": "data_format"}

    rate: float = arg(converter=fraction)
    data_format: str = arg(default=None, converter=data_format)
    seed: int | None = arg(default=None, converter=optional(integer))

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        return _drop_channels(
            emitter, x, 5, self.rate, self.seed or 0, self.data_format
        )


@LAYERS.register("AlphaDropout")
class AlphaDropout(Layer):
    """Set a fraction of the elements to selu's lower bound in training.

    Mean and variance stay what they were, where they were 0 and 1, so that it goes
    with selu. Source: arXiv:1706.02515.

    Shapes:
        x: (...)  ->  (...)

    Args:
        rate: The fraction dropped.
        noise_shape: Shape of the draw; axes of size 1 share it, None means x's dim.
        seed: Mixed into the caller's key; None for 0.
    """

    carries_mask = True

    rate: float = arg(converter=fraction)
    noise_shape: tuple[int | None, ...] | None = arg(
        default=None, converter=optional(_noise_shape)
    )
    seed: int | None = arg(default=None, converter=optional(integer))

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        if not 0 < self.rate < 1:
            return x
        op = AlphaDropoutOp(self.rate, self.seed or 0, self.noise_shape)
        return emitter(op, emitter.cast(x))


@LAYERS.register("GaussianDropout")
class GaussianDropout(Layer):
    """Multiply by normal noise of mean 1 in training.

    Shapes:
        x: (...)  ->  (...)

    Args:
        rate: As of a Dropout of that strength: the noise has the standard deviation
            sqrt(rate / (1 - rate)).
        seed: Mixed into the caller's key; None for 0.
    """

    carries_mask = True
    renamed = {"p": "rate"}

    rate: float = arg(converter=fraction)
    seed: int | None = arg(default=None, converter=optional(integer))

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        if not 0 < self.rate < 1:
            return x
        stddev = math.sqrt(self.rate / (1 - self.rate))
        op = GaussianNoiseOp(stddev, self.seed or 0, multiplied=True)
        return emitter(op, emitter.cast(x))


@LAYERS.register("GaussianNoise")
class GaussianNoise(Layer):
    """Add normal noise of mean 0 in training.

    Shapes:
        x: (...)  ->  (...)

    Args:
        stddev: The noise's standard deviation.
        seed: Mixed into the caller's key; None for 0.
    """

    carries_mask = True
    renamed = {"sigma": "stddev"}

    stddev: float = arg(converter=_stddev)
    seed: int | None = arg(default=None, converter=optional(integer))

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        if self.stddev == 0:
            return x
        op = GaussianNoiseOp(self.stddev, self.seed or 0)
        return emitter(op, emitter.cast(x))
