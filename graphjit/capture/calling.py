"""Calling a layer: its fragment is emitted, and the call goes into the layer's list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from graphjit.becoming import inference_form, training_form
from graphjit.builder import Builder
from graphjit.capture.call_arguments import Given, Slot, bind_call, filled
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import Layer, layer_name
from graphjit.capture.tensor import Call, Tensor, user_location
from graphjit.errors import CaptureError
from graphjit.ir import Graph, Value
from graphjit.narrow import sequence_of
from graphjit.ops.elementwise import Cast
from graphjit.ops.penalty import Penalty
from graphjit.types import TensorType, is_floating

__all__ = [
    "add_call",
    "call_layer",
    "detached_call",
    "emit_fragment",
    "fragment_of",
    "input_call",
    "input_tensor",
]


def call_layer(
    layer: Layer, inputs: Any, more: Sequence[Any] = (), **kwargs: Any
) -> Any:
    """Apply a layer to a tensor or a list of tensors."""
    given = bind_call(layer, layer_name(layer), inputs, more, kwargs)
    outputs = add_call(layer, given, fragment_of(layer, given))
    return outputs[0] if len(outputs) == 1 else outputs


def fragment_of(layer: Layer, given: Given) -> Graph:
    """What a call computes; with ``training=`` as in that mode, for ever."""
    asked = dict(given.arguments)
    training = asked.pop("training", None)
    fragment = layer.fragment(replace(given, arguments=asked))
    if training is None:
        return fragment
    if training:
        return training_form(fragment, layer_name(layer))
    return inference_form(fragment)


def add_call(layer: Layer, given: Given, fragment: Graph) -> list[Tensor]:
    """Append a call to the layer's list and return its outputs."""
    layer.put_given_weights()
    call = detached_call(layer, given, fragment, len(layer.calls))
    layer._calls.append(call)  # pyright: ignore[reportPrivateUsage]
    return list(call.outputs)


def detached_call(layer: Layer, given: Given, fragment: Graph, index: int = 0) -> Call:
    """A call that stands in no layer's list."""
    call = Call(layer, index, given, fragment, loc=user_location())
    types = fragment.types()
    for at, output in enumerate(fragment.outputs):
        mask_type = None if output.mask is None else types[output.mask]
        call.outputs.append(Tensor(types[output.value], call, at, mask_type))
    return call


def emit_fragment(layer: Layer, given: Given) -> Graph:
    """What a call of the layer computes, as a graph of its own."""
    emitter = Emitter(layer, layer_name(layer))
    builder = emitter.builder
    builder.loc = user_location()
    if layer.name is not None:
        builder.prefix = f"{layer.name}/"
    values, masks = _entries(builder, given.inputs)
    inputs = [_autocast(emitter, value) for value in values[: given.count]]
    arguments = dict(given.arguments)
    if "mask" in arguments:
        masks = _given_masks(emitter, arguments.pop("mask"), values, len(inputs))
    else:
        masks = masks[: given.count]
    emitter.masks = tuple(masks)

    def argument(index: int) -> Value:
        if emitter.type_of(values[index]).dtype == "bool":
            return values[index]  # a mask
        return _autocast(emitter, values[index])

    named = {
        name: filled(value, argument)
        for name, value in arguments.items()
        if not (isinstance(value, Slot) and value.index < given.count)
    }
    returned = _emitted(emitter, inputs, named)
    outputs = [returned] if isinstance(returned, Value) else list(returned)
    carried = layer.emit_masks(emitter, inputs, masks, outputs)
    regularizer = layer.activity_regularizer_or_none
    for index, (value, mask) in enumerate(zip(outputs, carried, strict=True)):
        builder.output(f"y{index}", value, mask)
        if regularizer is not None:
            builder.loss(f"activity{index}", emitter(Penalty(regularizer), value))
    return emitter.finish()


def _emitted(emitter: Emitter, inputs: Sequence[Value], named: dict[str, Any]) -> Any:
    try:
        return emitter.layer.emit(emitter, *inputs, **named)
    except ValueError as error:
        # How a layer takes its inputs apart is where Python says how many it wants.
        if not str(error).startswith(("too many values to", "not enough values to")):
            raise
        raise CaptureError(
            f"{emitter.title}: it cannot be called on {len(inputs)} tensors",
            hint="merge them first, with Concatenate or Add" if inputs[1:] else None,
        ) from None


def _entries(
    builder: Builder, tensors: Sequence[Tensor]
) -> tuple[list[Value], list[Value | None]]:
    """The fragment's inputs: a value, and a mask or none, for every tensor."""
    values: list[Value] = []
    masks: list[Value | None] = []
    for index, tensor in enumerate(tensors):
        values.append(builder.input(f"x{index}", tensor.type))
        source = tensor.call.layer.name
        if source is not None:
            builder.labels[values[-1]] = f"%{source}"
        mask = None
        if tensor.mask_type is not None:
            mask = builder.input(f"mask{index}", tensor.mask_type)
        masks.append(mask)
    return values, masks


def _given_masks(
    emitter: Emitter, argument: Any, values: Sequence[Value], count: int
) -> list[Value | None]:
    """The masks a call was given with `mask=`, one for every input."""
    items: list[Any] = list(sequence_of(argument) or [argument])
    if len(items) > count:
        raise CaptureError(
            f"{emitter.title}: mask: expected {count} masks, received {len(items)}"
        )
    items += [None] * (count - len(items))  # Keras's Attention has none for the key
    masks: list[Value | None] = []
    for item in items:
        mask = filled(item, values.__getitem__)
        if not (mask is None or isinstance(mask, Value)):
            received = type(mask).__name__
            message = f"mask: expected a tensor, received {received}"
            raise CaptureError(f"{emitter.title}: {message}")
        if mask is not None and emitter.type_of(mask).dtype != "bool":
            mask = emitter(Cast("bool"), mask)
        masks.append(mask)
    return masks


def _autocast(emitter: Emitter, value: Value) -> Value:
    """Floating inputs come in the layer's dtype, as Keras casts them."""
    dtype = emitter.type_of(value).dtype
    layer = emitter.layer
    if is_floating(dtype) and layer.casts_floats:
        return emitter.cast(value)
    if layer.casts_integers and not is_floating(dtype):
        return emitter.cast(value)
    return value


def input_tensor(layer: Layer, type_: TensorType) -> Tensor:
    """The one output of an input layer."""
    return add_call(layer, Given((), 0), _input_fragment(type_))[0]


def input_call(layer: Layer, type_: TensorType, mask: TensorType | None) -> Tensor:
    """An input that no layer's list knows, with a mask or none."""
    call = detached_call(layer, Given((), 0), _input_fragment(type_))
    tensor = replace(call.outputs[0], mask_type=mask)
    call.outputs[0] = tensor
    return tensor


def _input_fragment(type_: TensorType) -> Graph:
    builder = Builder("input")
    builder.output("y0", builder.input("x0", type_))
    return builder.build()
