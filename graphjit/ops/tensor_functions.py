"""Functions of tensors by name: a closed table, for calls that files record.

tf.keras and Keras 3 put every function that a user called on a symbolic tensor into the
model, by its name and arguments. These are the ones known here, in NumPy's spelling;
each takes arrays, then settings that JSON can hold.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import jax
import jax.numpy as jnp
import numpy as np

from graphjit.errors import CaptureError, nearest
from graphjit.functions import FUNCTIONS
from graphjit.narrow import sequence_of

__all__ = [
    "MOST_PIECES",
    "TENSOR_FUNCTIONS",
    "call_by_name",
    "indices_of",
    "with_operands",
]

Array = jax.Array

#: Results of one function.
MOST_PIECES: Final = 4096


def _axes(axis: Any) -> Any:
    items = sequence_of(axis)
    return axis if items is None else tuple(items)


def _reduced(fn: Callable[..., Any]) -> Callable[..., Any]:
    def reduce(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return fn(x, axis=_axes(axis), keepdims=keepdims)

    return reduce


def _arg(fn: Callable[..., Any]) -> Callable[..., Any]:
    def find(x: Any, axis: int | None = None, dtype: str = "int32") -> Any:
        return fn(x, axis=axis).astype(dtype)

    return find


def indices_of(key: Sequence[Any]) -> tuple[Any, ...]:
    """What stands in ``x[…]``, from data: a slice is a text such as "1:3"."""
    return tuple(_index_of(item) for item in key)


def _index_of(item: Any) -> Any:
    if item == "...":
        return Ellipsis
    if isinstance(item, str):
        parts = [int(part) if part else None for part in item.split(":")]
        return slice(*parts)
    items = sequence_of(item)
    return item if items is None else np.asarray(items)


def _get_item(x: Any, key: Sequence[Any]) -> Any:
    return x[indices_of(key)]


def _check_pieces(count: int) -> None:
    """Each piece is an op of its own, and a file can ask for millions."""
    if count > MOST_PIECES:
        raise ValueError(f"{count} pieces, at most {MOST_PIECES}")


def _split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    items = sequence_of(indices_or_sections)
    _check_pieces(indices_or_sections if items is None else len(items))
    return list(jnp.split(x, _axes(indices_or_sections), axis))


def _unstack(x: Any, axis: int = 0) -> Any:
    _check_pieces(x.shape[axis])
    return [jnp.take(x, at, axis) for at in range(x.shape[axis])]


def _concatenate(*xs: Any, axis: int = 0) -> Any:
    return jnp.concatenate(xs, axis)


def _stack(*xs: Any, axis: int = 0) -> Any:
    return jnp.stack(xs, axis)


def _matmul(
    x: Any, y: Any, transpose_a: bool = False, transpose_b: bool = False
) -> Any:
    left = jnp.swapaxes(x, -1, -2) if transpose_a else x
    return jnp.matmul(left, jnp.swapaxes(y, -1, -2) if transpose_b else y)


def _pad(
    x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0
) -> Any:
    pads = [tuple(pair) for pair in pad_width]
    if mode.lower() == "constant":
        return jnp.pad(x, pads, constant_values=constant_values or 0)
    return jnp.pad(x, pads, mode=mode.lower())


def _l2_normalize(x: Any, axis: Any = None, epsilon: float = 1e-12) -> Any:
    squares = jnp.sum(jnp.square(x), axis=_axes(axis), keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(squares, epsilon))


def _relu(
    x: Any,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
) -> Any:
    y = jnp.where(x >= threshold, x, negative_slope * (x - threshold))
    return y if max_value is None else jnp.minimum(y, max_value)


def _resize(x: Any, size: Any, interpolation: str = "bilinear") -> Any:
    """Images (n, h, w, c) in another size, by the centres of pixels."""
    methods = {"bilinear": "linear", "bicubic": "cubic", "nearest": "nearest"}
    if interpolation not in methods or x.ndim != 4:
        message = "expected images (n, h, w, c), bilinear, bicubic or nearest"
        raise CaptureError(f"{message}; received {interpolation!r}, rank {x.ndim}")
    shape = (x.shape[0], *size, x.shape[3])
    image = cast("Any", jax.image)
    resize: Callable[..., Any] = image.resize
    return resize(x, shape, methods[interpolation], antialias=False)


def _center_crop(x: Any, height: int, width: int) -> Any:
    """The middle of images (…, h, w, c) that are as large at least."""
    top, left = x.shape[-3] - height, x.shape[-2] - width
    if top < 0 or left < 0:
        raise CaptureError(f"expected images of {height} x {width} at least")
    top, left = top // 2, left // 2
    return x[..., top : top + height, left : left + width, :]


def _one_hot(x: Any, num_classes: int, axis: int = -1, dtype: str = "float32") -> Any:
    return jax.nn.one_hot(x, num_classes, axis=axis, dtype=dtype)


def _expanded(x: Any, axis: Any) -> Any:
    return jnp.expand_dims(x, _axes(axis))


def _squeezed(x: Any, axis: Any = None) -> Any:
    return jnp.squeeze(x, _axes(axis))


def _of1(fn: Callable[[Any], Any]) -> Callable[..., Any]:
    """The function as it is; a lambda has the types of its parameters from here."""
    return fn


def _of2(fn: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return fn


def _of3(fn: Callable[[Any, Any, Any], Any]) -> Callable[..., Any]:
    return fn


_TABLE: Final[Mapping[str, Any]] = {
    # Of two tensors, or of a tensor and numbers.
    "add": jnp.add,
    "arctan2": jnp.arctan2,
    "equal": jnp.equal,
    "floor_divide": jnp.floor_divide,
    "greater": jnp.greater,
    "greater_equal": jnp.greater_equal,
    "less": jnp.less,
    "less_equal": jnp.less_equal,
    "logical_and": jnp.logical_and,
    "logical_or": jnp.logical_or,
    "logical_xor": jnp.logical_xor,
    "matmul": _matmul,
    "maximum": jnp.maximum,
    "minimum": jnp.minimum,
    "mod": jnp.mod,
    "multiply": jnp.multiply,
    "not_equal": jnp.not_equal,
    "power": jnp.power,
    "squared_difference": _of2(lambda x, y: jnp.square(x - y)),
    "subtract": jnp.subtract,
    "true_divide": jnp.true_divide,
    # Of one, element by element.
    "absolute": jnp.abs,
    "arccos": jnp.arccos,
    "arcsin": jnp.arcsin,
    "arctan": jnp.arctan,
    "cast": _of2(lambda x, dtype: x.astype(dtype)),
    "ceil": jnp.ceil,
    "clip": _of3(lambda x, x_min, x_max: jnp.clip(x, x_min, x_max)),
    "cos": jnp.cos,
    "cosh": jnp.cosh,
    "elu": _of2(lambda x, alpha=1.0: jax.nn.elu(x, alpha)),
    "erf": jax.scipy.special.erf,
    "exp": jnp.exp,
    "expm1": jnp.expm1,
    "floor": jnp.floor,
    "gelu": _of2(lambda x, approximate=True: jax.nn.gelu(x, approximate)),
    "hard_sigmoid": _of1(lambda x: jnp.clip(x + 3, 0, 6) / 6),
    "hard_silu": _of1(lambda x: x * (jnp.clip(x + 3, 0, 6) / 6)),
    "identity": _of1(lambda x: x),
    "isfinite": jnp.isfinite,
    "isnan": jnp.isnan,
    "leaky_relu": _of2(lambda x, negative_slope=0.2: _relu(x, negative_slope)),
    "log": jnp.log,
    "log1p": jnp.log1p,
    "log_sigmoid": jax.nn.log_sigmoid,
    "logical_not": jnp.logical_not,
    "negative": jnp.negative,
    "ones_like": jnp.ones_like,
    "reciprocal": jnp.reciprocal,
    "relu": _relu,
    "relu6": _of1(lambda x: _relu(x, max_value=6.0)),
    "round": jnp.round,
    "rsqrt": jax.lax.rsqrt,
    "selu": jax.nn.selu,
    "sigmoid": jax.nn.sigmoid,
    "sign": jnp.sign,
    "silu": jax.nn.silu,
    "sin": jnp.sin,
    "sinh": jnp.sinh,
    "softplus": jax.nn.softplus,
    "softsign": jax.nn.soft_sign,
    "sqrt": jnp.sqrt,
    "square": jnp.square,
    "stop_gradient": jax.lax.stop_gradient,
    "tan": jnp.tan,
    "tanh": jnp.tanh,
    "zeros_like": jnp.zeros_like,
    # Along axes.
    "all": _reduced(jnp.all),
    "any": _reduced(jnp.any),
    "argmax": _arg(jnp.argmax),
    "argmin": _arg(jnp.argmin),
    "cumprod": _of2(lambda x, axis=None: jnp.cumprod(x, axis)),
    "cumsum": _of2(lambda x, axis=None: jnp.cumsum(x, axis)),
    "l2_normalize": _l2_normalize,
    "log_softmax": _of2(lambda x, axis=-1: jax.nn.log_softmax(x, axis)),
    "logsumexp": _reduced(jax.nn.logsumexp),
    "max": _reduced(jnp.max),
    "mean": _reduced(jnp.mean),
    "min": _reduced(jnp.min),
    "prod": _reduced(jnp.prod),
    "softmax": _of2(lambda x, axis=-1: jax.nn.softmax(x, _axes(axis))),
    "std": _reduced(jnp.std),
    "sum": _reduced(jnp.sum),
    "var": _reduced(jnp.var),
    # Of shapes and places.
    "center_crop": _center_crop,
    "concatenate": _concatenate,
    "expand_dims": _expanded,
    "flip": _of2(lambda x, axis=None: jnp.flip(x, _axes(axis))),
    "get_item": _get_item,
    "one_hot": _one_hot,
    "pad": _pad,
    "ravel": jnp.ravel,
    "repeat": _of3(lambda x, repeats, axis=None: jnp.repeat(x, repeats, axis)),
    "resize": _resize,
    "reshape": _of2(lambda x, newshape: jnp.reshape(x, tuple(newshape))),
    "roll": _of3(lambda x, shift, axis=None: jnp.roll(x, shift, _axes(axis))),
    "split": _split,
    "squeeze": _squeezed,
    "stack": _stack,
    "swapaxes": _of3(lambda x, axis1, axis2: jnp.swapaxes(x, axis1, axis2)),
    "take": _of3(lambda x, indices, axis=None: jnp.take(x, indices, axis)),
    "tile": _of2(lambda x, repeats: jnp.tile(x, tuple(repeats))),
    "transpose": _of2(lambda x, axes=None: jnp.transpose(x, _axes(axes))),
    "unstack": _unstack,
    "where": jnp.where,
}

#: By name: of arrays, then settings.
TENSOR_FUNCTIONS: Final = cast("Mapping[str, Callable[..., Any]]", _TABLE)


def with_operands(tensors: Sequence[Any], operands: Sequence[Any] | None) -> list[Any]:
    """All operands in order: where there is None in `operands`, the next tensor."""
    if operands is None:
        return list(tensors)
    places = sum(item is None for item in operands)
    if places > len(tensors):
        raise CaptureError(f"expected {places} tensors, received {len(tensors)}")
    rest = iter(tensors)
    filled = [next(rest) if item is None else item for item in operands]
    return [*filled, *rest]


def call_by_name(*tensors: Any, function: str, arguments: str) -> Any:
    """A function of the table.

    Args:
        tensors: Arrays.
        function: Its name.
        arguments: JSON of its settings; numbers among its operands under "operands".

    Raises:
        CaptureError: There is no such function.
    """
    found = TENSOR_FUNCTIONS.get(function)
    if found is None:
        guess = nearest(function, list(TENSOR_FUNCTIONS))
        raise CaptureError(
            f"expected a function of tensors that is known, received {function!r}",
            hint=f"did you mean {guess!r}?" if guess else None,
        )
    settings = json.loads(arguments)
    operands = with_operands(tensors, settings.pop("operands", None))
    return found(*(_array(item, tensors) for item in operands), **settings)


def _array(item: Any, tensors: Sequence[Any]) -> Any:
    """A constant operand as numbers that take the tensors' element type."""
    items = sequence_of(item)
    if items is None:
        return item
    constant = jnp.asarray(items)
    like = tensors[0].dtype
    floats = (jnp.issubdtype(dtype, jnp.floating) for dtype in (like, constant.dtype))
    return constant.astype(like) if all(floats) else constant


#: Files name it; what it can call is closed.
FUNCTIONS.add("graphjit>tensor_function", call_by_name)
