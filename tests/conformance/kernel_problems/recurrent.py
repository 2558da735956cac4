"""Recurrent layers over sequences."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st

from graphjit.ops.base import Op
from graphjit.ops.elementwise import Sigmoid, Tanh
from graphjit.ops.recurrent.sequence_ops import GRUOp, LSTMOp, SimpleRNNOp
from tests.conformance.case import Arg, Array, x
from tests.conformance.kernel_problems.problem import Problem, Problems

MakeOp = Callable[[st.DrawFn, dict[str, Any]], Op]

#: Smooth ones: at a kink a number rounded to bfloat16 may lie on the other side.
ACTIVATIONS = st.sampled_from([Tanh(), Tanh(), None, Sigmoid()])
GATES = st.sampled_from([Sigmoid(), Sigmoid(), Tanh()])


def lstm(draw: st.DrawFn, settings: dict[str, Any]) -> Op:
    return LSTMOp(draw(ACTIVATIONS), recurrent_activation=draw(GATES), **settings)


def gru(draw: st.DrawFn, settings: dict[str, Any]) -> Op:
    functions = {"activation": draw(ACTIVATIONS), "recurrent_activation": draw(GATES)}
    return GRUOp(**functions, reset_after=draw(st.booleans()), **settings)


def simple(draw: st.DrawFn, settings: dict[str, Any]) -> Op:
    return SimpleRNNOp(draw(ACTIVATIONS), **settings)


class Small(Arg):
    """A weight that lets states stay of the size of 1: large ones double rounding
    errors at every step, the plain lowering's like any other's.
    """

    size = 0.4

    def array(self, rng: np.random.Generator, dtype: str) -> Array:
        drawn = super().array(rng, dtype)
        return (drawn * self.size).astype(drawn.dtype)


class Tiny(Small):
    """For a GRU with gates below 0: what it adds to a state is up to twice as large."""

    size = 0.1


def small(*shape: int, kind: type[Small] = Small) -> Arg:
    return kind(shape, weight=True)


@st.composite
def sequences(draw: st.DrawFn, make: MakeOp) -> Problem:
    """Every operand there or not, both directions, every way with a mask."""
    flag = st.booleans()
    rows, steps = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    channels, units = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    drops = draw(flag)
    settings = {
        "drops": drops,
        "return_sequences": draw(flag),
        "backwards": draw(flag),
        # Only the plain lowering knows it, and compiles for long then.
        "unroll": steps < 3 and draw(flag),
        "masked": draw(st.sampled_from(["state", "previous", "zeros"])),
    }
    op: Any = make(draw, settings)
    mask = Arg((rows, steps), "mask", dtype="bool", differentiable=False)
    state = x(rows, units) if draw(flag) else None
    doubles = isinstance(op, GRUOp) and isinstance(op.recurrent_activation, Tanh)
    weight = partial(small, kind=Tiny if doubles else Small)

    def drop(width: int) -> Arg | None:
        gates = draw(st.sampled_from([1, op.gates]))
        return x(rows, gates, width) if drops and draw(flag) else None

    return op, [
        x(rows, steps, channels),
        weight(channels, op.gates * units),
        weight(units, op.gates * units),
        weight(*op.bias_shape(units)) if draw(flag) else None,
        *(state for _ in op.states),
        mask if draw(flag) else None,
        drop(channels),
        drop(units),
    ]


PROBLEMS: Problems = {
    ("lstm", "saved_gates"): sequences(lstm),
    ("gru", "saved_gates"): sequences(gru),
    ("simple_rnn", "saved_states"): sequences(simple),
}
