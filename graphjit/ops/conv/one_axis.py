"""Convolutions along one axis as those of images with a single row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphjit.ops.base import Array, with_fields

__all__ = ["as_rows"]


def as_rows(
    lower: Callable[..., Array], op: Any, x: Array, kernel: Array, bias: Array | None
) -> Array:
    """What `lower`, written for two spatial axes, makes of an op with one.

    Shapes:
        x: (n, t, c)   kernel: (k, …, …)  ->  (n, t', …)
    """
    # A transposed convolution has crops, the others have padding.
    field = "crops" if hasattr(op, "crops") else "padding"
    ends = getattr(op, field)
    wider = with_fields(
        op,
        strides=(1, *op.strides),
        dilation=(1, *op.rates()),
        **{field: ends if isinstance(ends, str) else ((0, 0), *ends)},
    )
    return lower(wider, x[:, None], kernel[None], bias)[:, 0]
