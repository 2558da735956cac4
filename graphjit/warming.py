"""The shapes to compile for ahead of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from graphjit.data import in_order
from graphjit.errors import DataError, expected
from graphjit.ir import Input, Param
from graphjit.narrow import mapping_of, sequence_of

__all__ = ["known_shape", "row_shapes", "warm_inputs"]


def row_shapes(inputs: Sequence[Input], given: Any) -> list[tuple[int, ...]]:
    """The shape of one row of every input.

    Args:
        inputs: The graph's inputs.
        given: None where all dims but the batch are known; else the shape of a row,
            or for several inputs a list in input order or a dict by name.

    Raises:
        DataError: A dim is not known, or a shape does not fit.
    """
    names = [entry.name for entry in inputs]
    by_name = mapping_of(given)
    if given is None:
        shapes: list[Any] = [entry.type.shape[1:] for entry in inputs]
    elif by_name is not None:
        for key in by_name:
            if key not in names:
                wanted = f"the name of an input ({', '.join(map(repr, names))})"
                expected(DataError, "warm: shapes", wanted, key, known=names)
        shapes = [by_name.get(e.name, e.type.shape[1:]) for e in inputs]
    elif len(inputs) == 1 and not isinstance((sequence_of(given) or [0])[0], tuple):
        shapes = [given]
    else:
        shapes = in_order(given, len(inputs), f"warm: expected shapes of rows {names}")
    return [_row(entry, shape) for entry, shape in zip(inputs, shapes, strict=True)]


def _row(entry: Input, shape: Any) -> tuple[int, ...]:
    where = f"warm: input {entry.name!r}"
    wanted = entry.type.shape[1:]
    dims = sequence_of(shape)
    if dims is None or len(dims) != len(wanted):
        expected(DataError, where, f"the shape of a row of {entry.type}", shape)
    if not all(isinstance(dim, int) for dim in dims):
        raise DataError(
            f"{where}: {entry.type} has dims that are not known",
            hint="say which: exe.warm(batch_sizes, shapes=(…)), without the batch",
        )
    for dim, known in zip(dims, wanted, strict=True):
        if isinstance(known, int) and dim != known:
            expected(DataError, where, f"the shape of a row of {entry.type}", shape)
    return tuple(dims)


def warm_inputs(
    inputs: Sequence[Input], rows: Sequence[tuple[int, ...]], size: Any
) -> tuple[jax.ShapeDtypeStruct, ...]:
    """What stands for a batch of `size` rows.

    Raises:
        DataError: The size is no count, or the batch is fixed to another.
    """
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        expected(DataError, "warm: batch size", "an int >= 1", size)
    for entry in inputs:
        fixed = entry.type.shape[0]
        if isinstance(fixed, int) and fixed != size:
            where = f"warm: input {entry.name!r}: batch size"
            expected(DataError, where, f"{fixed}, the model's fixed batch", size)
    return tuple(
        jax.ShapeDtypeStruct((size, *row), jnp.dtype(entry.type.dtype))
        for entry, row in zip(inputs, rows, strict=True)
    )


def known_shape(param: Param) -> jax.ShapeDtypeStruct:
    """What stands for the value of a param."""
    return jax.ShapeDtypeStruct(param.type.shape, jnp.dtype(param.type.dtype))  # pyright: ignore[reportArgumentType]
