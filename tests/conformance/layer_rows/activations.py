"""Activations with settings or weights of their own."""

from __future__ import annotations

from typing import Any

import graphjit.layers as L  # noqa: N812
from tests.conformance.layer_case import LayerCase, LayerRow, case, row

__all__ = ["LAYER_ROWS"]


def shared(*, initializers: dict[str, Any], keras: Any) -> tuple[LayerCase, ...]:
    """Weights of the input's shape, and shared along axes of an image."""
    return (
        case((5, 3), keras=keras),
        case((5, 4, 3), shared_axes=[1, 2], keras=keras, **initializers),
        case((5, 4, 3), shared_axes=2, keras=keras),
    )


LAYER_ROWS: list[LayerRow] = [
    row(L.ELU, case((5, 3)), case((5, 4, 3), alpha=0.6)),
    row(
        L.LeakyReLU,
        case((5, 3)),
        case((5, 3), negative_slope=0.1),
        case((5, 3), alpha=0.2, keras=None),
    ),
    row(
        L.PReLU,
        *shared(initializers={"alpha_initializer": "he_uniform"}, keras={}),
        case((6,), alpha_regularizer="l2", alpha_constraint="non_neg"),
    ),
    row(
        L.ParametricSoftplus,
        *shared(
            initializers={"alpha_initializer": 0.3, "beta_initializer": "ones"},
            keras=None,
        ),
    ),
    row(
        L.SReLU,
        *shared(
            initializers={
                "t_left_initializer": "glorot_uniform",
                "a_left_initializer": "ones",
                "t_right_initializer": "ones",
                "a_right_initializer": "uniform",
            },
            keras=None,
        ),
    ),
    row(
        L.ThresholdedReLU,
        case((5, 3), keras=None),
        case((5, 4, 3), theta=0.2, keras=None),
    ),
]
