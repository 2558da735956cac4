"""Data given to a model: matched to its inputs, checked, cast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from graphjit.errors import DataError, nearest
from graphjit.ir import Input
from graphjit.narrow import mapping_of, sequence_of
from graphjit.types import TensorType

__all__ = ["as_array", "batched_call", "bind_inputs", "check_shape", "in_order"]


def bind_inputs(inputs: Sequence[Input], x: Any) -> list[Any]:
    """One array per input, in input order, checked and cast.

    Args:
        inputs: The graph's inputs.
        x: An array for one input; a list or tuple in input order or a dict by name
            for several.

    Raises:
        DataError: A wrong count, name, shape, or data that is not numeric.
    """
    arrays = [
        as_array(entry.name, given, entry.type)
        for entry, given in zip(inputs, _matched(inputs, x), strict=True)
    ]
    symbols: dict[str, tuple[int, str]] = {}
    for entry, array in zip(inputs, arrays, strict=True):
        check_shape(entry.name, entry.type, array.shape, symbols)
    return arrays


def _matched(inputs: Sequence[Input], x: Any) -> list[Any]:
    names = [entry.name for entry in inputs]
    given = mapping_of(x)
    if given is not None:
        unknown = [key for key in given if key not in names]
        if unknown:
            guess = nearest(str(unknown[0]), names)
            raise DataError(
                f"expected inputs {names}, received {unknown[0]!r}",
                hint=f"did you mean {guess!r}?" if guess else None,
            )
        missing = [name for name in names if name not in given]
        if missing:
            raise DataError(f"expected inputs {names}, {missing[0]!r} is missing")
        return [given[name] for name in names]
    wanted = f"expected {len(inputs)} inputs {names} as a list, tuple or dict"
    return in_order(x, len(inputs), wanted)


def in_order(given: Any, count: int, wanted: str) -> list[Any]:
    """`given` as a list of `count` items; one item may stand for itself.

    Raises:
        DataError: It has another count; the message begins with `wanted`.
    """
    items = sequence_of(given)
    if count == 1:
        wrapped = items is not None and len(items) == 1 and hasattr(items[0], "shape")
        return items if wrapped and items is not None else [given]
    if items is None or len(items) != count:
        received = type(given).__name__ if items is None else len(items)
        raise DataError(f"{wanted}, received {received}")
    return items


def as_array(name: str, given: Any, type_: TensorType) -> Any:
    """`given` as an array of the input's dtype; any numeric dtype is cast.

    Raises:
        DataError: The data is not numeric, or ragged.
    """
    array: Any = given
    if not isinstance(given, (jax.Array, np.ndarray)):
        try:
            array = np.asarray(given)
        except (ValueError, TypeError) as error:
            raise DataError(f"input {name!r}: not an array: {error}") from None
    if array.dtype.name == type_.dtype:
        return array
    kinds = (jnp.integer, jnp.floating, jnp.bool_)  # a complex one would be cut
    if not any(jnp.issubdtype(array.dtype, kind) for kind in kinds):
        raise DataError(
            f"input {name!r}: expected numbers ({type_}), received dtype {array.dtype}"
        )
    return array.astype(type_.dtype)


def check_shape(
    name: str,
    type_: TensorType,
    shape: tuple[int, ...],
    symbols: dict[str, tuple[int, str]],
) -> None:
    """Refuse a shape that does not fit the type; equal symbols are equal numbers.

    Raises:
        DataError: Names input, expected type, received shape.
    """
    if len(shape) != len(type_.shape):
        hint = None
        if len(shape) + 1 == len(type_.shape):
            hint = "the batch axis is missing; x[None] is a batch of one"
        message = f"expected {type_} of rank {type_.rank}, received shape {shape}"
        raise DataError(f"input {name!r}: {message}", hint=hint)
    for axis, (wanted, dim) in enumerate(zip(type_.shape, shape, strict=True)):
        if wanted is None or wanted == dim:
            continue
        if isinstance(wanted, int):
            message = f"expected {type_}, received shape {shape}"
            raise DataError(f"input {name!r}: {message}: axis {axis} is {dim}")
        earlier = symbols.setdefault(wanted, (dim, name))
        if earlier[0] != dim:
            raise DataError(
                f"input {name!r}: axis {axis} ({wanted}) is {dim}, but input "
                f"{earlier[1]!r} has {wanted} = {earlier[0]}"
            )


def batched_call(call: Any, inputs: Sequence[Input], x: Any, batch_size: int) -> Any:
    """`call` on slices of `x`, the results joined, as NumPy arrays.

    Args:
        call: From a list of arrays to an array or a list of arrays.
        inputs: The graph's inputs, for checking.
        x: All the data.
        batch_size: Rows per call; the last call may have fewer.
    """
    if batch_size < 1:
        raise DataError(f"batch_size: expected an int >= 1, received {batch_size}")
    arrays = bind_inputs(inputs, x)
    rows = arrays[0].shape[0]
    parts: list[list[Any]] = []
    for start in range(0, max(rows, 1), batch_size):
        batch = [array[start : start + batch_size] for array in arrays]
        results = call(batch if len(batch) > 1 else batch[0])
        parts.append(sequence_of(results) or [results])
    joined = [
        np.concatenate([np.asarray(part) for part in column])
        for column in zip(*parts, strict=True)
    ]
    return joined[0] if len(joined) == 1 else joined
