"""TimeDistributed: a layer applied to every step of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphjit.capture.arguments import arg
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer, sublayer
from graphjit.errors import ShapeError
from graphjit.ir import Value
from graphjit.ops.recurrent.parts import called_part
from graphjit.ops.recurrent.rows import FillRows, FoldTime, UnfoldTime
from graphjit.ops.reduce import ReduceMax

__all__ = ["TimeDistributed"]


@LAYERS.register("TimeDistributed")
class TimeDistributed(Layer):
    """A layer, or a model, applied to every step alike.

    Steps are rows to the layer: time is folded into the batch and taken out of it
    again, so a norm's batch statistics are over all steps (as in Keras 1 and 2).

    A mask (n, t) goes by the layer and stays that of the output. A mask of higher rank
    is folded too, and the layer is given it; where the layer makes no mask of its own
    then, a step is valid if anything in it was.

    Shapes:
        x: (n, t, …)  ->  (n, t, …), the layer's shapes behind (n, t)

    Args:
        layer: The layer or model, for inputs without the axis of time.

    >>> import graphjit as gj
    >>> TimeDistributed(gj.layers.Dense(8))(gj.Input((10, 16))).shape
    (None, 10, 8)
    """

    reads_sequences = True

    layer: Layer = arg(converter=sublayer)

    def parts(self) -> Sequence[tuple[str, Layer]]:
        return [("", self.layer)]

    @property
    def stateful(self) -> bool:
        """Whether the layer keeps states between batches."""
        return bool(getattr(self.layer, "stateful", False))

    def reset_states(self, *states: Any) -> None:
        """Put the layer's states back to zeros, or to those given."""
        self.layer.reset_states(*states)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value | Sequence[Value]:
        for x in inputs:
            type_ = emitter.type_of(x)
            if type_.rank < 2:
                message = f"expected an input of rank >= 2 (n, t, …), received {type_}"
                raise ShapeError(f"{emitter.title}: {message}")
        folded = [emitter(FoldTime(), x) for x in inputs]
        masks = [*emitter.masks, *[None] * (len(inputs) - len(emitter.masks))]
        inner = [
            None if m is None or _is_plain(emitter, m) else emitter(FoldTime(), m)
            for m in masks
        ]
        outputs, found = called_part(emitter, self.layer, "", folded, inner)
        # Not the input itself, whose layout passes are to be free to choose.
        like = emitter(FillRows((), 0.0, "bool", keep=2), inputs[0])
        emitter.made_masks = [
            None if m is None else emitter(UnfoldTime(), m, like) for m in found
        ]
        apart = [emitter(UnfoldTime(), y, like) for y in outputs]
        return apart if len(apart) > 1 else apart[0]

    def emit_masks(
        self,
        emitter: Emitter,
        inputs: Sequence[Value],
        masks: Sequence[Value | None],
        outputs: Sequence[Value],
    ) -> Sequence[Value | None]:
        made = emitter.made_masks
        first = masks[0] if masks else None
        if first is not None and None in made and not _is_plain(emitter, first):
            axes = range(2, emitter.type_of(first).rank)
            first = emitter(ReduceMax(tuple(axes)), first)
        return [first if mask is None else mask for mask in made]


def _is_plain(emitter: Emitter, mask: Value) -> bool:
    """Whether a mask is one of steps: (n, t)."""
    return emitter.type_of(mask).rank == 2
