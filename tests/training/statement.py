"""Plain NumPy statements of what training should do, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = dict[str, Array]

MOMENTUM, EPSILON = 0.8, 1e-3


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def normed(x: Array, w: Arrays, name: str, statistics: str = "batch") -> Array:
    """Batch normalization over all axes but the last; running ones change in `w`.

    `statistics` are the batch's ("batch", "keep") or the running ones ("infer").
    """
    axes = tuple(range(x.ndim - 1))
    mean, variance = x.mean(axes), x.var(axes)
    old_mean, old_variance = w[f"{name}/moving_mean"], w[f"{name}/moving_variance"]
    if statistics == "batch":
        w[f"{name}/moving_mean"] = MOMENTUM * old_mean + (1 - MOMENTUM) * mean
        w[f"{name}/moving_variance"] = (
            MOMENTUM * old_variance + (1 - MOMENTUM) * variance
        )
    if statistics == "infer":
        mean, variance = old_mean, old_variance
    scaled = (x - mean) / np.sqrt(variance + EPSILON)
    return scaled * w[f"{name}/gamma"] + w[f"{name}/beta"]


def dense(x: Array, w: Arrays, name: str) -> Array:
    return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]


def gradient(loss: Callable[[Arrays], Any], w: Arrays, names: list[str]) -> Arrays:
    """Central differences of `loss` in the arrays called `names`."""
    step = 1e-6
    found: Arrays = {}
    for name in names:
        slope = np.zeros_like(w[name])
        for at in np.ndindex(slope.shape):
            sides: list[float] = []
            for sign in (1, -1):
                moved = {n: a.copy() for n, a in w.items()}
                moved[name][at] += sign * step
                sides.append(float(loss(moved)))
            slope[at] = (sides[0] - sides[1]) / (2 * step)
        found[name] = slope
    return found


def sgd(
    loss: Callable[[Arrays], Any], w: Arrays, names: list[str], rate: float
) -> Arrays:
    """The arrays after one step, the running statistics that `loss` leaves among them.

    `loss` computes on a dictionary of its own and may change its entries.
    """
    slopes = gradient(loss, w, names)
    new = dict(w)
    loss(new)
    for name, slope in slopes.items():
        new[name] = w[name] - rate * slope
    return new
