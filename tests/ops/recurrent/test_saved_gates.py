"""What random shapes do not tell of the recurrent kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from graphjit.ops.base import Kernel, Op
from graphjit.ops.elementwise import (
    Gelu,
    HardSigmoid,
    HardSigmoidRelu6,
    Relu,
    Sigmoid,
    Tanh,
)
from graphjit.ops.recurrent.sequence_ops import GRUOp, LSTMOp, SimpleRNNOp
from graphjit.types import TensorType

UNITS = 5


def kernel_of(op: Op) -> Kernel:
    (kernel,) = op.kernels
    return kernel


def operands_of(op: Any, rows: int, steps: int, dtype: str = "float64") -> list[Any]:
    rng = np.random.default_rng(3)
    shapes = [
        (rows, steps, 3),
        (3, op.gates * UNITS),
        (UNITS, op.gates * UNITS),
        op.bias_shape(UNITS),
    ]
    return [(rng.normal(size=shape) * 0.7).astype(dtype) for shape in shapes]


def slopes(lower: Any, operands: Sequence[Any]) -> Any:
    def total(*given: Any) -> Any:
        return sum(jnp.sum(jnp.sin(result)) for result in lower(*given))

    places = tuple(range(len(operands)))
    return jax.jit(jax.value_and_grad(total, places))(*operands)


def same(op: Op, operands: Sequence[Any]) -> None:
    with jax.enable_x64(True):
        found = slopes(lambda *given: kernel_of(op).lower(op, *given), operands)
        wanted = slopes(op.lower, operands)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("gate", [HardSigmoid(), HardSigmoidRelu6(), Sigmoid()])
@pytest.mark.parametrize("activation", [Relu(), None, Tanh()])
def test_functions_with_kinks(activation: Op | None, gate: Op) -> None:
    settings = {"recurrent_activation": gate, "return_sequences": True}
    for op in (
        LSTMOp(activation, **settings),
        GRUOp(activation, **settings),
        GRUOp(activation, reset_after=False, **settings),
    ):
        same(op, operands_of(op, 4, 6))


@pytest.mark.parametrize("activation", [Relu(), None, Tanh()])
def test_functions_with_kinks_without_gates(activation: Op | None) -> None:
    op = SimpleRNNOp(activation, return_sequences=True)
    same(op, operands_of(op, 4, 6))


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("masked", ["state", "previous", "zeros"])
def test_no_steps_at_all(masked: Any, sequences: bool) -> None:
    for op in (
        LSTMOp(Tanh(), masked=masked, return_sequences=sequences),
        GRUOp(Tanh(), masked=masked, return_sequences=sequences),
    ):
        operands = operands_of(op, 2, 0, "float32")
        padding = [None] * len(op.states)
        mask = np.ones((2, 0), bool)
        for more in ([], [*padding, mask]):
            found = kernel_of(op).lower(op, *operands, *more)
            wanted = op.lower(*operands, *more)
            for a, b in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(a, b)


def test_gates_far_from_zero_stay_within_their_range() -> None:
    op = LSTMOp(Tanh(), recurrent_activation=Sigmoid(), return_sequences=True)
    operands = operands_of(op, 2, 4, "float32")
    operands[0] = operands[0] * 1e4
    found = kernel_of(op).lower(op, *operands)
    for a, b in zip(found, op.lower(*operands), strict=True):
        assert bool(jnp.all(jnp.isfinite(a)))
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_inside_a_loop() -> None:
    op = GRUOp(Tanh(), recurrent_activation=Sigmoid(), return_sequences=True)
    x, *weights = operands_of(op, 2, 3)

    def twice(lower: Any) -> Any:
        def run(x: Any, *weights: Any) -> Any:
            def body(total: Any, rows: Any) -> Any:
                return total + jnp.sum(lower(rows, *weights)[0]), None

            return (jax.lax.scan(body, 0.0, jnp.stack([x, x * 2]))[0],)

        return run

    with jax.enable_x64(True):
        found = slopes(
            twice(lambda *given: kernel_of(op).lower(op, *given)), [x, *weights]
        )
        wanted = slopes(twice(op.lower), [x, *weights])
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


def types_of(units: int, masked: bool = False) -> list[TensorType | None]:
    shapes: list[tuple[Any, ...]] = [("batch", None, 3), (3, 4 * units)]
    types: list[TensorType | None] = [
        TensorType(shape, "float32") for shape in [*shapes, (units, 4 * units)]
    ]
    mask = TensorType(("batch", None), "bool") if masked else None
    return [*types, None, None, None, mask]


def test_only_functions_whose_slope_their_result_tells() -> None:
    types = types_of(32)
    assert kernel_of(LSTMOp(Tanh())).can(LSTMOp(Tanh()), types)
    for op in (
        LSTMOp(Gelu()),
        LSTMOp(Tanh(), recurrent_activation=Relu(max_value=6.0)),
    ):
        assert not kernel_of(op).can(op, types)


def test_where_it_is_chosen() -> None:
    op = LSTMOp(Tanh(), recurrent_activation=Sigmoid())
    hard = LSTMOp(Tanh(), recurrent_activation=HardSigmoid())
    kernel = kernel_of(op)

    def chosen(op: Op, types: Any, platform: str, training: bool) -> bool:
        return kernel.rule_for(op, types, platform, training) is not None

    assert chosen(op, types_of(32), "cpu", True)
    assert chosen(op, types_of(4, masked=True), "cpu", True)
    assert chosen(hard, types_of(32), "cpu", True)
    assert chosen(op, types_of(32), "cpu", False)
    assert not chosen(op, types_of(4), "cpu", False)
    assert not chosen(op, types_of(32, masked=True), "cpu", False)
    assert not chosen(hard, types_of(32), "cpu", False)
    assert not chosen(op, types_of(32), "gpu", True)
