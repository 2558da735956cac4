"""Writing a `scan` from inside a layer: the body is emitted like anything else."""

from __future__ import annotations

from collections.abc import Sequence

from graphjit.builder import Builder
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import Layer, layer_name
from graphjit.errors import CaptureError
from graphjit.ir import Param, Value
from graphjit.ops.scan import Scan

__all__ = ["Loop", "LoopEmitter"]


class LoopEmitter(Emitter):
    """An emitter into the body of a loop.

    Params are declared outside and come in as constants; `outer` brings in any other
    value of the graph around the loop.
    """

    def __init__(self, layer: Layer, loop: Loop) -> None:
        super().__init__(layer, layer_name(layer))
        self._loop = loop
        self.builder = loop.builder

    def _for_part(self, part: Layer) -> Emitter:
        return LoopEmitter(part, self._loop)

    def outer(self, value: Value) -> Value:
        """A value of the surrounding graph, inside the body."""
        return self._loop.constant(value)

    def update(self, slot: str, value: Value) -> None:
        raise CaptureError(f"{self.title}: state {slot!r} cannot be updated in a loop")

    def loss(self, name: str, value: Value) -> None:
        raise CaptureError(f"{self.title}: loss {name!r} cannot be added in a loop")

    def _bind(self, param: Param) -> Value:
        return self._loop.constant(self._loop.emitter.builder.param(param))


class Loop:
    """A loop over an axis of some values, being written.

    Attributes:
        emitter: What writes the graph around the loop.
        body: What writes the body.
        carries: Inside the body, the values carried from step to step.
        slices: Inside the body, this step's slice of every sequence.
    """

    def __init__(
        self,
        emitter: Emitter,
        carries: Sequence[Value],
        sequences: Sequence[Value],
        axis: int = 1,
        reverse: bool = False,
    ) -> None:
        self.emitter = emitter
        self.builder = Builder("step")
        self._start = tuple(carries)
        self._sequences = tuple(sequences)
        self._axis = axis
        self._reverse = reverse
        self._constants: dict[Value, Value] = {}
        self.carries = [
            self.builder.input(f"carry{at}", emitter.type_of(value))
            for at, value in enumerate(carries)
        ]
        self.slices: list[Value] = []
        for at, value in enumerate(sequences):
            type_ = emitter.type_of(value)
            shape = type_.shape[:axis] + type_.shape[axis + 1 :]
            self.slices.append(self.builder.input(f"x{at}", type_.with_shape(shape)))
        self.body = LoopEmitter(emitter.layer, self)
        self.body._prefix = emitter._prefix  # pyright: ignore[reportPrivateUsage]
        self.body._declared = emitter._declared  # pyright: ignore[reportPrivateUsage]

    def constant(self, value: Value) -> Value:
        """A value of the surrounding graph, as an input of the body."""
        inner = self._constants.get(value)
        if inner is None:
            name = f"constant{len(self._constants)}"
            inner = self.builder.input(name, self.emitter.type_of(value))
            self._constants[value] = inner
        return inner

    def finish(
        self, carries: Sequence[Value], outputs: Sequence[Value] = ()
    ) -> tuple[list[Value], list[Value]]:
        """Close the body and add the loop.

        Args:
            carries: The body's new carried values.
            outputs: Values of the body that are stacked along the axis.

        Returns:
            The last carried values, and the stacked outputs.
        """
        for at, value in enumerate((*carries, *outputs)):
            self.builder.output(f"y{at}", value)
        body = self.builder.build()
        # Inputs added while the body was written stand last, as `Scan` wants them.
        op = Scan(
            body,
            carries=len(self._start),
            sequences=len(self._sequences),
            axis=self._axis,
            reverse=self._reverse,
        )
        results = self.emitter.node(
            op, *self._start, *self._sequences, *self._constants
        )
        count = len(self._start)
        return list(results[:count]), list(results[count:])
