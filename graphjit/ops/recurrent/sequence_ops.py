"""Recurrent layers as nodes: a whole sequence through one op."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import jax.numpy as jnp

from graphjit.errors import ShapeError
from graphjit.ops.base import (
    Array,
    Becomes,
    Kernel,
    Result,
    added,
    register_op,
    with_fields,
)
from graphjit.ops.recurrent.kinds import GRUKind, Kind, LSTMKind, SimpleRNNKind
from graphjit.ops.recurrent.saved_gates_kernel import (
    GRU_SAVED_GATES,
    LSTM_SAVED_GATES,
    SIMPLE_SAVED_STATES,
)
from graphjit.ops.recurrent.steps import Masked, States, project, run_steps
from graphjit.ops.wide_sums import loop_constants
from graphjit.types import TensorType, known_size, unify_dim

__all__ = ["GRUOp", "LSTMOp", "SimpleRNNOp"]

_BEFORE = ("x", "kernel", "recurrent_kernel", "bias")
_BEHIND = ("mask", "input_drop", "recurrent_drop")


class _OverTime(Kind):
    """A recurrent kind run over a sequence.

    The product of x with its kernel is made once, for all steps.

    Shapes:
        x: (n, t, c)   kernel: (c, gates * u)   recurrent_kernel: (u, gates * u)
        bias: (gates * u,)   states: (n, u) each, zeros where left out
        mask: bool (n, t)   input_drop: (n, 1 or gates, c)
        recurrent_drop: (n, 1 or gates, u)
        ->  outputs: (n, t, u) with return_sequences, else (n, u);  states: (n, u) each
    """

    __slots__ = ()

    # Fields of every subclass (a dataclass with slots can inherit from one only).
    return_sequences: bool
    backwards: bool
    unroll: bool
    masked: Masked
    always: bool

    def infer(
        self,
        x: TensorType,
        kernel: TensorType,
        recurrent_kernel: TensorType,
        bias: TensorType | None = None,
        *rest: TensorType | None,
    ) -> tuple[TensorType, ...]:
        if x.rank != 3:
            raise ShapeError(f"expected x of rank 3 (n, t, c), received {x}")
        states, mask, input_drop, recurrent_drop = self._split(rest)
        units = self.check_weights(x, kernel, recurrent_kernel, bias)
        state = self.check_states(x, units, states)
        self.check_drops(x, units, input_drop, recurrent_drop)
        batch, length = state.shape[0], x.shape[1]
        if mask is not None:
            if mask.rank != 2 or mask.dtype != "bool":
                raise ShapeError(f"mask: expected bool (n, t), received {mask}")
            length = unify_dim(length, mask.shape[1])
        if self.unroll and not isinstance(length, int):
            raise ShapeError("an unknown number of steps cannot be unrolled")
        shape = (batch, length, units) if self.return_sequences else (batch, units)
        return (state.with_shape(shape), *(state for _ in self.states))

    def lower(
        self,
        x: Array,
        kernel: Array,
        recurrent_kernel: Array,
        bias: Array | None = None,
        *rest: Array | None,
    ) -> tuple[Array, ...]:
        states, mask, input_drop, recurrent_drop = self._split(rest)
        input_bias, state_bias = self.split_bias(bias)
        units = recurrent_kernel.shape[0]
        start = [
            jnp.zeros((x.shape[0], units), x.dtype) if state is None else state
            for state in states
        ]
        constants = loop_constants((recurrent_kernel, state_bias, recurrent_drop))

        def step(z: Array, states: States) -> States:
            recurrent, *others = constants()
            assert recurrent is not None
            return self.step_of(recurrent, *others)(z, states)

        outputs, last = run_steps(
            step,
            project(x, kernel, input_bias, input_drop, self.gates),
            tuple(start),
            mask,
            masked=self.masked,
            return_sequences=self.return_sequences,
            backwards=self.backwards,
            unroll=self.unroll,
        )
        return (outputs, *last)

    def _split(self, rest: Sequence[Any]) -> tuple[list[Any], Any, Any, Any]:
        """States, mask, and the two drops; None for those left out."""
        count = len(self.states)
        padded = [*rest, *[None] * (count + 3 - len(rest))]
        mask, input_drop, recurrent_drop = padded[count:]
        return padded[:count], mask, input_drop, recurrent_drop

    def to_inference(self) -> Becomes | None:
        if not self.drops or self.always:
            return None
        kept = len(_BEFORE) + len(self.states) + 1
        results = tuple(Result(index) for index in range(1 + len(self.states)))
        return Becomes(with_fields(self, drops=False), tuple(range(kept)), results)

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        x, kernel, recurrent = operands[:3]
        if x is None or kernel is None or recurrent is None:
            return 0
        known = [dim if isinstance(dim, int) else 1 for dim in x.shape[:2]]
        return self.step_flops(known_size(known) or 1, kernel, recurrent)


@register_op("simple_rnn", roles=(*_BEFORE, "h", *_BEHIND))
class SimpleRNNOp(SimpleRNNKind, _OverTime):
    """The simple recurrent layer over a sequence; operands as `_OverTime` has them."""

    kernels: ClassVar[tuple[Kernel, ...]] = (SIMPLE_SAVED_STATES,)

    return_sequences: bool = False
    backwards: bool = False
    unroll: bool = False
    masked: Masked = "state"
    always: bool = added(default=False)


@register_op("gru", roles=(*_BEFORE, "h", *_BEHIND))
class GRUOp(GRUKind, _OverTime):
    """The gated recurrent unit over a sequence; operands as `_OverTime` has them."""

    kernels: ClassVar[tuple[Kernel, ...]] = (GRU_SAVED_GATES,)

    return_sequences: bool = False
    backwards: bool = False
    unroll: bool = False
    masked: Masked = "state"
    always: bool = added(default=False)


@register_op("lstm", roles=(*_BEFORE, "h", "c", *_BEHIND))
class LSTMOp(LSTMKind, _OverTime):
    """Long short-term memory over a sequence; operands as `_OverTime` has them."""

    kernels: ClassVar[tuple[Kernel, ...]] = (LSTM_SAVED_GATES,)

    return_sequences: bool = False
    backwards: bool = False
    unroll: bool = False
    masked: Masked = "state"
    always: bool = added(default=False)
