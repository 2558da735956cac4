"""Functions of tensors as ops of the IR, where there are such: passes know those."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from graphjit.capture.emitter import Emitter
from graphjit.ir import Value
from graphjit.narrow import sequence_of
from graphjit.ops import elementwise as ew
from graphjit.ops import reduce
from graphjit.ops.base import Op
from graphjit.ops.rescaling import Affine, flattened
from graphjit.ops.shape import Concatenate, Crop, Pad, Reshape, Transpose
from graphjit.ops.tensor_functions import MOST_PIECES, indices_of
from graphjit.types import DTYPE_BYTES, Dim, TensorType, is_floating, known_size

__all__ = ["native_form"]

Settings: TypeAlias = Mapping[str, Any]
#: None where no op says it; the function itself is called then.
Form: TypeAlias = "Value | Sequence[Value] | None"


def native_form(
    emitter: Emitter, function: str, operands: Sequence[Any], settings: Settings
) -> Form:
    """Emit a function as ops; None where there are none for it.

    Args:
        emitter: Of the layer.
        function: A name in `TENSOR_FUNCTIONS`.
        operands: Values, and numbers or nested lists of them.
        settings: Of the function.
    """
    if function == "cast":
        return _cast(emitter, operands, settings)
    if not all(_is_floating(emitter, x) for x in operands if isinstance(x, Value)):
        return None
    if function in _BINARY:
        return _binary(emitter, function, operands)
    if not all(isinstance(x, Value) for x in operands):
        return _power(emitter, operands) if function == "power" else None
    if function in _JOINS:
        return _joined(emitter, function, operands, settings)
    if len(operands) != 1:
        return None
    (x,) = operands
    if function in _UNARY and not settings:
        return emitter(_UNARY[function], x)
    form = _FORMS.get(function)
    return None if form is None else form(emitter, x, settings)


def _is_floating(emitter: Emitter, x: Value) -> bool:
    return is_floating(emitter.type_of(x).dtype)


def _axis_of(emitter: Emitter, x: Value, axis: Any) -> int | None:
    """An axis counted from the front; None where it is the batch, or no axis."""
    rank = emitter.type_of(x).rank
    if type(axis) is not int or not -rank <= axis < rank:
        return None
    return axis % rank or None


# --- elements -------------------------------------------------------------------

_UNARY: Final[Mapping[str, Op]] = {
    "elu": ew.Elu(),
    "exp": ew.Exponential(),
    "hard_sigmoid": ew.HardSigmoidRelu6(),
    "hard_silu": ew.HardSilu(),
    "negative": ew.Negate(),
    "relu": ew.Relu(),
    "relu6": ew.Relu(max_value=6.0),
    "selu": ew.Selu(),
    "sigmoid": ew.Sigmoid(),
    "silu": ew.Silu(),
    "softplus": ew.Softplus(),
    "softsign": ew.Softsign(),
    "tanh": ew.Tanh(),
}
_BINARY: Final[Mapping[str, Op | None]] = {
    "add": ew.Add(),
    "maximum": ew.Maximum(),
    "minimum": ew.Minimum(),
    "multiply": ew.Multiply(),
    "subtract": ew.Subtract(),
    "true_divide": None,
}


def _cast(emitter: Emitter, operands: Sequence[Any], settings: Settings) -> Form:
    dtype = settings.get("dtype")
    if dtype not in DTYPE_BYTES or not isinstance(operands[0], Value):
        return None
    return emitter(ew.Cast(str(dtype)), operands[0])


def _binary(emitter: Emitter, function: str, operands: Sequence[Any]) -> Form:
    if len(operands) != 2:
        return None
    x, y = operands
    if isinstance(x, Value) and isinstance(y, Value):
        same = emitter.type_of(x).dtype == emitter.type_of(y).dtype
        op = _BINARY[function]
        return emitter(op, x, y) if same and op is not None else None
    value, first = (y, False) if isinstance(y, Value) else (x, True)
    numbers = np.asarray(y if first else x)
    if not isinstance(value, Value) or numbers.dtype.kind not in "fiu":
        return None
    affine = _affine(function, numbers.astype(np.float64), first)
    rank = emitter.type_of(value).rank
    if affine is None or numbers.ndim > rank:
        return None
    scale, shift = (np.broadcast_to(item, numbers.shape) for item in affine)
    shape = (1,) * (rank - numbers.ndim) + numbers.shape
    whole = () if math.prod(shape) == 1 else shape
    return emitter(Affine(flattened(scale), flattened(shift), shape=whole), value)


def _affine(
    function: str, numbers: np.ndarray[Any, Any], first: bool
) -> tuple[Any, Any] | None:
    """Scale and shift that are the function of a tensor and numbers.

    `first` says that the tensor comes before the numbers.
    """
    if function == "add":
        return 1.0, numbers
    if function == "subtract":
        return (1.0, -numbers) if first else (-1.0, numbers)
    if function == "multiply":
        return numbers, 0.0
    if function == "true_divide" and first and np.all(numbers != 0):
        return 1.0 / numbers, 0.0
    return None


def _power(emitter: Emitter, operands: Sequence[Any]) -> Form:
    x, exponent = operands
    if isinstance(x, Value) and exponent in (1, 2):
        return x if exponent == 1 else emitter(ew.Multiply(), x, x)
    return None


def _square(emitter: Emitter, x: Value, settings: Settings) -> Form:
    del settings
    return emitter(ew.Multiply(), x, x)


def _identity(emitter: Emitter, x: Value, settings: Settings) -> Form:
    del emitter, settings
    return x


def _relu(emitter: Emitter, x: Value, settings: Settings) -> Form:
    slope = settings.get("negative_slope") or 0.0
    bound, threshold = settings.get("max_value"), settings.get("threshold") or 0.0
    if bound is not None and bound < 0:
        return None
    return emitter(ew.Relu(slope, bound, threshold), x)


def _leaky_relu(emitter: Emitter, x: Value, settings: Settings) -> Form:
    return emitter(ew.Relu(settings.get("negative_slope", 0.2)), x)


def _gelu(emitter: Emitter, x: Value, settings: Settings) -> Form:
    return emitter(ew.Gelu(bool(settings.get("approximate", True))), x)


# --- along axes -----------------------------------------------------------------


def _softmax(make: Callable[..., Op]) -> Callable[[Emitter, Value, Settings], Form]:
    def form(emitter: Emitter, x: Value, settings: Settings) -> Form:
        axis = _axis_of(emitter, x, settings.get("axis", -1))
        return None if axis is None else emitter(make(axis), x)

    return form


def _reduction(make: Callable[..., Op]) -> Callable[[Emitter, Value, Settings], Form]:
    def form(emitter: Emitter, x: Value, settings: Settings) -> Form:
        given = settings.get("axis")
        items = sequence_of(given)
        axes = [_axis_of(emitter, x, axis) for axis in items or [given]]
        known = sorted({axis for axis in axes if axis is not None})
        if len(known) != len(axes):
            return None
        return emitter(make(tuple(known), bool(settings.get("keepdims"))), x)

    return form


# --- shapes ---------------------------------------------------------------------


def _joined(
    emitter: Emitter, function: str, values: Sequence[Value], settings: Settings
) -> Form:
    types = [emitter.type_of(value) for value in values]
    if len({type_.dtype for type_ in types}) > 1:
        return None
    if function == "concatenate":
        axis = _axis_of(emitter, values[0], settings.get("axis", 0))
        return None if axis is None else emitter(Concatenate(axis), *values)
    rank = types[0].rank + 1
    axis = settings.get("axis", 0)
    if type(axis) is not int or not -rank <= axis < rank or axis % rank == 0:
        return None
    if len({type_.shape for type_ in types}) > 1:
        return None
    wide = [_with_shape(emitter, value, _with_one(axis % rank)) for value in values]
    if any(value is None for value in wide):
        return None
    return emitter(Concatenate(axis % rank), *wide)


_JOINS: Final = ("concatenate", "stack")


def _with_one(axis: int) -> Callable[[list[Dim]], list[Dim]]:
    return lambda dims: [*dims[:axis], 1, *dims[axis:]]


def _with_shape(
    emitter: Emitter, x: Value, change: Callable[[list[Dim]], list[Dim]]
) -> Value | None:
    """x with other dims of 1; None where too little is known to say it."""
    dims = change(list(emitter.type_of(x).shape))[1:]
    if sum(not isinstance(dim, int) for dim in dims) > 1:
        return None
    return emitter(Reshape(tuple(d if isinstance(d, int) else -1 for d in dims)), x)


def _expand_dims(emitter: Emitter, x: Value, settings: Settings) -> Form:
    rank = emitter.type_of(x).rank + 1
    axis = settings.get("axis")
    if type(axis) is not int or not -rank <= axis < rank or axis % rank == 0:
        return None
    return _with_shape(emitter, x, _with_one(axis % rank))


def _squeeze(emitter: Emitter, x: Value, settings: Settings) -> Form:
    type_ = emitter.type_of(x)
    given = settings.get("axis")
    items = sequence_of(given)
    axes = [_axis_of(emitter, x, axis) for axis in items or [given]]
    if any(axis is None or type_.shape[axis] != 1 for axis in axes):
        return None
    return _with_shape(
        emitter, x, lambda dims: [d for at, d in enumerate(dims) if at not in axes]
    )


def _reshape(emitter: Emitter, x: Value, settings: Settings) -> Form:
    """One that leaves rows alone: -1 for the batch, the size of a row behind it."""
    shape = sequence_of(settings.get("newshape")) or []
    size = known_size(emitter.type_of(x).shape[1:])
    if not shape or not all(type(dim) is int for dim in shape):
        return None
    rest = tuple(shape[1:])
    if shape[0] != -1 or size is None or math.prod(rest) != size or min(shape) < -1:
        return None
    return emitter(Reshape(rest), x)


def _transpose(emitter: Emitter, x: Value, settings: Settings) -> Form:
    rank = emitter.type_of(x).rank
    axes = sequence_of(settings.get("axes"))
    if axes is None or not all(type(axis) is int for axis in axes):
        return None
    perm = tuple(axis % rank for axis in axes)
    return emitter(Transpose(perm), x) if sorted(perm) == list(range(rank)) else None


def _pad(emitter: Emitter, x: Value, settings: Settings) -> Form:
    pads = [tuple(sequence_of(pair) or ()) for pair in settings.get("pad_width") or ()]
    value = settings.get("constant_values") or 0.0
    constant = str(settings.get("mode", "constant")).lower() == "constant"
    fits = len(pads) == emitter.type_of(x).rank and all(len(p) == 2 for p in pads)
    if not constant or not fits or pads[0] != (0, 0) or sequence_of(value) is not None:
        return None
    return emitter(Pad(tuple((int(a), int(b)) for a, b in pads), float(value)), x)


def _split(emitter: Emitter, x: Value, settings: Settings) -> Form:
    axis = _axis_of(emitter, x, settings.get("axis", 0))
    length = None if axis is None else emitter.type_of(x).shape[axis]
    given = settings.get("indices_or_sections")
    if axis is None or not isinstance(length, int):
        return None
    ends = sequence_of(given)
    if ends is None:
        if type(given) is not int or not 0 < given <= MOST_PIECES or length % given:
            return None
        ends = list(range(length // given, length, length // given))
    if not all(type(end) is int for end in ends):
        return None
    bounds = [0, *ends, length]
    if any(a >= b for a, b in itertools.pairwise(bounds)):
        return None
    return [
        _cut(emitter, x, axis, start, stop)
        for start, stop in itertools.pairwise(bounds)
    ]


def _cut(emitter: Emitter, x: Value, axis: int, start: int, stop: int) -> Value:
    type_ = emitter.type_of(x)
    length = type_.shape[axis]
    cuts = [(0, 0)] * type_.rank
    cuts[axis] = (start, (length if isinstance(length, int) else stop) - stop)
    return x if cuts[axis] == (0, 0) else emitter(Crop(tuple(cuts)), x)


def _get_item(emitter: Emitter, x: Value, settings: Settings) -> Form:
    """Whole rows of runs and single places, along axes of known lengths."""
    type_ = emitter.type_of(x)
    key = sequence_of(settings.get("key")) or []
    taken = sum(item is not None and item != "..." for item in key)
    if key.count("...") > 1 or taken > type_.rank:
        return None
    rest = [":"] * (type_.rank - taken)
    at = key.index("...") if "..." in key else len(key)
    full = [*key[:at], *rest, *key[at + 1 :]]
    plan = _plan(full, type_)
    if plan is None:
        return None
    cuts, kept = plan
    for axis, (start, stop) in cuts.items():
        x = _cut(emitter, x, axis, start, stop)
    if kept == list(range(type_.rank)):
        return x
    dims = emitter.type_of(x).shape
    return _with_shape(
        emitter, x, lambda _: [1 if axis is None else dims[axis] for axis in kept]
    )


def _plan(
    key: Sequence[Any], type_: TensorType
) -> tuple[dict[int, tuple[int, int]], list[int | None]] | None:
    """For every axis the run that is taken; and the axes that stay, None for new."""
    cuts: dict[int, tuple[int, int]] = {}
    kept: list[int | None] = []
    axis = 0
    for item in key:
        if item is None:
            kept.append(None)
            continue
        if item not in _WHOLE:
            run = _run(item, type_.shape[axis])
            if run is None or axis == 0:
                return None
            cuts[axis] = run
        if isinstance(item, str):
            kept.append(axis)
        axis += 1
    return None if not kept or kept[0] != 0 else (cuts, kept)


def _run(item: Any, length: Dim) -> tuple[int, int] | None:
    """Where a run of an axis begins and ends; None where it is none."""
    if not isinstance(length, int):
        return None
    (taken,) = indices_of([item])
    if isinstance(taken, slice):
        start, stop, step = taken.indices(length)
        return (start, stop) if step == 1 and start < stop else None
    if type(taken) is not int or not -length <= taken < length:
        return None
    return taken % length, taken % length + 1


#: Slices that take all of an axis.
_WHOLE: Final = (":", "::", "::1", "0:", "0::", "0::1")


_FORMS: Final[Mapping[str, Callable[[Emitter, Value, Settings], Form]]] = {
    "expand_dims": _expand_dims,
    "gelu": _gelu,
    "get_item": _get_item,
    "identity": _identity,
    "leaky_relu": _leaky_relu,
    "log_softmax": _softmax(reduce.LogSoftmax),
    "max": _reduction(reduce.ReduceMax),
    "mean": _reduction(reduce.ReduceMean),
    "pad": _pad,
    "relu": _relu,
    "reshape": _reshape,
    "softmax": _softmax(reduce.Softmax),
    "split": _split,
    "square": _square,
    "squeeze": _squeeze,
    "sum": _reduction(reduce.ReduceSum),
    "transpose": _transpose,
}
