"""Rows of layers that pool."""

from __future__ import annotations

import graphjit.layers as L  # noqa: N812
from graphjit.capture.layer import Layer
from tests.conformance.layer_case import FIRST, LayerRow, case, row

STEPS, STEPS_FIRST = (9, 3), (3, 9)
IMAGE, IMAGE_FIRST = (7, 6, 4), (4, 7, 6)
VOLUME, VOLUME_FIRST = (4, 6, 5, 2), (2, 4, 6, 5)


def sequences(layer: type[Layer]) -> LayerRow:
    return row(
        layer,
        case(STEPS, keras={"pool_size": 2}),
        case(STEPS, pool_size=3, strides=2),
        case(STEPS, pool_size=4, strides=3, padding="same"),
        case(STEPS_FIRST, pool_size=2, strides=1, padding="same", **FIRST),
    )


def images(layer: type[Layer]) -> LayerRow:
    return row(
        layer,
        case(IMAGE, keras={"pool_size": 2}),
        case(IMAGE, pool_size=(3, 2), strides=(2, 1)),
        case(IMAGE, pool_size=(2, 3), strides=2, padding="same"),
        case(IMAGE_FIRST, pool_size=3, strides=(1, 2), padding="same", **FIRST),
    )


def volumes(layer: type[Layer]) -> LayerRow:
    return row(
        layer,
        case(VOLUME, keras={"pool_size": 2}),
        case(VOLUME, pool_size=(3, 2, 1), strides=(1, 3, 2)),
        case(VOLUME_FIRST, pool_size=(2, 3, 2), strides=2, padding="same", **FIRST),
    )


def whole(
    layer: type[Layer], last: tuple[int, ...], first: tuple[int, ...]
) -> LayerRow:
    return row(
        layer,
        case(last),
        case(last, keepdims=True),
        case(first, **FIRST),
        case(first, keepdims=True, **FIRST),
    )


LAYER_ROWS: list[LayerRow] = [
    sequences(L.MaxPooling1D),
    sequences(L.AveragePooling1D),
    images(L.MaxPooling2D),
    images(L.AveragePooling2D),
    volumes(L.MaxPooling3D),
    volumes(L.AveragePooling3D),
    whole(L.GlobalMaxPooling1D, STEPS, STEPS_FIRST),
    whole(L.GlobalAveragePooling1D, STEPS, STEPS_FIRST),
    whole(L.GlobalMaxPooling2D, IMAGE, IMAGE_FIRST),
    whole(L.GlobalAveragePooling2D, IMAGE, IMAGE_FIRST),
    whole(L.GlobalMaxPooling3D, VOLUME, VOLUME_FIRST),
    whole(L.GlobalAveragePooling3D, VOLUME, VOLUME_FIRST),
]
