"""Weights under which a deep network still says something."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["lively"]


def lively(
    named: Iterable[tuple[str, Sequence[int]]], seed: int = 0
) -> list[NDArray[Any]]:
    """Random weights, by path and shape.

    As `benchmarks.models.lively_weights`, for every layer of the suite: kernels keep
    the variance (arXiv:1502.01852), statistics are neither 0 nor 1, biases are not 0.
    Fresh weights would let the activations fade, and any two lowerings agree.
    """
    rng = np.random.default_rng(seed)
    return [_one(rng, path, tuple(shape)) for path, shape in named]


def _one(rng: np.random.Generator, path: str, shape: tuple[int, ...]) -> NDArray[Any]:
    above, _, slot = path.rpartition("/")
    if slot == "count":  # of the data a `Normalization` has seen
        return np.zeros(shape, np.int32)
    if slot == "kernel" and above.endswith(("/query", "/key", "/value")):
        values = rng.normal(0.0, np.sqrt(2.0 / shape[0]), shape)  # (d, heads, each)
    else:
        values = _values(rng, slot, shape)
    return values.astype(np.float32)


def _values(
    rng: np.random.Generator, slot: str, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    if slot == "gamma":
        return rng.uniform(0.4, 1.0, shape)
    if slot in ("moving_variance", "variance"):
        return rng.uniform(0.5, 1.5, shape)
    if slot in ("beta", "bias", "moving_mean", "mean"):
        return rng.normal(0.0, 0.2, shape)
    if slot == "embeddings":
        return rng.normal(0.0, 1.0, shape)
    return rng.normal(0.0, np.sqrt(_gain(slot) / _fan_in(slot, shape)), shape)


def _gain(slot: str) -> float:
    """2 where half of what is read is cut off by a ReLU.

    Not for state that comes back, which would run away, nor between the two halves of a
    separable convolution.
    """
    return 1.0 if slot in ("recurrent_kernel", "pointwise_kernel") else 2.0


def _fan_in(slot: str, shape: tuple[int, ...]) -> int:
    # A depthwise kernel (kh, kw, c, 1) reads kh * kw values per output.
    window = len(shape) == 4 and shape[-1] == 1 and shape[0] > 1
    depthwise = window or slot == "depthwise_kernel"
    return int(np.prod(shape[:2] if depthwise else shape[:-1]))
