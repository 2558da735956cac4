"""Merge and merge: several tensors, layers or models made into one.

Every mode is a native layer. Given layers or models to merge, `Merge` is the model
from their inputs to the merged output, so that a `Sequential` may begin with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from graphjit import layers as native
from graphjit.capture.arguments import Unfit
from graphjit.capture.input_layer import InputLayer
from graphjit.capture.layer import Layer, layer_name
from graphjit.capture.tensor import Tensor
from graphjit.errors import CaptureError, ShapeError, nearest
from graphjit.functions import register
from graphjit.keras1.spelling import Spelling, as_given, spelled
from graphjit.keras1.stand_in import StandIn
from graphjit.model import Model
from graphjit.narrow import sequence_of
from graphjit.sequential import Sequential
from graphjit.types import unify_shapes

__all__ = ["Merge", "merge"]

# --- the native layers ------------------------------------------------------------


class _OfEqualShapes(StandIn):
    """A mixin for layers called on tensors of one shape: nothing is broadcast."""

    __slots__ = ()

    def __call__(self, inputs: Any, *more: Any, **kwargs: Any) -> Any:
        layer = cast("Layer", self)
        tensors = [t for t in sequence_of(inputs) or [] if isinstance(t, Tensor)]
        for tensor in tensors[1:]:
            try:
                unify_shapes(tensors[0].type.shape, tensor.type.shape)
            except ShapeError:
                shapes = ", ".join(str(tensor.shape) for tensor in tensors)
                raise ShapeError(
                    f"{layer_name(layer)}: Merge wants tensors of one shape, received "
                    f"{shapes}",
                    hint="the native layers broadcast",
                ) from None
        return Layer.__call__(layer, inputs, *more, **kwargs)


def _called_merge(
    base: type[Layer], mixin: type[StandIn] = StandIn
) -> Callable[..., Layer]:
    """The native class, but unnamed layers of it are called "merge" as in Keras 1."""
    return type(base.__name__, (mixin, base), {"stem": "merge"})


_Add: Final = _called_merge(native.Add, _OfEqualShapes)
_Multiply: Final = _called_merge(native.Multiply, _OfEqualShapes)
_Average: Final = _called_merge(native.Average, _OfEqualShapes)
_Maximum: Final = _called_merge(native.Maximum, _OfEqualShapes)
_Concatenate: Final = _called_merge(native.Concatenate)
_Dot: Final = _called_merge(native.Dot)
_Cosine: Final = _called_merge(native.Cosine, _OfEqualShapes)
_Lambda: Final = _called_merge(native.Lambda)


class _Branches(Model):
    """The model from the inputs of merged layers to what is made of them."""

    stem = "merge"

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None) -> None:
        Model.__init__(self, inputs, outputs, name)


_Branches.__name__ = Model.__name__

# --- modes ------------------------------------------------------------------------

#: From the arguments of `Merge`, and the layer's name, to the layer.
_Make = Callable[[Mapping[str, Any], str | None], Layer]

_MODES: Final[Mapping[str, _Make]] = {
    "sum": lambda given, name: _Add(name=name),
    "mul": lambda given, name: _Multiply(name=name),
    "concat": lambda given, name: _Concatenate(given["concat_axis"], name=name),
    "ave": lambda given, name: _Average(name=name),
    "cos": lambda given, name: _cosine(given["dot_axes"], name),
    "dot": lambda given, name: _Dot(given["dot_axes"], name=name),
    "max": lambda given, name: _Maximum(name=name),
}


def _mode(value: Any) -> Any:
    if callable(value) or (isinstance(value, str) and value in _MODES):
        return value
    names = ", ".join(repr(name) for name in _MODES)
    guess = nearest(value, _MODES) if isinstance(value, str) else None
    meant = f" (did you mean {guess!r}?)" if guess else ""
    raise Unfit(f"one of {names}, or a function{meant}")


def _cosine(axes: Any, name: str | None) -> Layer:
    """Of vectors: the one axis there is besides the batch."""
    items = sequence_of(axes) or [axes]
    if any(axis not in (-1, 1) for axis in items):
        raise CaptureError(
            f"Merge: dot_axes: expected -1 or 1 for mode 'cos', received {axes!r}"
        )
    return _Cosine(name=name)


@register("keras1>no_mask")
def _no_mask(inputs: Any, mask: Any) -> None:
    """The mask of a function's result where nobody says what it is."""
    del inputs, mask


def _mask_function(output_mask: Any) -> Callable[[Any, Any], Any]:
    """`output_mask`, a value or a function of masks, as `Lambda` takes it."""
    if output_mask is None:
        return _no_mask

    def mask_of(inputs: Any, mask: Any) -> Any:
        del inputs
        if all(each is None for each in mask):
            return None
        return output_mask(mask) if callable(output_mask) else output_mask

    return mask_of


