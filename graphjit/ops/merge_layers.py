"""Layers that join several tensors: Add, Multiply, Concatenate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from graphjit.capture.arguments import arg, integer
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer, layer_name
from graphjit.errors import CaptureError, ShapeError
from graphjit.ir import Value
from graphjit.ops import elementwise as ew
from graphjit.ops.base import Op
from graphjit.ops.shape import Concatenate as ConcatenateOp
from graphjit.ops.shape import Reshape
from graphjit.types import Shape

__all__ = ["Add", "Concatenate", "Multiply"]


class _Merge(Layer):
    """A layer called on a list of at least two tensors."""

    #: Elementwise merges broadcast and AND the masks.
    op: ClassVar[Op]

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        self.check_count(inputs)
        return emitter(self.op, *_aligned(emitter, inputs))

    def check_count(self, inputs: Sequence[Value]) -> None:
        if len(inputs) < 2:
            raise CaptureError(
                f"{layer_name(self)}: expected a list of at least 2 tensors, received "
                f"{len(inputs)}"
            )

    def emit_masks(
        self,
        emitter: Emitter,
        inputs: Sequence[Value],
        masks: Sequence[Value | None],
        outputs: Sequence[Value],
    ) -> Sequence[Value | None]:
        present = [mask for mask in masks if mask is not None]
        if not present:
            return [None]
        return [emitter(ew.Multiply(), *present) if len(present) > 1 else present[0]]


def _aligned(emitter: Emitter, inputs: Sequence[Value]) -> list[Value]:
    """Inputs of one rank: Keras puts missing axes behind the batch."""
    rank = max(emitter.type_of(x).rank for x in inputs)
    aligned: list[Value] = []
    for x in inputs:
        type_ = emitter.type_of(x)
        missing = rank - type_.rank
        if missing:
            rest: Shape = type_.shape[1:]
            known = tuple(dim for dim in rest if isinstance(dim, int))
            if len(known) != len(rest):
                message = f"inputs of ranks {type_.rank} and {rank} need known dims"
                raise ShapeError(f"{message}, received {type_}")
            x = emitter(Reshape((1,) * missing + known), x)
        aligned.append(x)
    return aligned


@LAYERS.register("Add")
class Add(_Merge):
    """The sum of the inputs.

    Shapes:
        x0, x1, …: broadcastable to (n, …)  ->  (n, …)
    """

    op = ew.Add()


@LAYERS.register("Multiply")
class Multiply(_Merge):
    """The product of the inputs, element by element.

    Shapes:
        x0, x1, …: broadcastable to (n, …)  ->  (n, …)
    """

    op = ew.Multiply()


@LAYERS.register("Concatenate")
class Concatenate(_Merge):
    """The inputs joined along an axis.

    Shapes:
        x0: (n, …, a0, …)   x1: (n, …, a1, …)  ->  (n, …, a0 + a1, …)

    Args:
        axis: The axis to join along, counted with the batch.
    """

    axis: int = arg(default=-1, converter=integer)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        self.check_count(inputs)
        axis = emitter.axis(inputs[0], self.axis)
        return emitter(ConcatenateOp(axis), *inputs)

    def emit_masks(
        self,
        emitter: Emitter,
        inputs: Sequence[Value],
        masks: Sequence[Value | None],
        outputs: Sequence[Value],
    ) -> Sequence[Value | None]:
        return Layer.emit_masks(self, emitter, inputs, masks, outputs)
