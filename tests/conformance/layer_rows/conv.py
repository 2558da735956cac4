"""Convolution layers beside Conv2D and DepthwiseConv2D."""

from __future__ import annotations

from typing import Any

import graphjit.layers as L  # noqa: N812
from tests.conformance.layer_case import FIRST, LayerCase, LayerRow, case, row

__all__ = ["LAYER_ROWS"]

STEPS, STEPS_FIRST = (9, 4), (4, 9)
IMAGE, IMAGE_FIRST = (7, 6, 4), (4, 7, 6)
VOLUME, VOLUME_FIRST = (5, 6, 4, 2), (2, 5, 6, 4)
#: No such argument, or no such layer, in Keras 3.
OURS: dict[str, Any] = {"keras": None}


def conv(inputs: Any, first: Any, one: Any, other: Any) -> tuple[LayerCase, ...]:
    """What a convolution of any rank can be told; `one` and `other` are per axis."""
    return (
        case(inputs, filters=6, kernel_size=one),
        case(inputs, filters=3, kernel_size=3, strides=other, padding="SAME"),
        case(inputs, filters=6, kernel_size=one, groups=2, activation="tanh"),
        case(inputs, filters=2, kernel_size=2, dilation_rate=other, use_bias=False),
        case(first, filters=3, kernel_size=one, strides=2, **FIRST),
        case(first, filters=4, kernel_size=2, dilation_rate=2, groups=2, **FIRST),
        case(inputs, filters=3, kernel_size=one, padding="full", **OURS),
        case(first, filters=3, kernel_size=one, padding="full", **FIRST, **OURS),
        case(
            inputs,
            filters=3,
            kernel_size=2,
            strides=2,
            dilation_rate=other,
            strided_dilation=True,
            **OURS,
        ),
    )


def transposed(inputs: Any, first: Any, one: Any, other: Any) -> tuple[LayerCase, ...]:
    return (
        case(inputs, filters=3, kernel_size=one),
        case(inputs, filters=3, kernel_size=one, padding="same", activation="elu"),
        case(inputs, filters=3, kernel_size=3, strides=other, padding="same"),
        case(inputs, filters=3, kernel_size=1, strides=other, use_bias=False),
        case(inputs, filters=2, kernel_size=one, strides=2, output_padding=1),
        case(
            inputs,
            filters=2,
            kernel_size=one,
            strides=2,
            output_padding=0,
            padding="same",
        ),
        case(inputs, filters=2, kernel_size=one, dilation_rate=other, padding="same"),
        case(first, filters=3, kernel_size=one, strides=other, **FIRST),
        case(first, filters=3, kernel_size=2, strides=2, padding="same", **FIRST),
        case(inputs, filters=3, kernel_size=3, padding="full", **OURS),
    )


def separable(inputs: Any, first: Any, one: Any, other: Any) -> tuple[LayerCase, ...]:
    return (
        case(inputs, filters=5, kernel_size=one),
        case(inputs, filters=3, kernel_size=2, depth_multiplier=3, strides=2),
        case(
            inputs,
            filters=3,
            kernel_size=3,
            dilation_rate=other,
            padding="same",
            use_bias=False,
        ),
        case(first, filters=3, kernel_size=one, strides=2, padding="same", **FIRST),
        case(
            first,
            filters=2,
            kernel_size=2,
            depth_multiplier=2,
            activation="relu",
            **FIRST,
        ),
    )


LAYER_ROWS: list[LayerRow] = [
    row(
        L.Conv1D,
        *conv(STEPS, STEPS_FIRST, 3, 2),
        case(STEPS, filters=3, kernel_size=(4,), padding="causal"),
        case(STEPS, filters=3, kernel_size=2, padding="causal", dilation_rate=3),
        case(STEPS, filters=3, kernel_size=3, padding="causal", strides=[2]),
        case(STEPS_FIRST, filters=3, kernel_size=3, padding="causal", **FIRST),
        case(STEPS, filters=3, kernel_size=3, padding=((1, 3),), **OURS),
    ),
    row(L.Conv3D, *conv(VOLUME, VOLUME_FIRST, (3, 2, 1), (2, 1, 2))),
    row(
        L.DepthwiseConv1D,
        case(STEPS, kernel_size=3),
        case(STEPS, kernel_size=2, depth_multiplier=3, strides=2, padding="same"),
        case(STEPS, kernel_size=3, dilation_rate=2, use_bias=False, activation="tanh"),
        case(STEPS_FIRST, kernel_size=2, depth_multiplier=2, padding="same", **FIRST),
    ),
    row(L.SeparableConv1D, *separable(STEPS, STEPS_FIRST, 3, 2)),
    row(L.SeparableConv2D, *separable(IMAGE, IMAGE_FIRST, (3, 2), (1, 2))),
    row(
        L.Conv1DTranspose,
        *transposed(STEPS, STEPS_FIRST, 4, 3),
        case(STEPS, filters=3, kernel_size=3, strides=2, output_size=20, **OURS),
    ),
    row(
        L.Conv2DTranspose,
        *transposed(IMAGE, IMAGE_FIRST, (3, 2), (2, 3)),
        case(
            IMAGE,
            filters=3,
            kernel_size=(3, 4),
            strides=2,
            padding="same",
            output_size=(13, 12),
            **OURS,
        ),
        case(
            IMAGE,
            filters=3,
            kernel_size=3,
            padding=((1, 0), (0, 2)),
            strides=2,
            output_padding=1,
            **OURS,
        ),
    ),
    row(L.Conv3DTranspose, *transposed(VOLUME, VOLUME_FIRST, (2, 3, 2), (2, 1, 3))),
    row(
        L.LocallyConnected1D,
        case(STEPS, filters=3, kernel_size=3, **OURS),
        case(STEPS, filters=2, kernel_size=2, strides=3, activation="tanh", **OURS),
        case(STEPS_FIRST, filters=3, kernel_size=4, twin=False, **FIRST, **OURS),
    ),
    row(
        L.LocallyConnected2D,
        case(IMAGE, filters=3, kernel_size=(3, 2), **OURS),
        case(IMAGE, filters=2, kernel_size=2, strides=(2, 1), use_bias=False, **OURS),
        case(IMAGE, filters=2, kernel_size=3, implementation=2, **OURS),
        case(IMAGE_FIRST, filters=3, kernel_size=(2, 3), twin=False, **FIRST, **OURS),
    ),
]
