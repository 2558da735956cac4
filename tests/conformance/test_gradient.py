"""Both modes of differentiation equal central differences, in float64."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.conformance.case import Case, Row, function_of, together
from tests.conformance.table import ROWS

STEP = 1e-5

DIFFERENTIABLE = [
    pytest.param(row, case, id=case.id)
    for row in ROWS
    for case in row.cases
    if case.differentiable
]


def slopes(row: Row, case: Case) -> tuple[Callable[..., Any], Any]:
    """A function to (numeric, forward, reverse) slope along one random direction,
    and its arguments."""
    arrays = case.arrays()
    rng = np.random.default_rng(11)
    at = case.differentiable
    point = [arrays[i] for i in at]
    direction = [rng.normal(size=np.shape(array)) for array in point]
    shapes = [result.shape for result in case.results]
    weights = [rng.normal(size=shapes[i]) for i in row.smooth_results]
    function = function_of(case.graph())

    def scalar(*moved: Any) -> Any:
        operands = list(arrays)
        for i, array in zip(at, moved, strict=True):
            operands[i] = array
        results = function(*(o for o in operands if o is not None))
        picked = (results[i] for i in row.smooth_results)
        return sum(jnp.vdot(w, r) for w, r in zip(weights, picked, strict=True))

    def along(point: Any, direction: Any) -> tuple[Any, Any, Any]:
        def moved(step: float) -> Any:
            pairs = zip(point, direction, strict=True)
            return scalar(*(p + step * d for p, d in pairs))

        numeric = (moved(STEP) - moved(-STEP)) / (2 * STEP)
        forward = numeric
        if row.forward_mode:
            _, forward = jax.jvp(scalar, tuple(point), tuple(direction))
        gradient = jax.grad(scalar, argnums=tuple(range(len(point))))(*point)
        reverse = sum(jnp.vdot(g, d) for g, d in zip(gradient, direction, strict=True))
        return numeric, forward, reverse

    return along, (point, direction)


@functools.cache
def slopes_of(kind: str) -> dict[str, tuple[Any, ...]]:
    """The slopes of every case of a row, from one compiled function."""
    row = next(row for row in ROWS if row.kind == kind)
    cases = [case for case in row.cases if case.differentiable]
    with jax.enable_x64(True):
        found = together([slopes(row, case) for case in cases], "float64")
    return dict(zip((case.id for case in cases), found, strict=True))


@pytest.mark.parametrize(("row", "case"), DIFFERENTIABLE)
def test_gradient_is_numeric(row: Row, case: Case) -> None:
    numeric, forward, reverse = map(float, slopes_of(row.kind)[case.id])
    np.testing.assert_allclose(forward, numeric, rtol=1e-6, atol=1e-7)
    exact = {"rtol": 1e-10, "atol": 1e-12}
    near = {"rtol": 1e-6, "atol": 1e-7}
    np.testing.assert_allclose(reverse, forward, **exact if row.forward_mode else near)
    assert numeric != 0
