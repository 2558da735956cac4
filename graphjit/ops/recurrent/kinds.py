"""What an op of each recurrent kind knows: its gates, its states, its step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from graphjit.errors import ShapeError
from graphjit.ops.base import Array, MixesRows, Op, result_types
from graphjit.ops.precision import KeepsPrecision
from graphjit.ops.recurrent import steps
from graphjit.ops.recurrent.steps import Step
from graphjit.types import TensorType, known_size, unify_dim

__all__ = ["GRUKind", "Kind", "LSTMKind", "SimpleRNNKind"]


@dataclass(frozen=True, slots=True)
class Kind(Op, MixesRows, KeepsPrecision):
    """Base of the recurrent ops.

    Attributes:
        activation: Of the candidate; None for the identity.
        drops: Whether `input_drop` and `recurrent_drop` may be given: scaled masks of
            dropout, which go in the inference graph unless the op is `always`.
    """

    gates: ClassVar[int]
    states: ClassVar[tuple[str, ...]] = ("h",)

    activation: Op | None = None
    drops: bool = False

    def step_of(self, recurrent: Array, bias: Array | None, drop: Array | None) -> Step:
        """One step, given what stays the same at every step."""
        raise NotImplementedError

    def bias_shape(self, units: int) -> tuple[int, ...]:
        return (self.gates * units,)

    def split_bias(self, bias: Array | None) -> tuple[Array | None, Array | None]:
        """The bias of the input's product, and that of the state's."""
        return bias, None

    def functions(self) -> Sequence[Op | None]:
        """The activation functions."""
        return (self.activation,)

    def masks_rows(self) -> bool:
        # A user's function may mix rows, and no function takes a row mask.
        return not any(isinstance(op, MixesRows) for op in self.functions())

    def check_weights(
        self,
        x: TensorType,
        kernel: TensorType,
        recurrent: TensorType,
        bias: TensorType | None,
    ) -> int:
        """The number of units, once everything fits.

        Raises:
            ShapeError: A weight does not fit, or the number of channels is not known.
        """
        if kernel.rank != 2 or recurrent.rank != 2:
            raise ShapeError(f"expected matrices, received {kernel} and {recurrent}")
        channels, columns = kernel.shape
        units = recurrent.shape[0]
        if not isinstance(units, int) or recurrent.shape[1] != self.gates * units:
            message = f"({units}, {self.gates} * {units})"
            raise ShapeError(f"expected a recurrent kernel {message}: {recurrent}")
        if columns != self.gates * units:
            wanted = f"{self.gates} * {units} columns"
            raise ShapeError(f"expected a kernel of {wanted}, received {kernel}")
        if x.shape[-1] != channels:
            found = "an unknown number" if x.shape[-1] is None else x.shape[-1]
            message = f"kernel wants {channels} input channels, x has {found}"
            raise ShapeError(message, notes={"x": f"channels = axis {x.rank - 1}"})
        if bias is not None and bias.shape != self.bias_shape(units):
            wanted = self.bias_shape(units)
            raise ShapeError(f"bias: expected shape {wanted}, received {bias.shape}")
        for weight in (kernel, recurrent):
            if weight.dtype != x.dtype:
                raise ShapeError(f"x is {x.dtype}, a kernel is {weight.dtype}")
        return units

    def check_states(
        self, x: TensorType, units: int, given: Sequence[TensorType | None]
    ) -> TensorType:
        """The type of a state, of which all or none are given.

        Raises:
            ShapeError: A state does not fit.
        """
        batch = x.shape[0]
        present = [state for state in given if state is not None]
        if present and len(present) != len(self.states):
            count = len(self.states)
            raise ShapeError(f"expected {count} states, received {len(present)}")
        for name, state in zip(self.states, present, strict=False):
            if state.rank != 2 or state.shape[1] != units or state.dtype != x.dtype:
                wanted = x.with_shape((batch, units))
                raise ShapeError(f"{name}: expected {wanted}, received {state}")
            batch = unify_dim(batch, state.shape[0])
        return self._activated(x.with_shape((batch, units)))

    def _activated(self, state: TensorType) -> TensorType:
        """`state`, which every function must leave as it is."""
        for op in self.functions():
            if op is None:
                continue
            (found,) = result_types(op, [state])
            if found.shape[1:] != state.shape[1:] or found.dtype != state.dtype:
                raise ShapeError(f"{op.kind} makes {found} of a state {state}")
        return state

    def check_drops(
        self,
        x: TensorType,
        units: int,
        input_drop: TensorType | None,
        recurrent_drop: TensorType | None,
    ) -> None:
        """Refuse masks of dropout that do not fit.

        Raises:
            ShapeError: One has another shape, or the op takes none.
        """
        for name, drop, channels in (
            ("input_drop", input_drop, x.shape[-1]),
            ("recurrent_drop", recurrent_drop, units),
        ):
            if drop is None:
                continue
            if not self.drops:
                raise ShapeError(f"{name} is given, but the op does not drop")
            if (
                drop.rank != 3
                or drop.shape[1] not in (1, self.gates)
                or drop.shape[2] != channels
                or drop.dtype != x.dtype
            ):
                wanted = f"{x.dtype}[…, 1 or {self.gates}, {channels}]"
                raise ShapeError(f"{name}: expected {wanted}, received {drop}")

    def step_flops(self, rows: int, kernel: TensorType, recurrent: TensorType) -> int:
        """Floating-point operations of `rows` steps of one row each."""
        sizes = (known_size(kernel.shape) or 0) + (known_size(recurrent.shape) or 0)
        return rows * 2 * sizes


def function_of(op: Op | None) -> Callable[[Array], Array]:
    """The function an activation op stands for."""
    return _same if op is None else op.lower


def _same(x: Array) -> Array:
    return x


@dataclass(frozen=True, slots=True)
class SimpleRNNKind(Kind):
    """h = activation(x W + b + h U)."""

    gates: ClassVar[int] = 1

    def step_of(self, recurrent: Array, bias: Array | None, drop: Array | None) -> Step:
        activate = function_of(self.activation)
        return steps.simple_rnn_step(activate, recurrent, bias, drop)


@dataclass(frozen=True, slots=True)
class GRUKind(Kind):
    """Gates z, r and the candidate; see `steps.gru_step`.

    Attributes:
        recurrent_activation: Of the gates.
        reset_after: Whether the reset gate acts after the product with U. The bias is
            then (2, 3 * u): the input's, and the state's.
    """

    gates: ClassVar[int] = 3

    recurrent_activation: Op | None = None
    reset_after: bool = True

    def bias_shape(self, units: int) -> tuple[int, ...]:
        return (2, 3 * units) if self.reset_after else (3 * units,)

    def split_bias(self, bias: Array | None) -> tuple[Array | None, Array | None]:
        if bias is None or not self.reset_after:
            return bias, None
        return bias[0], bias[1]

    def functions(self) -> Sequence[Op | None]:
        return (self.activation, self.recurrent_activation)

    def step_of(self, recurrent: Array, bias: Array | None, drop: Array | None) -> Step:
        return steps.gru_step(
            function_of(self.activation),
            function_of(self.recurrent_activation),
            recurrent,
            bias,
            drop,
            self.reset_after,
        )


@dataclass(frozen=True, slots=True)
class LSTMKind(Kind):
    """Gates i, f, c, o; see `steps.lstm_gates`.

    Attributes:
        recurrent_activation: Of the gates i, f and o.
    """

    gates: ClassVar[int] = 4
    states: ClassVar[tuple[str, ...]] = ("h", "c")

    recurrent_activation: Op | None = None

    def functions(self) -> Sequence[Op | None]:
        return (self.activation, self.recurrent_activation)

    def step_of(self, recurrent: Array, bias: Array | None, drop: Array | None) -> Step:
        return steps.lstm_step(
            function_of(self.activation),
            function_of(self.recurrent_activation),
            recurrent,
            bias,
            drop,
        )
