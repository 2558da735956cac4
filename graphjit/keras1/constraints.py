"""Constraints, under Keras 1's names."""

from __future__ import annotations

from graphjit.constraints import (
    Constraint,
    MaxNorm,
    MinMaxNorm,
    NonNeg,
    UnitNorm,
    get,
)

__all__ = [
    "Constraint",
    "get",
    "max_norm",
    "maxnorm",
    "min_max_norm",
    "nonneg",
    "unit_norm",
    "unitnorm",
]

_Axes = int | tuple[int, ...]


def maxnorm(m: float = 2, axis: _Axes = 0) -> MaxNorm:
    """No norm over `axis` above m.

    >>> maxnorm(3)
    MaxNorm(max_value=3.0, axis=0)
    """
    return MaxNorm(m, axis)


def nonneg() -> NonNeg:
    """No element below 0."""
    return NonNeg()


def unitnorm(axis: _Axes = 0) -> UnitNorm:
    """Every norm over `axis` 1."""
    return UnitNorm(axis)


def min_max_norm(
    low: float = 0.0, high: float = 1.0, rate: float = 1.0, axis: _Axes = 0
) -> MinMaxNorm:
    """Every norm over `axis` between low and high, moved there by `rate` a step."""
    return MinMaxNorm(low, high, rate, axis)


max_norm = maxnorm
unit_norm = unitnorm
