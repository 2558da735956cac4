"""Every alternative lowering computes what the plain one does, and so do its gradients.

`PROBLEMS` has a strategy for every kernel; a kernel without one fails. The plain
lowering in float64 is the reference; the kernel runs in float64, float32 and bfloat16
and keeps within the tolerance that it states. `HYPOTHESIS_PROFILE=deep` tries more than
500 shapes for each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from graphjit.builder import Builder
from graphjit.errors import ShapeError
from graphjit.ir import Graph
from graphjit.ops.base import OPS, Kernel, Op, result_types
from graphjit.ops.conv import kernel_gradient
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.ops.conv.depth_conv import DEPTH_IN_CHANNELS
from graphjit.types import TensorType, is_floating
from graphjit.verify import verify
from tests.conformance.case import Arg, function_of, w, x
from tests.conformance.kernel_problems.every import PROBLEMS
from tests.conformance.kernel_problems.problem import Problem
from tests.conformance.test_complete import load_every_op
from tests.profiles import UNOPTIMIZED, examples

load_every_op()

KERNELS = [
    pytest.param(kind, kernel, id=f"{kind}-{kernel.name}")
    for kind, op in OPS.items()
    for kernel in op.kernels
]

DTYPES = ("float64", "float32", "bfloat16")


def graph_with(kernel: str, op: Op, types: Sequence[TensorType | None]) -> Graph:
    builder = Builder("kernel")
    values = [
        None if t is None else builder.input(f"in{at}", t) for at, t in enumerate(types)
    ]
    for at, value in enumerate(builder.node(op, values, kernel=kernel)):
        builder.output(f"out{at}", value)
    return verify(builder.build())


def compiled(
    graph: Graph, moving: Sequence[int], options: dict[str, Any]
) -> Callable[[Sequence[Any], Sequence[Any]], Any]:
    """The results, and the gradients to the operands at `moving`, as NumPy arrays."""
    function = function_of(graph)

    def run(arrays: Sequence[Any], slopes: Sequence[Any]) -> Any:
        def of_moving(*given: Any) -> Any:
            full = list(arrays)
            for at, array in zip(moving, given, strict=True):
                full[at] = array
            return function(*full)

        results, pull = jax.vjp(of_moving, *(arrays[at] for at in moving))
        return results, pull(type(results)(slopes))

    def in_64_bits(arrays: Sequence[Any], slopes: Sequence[Any]) -> Any:
        with jax.enable_x64(True):
            results = jax.jit(run, compiler_options=options)(arrays, slopes)
            return jax.tree.map(np.asarray, results)

    return in_64_bits


def cotangent(rng: np.random.Generator, of: TensorType) -> Any:
    """A gradient to a result of that type."""
    return rng.normal(size=of.shape).astype(np.dtype(of.dtype))  # type: ignore[arg-type]


def widened(arrays: Sequence[Any]) -> list[Any]:
    """Floats in float64; masks as they are."""
    return [a.astype("float64") if is_floating(a.dtype.name) else a for a in arrays]


def types_of(operands: Sequence[Arg | None], dtype: str) -> list[TensorType | None]:
    return [None if arg is None else arg.type(dtype) for arg in operands]


def test_every_kernel_has_a_strategy() -> None:
    missing = [
        (kind, kernel.name)
        for kind, op in OPS.items()
        for kernel in op.kernels
        if (kind, kernel.name) not in PROBLEMS
    ]
    assert not missing, f"no strategy in {__name__} for {missing}"


@pytest.fixture
def small_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few small images fill it: gradients scan over groups of them."""
    monkeypatch.setattr(kernel_gradient, "_CACHE_BYTES", 240_000)


