"""Recurrent cells as nodes: one step through one op, for loops over any cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphjit.errors import ShapeError
from graphjit.layout import Layout
from graphjit.ops.base import (
    Array,
    Becomes,
    Elementwise,
    MixesRows,
    Op,
    Permuted,
    Result,
    added,
    register_op,
    with_fields,
)
from graphjit.ops.precision import KeepsPrecision
from graphjit.ops.recurrent.kinds import (
    GRUKind,
    Kind,
    LSTMKind,
    SimpleRNNKind,
    function_of,
)
from graphjit.ops.recurrent.steps import lstm_gates, project
from graphjit.types import TensorType, unify_shapes

__all__ = ["GRUCellOp", "LSTMCellOp", "LSTMGates", "SimpleRNNCellOp"]

_BEFORE = ("x", "kernel", "recurrent_kernel", "bias")
_BEHIND = ("input_drop", "recurrent_drop")


class _OneStep(Kind):
    """One step of a recurrent kind.

    Shapes:
        x: (n, c)   kernel: (c, gates * u)   recurrent_kernel: (u, gates * u)
        bias: (gates * u,)   states: (n, u) each   input_drop: (n, 1 or gates, c)
        recurrent_drop: (n, 1 or gates, u)  ->  states: (n, u) each
    """

    __slots__ = ()

    always: bool  # a field of every subclass

    def infer(
        self,
        x: TensorType,
        kernel: TensorType,
        recurrent_kernel: TensorType,
        bias: TensorType | None = None,
        *rest: TensorType | None,
    ) -> tuple[TensorType, ...]:
        if x.rank != 2:
            raise ShapeError(f"expected x of rank 2 (n, c), received {x}")
        states, input_drop, recurrent_drop = self._split(rest)
        if any(state is None for state in states):
            raise ShapeError(f"expected the states {', '.join(self.states)}")
        units = self.check_weights(x, kernel, recurrent_kernel, bias)
        state = self.check_states(x, units, states)
        self.check_drops(x, units, input_drop, recurrent_drop)
        return tuple(state for _ in self.states)

    def lower(
        self,
        x: Array,
        kernel: Array,
        recurrent_kernel: Array,
        bias: Array | None = None,
        *rest: Array | None,
    ) -> tuple[Array, ...]:
        states, input_drop, recurrent_drop = self._split(rest)
        input_bias, state_bias = self.split_bias(bias)
        step = self.step_of(recurrent_kernel, state_bias, recurrent_drop)
        z = project(x, kernel, input_bias, input_drop, self.gates)
        return step(z, tuple(states))

    def _split(self, rest: Sequence[Any]) -> tuple[list[Any], Any, Any]:
        """States, and the two drops; None for those left out."""
        count = len(self.states)
        padded = [*rest, *[None] * (count + 2 - len(rest))]
        input_drop, recurrent_drop = padded[count:]
        return padded[:count], input_drop, recurrent_drop

    def to_inference(self) -> Becomes | None:
        if not self.drops or self.always:
            return None
        kept = len(_BEFORE) + len(self.states)
        results = tuple(Result(index) for index in range(len(self.states)))
        return Becomes(with_fields(self, drops=False), tuple(range(kept)), results)

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        x, kernel, recurrent = operands[:3]
        if x is None or kernel is None or recurrent is None:
            return 0
        rows = x.shape[0] if isinstance(x.shape[0], int) else 1
        return self.step_flops(rows, kernel, recurrent)


@register_op("simple_rnn_cell", roles=(*_BEFORE, "h", *_BEHIND))
class SimpleRNNCellOp(SimpleRNNKind, _OneStep):
    """One step of the simple recurrent layer; operands as `_OneStep` has them."""

    always: bool = added(default=False)


@register_op("gru_cell", roles=(*_BEFORE, "h", *_BEHIND))
class GRUCellOp(GRUKind, _OneStep):
    """One step of the gated recurrent unit; operands as `_OneStep` has them."""

    always: bool = added(default=False)


@register_op("lstm_cell", roles=(*_BEFORE, "h", "c", *_BEHIND))
class LSTMCellOp(LSTMKind, _OneStep):
    """One step of long short-term memory; operands as `_OneStep` has them."""

    always: bool = added(default=False)


@register_op("lstm_gates", roles=("z", "c"))
class LSTMGates(Op, MixesRows, KeepsPrecision):
    """What an LSTM does once its products are made; they may be convolutions.

    Shapes:
        z: (n, …, 4 * u), the gates i f c o   c: (n, …, u)  ->  h, c: (n, …, u)
    """

    activation: Op | None = None
    recurrent_activation: Op | None = None

    def infer(self, z: TensorType, c: TensorType) -> tuple[TensorType, TensorType]:
        units = c.shape[-1] if c.shape else None
        if (
            not isinstance(units, int)
            or z.shape[-1:] != (4 * units,)
            or z.dtype != c.dtype
        ):
            raise ShapeError(f"expected gates 4 times as wide as {c}, received {z}")
        shape = (*unify_shapes(z.shape[:-1], c.shape[:-1]), units)
        return c.with_shape(shape), c.with_shape(shape)

    def lower(self, z: Array, c: Array) -> tuple[Array, ...]:
        functions = (self.activation, self.recurrent_activation)
        activate, gate = map(function_of, functions)
        return lstm_gates(activate, gate, z, c)

    def masks_rows(self) -> bool:
        functions = (self.activation, self.recurrent_activation)
        return not any(isinstance(op, MixesRows) for op in functions)

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        last = len(layout.perm) - 1
        if layout.inner or layout.perm[last] != last or not self._elementwise():
            return None
        return Permuted(self, (layout, layout), (layout, layout))

    def _elementwise(self) -> bool:
        functions = (self.activation, self.recurrent_activation)
        return all(op is None or isinstance(op, Elementwise) for op in functions)
