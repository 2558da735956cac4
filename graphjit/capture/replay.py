"""Capturing a model again on other inputs: ones that have masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphjit.capture.calling import detached_call, fragment_of, input_call
from graphjit.capture.input_layer import InputLayer
from graphjit.capture.ordering import ordered_calls
from graphjit.capture.tensor import Call, Tensor
from graphjit.capture.tracer import Captured, SubModel, capture
from graphjit.ir import Graph

__all__ = ["masked_graph"]


def masked_graph(
    model: SubModel,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    given: Sequence[Tensor],
) -> Graph:
    """The graph of a model whose inputs have the types and masks of `given`.

    Every layer is asked again for what it computes, since only layers know what
    becomes of a mask. The calls made here stand in no layer's list.

    Raises:
        CaptureError: A layer on the way cannot carry the mask.
    """
    graph = model.captured.graph
    new: dict[Tensor, Tensor] = {}
    for entry, old, tensor in zip(graph.inputs, inputs, given, strict=True):
        layer = InputLayer(
            batch_shape=tensor.shape, dtype=tensor.dtype, name=entry.name
        )
        new[old] = input_call(layer, tensor.type, tensor.mask_type)
    ends = {tensor.call for tensor in inputs}
    for call in ordered_calls(inputs, outputs, graph.name):
        if call not in ends:
            again = _again(call, new)
            new.update(zip(call.outputs, again.outputs, strict=True))
    results = [new[tensor] for tensor in outputs]
    starts = [new[tensor] for tensor in inputs]
    found: Captured = capture(starts, results, graph.name, model.written_class)
    return found.graph


def _again(call: Call, new: dict[Tensor, Tensor]) -> Call:
    layer = call.layer
    given = replace(call.given, inputs=tuple(new[t] for t in call.inputs))
    return detached_call(layer, given, fragment_of(layer, given), call.index)
