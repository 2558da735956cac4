"""Layers inside of layers: calling a part, and copying one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import Layer
from graphjit.capture.tracer import SubModel
from graphjit.ir import Value
from graphjit.narrow import sequence_of
from graphjit.ops.elementwise import Cast
from graphjit.ops.penalty import Penalty
from graphjit.types import is_floating

__all__ = ["called_part", "copied"]


def called_part(
    emitter: Emitter,
    part: Layer,
    prefix: str,
    inputs: Sequence[Value],
    masks: Sequence[Value | None],
    arguments: Mapping[str, Any] | None = None,
) -> tuple[list[Value], list[Value | None]]:
    """Emit a part as a call of it would be: cast, penalised, masked.

    Args:
        emitter: Of the layer around it.
        part: The layer, or a model.
        prefix: What its params are called after.
        inputs: What it is called on.
        masks: The masks of those.
        arguments: Other arguments of the call.

    Returns:
        The outputs, and their masks.
    """
    inner = emitter.inside(part, prefix, masks)
    if isinstance(part, SubModel):
        part.build_for(inner.type_of(inputs[0]).user_shape())
        entries = part.captured.graph.inputs
        given = [
            value
            if inner.type_of(value).dtype == entry.type.dtype
            else inner(Cast(entry.type.dtype), value)
            for entry, value in zip(entries, inputs, strict=True)
        ]
        outputs = inner.inline(part, *given)
        return outputs, [None] * len(outputs)
    cast = [_cast(inner, part, value) for value in inputs]
    result = part.emit(inner, *cast, **(arguments or {}))
    outputs = [result] if isinstance(result, Value) else list(result)
    regularizer = part.activity_regularizer_or_none
    if regularizer is not None:
        for at, value in enumerate(outputs):
            inner.loss(f"part_activity{at}", inner(Penalty(regularizer), value))
    return outputs, list(part.emit_masks(inner, cast, masks, outputs))


def _cast(inner: Emitter, part: Layer, value: Value) -> Value:
    if is_floating(inner.type_of(value).dtype) or part.casts_integers:
        return inner.cast(value)
    return value


def copied(layer: Layer, **changes: Any) -> Layer:
    """A layer of the same configuration with some arguments changed; fresh weights.

    Not by way of its config, which knows a user's functions by name alone.
    """
    values = {name: _copied_value(getattr(layer, name)) for name in layer.arguments}
    return type(layer)(**{**values, **changes})


def _copied_value(value: Any) -> Any:
    if isinstance(value, Layer):
        return copied(value)
    items = sequence_of(value)
    if items is not None and any(isinstance(item, Layer) for item in items):
        return [_copied_value(item) for item in items]
    return value