def _layer(given: Mapping[str, Any], name: str | None) -> Layer:
    """The native layer of a mode."""
    mode = given["mode"]
    if isinstance(mode, str):
        return _MODES[mode](given, name)
    if isinstance(mode, Layer):
        return mode
    return _Lambda(
        mode,
        given["output_shape"],
        _mask_function(given["output_mask"]),
        given["arguments"],
        name=name,
    )


# --- what is merged ---------------------------------------------------------------


def _tensors(given: Mapping[str, Any]) -> list[Tensor]:
    """The tensor of every layer, model or tensor in `layers`."""
    items: list[Any] = sequence_of(given["layers"]) or []
    if len(items) < 2:
        raise CaptureError(
            "Merge: layers: expected a list of at least 2 tensors, layers or models, "
            f"received {given['layers']!r}"
        )
    indices: list[list[int]] = []
    for name in ("node_indices", "tensor_indices"):
        found: list[Any] = sequence_of(given[name]) or [0] * len(items)
        if len(found) != len(items):
            message = f"expected {len(items)} ints, received {given[name]!r}"
            raise CaptureError(f"Merge: {name}: {message}")
        indices.append(found)
    return [
        _tensor_of(item, node, tensor)
        for item, node, tensor in zip(items, *indices, strict=True)
    ]


def _tensor_of(item: Any, node: int, index: int) -> Tensor:
    if isinstance(item, Tensor):
        return item
    if not isinstance(item, Layer):
        raise CaptureError(
            "Merge: layers: expected tensors, layers or models, received "
            f"{type(item).__name__}"
        )
    if not isinstance(item, Model) and not item.calls and item.first_input.shape:
        item = Sequential([item])
    outputs: Sequence[Tensor]
    if isinstance(item, Model) and node == 0:
        outputs = item.outputs
    else:
        # A model's own outputs are its first ones, before those of its calls.
        call = node - isinstance(item, Model)
        if not item.calls:
            raise CaptureError(
                f"Merge: {layer_name(item)} was never called, so it has no output",
                hint="call it, or put it into a Sequential with an input_shape",
            )
        found = item.get_output_at(call)
        outputs = sequence_of(found) or [found]
    if not 0 <= index < len(outputs):
        raise CaptureError(
            f"Merge: tensor_indices: expected an index below {len(outputs)} for "
            f"{layer_name(item)}, received {index}"
        )
    return outputs[index]


def _starts(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The inputs that tensors are computed from, in the order of the tensors."""
    found: dict[Tensor, None] = {}
    seen: set[Tensor] = set()
    waiting = list(reversed(tensors))
    while waiting:
        tensor = waiting.pop()
        if tensor in seen:
            continue
        seen.add(tensor)
        if isinstance(tensor.call.layer, InputLayer):
            found[tensor] = None
        waiting += reversed(tensor.call.inputs)
    return list(found)


# --- the two names ----------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class _MergeSpelling(Spelling[Layer]):
    def __call__(self, *args: Any, **kwargs: Any) -> Layer:
        given, others = self._bind(args, kwargs)
        name = others.pop("name", None)
        if others:
            raise CaptureError(f"Merge: unknown argument {next(iter(others))!r}")
        if given["layers"] is None:
            return _layer(given, name)
        tensors = _tensors(given)
        merged = _layer(given, None)(tensors)
        return _Branches(_starts(tensors), merged, name)


class _AnyMerge(Layer):
    """Keras 2's names of the arguments, for hints."""

    renamed = {"concat_axis": "axis", "dot_axes": "axes"}


Merge = _MergeSpelling(
    "Merge",
    _AnyMerge,
    (
        spelled("layers", None, None),
        spelled("mode", None, "sum", _mode),
        spelled("concat_axis", None, -1),
        spelled("dot_axes", None, -1),
        spelled("output_shape", None, None, as_given),
        spelled("output_mask", None, None),
        spelled("arguments", None, None),
        spelled("node_indices", None, None),
        spelled("tensor_indices", None, None),
    ),
    doc="several tensors, layers or models made into one, as `mode` says.",
)


def merge(inputs: Any, *args: Any, **kwargs: Any) -> Any:
    """`Merge` applied to tensors: their merged tensor.

    Args:
        inputs: A list of tensors; of layers or models, for what `Merge` makes of them.
        args: As for `Merge`, from `mode` on.
        kwargs: As for `Merge`.

    >>> from graphjit.keras1 import Input
    >>> merge([Input((3,)), Input((2,))], mode="concat").shape
    (None, 5)
    """
    items: list[Any] = sequence_of(inputs) or []
    if len(items) < 2 or not all(isinstance(item, Tensor) for item in items):
        return Merge(inputs, *args, **kwargs)
    layer = Merge(None, *args, **kwargs)
    return cast("Callable[[Any], Any]", layer)(items)
