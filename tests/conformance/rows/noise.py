"""Rows of ops that draw random numbers, beside dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphjit.ops.dropout import AlphaDropoutOp, GaussianNoiseOp
from tests.conformance.case import Layouts, Row, cases, x

#: selu's lower bound, -scale * alpha.
LOWEST = -1.0507009873554805 * 1.6732632423543772


def lowest_or_kept(op: Any, operands: list[Any], results: list[Any]) -> None:
    """Every element is kept or selu's lower bound, and then mapped (arXiv:1706.02515).

    a = (q + alpha'² q (1 - q)) ** -0.5, b = -a (1 - q) alpha', q = 1 - rate.
    """
    (data,), (y,) = operands, results
    q = 1 - op.rate
    a = (q + LOWEST**2 * q * (1 - q)) ** -0.5
    b = -a * (1 - q) * LOWEST
    dropped = np.isclose(y, a * LOWEST + b, rtol=1e-12)
    np.testing.assert_allclose(y, a * np.where(dropped, LOWEST, data) + b, rtol=1e-11)
    assert dropped.any()
    assert not dropped.all()
    logical = dropped if op.perm is None else np.transpose(dropped, np.argsort(op.perm))
    for axis, dim in enumerate(op.noise_shape or ()):
        if dim == 1:
            first = np.take(logical, [0], axis)
            np.testing.assert_array_equal(logical, np.broadcast_to(first, data.shape))


def is_normal(op: Any, operands: list[Any], results: list[Any]) -> None:
    """What was added (or multiplied by, less 1) has the stated mean and deviation."""
    (data,), (y,) = operands, results
    noise = y / data - 1 if op.multiplied else y - data
    count = noise.size
    assert abs(noise.mean()) < 4 * op.stddev / np.sqrt(count)
    assert abs(noise.std() / op.stddev - 1) < 4 / np.sqrt(2 * count)
    assert len(np.unique(noise)) == count


ROWS: list[Row] = [
    Row(
        AlphaDropoutOp,
        cases(
            AlphaDropoutOp,
            [
                {"rate": 0.4, "seed": 3},
                {"rate": 0.4, "seed": 3, "noise_shape": (None, 1, 6)},
                {"rate": 0.7, "seed": 9, "perm": (0, 2, 1)},
            ],
            x(4, 5, 6),
        ),
        check=lowest_or_kept,
        inference=lambda _, a: a,
        layouts=Layouts.ALL,
    ),
    Row(
        GaussianNoiseOp,
        cases(
            GaussianNoiseOp,
            [
                {"stddev": 0.3, "seed": 5},
                {"stddev": 0.7, "seed": 5, "multiplied": True},
                {"stddev": 0.2, "seed": 2, "perm": (0, 2, 1)},
            ],
            x(4, 5, 6),
        ),
        check=is_normal,
        inference=lambda _, a: a,
        layouts=Layouts.ALL,
    ),
]
