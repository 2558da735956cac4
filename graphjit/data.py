"""Data given to a model: matched to its inputs, checked, cast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from graphjit.errors import DataError, expected, nearest
from graphjit.ir import Input
from graphjit.narrow import mapping_of, sequence_of
from graphjit.types import BATCH, TensorType

__all__ = [
    "as_array",
    "bind_inputs",
    "check_shape",
    "free_batch",
    "in_order",
    "rows_per_call",
]

_NO_IDS: Final[Mapping[str, tuple[int, int]]] = MappingProxyType({})


def bind_inputs(
    inputs: Sequence[Input], x: Any, ids: Mapping[str, tuple[int, int]] = _NO_IDS
) -> list[Any]:
    """One array per input, in input order, checked and cast.

    Args:
        inputs: The graph's inputs.
        x: An array for one input; a list or tuple in input order or a dict by name
            for several.
        ids: For inputs that hold ids, by name: the lowest, and one past the highest.

    Raises:
        DataError: A wrong count, name, shape, data that is not numeric, or an id out
            of range.
    """
    arrays: list[Any] = []
    for entry, given in zip(inputs, _matched(inputs, x), strict=True):
        if entry.name in ids:
            check_ids(entry.name, given, ids[entry.name])
        arrays.append(as_array(entry.name, given, entry.type))
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


def check_ids(name: str, given: Any, ids: tuple[int, int]) -> None:
    """Refuse ids out of range, before any cast; inside a trace nothing is known.

    Raises:
        DataError: Names the input, the range, an id, and where it stands.
    """
    if isinstance(given, Tracer):
        return
    array = np.asarray(given)
    if array.dtype.kind not in "iufb":
        return  # `as_array` says what is wrong with it
    with np.errstate(invalid="ignore"):
        wrong = ~((np.trunc(array) >= ids[0]) & (np.trunc(array) < ids[1]))
    if wrong.any():
        at = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise DataError(
            f"input {name!r}: expected ids from {ids[0]} to {ids[1] - 1}, received "
            f"{array[at]} at {list(at)}",
            hint="an Embedding's input_dim is one more than the highest id",
        )


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


def free_batch(type_: TensorType) -> TensorType:
    """The type for all rows together, where the model has a fixed batch."""
    return type_.with_shape((BATCH, *type_.shape[1:]))


def rows_per_call(inputs: Sequence[Input], batch_size: int | None, rows: int) -> int:
    """The batch size: the one asked for, the model's fixed one, or 32.

    Raises:
        DataError: The model has a fixed batch, and another size is asked for or the
            rows do not divide by it; or the size is no count.
    """
    firsts = [entry.type.shape[0] for entry in inputs if entry.type.shape]
    fixed = next((dim for dim in firsts if isinstance(dim, int)), None)
    size = batch_size if batch_size is not None else fixed or 32
    if fixed is not None and size != fixed:
        expected(DataError, "batch_size", f"{fixed}, the model's fixed batch", size)
    if fixed is not None and rows % fixed:
        raise DataError(
            f"expected a multiple of the model's batch of {fixed} rows, received {rows}"
        )
    if size < 1:
        expected(DataError, "batch_size", "an int >= 1", size)
    return size
