"""The types of what a user's function returns, found without running it on data."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import jax

from graphjit.errors import CaptureError
from graphjit.types import DTYPE_BYTES, Dim, TensorType

__all__ = ["traced_types"]

#: The sizes that dims which are no numbers are tried with, in two runs. No two are
#: equal, and few functions make one of another.
_TRIED = ((11, 17, 23, 31, 41, 47, 59, 67), (13, 19, 29, 37, 43, 53, 61, 71))


def traced_types(
    call: Callable[..., Any], types: Sequence[TensorType | None], title: str
) -> Any:
    """The types of ``call(*arrays)`` for arrays of these types (None for None).

    The function is traced twice, with two sizes for every dim that is not a number: a
    dim of the result that follows one of the operands' is that dim, one that stays is a
    number, any other is unknown.

    Args:
        call: A function of JAX arrays; it is traced, never run on data.
        types: The operands' types.
        title: How messages name the function.

    Returns:
        What the function returns, with a `TensorType` in place of every array.

    Raises:
        CaptureError: The function fails, or returns something that is no array.

    >>> traced_types(lambda x: x.sum(1), [TensorType(("batch", 3, None))], "f")
    TensorType(shape=('batch', None), dtype='float32')
    """
    first, second = (_traced(call, types, tried, title) for tried in _TRIED)
    leaves: list[Any] = jax.tree.leaves(first)
    others: list[Any] = jax.tree.leaves(second)
    if len(leaves) != len(others):
        raise CaptureError(f"{title}: it returns more arrays for some sizes")
    known = _pairs(types)
    found = [_joined(a, b, known, title) for a, b in zip(leaves, others, strict=True)]
    tree: Any = jax.tree.structure(first)  # pyright: ignore[reportUnknownVariableType]
    return jax.tree.unflatten(tree, found)


def _free(types: Sequence[TensorType | None]) -> list[Dim]:
    """The dims that are no numbers: every symbol once, every unknown one for itself."""
    dims = [dim for type_ in types if type_ is not None for dim in type_.shape]
    named = dict.fromkeys(dim for dim in dims if isinstance(dim, str))
    return [*named, *(None for dim in dims if dim is None)]


def _pairs(types: Sequence[TensorType | None]) -> dict[tuple[int, int], Dim]:
    """For the two sizes that a dim was tried with that dim."""
    free = _free(types)
    sizes = (_sizes(len(free), tried) for tried in _TRIED)
    return dict(zip(zip(*sizes, strict=True), free, strict=True))


def _sizes(count: int, tried: Sequence[int]) -> list[int]:
    """`count` sizes; beyond those listed, larger ones."""
    last = tried[-1]
    return [*tried, *(last + 30 * at for at in range(1, count))][:count]


def _traced(
    call: Callable[..., Any],
    types: Sequence[TensorType | None],
    tried: Sequence[int],
    title: str,
) -> Any:
    free = _free(types)
    sizes = _sizes(len(free), tried)
    named = dict(zip(free, sizes, strict=True))
    unknown = iter(sizes[sum(isinstance(dim, str) for dim in free) :])

    def size(dim: Dim) -> int:
        if dim is None:
            return next(unknown)
        return dim if isinstance(dim, int) else named[dim]

    operands = [
        None
        if type_ is None
        else jax.ShapeDtypeStruct(tuple(map(size, type_.shape)), type_.dtype)
        for type_ in types
    ]
    wide = any(t is not None and DTYPE_BYTES[t.dtype] == 8 for t in types)
    scope = jax.enable_x64(True) if wide else contextlib.nullcontext()
    try:
        with scope:
            return jax.eval_shape(call, *operands)
    except Exception as error:
        listed = ", ".join("None" if type_ is None else str(type_) for type_ in types)
        raise CaptureError(
            f"{title}: it fails on {listed}: {type(error).__name__}: {error}",
            hint="it is a function of JAX arrays; free dims are tried with odd sizes",
        ) from error


def _joined(
    a: Any, b: Any, known: dict[tuple[int, int], Dim], title: str
) -> TensorType:
    """The type of a result, from what it was for either choice of sizes."""
    dtype = getattr(getattr(a, "dtype", None), "name", None)
    if dtype not in DTYPE_BYTES:
        received = dtype or type(a).__name__
        raise CaptureError(f"{title}: expected an array, received {received}")
    if a.ndim != b.ndim or a.dtype != b.dtype:
        raise CaptureError(f"{title}: it returns another rank or dtype for some sizes")
    pairs = zip(a.shape, b.shape, strict=True)
    dims = [one if one == two else known.get((one, two)) for one, two in pairs]
    return TensorType(tuple(dims), dtype)
