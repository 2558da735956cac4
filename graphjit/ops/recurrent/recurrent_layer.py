"""What every recurrent layer has: states, masks, the order of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from graphjit.capture.arguments import arg, boolean
from graphjit.capture.cell import as_variable, wide_scope
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import Layer, layer_name
from graphjit.errors import CaptureError, DataError, ShapeError
from graphjit.initializers import Zeros
from graphjit.ir import Value
from graphjit.narrow import sequence_of
from graphjit.ops.recurrent.steps import Masked

__all__ = ["RecurrentLayer"]


class RecurrentLayer(Layer):
    """Base of the layers that carry states along axis 1 of their input.

    A masked step keeps the states, and its output is the output before it: the initial
    state at the beginning, or zeros with `unroll`. The mask goes on with
    `return_sequences` only, as it came: with `go_backwards` too, as in Keras.

    Args:
        return_sequences: Whether to return the output of every step, not the last's.
        return_state: Whether to return the last states too.
        go_backwards: Whether time runs from its end; the outputs stand in that order.
        stateful: Whether the last states of a batch are the first ones of the next;
            the batch size must be fixed.
        unroll: Whether the loop is written out; the number of steps must be known.
        zero_output_for_mask: Whether a masked step gives zeros. As in Keras, not with
            `unroll`.
    """

    casts_integers = True
    reads_sequences = True

    return_sequences: bool = arg(default=False, converter=boolean, kw_only=True)
    return_state: bool = arg(default=False, converter=boolean, kw_only=True)
    go_backwards: bool = arg(default=False, converter=boolean, kw_only=True)
    stateful: bool = arg(default=False, converter=boolean, kw_only=True)
    unroll: bool = arg(default=False, converter=boolean, kw_only=True)
    zero_output_for_mask: bool = arg(default=False, converter=boolean, kw_only=True)

    # --- what a subclass defines --------------------------------------------------

    #: The rank of the input; None for any from 3 on.
    rank: ClassVar[int | None] = 3

    def state_shapes(self, emitter: Emitter, x: Value) -> list[tuple[int, ...]]:
        """The shapes of the states, without the batch."""
        raise NotImplementedError

    def state_dtype(self) -> str | None:
        """The element type of the states; None for the layer's."""
        return None

    def run(
        self,
        emitter: Emitter,
        x: Value,
        start: Sequence[Value] | None,
        mask: Value | None,
        **more: Any,
    ) -> tuple[Value, Sequence[Value]]:
        """Emit the loop: outputs as `return_sequences` says, and the last states.

        Args:
            emitter: Of the call.
            x: The sequence.
            start: The first states; None for zeros.
            mask: Which steps hold data; None for all.
            more: What else the layer's calls are given.
        """
        raise NotImplementedError

    # --- the call -----------------------------------------------------------------

    def emit(
        self, emitter: Emitter, *inputs: Value, initial_state: Any = None
    ) -> Value | Sequence[Value]:
        return self.applied(emitter, inputs, initial_state)

    def applied(
        self,
        emitter: Emitter,
        inputs: Sequence[Value],
        initial_state: Any,
        **more: Any,
    ) -> Value | Sequence[Value]:
        """What `emit` does; `more` goes to `run`."""
        x, *states = inputs
        self.check_sequence(emitter, x)
        if states and initial_state is not None:
            raise CaptureError(f"{emitter.title}: the initial state is given twice")
        start = self._start(emitter, x, states or initial_state)
        mask = emitter.masks[0] if emitter.masks else None
        if mask is not None and emitter.type_of(mask).rank != 2:
            received = emitter.type_of(mask)
            message = f"expected a mask (n, t), received {received}"
            raise ShapeError(f"{emitter.title}: {message}")
        y, last = self.run(emitter, x, start, mask, **more)
        if self.stateful:
            for at, state in enumerate(last):
                emitter.update(f"state{at}", state)
        return [y, *last] if self.return_state else y

    def emit_masks(
        self,
        emitter: Emitter,
        inputs: Sequence[Value],
        masks: Sequence[Value | None],
        outputs: Sequence[Value],
    ) -> Sequence[Value | None]:
        first = masks[0] if masks and self.return_sequences else None
        return [first, *[None] * (len(outputs) - 1)]

    def check_sequence(self, emitter: Emitter, x: Value) -> None:
        """Refuse what is no sequence, or one that cannot be unrolled.

        Raises:
            ShapeError: The rank is another, or `unroll` wants a known length.
        """
        type_ = emitter.type_of(x)
        wanted = self.rank
        if type_.rank < 3 or (wanted is not None and type_.rank != wanted):
            count = f"{wanted}" if wanted is not None else ">= 3"
            message = f"expected an input of rank {count} (n, t, …)"
            hint = None
            if type_.rank == (wanted or 3) - 1:
                hint = "a recurrent layer before this one needs return_sequences=True"
            raise ShapeError(
                f"{emitter.title}: {message}, received rank {type_.rank}: {type_}",
                hint=hint,
            )
        if self.unroll and not isinstance(type_.shape[1], int):
            raise ShapeError(
                f"{emitter.title}: unroll=True needs a known number of steps, the "
                f"input is {type_}",
                hint="give it to Input (or input_length to the first layer)",
            )

    @property
    def masked(self) -> Masked:
        """What a masked step shows."""
        if self.unroll:
            return "previous"
        return "zeros" if self.zero_output_for_mask else "state"

    def _start(self, emitter: Emitter, x: Value, given: Any) -> list[Value] | None:
        """The first states: those given, those kept, or None for zeros."""
        shapes = self.state_shapes(emitter, x)
        dtype = self.state_dtype()
        kept: list[Value] | None = None
        if self.stateful:
            batch = self._fixed_batch(emitter, x)
            kept = [
                emitter.state(f"state{at}", (batch, *shape), Zeros(), dtype, True)
                for at, shape in enumerate(shapes)
            ]
        if given is None:
            return kept
        items: list[Any] = sequence_of(given) or [given]
        if len(items) != len(shapes) or not all(isinstance(v, Value) for v in items):
            received = [type(v).__name__ for v in items if not isinstance(v, Value)]
            what = ", ".join(received) if received else f"{len(items)}"
            message = f"expected {_tensors(len(shapes))}, received {what}"
            raise CaptureError(f"{emitter.title}: initial_state: {message}")
        for value, shape in zip(items, shapes, strict=True):
            found = emitter.type_of(value)
            if found.shape[1:] != shape:
                wanted = found.with_shape((emitter.type_of(x).shape[0], *shape))
                message = f"expected {wanted}, received {found}"
                raise ShapeError(f"{emitter.title}: initial_state: {message}")
        return items

    def _fixed_batch(self, emitter: Emitter, x: Value) -> int:
        type_ = emitter.type_of(x)
        batch = type_.shape[0]
        if isinstance(batch, int):
            return batch
        raise ShapeError(
            f"{emitter.title}: stateful=True needs a fixed batch size, the input is "
            f"{type_}",
            hint="give one: Input(batch_shape=(32, 10, 64)), or batch_input_shape to "
            "the first layer of a Sequential",
        )

    # --- the states kept between batches ------------------------------------------

    def reset_states(self, states: Any = None) -> None:
        """Put the states that are kept between batches back to zeros.

        Args:
            states: Arrays to put in their place: one, or a list.

        Raises:
            CaptureError: The layer is not stateful.
            DataError: The count or a shape differs; nothing is changed then.
        """
        title = layer_name(self)
        if not self.stateful:
            message = f"{title}: reset_states: expected stateful=True"
            raise CaptureError(message)
        cells = [cell for cell in self.own_cells.values() if cell.param.recurrent]
        if states is None:
            super().reset_states()
            return
        given: list[Any] = sequence_of(states) or [states]
        if len(given) != len(cells):
            message = f"expected {_arrays(len(cells))}, received {len(given)}"
            hint = None if cells else "call the layer first: then it has states"
            raise DataError(f"{title}: reset_states: {message}", hint=hint)
        with wide_scope([cell.param for cell in cells]):
            arrays = [
                as_variable(cell.param, array)
                for cell, array in zip(cells, given, strict=True)
            ]
        for cell, array in zip(cells, arrays, strict=True):
            cell.write(array)


def _tensors(count: int) -> str:
    return "1 tensor" if count == 1 else f"{count} tensors"


def _arrays(count: int) -> str:
    return "1 array" if count == 1 else f"{count} arrays"
