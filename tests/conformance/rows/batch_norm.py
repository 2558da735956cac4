"""Batch normalization, by the batch's statistics and by given ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphjit.ops.batch_norm import BatchNorm, BatchNormInference
from tests.conformance.case import Arg, Case, Layouts, Row, above_zero, row_mask, w, x
from tests.conformance.formulas import Array

__all__ = ["ROWS", "normalized"]


def mask(*shape: int) -> Arg:
    return Arg(shape, "mask", dtype="bool", differentiable=False)


def normalized(
    op: Any, x: Array, gamma: Any, beta: Any, mean: Array, variance: Array
) -> Array:
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta along `op.axis`."""
    y = (np.moveaxis(x, op.axis, -1) - mean) / np.sqrt(variance + op.epsilon)
    y = y * (1.0 if gamma is None else gamma) + (0.0 if beta is None else beta)
    return np.moveaxis(y, -1, op.axis)


def batch_norm(
    op: Any,
    x: Array,
    gamma: Any,
    beta: Any,
    mean: Array,
    variance: Array,
    row_mask: Array | None = None,
    mask: Array | None = None,
) -> tuple[Array, ...]:
    """Each channel by the mean and variance of its elements that no mask leaves out."""
    valid = np.ones(x.shape, bool)
    if row_mask is not None:
        valid &= row_mask.reshape(-1, *[1] * (x.ndim - 1))
    if mask is not None:
        valid &= mask
    channels = range(x.shape[op.axis])
    found = [np.take(x, c, op.axis)[np.take(valid, c, op.axis)] for c in channels]
    means = np.array([elements.mean() for elements in found])
    variances = np.array([elements.var() for elements in found])
    y = normalized(op, x, gamma, beta, means, variances)
    if op.running not in ("update", "unread"):
        return y, mean, variance
    new_mean = op.momentum * mean + (1 - op.momentum) * means
    new_variance = op.momentum * variance + (1 - op.momentum) * variances
    return y, new_mean, new_variance


def inferring_norm(op: BatchNorm, *arrays: Any) -> Any:
    """Given statistics, or the batch's where the call says so."""
    if op.running == "unread":
        return batch_norm(op, *arrays)[0], arrays[3], arrays[4]
    return normalized(op, *arrays[:5]), arrays[3], arrays[4]


def frozen_norm(op: BatchNorm, *arrays: Any) -> Any:
    """What each setting of `frozen` says: given statistics, or the batch's, kept."""
    if op.frozen == "infer":
        return normalized(op, *arrays[:5]), arrays[3], arrays[4]
    return batch_norm(op, *arrays)[0], arrays[3], arrays[4]


def statistics(op: type[Any], data: Arg, **more: Any) -> Case:
    """A norm over `data` with all four vectors, less those named in `without`."""
    without, rows = more.pop("without", ()), more.pop("rows", False)
    steps = more.pop("steps", None)
    channels = data.shape[more["axis"]]
    named = {
        "gamma": w(channels),
        "beta": w(channels),
        "mean": w(channels),
        "variance": above_zero(channels),
    }
    args: list[Arg | None] = [data]
    args += [None if slot in without else vector for slot, vector in named.items()]
    if rows or steps is not None:
        args.append(row_mask(data.shape[0]) if rows else None)
    if steps is not None:
        args.append(steps)
    return Case(op(**more), tuple(args))


ROWS: list[Row] = [
    Row(
        BatchNorm,
        (
            statistics(BatchNorm, x(5, 3, 4, 6), axis=3, epsilon=0.02, momentum=0.7),
            statistics(BatchNorm, x(5, 6, 4), axis=1, without=("gamma",), momentum=0.0),
            statistics(BatchNorm, x(5, 6), axis=1, without=("beta",), frozen="keep"),
            statistics(
                BatchNorm,
                x(5, 4, 3, 6),
                axis=2,
                without=("gamma", "beta"),
                frozen="update",
            ),
            statistics(BatchNorm, x(5, 4, 6), axis=2, rows=True, momentum=0.6),
            statistics(
                BatchNorm, x(5, 2, 3), axis=1, rows=True, epsilon=0.1, frozen="keep"
            ),
            statistics(BatchNorm, x(5, 4, 6), axis=2, running="unused", epsilon=0.3),
            statistics(BatchNorm, x(5, 4, 6), axis=1, running="keep", frozen="keep"),
            statistics(BatchNorm, x(5, 4, 6), axis=2, running="unread", epsilon=0.3),
            statistics(
                BatchNorm, x(5, 4, 6), axis=2, steps=mask(5, 4, 1), momentum=0.4
            ),
            statistics(
                BatchNorm,
                x(5, 4, 3, 6),
                axis=1,
                rows=True,
                steps=mask(5, 4, 3, 1),
                frozen="keep",
            ),
        ),
        batch_norm,
        inference=inferring_norm,
        frozen=frozen_norm,
        layouts=Layouts.ALL,
        exact=False,
        tolerance=1e-11,
    ),
    Row(
        BatchNormInference,
        (
            statistics(BatchNormInference, x(5, 3, 4, 6), axis=3, epsilon=0.02),
            statistics(BatchNormInference, x(5, 6, 4), axis=1, without=("gamma",)),
            statistics(BatchNormInference, x(5, 6), axis=1, without=("beta",)),
            statistics(
                BatchNormInference, x(5, 4, 3, 6), axis=2, without=("gamma", "beta")
            ),
        ),
        normalized,
        layouts=Layouts.ALL,
        tolerance=1e-11,
    ),
]
