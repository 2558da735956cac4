"""What a layer remembers of its calls: for the user to ask, never for capture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphjit.capture.tensor import Call, Tensor
from graphjit.errors import CaptureError

__all__ = ["CallRecord", "layer_name"]


class CallRecord:
    """The calls of a layer, oldest first, and questions about them."""

    name: str | None
    _calls: list[Call]

    @property
    def calls(self) -> tuple[Call, ...]:
        """The layer's calls so far, oldest first."""
        return tuple(self._calls)

    @property
    def input(self) -> Any:
        """What the layer's only call was applied to."""
        return _one_or_list(_called_on(self._only_call("input")))

    @property
    def output(self) -> Any:
        """What the layer's only call returned."""
        return _one_or_list(self._only_call("output").outputs)

    def _only_call(self, what: str) -> Call:
        if len(self._calls) != 1:
            times = (
                f"called {len(self._calls)} times" if self._calls else "never called"
            )
            raise CaptureError(
                f"{layer_name(self)}: it was {times}, so it has no one {what}",
                hint=f"use get_{what}_at(index)" if self._calls else "call it first",
            )
        return self._calls[0]

    def get_input_at(self, index: int) -> Any:
        """What call `index` was applied to."""
        return _one_or_list(_called_on(self._call_at(index)))

    def get_output_at(self, index: int) -> Any:
        """What call `index` returned."""
        return _one_or_list(self._call_at(index).outputs)

    def _call_at(self, index: int) -> Call:
        if not 0 <= index < len(self._calls):
            count = len(self._calls)
            message = f"expected a call from 0 to {count - 1}, received {index}"
            raise CaptureError(f"{layer_name(self)}: {message}")
        return self._calls[index]

    @property
    def input_shape(self) -> Any:
        """The shape of the input, the same at every call; None for free dims."""
        return self._same_shape("input", self.get_input_shape_at)

    @property
    def output_shape(self) -> Any:
        """The shape of the output, the same at every call; None for free dims."""
        return self._same_shape("output", self.get_output_shape_at)

    def get_input_shape_at(self, index: int) -> Any:
        """The shape of what call `index` was applied to."""
        return _one_or_list([t.shape for t in _called_on(self._call_at(index))])

    def get_output_shape_at(self, index: int) -> Any:
        """The shape of what call `index` returned."""
        return _one_or_list([t.shape for t in self._call_at(index).outputs])

    def _same_shape(self, what: str, shape_at: Callable[[int], Any]) -> Any:
        shapes = [shape_at(index) for index in range(len(self._calls))]
        if not shapes:
            self._only_call(f"{what} shape")
        if any(shape != shapes[0] for shape in shapes):
            raise CaptureError(
                f"{layer_name(self)}: its calls have different {what} shapes: {shapes}",
                hint=f"use get_{what}_shape_at(index)",
            )
        return shapes[0]


def layer_name(layer: object) -> str:
    """How messages name a layer: its class, and its name where it has one."""
    title = type(layer).__name__
    name = getattr(layer, "name", None)
    return f"{title} {name!r}" if name else title


def _one_or_list(items: Sequence[Any]) -> Any:
    return items[0] if len(items) == 1 else list(items)


def _called_on(call: Call) -> Sequence[Tensor]:
    return call.inputs[: call.given.count]
