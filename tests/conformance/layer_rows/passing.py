"""Rows of layers that keep the shape: noise, rescaling, masks, functions."""

from __future__ import annotations

import graphjit.layers as L  # noqa: N812
from tests.conformance.layer_case import FIRST, LayerRow, case, row
from tests.conformance.user_functions import (
    gated_power,
    halved_shape,
    halves,
    product,
)

IMAGE, IMAGE_FIRST = (4, 3, 2), (2, 4, 3)


LAYER_ROWS: list[LayerRow] = [
    row(
        L.Dropout,
        case((5, 3), rate=0.4, random=True),
        case((5, 3), rate=0.4, noise_shape=(None, 1, 3), seed=3, random=True),
        case((5, 3), rate=0.0),
    ),
    row(
        L.SpatialDropout1D,
        case((5, 3), rate=0.4, random=True),
        case((5, 3), rate=0.4, seed=3, random=True),
        case((5, 3), rate=0.0),
    ),
    row(
        L.SpatialDropout2D,
        case(IMAGE, rate=0.4, random=True),
        case(IMAGE_FIRST, rate=0.3, seed=3, random=True, twin=False, **FIRST),
    ),
    row(
        L.SpatialDropout3D,
        case((2, *IMAGE), rate=0.4, seed=2, random=True),
        case((*IMAGE_FIRST, 2), rate=0.3, random=True, twin=False, **FIRST),
    ),
    row(
        L.AlphaDropout,
        case((5, 3), rate=0.4, random=True),
        case((5, 3), rate=0.2, noise_shape=(None, 1, 3), seed=3, random=True),
    ),
    row(
        L.GaussianDropout,
        case((5, 3), rate=0.4, random=True),
        case((5,), rate=0.2, seed=3, random=True),
    ),
    row(
        L.GaussianNoise,
        case((5, 3), stddev=0.4, random=True),
        case((5,), stddev=0.2, seed=3, random=True),
    ),
    row(L.ActivityRegularization, case((5, 3)), case((5, 3), l1=0.1, l2=0.3)),
    row(L.Identity, case((5, 3))),
    row(
        L.Rescaling,
        case((5, 3), scale=0.25),
        case((5, 3), scale=2.0, offset=-1.0),
        case((5, 3), scale=[1.0, 0.5, 2.0], offset=[0.0, 1.0, -1.0]),
        case((5, 3), scale=0.5, offset=[[0.5], [1.0], [1.5], [2.0], [2.5]]),
    ),
    row(
        L.Normalization,
        case((5, 3), mean=0.4, variance=2.0),
        case((5, 3), mean=[0.4, 1.0, -1.0], variance=[2.0, 0.5, 0.0001]),
        case((5, 3), axis=(1, 2), mean=[0.4, 1.0, -1.0], variance=[2.0, 0.5, 0.3]),
        case((5, 3), axis=None, mean=0.4, variance=2.0, invert=True),
        case((5, 3), axis=-1, keras=None),
        case((5, 3), axis=(-1, -2), invert=True, keras=None),
        case((2, 5, 3), axis=None, keras=None),
    ),
    row(
        L.Operation,
        case((5, 3), function="relu6", keras=None),
        case((5, 3), function="square", keras=None),
        case((5, 3), function="mean", arguments={"axis": 1}, keras=None),
        case(
            (5, 3), function="subtract", arguments={"operands": (1.0, None)}, keras=None
        ),
        case((5, 3), function="get_item", arguments={"key": (":", 1)}, keras=None),
        case((5, 3), function="tile", arguments={"repeats": (1, 2, 1)}, keras=None),
        case((5, 3), (5, 3), function="arctan2", keras=None),
    ),
    row(L.CustomScaleLayer, case((5, 3), (5, 3), scale=0.2, keras=None)),
    row(L.LayerScale, case((5, 3), init_values=0.5, projection_dim=3, keras=None)),
    row(
        L.StochasticDepth,
        case((5, 3), drop_path_rate=0.4, keras=None, random=True),
        case((5, 3), drop_path_rate=0.0, keras=None),
    ),
    row(
        L.Masking,
        case((5, 3)),
        case((4, 5, 3), mask_value=-1.0),
    ),
    row(
        L.Lambda,
        case(
            (5, 3),
            function="tests>gated_power",
            arguments={"power": 2},
            keras={"function": gated_power},
        ),
        case(
            (5, 4),
            function="tests>halves",
            output_shape="tests>halved_shape",
            keras={"function": halves, "output_shape": halved_shape},
        ),
        case(
            (5, 4),
            function="tests>halves",
            output_shape=(5, 2),
            keras={"function": halves},
        ),
        case((5, 4), (1, 4), function="tests>product", keras={"function": product}),
    ),
]
