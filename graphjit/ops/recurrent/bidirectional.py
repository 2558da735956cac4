"""Bidirectional: a recurrent layer from both ends of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from graphjit.capture.arguments import Unfit, arg, boolean, optional
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer, sublayer
from graphjit.errors import CaptureError
from graphjit.ir import Value
from graphjit.narrow import sequence_of
from graphjit.ops.elementwise import Add, Average, Multiply
from graphjit.ops.recurrent.parts import called_part, copied
from graphjit.ops.recurrent.recurrent_layer import RecurrentLayer
from graphjit.ops.recurrent.rows import Reverse
from graphjit.ops.shape import Concatenate

__all__ = ["Bidirectional"]

_MODES: Final = ("sum", "mul", "concat", "ave")


def _recurrent(value: Any) -> RecurrentLayer:
    layer = sublayer(value)
    if not isinstance(layer, RecurrentLayer):
        raise Unfit("a recurrent layer, such as LSTM(32)")
    return layer


def _merge_mode(value: Any) -> str | None:
    if value is not None and value not in _MODES:
        names = ", ".join(map(repr, _MODES))
        raise Unfit(f"one of {names} or None")
    return value


class _Directions:
    """The layers that run."""

    forward_part: RecurrentLayer
    backward_part: RecurrentLayer


@LAYERS.register("Bidirectional")
class Bidirectional(Layer, _Directions):
    """A recurrent layer run forwards and backwards, the outputs merged.

    Both directions are copies of the layer given, with weights of their own, called
    ``forward_…`` and ``backward_…``. With `return_sequences` the backward outputs are
    turned round, so that both stand in the order of the input; a masked step then gives
    zeros, as in Keras 3 (`zeros_where_masked`).

    Shapes:
        x: (n, t, c)   mask: bool (n, t)   initial_state: the forward layer's states,
        then the backward layer's
        ->  (n, 2 * u) or (n, t, 2 * u) with "concat", two of (…, u) with None, else
        (…, u); and with return_state the states of both

    Args:
        layer: The layer; its `return_sequences`, `return_state`, … hold for both.
        merge_mode: "sum", "mul", "concat", "ave", or None for two outputs.
        backward_layer: For the way back in place of a copy of `layer`; its
            `go_backwards` must be the opposite.
        zeros_where_masked: Whether a masked step gives zeros where sequences are
            returned (tf.keras from 2.1, and Keras 3) or what came before it (earlier).

    >>> import graphjit as gj
    >>> from graphjit.ops.recurrent.lstm import LSTM
    >>> Bidirectional(LSTM(10, return_sequences=True))(gj.Input((5, 3))).shape
    (None, 5, 20)
    """

    casts_integers = True
    reads_sequences = True

    layer: RecurrentLayer = arg(converter=_recurrent)
    merge_mode: str | None = arg(default="concat", converter=_merge_mode)
    backward_layer: RecurrentLayer | None = arg(
        default=None, converter=optional(_recurrent), kw_only=True
    )
    zeros_where_masked: bool = arg(
        default=True, converter=boolean, kw_only=True, ours=True
    )

    def check(self) -> None:
        back = self.backward_layer
        if back is not None:
            self._check_pair(back)
        changes: dict[str, Any] = {}
        if self.zeros_where_masked:
            changes["zero_output_for_mask"] = self.layer.return_sequences
        name = _name(self.layer)
        forward = copied(self.layer, **changes, name=f"forward_{name}")
        if back is None:
            changes["go_backwards"] = not self.layer.go_backwards
            backward = copied(self.layer, **changes, name=f"backward_{name}")
        else:
            backward = copied(back, **changes, name=f"backward_{_name(back)}")
        object.__setattr__(self, "forward_part", forward)
        object.__setattr__(self, "backward_part", backward)

    def _check_pair(self, back: RecurrentLayer) -> None:
        if back.go_backwards == self.layer.go_backwards:
            wanted = f"go_backwards={not self.layer.go_backwards}"
            self.refuse("backward_layer", wanted, back.go_backwards)
        for name in ("stateful", "return_sequences", "return_state"):
            ours, theirs = getattr(self.layer, name), getattr(back, name)
            if ours != theirs:
                wanted = f"{name}={ours} as the layer has"
                self.refuse("backward_layer", wanted, theirs)

    def parts(self) -> Sequence[tuple[str, Layer]]:
        return [
            (part.name or "", part) for part in (self.forward_part, self.backward_part)
        ]

    @property
    def stateful(self) -> bool:
        """Whether states are kept between batches."""
        return self.layer.stateful

    def reset_states(self, states: Any = None) -> None:
        """Put the states of both directions back to zeros, or to those given."""
        if states is None:
            self.forward_part.reset_states()
            self.backward_part.reset_states()
            return
        given: list[Any] = sequence_of(states) or [states]
        half = len(given) // 2
        self.forward_part.reset_states(given[:half])
        self.backward_part.reset_states(given[half:])

    def emit(
        self, emitter: Emitter, *inputs: Value, initial_state: Any = None
    ) -> Value | Sequence[Value]:
        x, *states = inputs
        if states and initial_state is not None:
            raise CaptureError(f"{emitter.title}: the initial state is given twice")
        given = states or initial_state
        starts: list[Any] = [None, None]
        if given is not None:
            items: list[Any] = sequence_of(given) or [given]
            if len(items) % 2:
                message = "initial_state: expected as many tensors for each direction"
                raise CaptureError(f"{emitter.title}: {message}, received {len(items)}")
            half = len(items) // 2
            starts = [items[:half], items[half:]]
        masks = emitter.masks[:1]
        outputs: list[Value] = []
        last: list[Value] = []
        for (prefix, part), start in zip(self.parts(), starts, strict=True):
            named = {"initial_state": start}
            (y, *after), _ = called_part(emitter, part, prefix, [x], masks, named)
            outputs.append(y)
            last += after
        merged = self._merged(emitter, *outputs)
        return [*merged, *last] if last or len(merged) > 1 else merged[0]

    def _merged(self, emitter: Emitter, forward: Value, backward: Value) -> list[Value]:
        if self.layer.return_sequences:
            backward = emitter(Reverse(1), backward)
        if self.merge_mode is None:
            return [forward, backward]
        ops = {
            "sum": Add(),
            "mul": Multiply(),
            "ave": Average(),
            "concat": Concatenate(emitter.type_of(forward).rank - 1),
        }
        return [emitter(ops[self.merge_mode], forward, backward)]

    def emit_masks(
        self,
        emitter: Emitter,
        inputs: Sequence[Value],
        masks: Sequence[Value | None],
        outputs: Sequence[Value],
    ) -> Sequence[Value | None]:
        mask = masks[0] if masks and self.layer.return_sequences else None
        count = 2 if self.merge_mode is None else 1
        return [*[mask] * count, *[None] * (len(outputs) - count)]


def _name(layer: Layer) -> str:
    return layer.name or layer.default_name()
