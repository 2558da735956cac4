"""The calls of a model, from its outputs back to its inputs.

The order of layers is Keras's (by depth, then by first visit from the outputs), since
lists of weights are in that order.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphjit.capture.input_layer import InputLayer
from graphjit.capture.layer import Layer
from graphjit.capture.tensor import Call, Tensor
from graphjit.errors import CaptureError

__all__ = ["ordered_calls"]


def ordered_calls(
    inputs: Sequence[Tensor], outputs: Sequence[Tensor], name: str
) -> list[Call]:
    """Every call between inputs and outputs, in Keras's order of layers."""
    finished, visits = _visit(inputs, outputs, name)
    call_depth: dict[Call, int] = {}
    layer_depth: dict[Layer, int] = {}
    ends = {tensor.call for tensor in inputs}
    for call in reversed(finished):
        depth = max(call_depth.setdefault(call, 0), layer_depth.get(call.layer, 0))
        layer_depth[call.layer] = call_depth[call] = depth
        if call in ends:
            continue
        for tensor in call.inputs:
            before = call_depth.get(tensor.call, 0)
            call_depth[tensor.call] = max(depth + 1, before)
    for at, tensor in enumerate(inputs):
        if tensor.call not in call_depth:
            # An input that nothing reads: Keras gives it depth 0, before the rest.
            call_depth[tensor.call] = 0
            visits[tensor.call.layer] = at - len(inputs)
            finished.append(tensor.call)
    position = {call: at for at, call in enumerate(finished)}
    return sorted(
        finished,
        key=lambda call: (
            -call_depth[call],
            visits[call.layer],
            position[call],
        ),
    )


def _visit(
    inputs: Sequence[Tensor], outputs: Sequence[Tensor], name: str
) -> tuple[list[Call], dict[Layer, int]]:
    """Calls in depth-first post-order, and when each layer was first met."""
    ends = {tensor.call for tensor in inputs}
    given = set(inputs)
    finished: list[Call] = []
    done: set[Call] = set()
    open_: set[Call] = set()
    visits: dict[Layer, int] = {}
    for output in outputs:
        stack = [(output, False)]
        while stack:
            tensor, leaving = stack.pop()
            call = tensor.call
            if leaving:
                open_.discard(call)
                done.add(call)
                finished.append(call)
                continue
            if call in done or call in open_:
                continue
            visits.setdefault(call.layer, len(visits))
            open_.add(call)
            stack.append((tensor, True))
            if tensor in given or call in ends:
                continue
            if isinstance(call.layer, InputLayer):
                _disconnected(name, output, tensor, inputs)
            stack.extend((source, False) for source in reversed(call.inputs))
    return finished, visits


def _disconnected(
    name: str, output: Tensor, missing: Tensor, inputs: Sequence[Tensor]
) -> None:
    listed = ", ".join(repr(tensor) for tensor in inputs)
    raise CaptureError(
        f"model {name!r}: the graph is disconnected: output {output!r} depends on "
        f"{missing!r}, which is not among the inputs",
        details=[f"inputs: {listed}"],
        hint="add that Input to the model's inputs",
    )
