"""Layers and cells with a kernel, a recurrent kernel and gates side by side in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from graphjit.activations import Activation
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import Layer
from graphjit.errors import CaptureError
from graphjit.ir import Value
from graphjit.ops import weights
from graphjit.ops.base import Op
from graphjit.ops.recurrent.dropouts import drops, scaled_mask
from graphjit.ops.recurrent.forget_bias import ForgetBias
from graphjit.ops.recurrent.kinds import Kind
from graphjit.ops.recurrent.recurrent_layer import RecurrentLayer
from graphjit.types import BATCH, TensorType

__all__ = ["Cell", "GatedCell", "GatedLayer", "Held"]

#: What a cell makes once for a whole sequence.
Held = tuple["Value | Held | None", ...]


class GatedLayer(RecurrentLayer):
    """A recurrent layer that is one node."""

    op: ClassVar[type[Kind]]

    def state_shapes(self, emitter: Emitter, x: Value) -> list[tuple[int, ...]]:
        settings: Any = self
        return [(settings.units,) for _ in self.op.states]

    def run(
        self,
        emitter: Emitter,
        x: Value,
        start: Sequence[Value] | None,
        mask: Value | None,
        **more: Any,
    ) -> tuple[Value, Sequence[Value]]:
        channels = emitter.known_dim(x, 2, "the last axis")
        time: dict[str, Any] = {
            "return_sequences": self.return_sequences,
            "backwards": self.go_backwards,
            "unroll": self.unroll,
            "masked": self.masked,
        }
        op = self.op(**_kind_fields(emitter, self), **time)
        made = _declared(emitter, self, op, channels)
        dropped = _dropped(emitter, self, op, x, channels)
        states = [None] * len(op.states) if start is None else start
        y, *last = emitter.node(op, x, *made, *states, mask, *dropped)
        return y, last


class Cell(Layer):
    """Base of the cells: one step of a recurrent layer, for `RNN`.

    A cell is called on a list, ``[x, *states]``, and returns ``[output, *states]``.
    """

    casts_integers = True

    @property
    def state_size(self) -> int | list[int]:
        """The size of its state, or of each of its states."""
        raise NotImplementedError

    @property
    def output_size(self) -> int:
        """The size of its output: that of the first state."""
        sizes = self.state_size
        return sizes if isinstance(sizes, int) else sizes[0]

    def hold(self, emitter: Emitter, rows: Value, channels: int) -> Held:
        """What stays the same at every step, such as the masks of dropout.

        Args:
            emitter: Of the graph around the loop.
            rows: Anything with the batch as its axis 0.
            channels: The size of the cell's input.
        """
        raise NotImplementedError

    def check_states(
        self, emitter: Emitter, states: Sequence[Value], count: int
    ) -> None:
        """Refuse a call with another number of states.

        Raises:
            CaptureError: There are fewer or more than `count`.
        """
        if len(states) != count:
            raise CaptureError(
                f"{emitter.title}: expected a list of an input and {count} states, "
                f"received {len(states)} states",
                hint="RNN(cell) runs a cell over a sequence",
            )


class GatedCell(Cell):
    """A cell that is one node."""

    op: ClassVar[type[Kind]]

    @property
    def state_size(self) -> int | list[int]:
        settings: Any = self
        count = len(self.op.states)
        return settings.units if count == 1 else [settings.units] * count

    def hold(self, emitter: Emitter, rows: Value, channels: int) -> Held:
        op = self.op(**_kind_fields(emitter, self))
        return _dropped(emitter, self, op, rows, channels)

    def emit(
        self, emitter: Emitter, *inputs: Value, held: Held | None = None
    ) -> Sequence[Value]:
        x, *states = inputs
        self.check_states(emitter, states, len(self.op.states))
        emitter.check_rank(x, 2)
        channels = emitter.known_dim(x, 1, "the last axis")
        op = self.op(**_kind_fields(emitter, self))
        made = _declared(emitter, self, op, channels)
        dropped: Any = self.hold(emitter, x, channels) if held is None else held
        new = emitter.node(op, x, *made, *states, *dropped)
        return [new[0], *new]


def _kind_fields(emitter: Emitter, layer: Layer) -> dict[str, Any]:
    """The fields of the layer's op that say what kind it is."""
    settings: Any = layer
    state = TensorType((BATCH, settings.units), emitter.dtype)
    rates = (settings.dropout, settings.recurrent_dropout)
    fields: dict[str, Any] = {
        "activation": _op_of(settings.activation, state),
        "drops": any(drops(rate) for rate in rates),
    }
    if "recurrent_activation" in layer.arguments:
        fields["recurrent_activation"] = _op_of(settings.recurrent_activation, state)
    if "reset_after" in layer.arguments:
        fields["reset_after"] = settings.reset_after
    return fields


def _op_of(activation: Activation, state: TensorType) -> Op | None:
    return activation.build(state)


def _declared(
    emitter: Emitter, layer: Layer, op: Kind, channels: int
) -> tuple[Value, Value, Value | None]:
    """Kernel, recurrent kernel and bias, as Keras 2 has them."""
    settings: Any = layer
    units: int = settings.units
    kernel = weights.kernel_of(emitter, layer, (channels, op.gates * units))
    recurrent = emitter.param(
        "recurrent_kernel",
        (units, op.gates * units),
        settings.recurrent_initializer,
        settings.recurrent_regularizer,
        settings.recurrent_constraint,
    )
    if not settings.use_bias:
        return kernel, recurrent, None
    first = settings.bias_initializer
    if "unit_forget_bias" in layer.arguments and settings.unit_forget_bias:
        first = ForgetBias(rest=first)
    bias = emitter.param(
        "bias",
        op.bias_shape(units),
        first,
        settings.bias_regularizer,
        settings.bias_constraint,
    )
    return kernel, recurrent, bias


def _dropped(
    emitter: Emitter, layer: Layer, op: Kind, rows: Value, channels: int
) -> tuple[Value | None, Value | None]:
    """The masks of dropout for the input and the state.

    One for each gate with implementation 0 and 1; one that all gates share with 2.
    """
    settings: Any = layer
    shared = "implementation" not in layer.arguments or settings.implementation == 2
    count = 1 if shared else op.gates
    seed: int | None = settings.seed
    return (
        scaled_mask(emitter, rows, (count, channels), settings.dropout, seed),
        scaled_mask(
            emitter, rows, (count, settings.units), settings.recurrent_dropout, seed
        ),
    )
