"""Layers that add to the borders of sequences, images and volumes, or cut them off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphjit.capture.arguments import Unfit, arg, ints
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.ir import Value
from graphjit.narrow import mapping_of, sequence_of
from graphjit.ops.image import data_format, spatial_axes
from graphjit.ops.shape import Crop, Pad

__all__ = [
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
]

Pairs = tuple[tuple[int, int], ...]

_COUNTS = {2: "2 ints, or 2 pairs of ints", 3: "3 ints, or 3 pairs of ints"}
_SIDES = ("left_pad", "right_pad")


def _pair(value: Any) -> tuple[int, int]:
    """An int, or a pair of ints."""
    try:
        before, after = ints(2, least=0)(value)
    except Unfit:
        raise Unfit("an int or a pair of ints, all >= 0") from None
    return before, after


def _sides(value: Any) -> tuple[int, int]:
    """As `_pair`, or {"left_pad": …, "right_pad": …}, where a missing one is 0."""
    wanted = "an int, a pair of ints or {'left_pad': …, 'right_pad': …}, all >= 0"
    given = mapping_of(value)
    if given is not None:
        if not set(given) <= set(_SIDES):
            raise Unfit(wanted)
        value = [given.get(side, 0) for side in _SIDES]
    try:
        return _pair(value)
    except Unfit:
        raise Unfit(wanted) from None


def _pairs(rank: int) -> Callable[[Any], Pairs]:
    """An int for all borders, an int for each axis, or a pair for each axis."""

    def convert(value: Any) -> Pairs:
        rows = sequence_of(value.tolist() if hasattr(value, "tolist") else value)
        if rows is None:
            rows = [value] * rank
        try:
            if len(rows) == rank:
                return tuple(_pair(row) for row in rows)
        except Unfit:
            pass
        raise Unfit(f"an int, {_COUNTS[rank]}, all >= 0")

    return convert


def _on_every_axis(
    emitter: Emitter, x: Value, pairs: Sequence[tuple[int, int]], data_format: str
) -> Pairs:
    """A pair for every axis of x, from those for its spatial axes."""
    rank = len(pairs) + 2
    emitter.check_rank(x, rank)
    full = [(0, 0)] * rank
    for axis, pair in zip(spatial_axes(rank, data_format), pairs, strict=True):
        full[axis] = pair
    return tuple(full)


@LAYERS.register("ZeroPadding1D")
class ZeroPadding1D(Layer):
    """Zeros before and after a sequence.

    Shapes:
        x: (n, t, c)  ->  (n, before + t + after, c); (n, c, t) for channels_first.

    Args:
        padding: An int; (before, after); or {"left_pad": before, "right_pad": after},
            where a missing key is 0.
        data_format: "channels_last" or "channels_first"; None for the configured one.
    """

    padding: tuple[int, int] = arg(default=1, converter=_sides)
    # Keras 2 has no such argument: only another value than its own layout is written.
    data_format: str = arg(default="channels_last", converter=data_format, ours=True)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        pads = _on_every_axis(emitter, x, [self.padding], self.data_format)
        return emitter(Pad(pads), x)


@LAYERS.register("ZeroPadding2D")
class ZeroPadding2D(Layer):
    """Zeros around an image.

    Shapes:
        x: (n, h, w, c)  ->  (n, h + top + bottom, w + left + right, c);
        (n, c, h, w) for channels_first.

    Args:
        padding: An int; (rows, columns); or ((top, bottom), (left, right)).
        data_format: "channels_last", "channels_first", None for the configured one.
    """

    renamed = {"dim_ordering": "data_format"}

    padding: Pairs = arg(default=(1, 1), converter=_pairs(2))
    data_format: str = arg(default=None, converter=data_format)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        pads = _on_every_axis(emitter, x, self.padding, self.data_format)
        return emitter(Pad(pads), x)


@LAYERS.register("ZeroPadding3D")
class ZeroPadding3D(Layer):
    """Zeros around a volume.

    Shapes:
        x: (n, d, h, w, c)  ->  (n, before + d + after, …, c); (n, c, d, h, w) for
        channels_first.

    Args:
        padding: An int; three ints, one for each axis; or three (before, after) pairs.
        data_format: "channels_last", "channels_first", None for the configured one.
    """

    renamed = {"dim_ordering": "data_format"}

    padding: Pairs = arg(default=(1, 1, 1), converter=_pairs(3))
    data_format: str = arg(default=None, converter=data_format)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        pads = _on_every_axis(emitter, x, self.padding, self.data_format)
        return emitter(Pad(pads), x)


@LAYERS.register("Cropping1D")
class Cropping1D(Layer):
    """A sequence without its first and last steps.

    Shapes:
        x: (n, t, c)  ->  (n, t - before - after, c)

    Args:
        cropping: An int, or (before, after).
    """

    cropping: tuple[int, int] = arg(default=(1, 1), converter=_pair)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        cuts = _on_every_axis(emitter, x, [self.cropping], "channels_last")
        return emitter(Crop(cuts), x)


@LAYERS.register("Cropping2D")
class Cropping2D(Layer):
    """An image without its borders.

    Shapes:
        x: (n, h, w, c)  ->  (n, h - top - bottom, w - left - right, c);
        (n, c, h, w) for channels_first.

    Args:
        cropping: An int; (rows, columns); or ((top, bottom), (left, right)).
        data_format: "channels_last", "channels_first", None for the configured one.
    """

    renamed = {"dim_ordering": "data_format"}

    cropping: Pairs = arg(default=((0, 0), (0, 0)), converter=_pairs(2))
    data_format: str = arg(default=None, converter=data_format)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        cuts = _on_every_axis(emitter, x, self.cropping, self.data_format)
        return emitter(Crop(cuts), x)


@LAYERS.register("Cropping3D")
class Cropping3D(Layer):
    """A volume without its borders.

    Shapes:
        x: (n, d, h, w, c)  ->  (n, d - before - after, …, c); (n, c, d, h, w) for
        channels_first.

    Args:
        cropping: An int; three ints, one for each axis; or three (before, after) pairs.
        data_format: "channels_last", "channels_first", None for the configured one.
    """

    renamed = {"dim_ordering": "data_format"}

    cropping: Pairs = arg(default=((1, 1), (1, 1), (1, 1)), converter=_pairs(3))
    data_format: str = arg(default=None, converter=data_format)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        cuts = _on_every_axis(emitter, x, self.cropping, self.data_format)
        return emitter(Crop(cuts), x)
