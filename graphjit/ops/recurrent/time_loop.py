"""A step written as ops, run over time by a `scan`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from graphjit.capture.emitter import Emitter
from graphjit.capture.loop import Loop, LoopEmitter
from graphjit.errors import ShapeError
from graphjit.ir import Value
from graphjit.ops.recurrent.rows import FillRows, Reverse, SelectRows
from graphjit.ops.recurrent.steps import Masked
from graphjit.types import TensorType

__all__ = ["StepWriter", "TimeLoop", "zero_states"]

#: (body, this step's input, states) -> output, new states
StepWriter: TypeAlias = Callable[
    [LoopEmitter, Value, Sequence[Value]], tuple[Value, Sequence[Value]]
]


def zero_states(
    emitter: Emitter, rows: Value, shapes: Sequence[Sequence[int]], dtype: str
) -> list[Value]:
    """Zeros to begin with, as many rows as `rows` has."""
    return [emitter(FillRows(tuple(s), 0.0, dtype), rows) for s in shapes]


@dataclass(frozen=True, slots=True)
class TimeLoop:
    """A recurrent loop, ready to be written.

    Attributes:
        emitter: Of the graph around it.
        step: Writes one step.
        x: The sequence, (n, t, …).
        states: The first states, (n, …) each.
        mask: bool (n, t), or None.
        masked: What a masked step shows.
        backwards: Whether time runs from its end.
        return_sequences: Whether the outputs of all steps are wanted.
    """

    emitter: Emitter
    step: StepWriter
    x: Value
    states: Sequence[Value]
    mask: Value | None
    masked: Masked
    backwards: bool
    return_sequences: bool

    def write(self) -> tuple[Value, list[Value]]:
        """Add the loop; returns the outputs (or the last) and the last states."""
        loop = self._open(())
        output, new = self.step(loop.body, loop.slices[0], loop.carries)
        if output in new and (self.mask is None or self.masked == "state"):
            place = list(new).index(output)
            kept = self._kept(loop, new)
            outputs = [kept[place]] if self.return_sequences else []
            last, stacked = loop.finish(kept, outputs)
            return self._ordered(stacked[0]) if stacked else last[place], last
        if self.mask is None and self.return_sequences:
            last, stacked = loop.finish(new, [output])
            return self._ordered(stacked[0]), last
        return self._with_output(loop.body.type_of(output))

    def _with_output(self, type_: TensorType) -> tuple[Value, list[Value]]:
        """The loop with the output among what it carries, beginning with zeros."""
        shape = tuple(dim for dim in type_.shape[1:] if isinstance(dim, int))
        if len(shape) != type_.rank - 1:
            message = f"the output of a step must have known dims, it is {type_}"
            raise ShapeError(f"{self.emitter.title}: {message}")
        zeros = self.emitter(FillRows(shape, 0.0, type_.dtype), self.x)
        loop = self._open((zeros,))
        *states, shown = loop.carries
        output, new = self.step(loop.body, loop.slices[0], states)
        if self.mask is not None:
            other = loop.body.outer(zeros) if self.masked == "zeros" else shown
            output = loop.body(SelectRows(), output, other, loop.slices[1])
        kept = [*self._kept(loop, new), output]
        (*last, final), stacked = loop.finish(
            kept, [output] if self.return_sequences else []
        )
        return self._ordered(stacked[0]) if stacked else final, last

    def _open(self, more: Sequence[Value]) -> Loop:
        sequences = [self.x] if self.mask is None else [self.x, self.mask]
        carries = [*self.states, *more]
        return Loop(self.emitter, carries, sequences, reverse=self.backwards)

    def _kept(self, loop: Loop, new: Sequence[Value]) -> list[Value]:
        """The new states, or the old ones where the step is masked."""
        if self.mask is None:
            return list(new)
        return [
            loop.body(SelectRows(), value, before, loop.slices[1])
            for value, before in zip(new, loop.carries, strict=False)
        ]

    def _ordered(self, outputs: Value) -> Value:
        """The outputs in the order in which they were made."""
        return self.emitter(Reverse(1), outputs) if self.backwards else outputs
