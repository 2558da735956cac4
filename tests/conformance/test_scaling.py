"""Traits that let norms fold compute what they say: `ScalesOutput`, `ChannelAffine`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from graphjit.builder import Builder
from graphjit.ir import Value
from graphjit.ops.base import ChannelAffine, Refusal, ScalesOutput
from graphjit.ops.einsum import EinsumOp
from graphjit.types import TensorType
from graphjit.verify import verify
from tests.conformance.case import Array, Case, close, function_of, present, run_op
from tests.conformance.table import ROWS


def with_trait(trait: type[Any]) -> list[Any]:
    return [
        pytest.param(case, id=case.id)
        for row in ROWS
        for case in row.cases
        if isinstance(case.op, trait)
    ]


def computed(
    arrays: list[Array | None], emit: Callable[[Builder, list[Any]], list[Value]]
) -> list[Array]:
    """What `emit` computes from the arrays, through a graph of its own."""
    builder = Builder("emitted")
    values = [
        None if a is None else builder.input(f"in{at}", TensorType(a.shape, "float64"))
        for at, a in enumerate(arrays)
    ]
    for at, value in enumerate(emit(builder, values)):
        builder.output(f"out{at}", value)
    with jax.enable_x64(True):
        results = function_of(verify(builder.build()))(*present(arrays))
        return [np.asarray(result) for result in results]


def vectors(length: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(5)
    return rng.normal(0.3, 1.0, length), rng.normal(0.5, 1.0, length)


@pytest.mark.parametrize("case", with_trait(ScalesOutput))
def test_scaled_output(case: Case) -> None:
    op, result = case.op, case.results[0]
    assert isinstance(op, ScalesOutput)
    scale, shift = vectors(result.shape[-1])
    refused: list[Refusal] = []

    def emit(builder: Builder, values: list[Any]) -> list[Value]:
        operands = op.scale_output(builder, values[:-2], *values[-2:])
        if isinstance(operands, Refusal):
            refused.append(operands)
            return []
        return [builder.node(case.op, operands)[0]]

    found = computed([*case.arrays(), scale, shift], emit)
    if refused:
        # Only an op that a kernel's axes do not decide may have no rule.
        assert isinstance(op, EinsumOp)
        assert refused[0].reason
        return
    close(found[0], result * scale + shift, 1e-12)


@pytest.mark.parametrize("case", with_trait(ScalesOutput))
def test_scaled_input(case: Case) -> None:
    op, arrays = case.op, case.arrays()
    assert isinstance(op, ScalesOutput)
    assert arrays[0] is not None
    scale, shift = vectors(arrays[0].shape[-1])
    refused: list[Refusal] = []

    def emit(builder: Builder, values: list[Any]) -> list[Value]:
        operands = op.scale_input(builder, values[:-2], *values[-2:])
        if isinstance(operands, Refusal):
            refused.append(operands)
            return []
        return [builder.node(case.op, operands)[0]]

    found = computed([*arrays, scale, shift], emit)
    if refused:
        assert refused[0].reason
        return
    close(found[0], run_op(case.op, [arrays[0] * scale + shift, *arrays[1:]])[0], 1e-12)


@pytest.mark.parametrize("case", with_trait(ChannelAffine))
def test_channel_affine(case: Case) -> None:
    op, arrays = case.op, case.arrays()
    assert isinstance(op, ChannelAffine)
    assert arrays[0] is not None

    def emit(builder: Builder, values: list[Any]) -> list[Value]:
        return list(op.scale_and_shift(builder, values))

    scale, shift = computed(arrays, emit)
    shape = [1] * arrays[0].ndim
    shape[op.axis] = -1
    wanted = arrays[0] * scale.reshape(shape) + shift.reshape(shape)
    close(case.results[0], wanted, 1e-11)


def test_some_rule_for_a_scaled_input_applies_and_some_refuses() -> None:
    answers = []
    for parameter in with_trait(ScalesOutput):
        (case,) = parameter.values
        builder = Builder()
        types = [*case.types("float64")]
        channels = TensorType((types[0].shape[-1],), "float64")
        values = [
            None if t is None else builder.input(f"in{at}", t)
            for at, t in enumerate([*types, channels, channels])
        ]
        answer = case.op.scale_input(builder, values[:-2], *values[-2:])
        answers.append(isinstance(answer, Refusal))
    assert set(answers) == {True, False}
