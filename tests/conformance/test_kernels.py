"""Every alternative lowering computes what the plain one does, and so do its gradients.

`PROBLEMS` has a strategy for every kernel; a kernel without one fails. The plain
lowering in float64 is the reference; the kernel runs in float64, float32 and bfloat16
and keeps within the tolerance that it states. `HYPOTHESIS_PROFILE=deep` tries more than
500 shapes for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from graphjit.builder import Builder
from graphjit.errors import ShapeError
from graphjit.ir import Graph
from graphjit.ops.base import OPS, Kernel, Op
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.types import TensorType, is_floating
from graphjit.verify import verify
from tests.conformance.case import Arg, function_of
from tests.conformance.kernel_problems import (
    conv1d,
    conv2d,
    conv3d,
    depthwise,
    grouped,
    local,
    pool,
    recurrent,
    transposed,
)
from tests.conformance.kernel_problems.problem import Problem, Problems
from tests.conformance.test_complete import load_every_op
from tests.profiles import examples, quick_compile

load_every_op()

PROBLEMS: Problems = {
    **transposed.PROBLEMS,
    **grouped.PROBLEMS,
    **local.PROBLEMS,
    **conv3d.PROBLEMS,
    **conv1d.PROBLEMS,
    **conv2d.PROBLEMS,
    **depthwise.PROBLEMS,
    **pool.PROBLEMS,
    **recurrent.PROBLEMS,
}

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


def results_and_slopes(
    graph: Graph, moving: Sequence[int], cotangents: Sequence[Any]
) -> Callable[..., Any]:
    """The results, and the gradients to the operands at `moving`."""
    function = function_of(graph)

    def run(arrays: Sequence[Any]) -> Any:
        def of_moving(*given: Any) -> Any:
            full = list(arrays)
            for at, array in zip(moving, given, strict=True):
                full[at] = array
            return function(*full)

        results, pull = jax.vjp(of_moving, *(arrays[at] for at in moving))
        slopes = [
            jnp.asarray(c, r.dtype)
            if jnp.issubdtype(r.dtype, jnp.floating)
            else np.zeros(r.shape, jax.dtypes.float0)
            for c, r in zip(cotangents, results, strict=True)
        ]
        return results, pull(type(results)(slopes))

    return run


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


@pytest.mark.parametrize(("kind", "kernel"), KERNELS)
def test_kernel_equals_the_plain_lowering(kind: str, kernel: Kernel) -> None:
    @examples(13)
    @given(PROBLEMS[kind, kernel.name], st.sampled_from(DTYPES), st.integers(0, 2**16))
    def holds(problem: Problem, dtype: str, seed: int) -> None:
        op, operands = problem
        wide, own = types_of(operands, "float64"), types_of(operands, dtype)
        try:
            plain = graph_with("", op, wide)
        except ShapeError:
            reject()  # not a single window fits
        assert kernel.can(op, own)
        check(plain, graph_with(kernel.name, op, own), operands, kernel, seed)

    def check(
        plain: Graph,
        special: Graph,
        operands: Sequence[Arg | None],
        kernel: Kernel,
        seed: int,
    ) -> None:
        rng = np.random.default_rng(seed)
        given = [arg for arg in operands if arg is not None]
        entries = list(zip(given, special.inputs, plain.inputs, strict=True))
        narrow = [arg.array(rng, entry.type.dtype) for arg, entry, _ in entries]
        exact = [
            array.astype(np.dtype(entry.type.dtype))
            for array, (_, _, entry) in zip(narrow, entries, strict=True)
        ]
        moving = [
            at
            for at, (arg, entry, _) in enumerate(entries)
            if arg.differentiable and is_floating(entry.type.dtype)
        ]
        types = [value_type(special, output.value) for output in special.outputs]
        slopes = [
            rng.normal(size=t.shape).astype(np.dtype(t.dtype))  # type: ignore[arg-type]
            for t in types
        ]
        with jax.enable_x64(True):
            found, wanted = (
                jax.tree.map(
                    np.asarray,
                    jax.jit(
                        results_and_slopes(graph, moving, slopes),
                        compiler_options=quick_compile(),
                    )(arrays),
                )
                for graph, arrays in ((special, narrow), (plain, exact))
            )
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
            assert a.shape == b.shape
            if not is_floating(str(a.dtype)):
                np.testing.assert_array_equal(a, b)
                continue
            scale = max(1.0, float(np.abs(b).max(initial=0.0)))
            error = float(np.abs(a.astype("float64") - b).max(initial=0.0))
            allowed = kernel.tolerance * float(ml_dtypes.finfo(a.dtype).eps)
            assert error <= allowed * scale, f"{a.dtype}: {error / scale:.3g}"

    holds()


def value_type(graph: Graph, value: Any) -> TensorType:
    return graph.types()[value]


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