def judge(problem: Problem, kernel: Kernel, dtype: str, seed: int) -> None:
    """The kernel keeps within its tolerance of the plain lowering in float64."""
    op, operands = problem
    wide, own = types_of(operands, "float64"), types_of(operands, dtype)
    plain, special = graph_with("", op, wide), graph_with(kernel.name, op, own)
    rng = np.random.default_rng(seed)
    given = [arg for arg in operands if arg is not None]
    narrow = [arg.array(rng, dtype) for arg in given]
    moving = [
        at
        for at, (arg, array) in enumerate(zip(given, narrow, strict=True))
        if arg.differentiable and is_floating(array.dtype.name)
    ]
    types = special.types()
    slopes = [cotangent(rng, types[output.value]) for output in special.outputs]
    found = compiled(special, moving, {})(narrow, slopes)
    # Nobody's program: as the reference it need not be a fast one.
    wanted = compiled(plain, moving, UNOPTIMIZED)(widened(narrow), widened(slopes))
    terms = sum(array.size for array in slopes)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert (a.shape, a.dtype) == (b.shape, narrow[0].dtype)
        # A gradient to a single element may come out as 0 by chance: its rounding error
        # is that of a sum of so many terms, which is of the size of their root.
        usual = math.sqrt(terms / max(b.size, 1))
        scale = max(1.0, usual, float(np.abs(b).max(initial=0.0)))
        error = float(np.abs(a.astype("float64") - b).max(initial=0.0))
        # In float64 the reference rounds as much as what is judged by it.
        sides = 2 if a.dtype == np.float64 else 1
        units = sides * kernel.tolerance
        if a.dtype.itemsize < 4:
            units = kernel.narrow_tolerance
        unit = scale * float(ml_dtypes.finfo(a.dtype).eps)
        assert error <= units * unit, f"{a.dtype}: {error / unit:.3g} units"


@pytest.mark.usefixtures("small_cache")
@pytest.mark.parametrize(("kind", "kernel"), KERNELS)
def test_kernel_equals_the_plain_lowering(kind: str, kernel: Kernel) -> None:
    @examples(13)
    @given(PROBLEMS[kind, kernel.name], st.sampled_from(DTYPES), st.integers(0, 2**16))
    def holds(problem: Problem, dtype: str, seed: int) -> None:
        op, operands = problem
        own = types_of(operands, dtype)
        try:
            result_types(op, own)
        except ShapeError:
            reject()  # not a single window fits
        assert kernel.can(op, own)
        judge(problem, kernel, dtype, seed)

    holds()


def test_a_gradient_to_one_element_that_cancels() -> None:
    # 420 slopes of the size of 1, which come to less than 1 together.
    op = ConvOp((1, 1, 1), ((0, 2), (0, 3), (3, 1)))
    operands: list[Arg | None] = [x(3, 2, 5, 2, 3), w(1, 2, 2, 3, 1), w(1)]
    judge((op, operands), DEPTH_IN_CHANNELS, "float32", seed=13)


@pytest.mark.parametrize(("kind", "kernel"), KERNELS)
def test_rules_say_what_they_were_measured_on(kind: str, kernel: Kernel) -> None:
    assert kernel.name.isidentifier()
    for rule in kernel.rules:
        assert rule.platform in ("cpu", "gpu", "tpu")
        assert any(letter.isdigit() for letter in rule.measured)


def test_depthwise_wants_one_channel_per_group() -> None:
    kernel = next(k for k in ConvOp.kernels if k.name == "depthwise_shifted")
    x = TensorType((2, 9, 8, 6), "float32")

    def can(op: ConvOp, *shape: int) -> bool:
        return kernel.can(op, [x, TensorType(shape, "float32")])

    assert can(ConvOp((1, 1), groups=6), 3, 3, 1, 6)
    assert can(ConvOp((2, 2), groups=6), 3, 3, 1, 12)
    assert not can(ConvOp((1, 1)), 3, 3, 6, 6)
    assert not can(ConvOp((1, 1), groups=3), 3, 3, 2, 6)
    assert can(ConvOp((1, 1), groups=6), 12, 11, 1, 6)
