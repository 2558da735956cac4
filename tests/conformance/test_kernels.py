"""Every alternative lowering equals the plain one, and so do its gradients.

`PROBLEMS` has a strategy for every kernel: an op and the shapes of its operands. A
kernel without one fails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from graphjit.builder import Builder
from graphjit.errors import ShapeError
from graphjit.ir import Graph
from graphjit.ops.base import OPS, Kernel, Op
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.types import TensorType
from graphjit.verify import verify
from tests.conformance.case import close, function_of
from tests.conformance.test_complete import load_every_op
from tests.profiles import examples, quick_compile

#: An op and its operands' shapes, None for one left out.
Problem = tuple[Op, list[tuple[int, ...] | None]]

load_every_op()


@st.composite
def depthwise(draw: st.DrawFn) -> Problem:
    """Odd sizes, h != w, strides or dilation, uneven pads, multipliers."""
    small = st.integers(1, 3)
    channels, multiplier = draw(st.integers(2, 5)), draw(small)
    taps = (draw(st.integers(1, 4)), draw(small))
    strides = draw(st.sampled_from([(1, 1), (2, 1), (2, 3), (3, 2)]))
    dilation = draw(st.sampled_from([(), (2, 1), (2, 3)])) if strides == (1, 1) else ()
    pad = st.tuples(st.integers(0, 3), st.integers(0, 3))
    padding = draw(st.sampled_from(["valid", "same"]) | st.tuples(pad, pad))
    height, width = draw(st.integers(4, 11)), draw(st.integers(4, 11))
    op = ConvOp(strides, padding, dilation, channels)
    filters = channels * multiplier
    bias = draw(st.sampled_from([None, (filters,)]))
    shapes = [(2, height, width, channels), (*taps, 1, filters)]
    return op, [*shapes, bias] if bias else list(shapes)


PROBLEMS: dict[tuple[str, str], st.SearchStrategy[Problem]] = {
    ("conv", "depthwise_shifted"): depthwise(),
}

KERNELS = [
    pytest.param(kind, kernel, id=f"{kind}-{kernel.name}")
    for kind, op in OPS.items()
    for kernel in op.kernels
]


def graph_with(kernel: str, op: Op, types: list[TensorType | None]) -> Graph:
    builder = Builder("kernel")
    values = [
        None if t is None else builder.input(f"in{at}", t) for at, t in enumerate(types)
    ]
    for at, value in enumerate(builder.node(op, values, kernel=kernel)):
        builder.output(f"out{at}", value)
    return verify(builder.build())


def values_and_slopes(graph: Graph, weights: list[Any]) -> Callable[..., Any]:
    function = function_of(graph)

    def scalar(arrays: Any) -> tuple[Any, Any]:
        results = function(*arrays)
        pairs = zip(results, weights, strict=True)
        return sum(jnp.vdot(w, r) for r, w in pairs), results

    return jax.value_and_grad(scalar, has_aux=True)


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
    @examples(12)
    @given(PROBLEMS[kind, kernel.name], st.integers(0, 2**16))
    def holds(problem: Problem, seed: int) -> None:
        op, shapes = problem
        types = [None if s is None else TensorType(s, "float64") for s in shapes]
        try:
            plain = graph_with("", op, types)
        except ShapeError:
            reject()  # not a single window fits
        assert kernel.applies(op, types)
        rng = np.random.default_rng(seed)
        arrays = [rng.normal(0.2, 1.0, s) for s in shapes if s is not None]
        weights = [rng.normal(size=t.shape) for t in plain.nodes[0].types]  # type: ignore[arg-type]

        def both(arrays: Any) -> Any:
            graphs = (plain, graph_with(kernel.name, op, types))
            return [values_and_slopes(graph, weights)(arrays) for graph in graphs]

        with jax.enable_x64(True):
            compiled = jax.jit(both, compiler_options=quick_compile())
            wanted, found = jax.tree.map(np.asarray, compiled(arrays))
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
            close(a, b, 1e-12)

    holds()


@pytest.mark.parametrize(("kind", "kernel"), KERNELS)
def test_kernel_says_what_it_was_measured_on(kind: str, kernel: Kernel) -> None:
    assert kernel.name.isidentifier()
    assert kernel.measured
    assert kernel.platforms


def test_depthwise_rule_wants_one_channel_per_group() -> None:
    kernel = ConvOp.kernels[0]
    x = TensorType((2, 9, 8, 6), "float32")

    def applies(op: ConvOp, *shape: int) -> bool:
        return kernel.applies(op, [x, TensorType(shape, "float32")])

    assert applies(ConvOp((1, 1), groups=6), 3, 3, 1, 6)
    assert applies(ConvOp((2, 2), groups=6), 3, 3, 1, 12)
    assert not applies(ConvOp((1, 1)), 3, 3, 6, 6)
    assert not applies(ConvOp((1, 1), groups=3), 3, 3, 2, 6)
    assert not applies(ConvOp((1, 1), groups=6), 12, 11, 1, 6)
