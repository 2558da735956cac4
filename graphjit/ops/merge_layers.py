"""Layers that join several tensors into one, and the functions of the same names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from graphjit.capture.arguments import Unfit, arg, boolean, integer
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.errors import CaptureError, ShapeError
from graphjit.ir import Value
from graphjit.narrow import sequence_of
from graphjit.ops import elementwise as ew
from graphjit.ops.base import Op
from graphjit.ops.merge_ops import BatchDot, FullMask
from graphjit.ops.norms import UnitNorm
from graphjit.ops.shape import Concatenate as ConcatenateOp
from graphjit.ops.shape import Reshape, Transpose
from graphjit.types import known_size

__all__ = [
    "Add",
    "Average",
    "Concatenate",
    "Dot",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
    "add",
    "average",
    "concatenate",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]

#: What Keras 3 takes for the least length when it scales to length 1.
_LEAST_LENGTH = 1e-7


class _Merge(Layer):
    """A layer called on a list of at least two tensors."""

    carries_mask = True
    #: How many tensors there must be; None for two or more.
    count: ClassVar[int | None] = None

    def given(self, emitter: Emitter, inputs: Sequence[Value]) -> list[Value]:
        """The inputs: of the right number, and of one element type."""
        wrong = len(inputs) < 2 if self.count is None else len(inputs) != self.count
        if wrong:
            number = "at least 2" if self.count is None else f"exactly {self.count}"
            message = f"expected a list of {number} tensors, received {len(inputs)}"
            raise CaptureError(f"{emitter.title}: {message}")
        if len({emitter.type_of(x).dtype for x in inputs}) > 1:
            return [emitter.cast(x) for x in inputs]
        return list(inputs)


class _Elementwise(_Merge):
    """A merge of matching elements: inputs broadcast, masks are ANDed."""

    op: ClassVar[Op]

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        given = self.given(emitter, inputs)
        return emitter(self.op, *_aligned(emitter, given, given))

    def emit_masks(
        self,
        emitter: Emitter,
        inputs: Sequence[Value],
        masks: Sequence[Value | None],
        outputs: Sequence[Value],
    ) -> Sequence[Value | None]:
        mask = _all_of(emitter, _aligned(emitter, inputs, masks))
        if mask is None:
            return [None]
        dims, full = emitter.type_of(mask).shape, emitter.type_of(outputs[0]).shape
        if any(d == 1 and f != 1 for d, f in zip(dims, full, strict=False)):
            # The input with the mask was broadcast; so is its mask.
            full_mask = emitter(FullMask(len(dims)), outputs[0])
            mask = emitter(ew.Multiply(), full_mask, mask)
        return [mask]


def _aligned(
    emitter: Emitter, inputs: Sequence[Value], values: Sequence[Value | None]
) -> list[Value]:
    """The values that exist, with the axes that their inputs lack behind the batch.

    Keras gives inputs of a lower rank axes of 1 there; a mask goes with its input.
    """
    ranks = [emitter.type_of(x).rank for x in inputs]
    aligned: list[Value] = []
    for value, rank in zip(values, ranks, strict=True):
        if value is not None:
            aligned.append(_with_axes(emitter, value, max(ranks) - rank))
    return aligned


def _with_axes(emitter: Emitter, x: Value, count: int) -> Value:
    """x with `count` axes of 1 behind the batch."""
    if count == 0:
        return x
    type_ = emitter.type_of(x)
    rest = tuple(dim for dim in type_.shape[1:] if isinstance(dim, int))
    if len(rest) == type_.rank - 1:
        return emitter(Reshape((1,) * count + rest), x)
    # Dims that are not known cannot be named in a shape.
    rank = type_.rank
    wide = emitter(Reshape((1,) * count, keep=rank), x)
    return emitter(Transpose((0, *range(rank, rank + count), *range(1, rank))), wide)


def _all_of(emitter: Emitter, masks: Sequence[Value]) -> Value | None:
    """Where all of the masks are true; None where there is none."""
    if not masks:
        return None
    return emitter(ew.Multiply(), *masks) if len(masks) > 1 else masks[0]


@LAYERS.register("Add")
class Add(_Elementwise):
    """The sum of the inputs.

    Shapes:
        x0, x1, …: broadcastable to (n, …)  ->  (n, …)
    """

    op = ew.Add()


@LAYERS.register("Subtract")
class Subtract(_Elementwise):
    """The first input less the second.

    Shapes:
        x, y: broadcastable to (n, …)  ->  (n, …)
    """

    op = ew.Subtract()
    count = 2


@LAYERS.register("Multiply")
class Multiply(_Elementwise):
    """The product of the inputs, element by element.

    Shapes:
        x0, x1, …: broadcastable to (n, …)  ->  (n, …)
    """

    op = ew.Multiply()


@LAYERS.register("Average")
class Average(_Elementwise):
    """The mean of the inputs, element by element.

    Shapes:
        x0, x1, …: broadcastable to (n, …)  ->  (n, …)
    """

    casts_integers = True

    op = ew.Average()


@LAYERS.register("Maximum")
class Maximum(_Elementwise):
    """The largest of the inputs, element by element.

    Shapes:
        x0, x1, …: broadcastable to (n, …)  ->  (n, …)
    """

    op = ew.Maximum()


@LAYERS.register("Minimum")
class Minimum(_Elementwise):
    """The smallest of the inputs, element by element.

    Shapes:
        x0, x1, …: broadcastable to (n, …)  ->  (n, …)
    """

    op = ew.Minimum()


@LAYERS.register("Concatenate")
class Concatenate(_Merge):
    """The inputs joined along an axis.

    Shapes:
        x0: (n, …, a0, …)   x1: (n, …, a1, …)  ->  (n, …, a0 + a1, …)

    Args:
        axis: The axis to join along, counted with the batch.
    """

    renamed = {"concat_axis": "axis"}

    axis: int = arg(default=-1, converter=integer)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        given = self.given(emitter, inputs)
        return emitter(ConcatenateOp(emitter.axis(given[0], self.axis)), *given)

    def emit_masks(
        self,
        emitter: Emitter,
        inputs: Sequence[Value],
        masks: Sequence[Value | None],
        outputs: Sequence[Value],
    ) -> Sequence[Value | None]:
        """Masks joined as the inputs are; an input without one is all true.

        Off the masks' axes a position counts where it does in every input: this is
        Keras's rule, which spreads each mask over its input, joins, and asks for all
        along the last axis.
        """
        present = [mask for mask in masks if mask is not None]
        if not present:
            return [None]
        axis = emitter.axis(inputs[0], self.axis)
        rank = emitter.type_of(present[0]).rank
        if axis >= rank:
            return [_all_of(emitter, present)]
        full = [
            emitter(FullMask(rank), x) if mask is None else mask
            for x, mask in zip(inputs, masks, strict=True)
        ]
        return [emitter(ConcatenateOp(axis), *full)]


def _axes(value: Any) -> int | tuple[int, int]:
    """An int, or one for each input."""
    items = sequence_of(value)
    try:
        if items is None:
            return integer(value)
        first, second = (integer(item) for item in items)
    except (Unfit, ValueError):
        raise Unfit("an int, or two") from None
    return first, second


@LAYERS.register("Dot")
class Dot(_Merge):
    """The dot product of two inputs along an axis of each, sample by sample.

    Shapes:
        x: (n, …, d, …)   y: (n, …, d, …)
        ->  (n, the other dims of x, the other dims of y); (n, 1) for two vectors.

    Args:
        axes: The axis to sum over, or one for each input, counted with the batch.
        normalize: Whether each input is first scaled to length 1 along its axis; the
            result is then the cosine of the angle.
    """

    casts_integers = True
    count = 2
    renamed = {"dot_axes": "axes"}

    axes: int | tuple[int, int] = arg(converter=_axes)
    normalize: bool = arg(default=False, converter=boolean)

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        x, y = self.given(emitter, inputs)
        at, on = self._axes(emitter, x, y)
        if self.normalize:
            x = emitter(UnitNorm((at,), _LEAST_LENGTH), x)
            y = emitter(UnitNorm((on,), _LEAST_LENGTH), y)
        product = emitter(BatchDot(at, on), x, y)
        if emitter.type_of(product).rank == 1:
            product = emitter(Reshape((1,), keep=1), product)
        return product

    def _axes(self, emitter: Emitter, x: Value, y: Value) -> tuple[int, int]:
        """The axes counted from the front, of equal dims."""
        given = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        at, on = emitter.axis(x, given[0]), emitter.axis(y, given[1])
        if 0 in (at, on):
            self.refuse("axes", "axes other than the batch", self.axes)
        a, b = emitter.type_of(x).shape[at], emitter.type_of(y).shape[on]
        if known_size((a, b)) is not None and a != b:
            raise ShapeError(
                f"{emitter.title}: axis {at} of the first input has {a} elements, axis "
                f"{on} of the second has {b}; expected as many"
            )
        return at, on

    def emit_masks(
        self,
        emitter: Emitter,
        inputs: Sequence[Value],
        masks: Sequence[Value | None],
        outputs: Sequence[Value],
    ) -> Sequence[Value | None]:
        """No mask: a sum over an axis has no steps of its own."""
        return [None]


# --- functions --------------------------------------------------------------------


def add(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """The layer `Add`, made with `kwargs` and applied to a list of tensors."""
    return Add(**kwargs)(inputs)


def subtract(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """The layer `Subtract`, made with `kwargs` and applied to two tensors."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """The layer `Multiply`, made with `kwargs` and applied to a list of tensors."""
    return Multiply(**kwargs)(inputs)


def average(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """The layer `Average`, made with `kwargs` and applied to a list of tensors."""
    return Average(**kwargs)(inputs)


def maximum(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """The layer `Maximum`, made with `kwargs` and applied to a list of tensors."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """The layer `Minimum`, made with `kwargs` and applied to a list of tensors."""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: Sequence[Any], axis: int = -1, **kwargs: Any) -> Any:
    """The layer `Concatenate`, made with `kwargs` and applied to a list of tensors.

    >>> from graphjit.layers import Input
    >>> concatenate([Input((5, 3)), Input((2, 3))], axis=1).shape
    (None, 7, 3)
    """
    return Concatenate(axis, **kwargs)(inputs)


def dot(
    inputs: Sequence[Any],
    axes: int | Sequence[int],
    normalize: bool = False,
    **kwargs: Any,
) -> Any:
    """The layer `Dot`, made with `kwargs` and applied to two tensors.

    >>> from graphjit.layers import Input
    >>> dot([Input((5, 3)), Input((3, 4))], axes=(2, 1)).shape
    (None, 5, 4)
    """
    return Dot(axes, normalize, **kwargs)(inputs)
