"""Sums of narrow floats, taken in float32.

What goes into many results gets the sum of their slopes as its gradient. In bfloat16
such a sum loses what is added: XLA takes a sum over several axes apart and rounds what
lies between; a scatter and a loop round after every addend, so that 256 + 1 stays 256.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from graphjit.ops.base import Array

__all__ = ["loop_constants", "rows_of", "spread", "sum_dtype", "widened"]


def sum_dtype(dtype: Any) -> Any:
    """What sums of many products of `dtype` are kept in: at least float32."""
    return dtype if jnp.dtype(dtype).itemsize >= 4 else jnp.dtype(jnp.float32)


def widened(*arrays: Array) -> tuple[Array, ...]:
    """The arrays in the dtype to sum in."""
    return tuple(a.astype(sum_dtype(a.dtype)) for a in arrays)


def _is_narrow(x: Array) -> bool:
    return jnp.issubdtype(x.dtype, jnp.floating) and sum_dtype(x.dtype) != x.dtype


def spread(x: Array, shape: Sequence[int]) -> Array:
    """x, to meet an array of a shape that it broadcasts to; its gradient summed wide.

    Floats that are not narrow are left to broadcast by themselves.

    Shapes:
        x: (…), broadcastable to `shape`  ->  `shape`, or as it is
    """
    if x.shape == tuple(shape) or not _is_narrow(x):
        return x
    return _spread(x, tuple(shape))


def _spread_slope(
    shape: tuple[int, ...], primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    (x,), (moved,) = primals, widened(*tangents)
    return jnp.broadcast_to(x, shape), jnp.broadcast_to(moved, shape).astype(x.dtype)


_spread: Any = jax.custom_jvp(jnp.broadcast_to, nondiff_argnums=(1,))
_spread.defjvp(_spread_slope)


def rows_of(table: Array, ids: Array) -> Array:
    """table[ids], NaN for an id out of range; the gradient to a row summed wide.

    Shapes:
        table: (count, …)   ids: (n, …)  ->  (n, …, …)
    """
    return (_rows if _is_narrow(table) else _taken)(table, ids)


def _taken(table: Array, ids: Array) -> Array:
    return table.at[ids].get(
        mode="fill", fill_value=jnp.nan, wrap_negative_indices=False
    )


def _rows_slope(
    primals: tuple[Array, Array], tangents: tuple[Array, Any]
) -> tuple[Array, Array]:
    table, ids = primals
    (moved,) = widened(tangents[0])
    return _taken(table, ids), _taken(moved, ids).astype(table.dtype)


_rows: Any = jax.custom_jvp(_taken)
_rows.defjvp(_rows_slope)


def loop_constants(
    constants: Sequence[Array | None],
) -> Callable[[], list[Array | None]]:
    """A function to call in the body of a loop: the constants, as they are.

    The gradient to a constant is summed up step by step, so the loop gets narrow floats
    in float32 and narrows them inside.
    """
    pairs = [
        (x, None) if x is None or not _is_narrow(x) else (*widened(x), x.dtype)
        for x in constants
    ]

    def inside() -> list[Array | None]:
        return [
            x if x is None or dtype is None else x.astype(dtype) for x, dtype in pairs
        ]

    return inside
