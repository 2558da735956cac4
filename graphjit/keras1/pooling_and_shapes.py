"""Pooling, cropping, upsampling and padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from graphjit import layers as native
from graphjit.capture.arguments import Unfit
from graphjit.keras1.settings import DIM_ORDERING
from graphjit.keras1.spelling import Spelling, spelled
from graphjit.narrow import mapping_of, sequence_of

__all__ = [
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
]

# --- pooling ----------------------------------------------------------------------

_MODE: Final = spelled("border_mode", "padding", "valid")
_POOL_1D: Final = (
    spelled("pool_length", "pool_size", 2),
    spelled("stride", "strides", None),
    _MODE,
)


def _pool(rank: int) -> tuple[Any, ...]:
    return (
        spelled("pool_size", "", (2,) * rank),
        spelled("strides", "", None),
        _MODE,
        DIM_ORDERING,
    )


MaxPooling1D = Spelling("MaxPooling1D", native.MaxPooling1D, _POOL_1D)
MaxPooling2D = Spelling("MaxPooling2D", native.MaxPooling2D, _pool(2))
MaxPooling3D = Spelling("MaxPooling3D", native.MaxPooling3D, _pool(3))
AveragePooling1D = Spelling("AveragePooling1D", native.AveragePooling1D, _POOL_1D)
AveragePooling2D = Spelling("AveragePooling2D", native.AveragePooling2D, _pool(2))
AveragePooling3D = Spelling("AveragePooling3D", native.AveragePooling3D, _pool(3))

GlobalMaxPooling1D = Spelling("GlobalMaxPooling1D", native.GlobalMaxPooling1D, ())
GlobalAveragePooling1D = Spelling(
    "GlobalAveragePooling1D", native.GlobalAveragePooling1D, ()
)
GlobalMaxPooling2D = Spelling(
    "GlobalMaxPooling2D", native.GlobalMaxPooling2D, (DIM_ORDERING,)
)
GlobalAveragePooling2D = Spelling(
    "GlobalAveragePooling2D", native.GlobalAveragePooling2D, (DIM_ORDERING,)
)

# --- readers of borders -----------------------------------------------------------


def _whole(values: Sequence[Any] | None, count: int) -> list[int] | None:
    """The ints >= 0, if they are `count` of them."""
    found = list(values or ())
    fits = len(found) == count and all(type(v) is int and v >= 0 for v in found)
    return found if fits else None


def _pairs(count: int) -> Callable[[Any], Any]:
    """Reader of `cropping`: a pair for every axis, rows before columns."""

    def read(value: Any) -> Any:
        rows = sequence_of(value)
        pairs = [_whole(sequence_of(row), 2) for row in rows or ()]
        if len(pairs) != count or None in pairs:
            raise Unfit(f"{count} pairs of ints >= 0")
        return tuple(tuple(pair) for pair in pairs if pair is not None)

    return read


def _pair(value: Any) -> Any:
    found = _whole(sequence_of(value), 2)
    if found is None:
        raise Unfit("a pair of ints >= 0")
    return tuple(found)


def _sides(value: Any) -> Any:
    """Reader of `padding` of rows and columns: (top, bottom), (left, right)."""
    wanted = (
        "(rows, cols), (top, bottom, left, right) or a dictionary of top_pad, "
        "bottom_pad, left_pad and right_pad, all ints >= 0"
    )
    names = ("top_pad", "bottom_pad", "left_pad", "right_pad")
    written = mapping_of(value)
    items: Sequence[Any] | None = sequence_of(value)
    if written is not None:
        if not set(written) <= set(names):
            raise Unfit(wanted)
        items = [written.get(name, 0) for name in names]
    two, four = _whole(items, 2), _whole(items, 4)
    if two is not None:
        return tuple((each, each) for each in two)
    if four is None:
        raise Unfit(wanted)
    return (four[0], four[1]), (four[2], four[3])


def _symmetric(value: Any) -> Any:
    found = _whole(sequence_of(value), 3)
    if found is None:
        raise Unfit("3 ints >= 0")
    return tuple(found)


def _factors(count: int) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        items = sequence_of(value)
        if items is None or len(items) != count:
            raise Unfit(f"{count} ints >= 1")
        return tuple(items)

    return read


# --- borders ----------------------------------------------------------------------

Cropping1D = Spelling(
    "Cropping1D", native.Cropping1D, (spelled("cropping", "", (1, 1), _pair),)
)
Cropping2D = Spelling(
    "Cropping2D",
    native.Cropping2D,
    (spelled("cropping", "", ((0, 0), (0, 0)), _pairs(2)), DIM_ORDERING),
)
Cropping3D = Spelling(
    "Cropping3D",
    native.Cropping3D,
    (spelled("cropping", "", ((1, 1), (1, 1), (1, 1)), _pairs(3)), DIM_ORDERING),
)
ZeroPadding1D = Spelling(
    "ZeroPadding1D", native.ZeroPadding1D, (spelled("padding", "", 1),)
)
ZeroPadding2D = Spelling(
    "ZeroPadding2D",
    native.ZeroPadding2D,
    (spelled("padding", "", (1, 1), _sides), DIM_ORDERING),
)
ZeroPadding3D = Spelling(
    "ZeroPadding3D",
    native.ZeroPadding3D,
    (spelled("padding", "", (1, 1, 1), _symmetric), DIM_ORDERING),
)

# --- upsampling -------------------------------------------------------------------

UpSampling1D = Spelling(
    "UpSampling1D", native.UpSampling1D, (spelled("length", "size", 2),)
)
UpSampling2D = Spelling(
    "UpSampling2D",
    native.UpSampling2D,
    (spelled("size", "", (2, 2), _factors(2)), DIM_ORDERING),
)
UpSampling3D = Spelling(
    "UpSampling3D",
    native.UpSampling3D,
    (spelled("size", "", (2, 2, 2), _factors(3)), DIM_ORDERING),
)
