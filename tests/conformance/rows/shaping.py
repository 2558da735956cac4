"""Rows of ops that cut, enlarge and mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphjit.ops.interpolate import Interpolate
from graphjit.ops.masking import MaskedMean, MaskSteps
from graphjit.ops.shape import Crop
from tests.conformance.case import Arg, Case, Layouts, Row, cases, x

Array = np.ndarray[Any, Any]

IMAGE = x(2, 5, 4, 6)
#: Whole numbers, so that some steps hold nothing but the mask's value.
WHOLE = Arg((2, 30, 1), "ints", differentiable=False)
MASK = Arg((2, 5), "mask", dtype="bool", differentiable=False)


def crop(op: Any, a: Array) -> Array:
    pairs = zip(a.shape, op.cuts, strict=True)
    return a[tuple(slice(before, dim - after) for dim, (before, after) in pairs)]


def interpolate(op: Any, a: Array) -> Array:
    """Along each axis np.interp between the centres of elements, or corners."""
    for axis, factor in enumerate(op.factors):
        length = a.shape[axis]
        middle = 0.0 if op.corners else 0.5
        places = (np.arange(length * factor) + middle) / factor - middle
        a = np.apply_along_axis(
            lambda line: np.interp(places, np.arange(len(line)), line),  # noqa: B023
            axis,
            a,
        )
    return a


def mask_steps(op: Any, a: Array) -> tuple[Array, Array]:
    mask = ~np.all(a == op.value, axis=op.axis)
    return a * np.expand_dims(mask, op.axis), mask


def masked_mean(op: Any, a: Array, mask: Array) -> Array:
    steps = np.moveaxis(a, op.axis, 1)
    rows = [row[valid].mean(0) for row, valid in zip(steps, mask, strict=True)]
    y = np.stack(rows)
    return np.expand_dims(y, op.axis) if op.keepdims else y


ROWS: list[Row] = [
    Row(
        Crop,
        (
            *cases(
                Crop,
                [
                    {"cuts": ((0, 0), (1, 2), (0, 3), (0, 0))},
                    {"cuts": ((0, 0), (2, 0), (1, 1), (0, 1))},
                ],
                IMAGE,
            ),
            Case(Crop(((0, 0), (0, 0))), (x(2, 6),)),
        ),
        crop,
        layouts=Layouts.ALL,
    ),
    Row(
        Interpolate,
        (
            *cases(
                Interpolate,
                [
                    {"factors": (1, 2, 3, 1)},
                    {"factors": (1, 1, 5, 4)},
                    {"factors": (1, 3, 2, 1), "corners": True},
                ],
                IMAGE,
            ),
            Case(Interpolate((1, 4, 1)), (x(2, 1, 6),)),
        ),
        interpolate,
        layouts=Layouts.ALL,
        exact=False,
    ),
    Row(
        MaskSteps,
        (
            *cases(
                MaskSteps,
                [{"value": 0.0, "axis": 2}, {"value": 1.5, "axis": 1}],
                x(2, 3, 6),
            ),
            *cases(
                MaskSteps,
                [{"value": 3.0, "axis": 2}, {"value": -2.0, "axis": 2}],
                WHOLE,
            ),
        ),
        mask_steps,
        layouts=Layouts.ALL,
    ),
    Row(
        MaskedMean,
        (
            Case(MaskedMean(1), (x(2, 5, 6), MASK)),
            Case(MaskedMean(2), (x(2, 6, 5), MASK)),
            Case(MaskedMean(1, keepdims=True), (x(2, 5, 3, 4), MASK)),
        ),
        masked_mean,
        layouts=Layouts.ALL,
        exact=False,
    ),
]
