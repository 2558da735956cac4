"""Kernels that pack their weights ahead give what they give otherwise."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import event, given, reject
from hypothesis import strategies as st

from graphjit.errors import ShapeError
from graphjit.ops.base import OPS, Kernel, Op, result_types
from tests.conformance.kernel_problems.every import PROBLEMS
from tests.conformance.kernel_problems.problem import Problem
from tests.conformance.test_complete import load_every_op
from tests.profiles import UNOPTIMIZED, examples

load_every_op()

PACKED = [
    pytest.param(kind, kernel, id=f"{kind}-{kernel.name}")
    for kind, op in OPS.items()
    for kernel in op.kernels
    if kernel.packed is not None
]


def applied(op: Op, name: str) -> Any:
    """The op's lowering by a kernel, or the plain one, in one program."""
    if not name:
        return jax.jit(op.lower, compiler_options=UNOPTIMIZED)
    kernel = next(k for k in op.kernels if k.name == name)
    return jax.jit(partial(kernel.lower, op), compiler_options=UNOPTIMIZED)


@pytest.mark.parametrize(("kind", "kernel"), PACKED)
def test_weights_packed_ahead(kind: str, kernel: Kernel) -> None:
    assert kernel.packed is not None
    packed = kernel.packed

    @examples(6)
    @given(PROBLEMS[kind, kernel.name], st.integers(0, 2**16))
    def holds(problem: Problem, seed: int) -> None:
        op, operands = problem
        types = [None if arg is None else arg.type("float32") for arg in operands]
        try:
            wanted_types = result_types(op, types)
        except ShapeError:
            reject()  # not a single window fits
        form = packed(op, types)
        event("packed" if form else "as it lies")
        if form is None:
            return
        shapes = [types[0], types[1], *types[2:]]
        for at in form.weights:
            (shapes[1],) = result_types(at, [shapes[1]])
        assert result_types(form.op, shapes) == wanted_types
        if form.kernel:
            chosen = next(k for k in form.op.kernels if k.name == form.kernel)
            assert chosen.can(form.op, shapes)
            assert chosen.packed is None or chosen.packed(form.op, shapes) is None
        rng = np.random.default_rng(seed)
        given = [None if arg is None else arg.array(rng, "float32") for arg in operands]
        wanted = applied(op, kernel.name)(*given)
        weights: Any = given[1]
        for at in form.weights:
            weights = at.lower(weights)
        found = applied(form.op, form.kernel)(given[0], weights, *given[2:])
        scale = max(1.0, float(np.abs(wanted).max(initial=0)))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * scale)

    holds()
