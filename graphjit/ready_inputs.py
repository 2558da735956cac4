"""Inputs that need nothing done to them, recognised with as little Python as can be.

A call of a small net takes 40 µs; checking its inputs one by one by name, with errors
to be written, would add another 25.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from graphjit.id_ranges import IdRanges
from graphjit.ir import Input
from graphjit.narrow import mapping_of, sequence_of
from graphjit.types import BATCH, TensorType

__all__ = ["Ready", "ready_inputs"]

#: From what a caller gives to arrays in input order, or None where they need a closer
#: look. Arrays of NumPy are the caller's own.
Ready: TypeAlias = Callable[[Any], "tuple[Any, ...] | None"]
_Check: TypeAlias = Callable[[Any], bool]

_NUMPY: Final[Any] = np.ndarray
_UNSIGNED: Final = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def ready_inputs(inputs: Sequence[Input], ids: IdRanges) -> Ready | None:
    """What recognises the inputs of a graph; None where that takes a closer look.

    Args:
        inputs: The graph's inputs.
        ids: The inputs that hold ids, and their ranges.
    """
    named = [d for i in inputs for d in i.type.shape if isinstance(d, str)]
    shared = {dim for dim in named if dim != BATCH and named.count(dim) > 1}
    checks = [_check(entry.type, ids.get(entry.name)) for entry in inputs]
    known = [check for check in checks if check is not None]
    if shared or len(known) != len(inputs) or not inputs:
        return None
    if len(inputs) == 1:
        return _one(known[0])
    batched = [at for at, e in enumerate(inputs) if e.type.shape[:1] == (BATCH,)]
    return _several([entry.name for entry in inputs], known, batched)


def _one(check: _Check) -> Ready:
    def ready(x: Any) -> tuple[Any, ...] | None:
        return (x,) if check(x) else None

    return ready


def _several(names: list[str], checks: list[_Check], batched: Sequence[int]) -> Ready:
    count = len(names)

    def ready(x: Any) -> tuple[Any, ...] | None:
        items, named = sequence_of(x), mapping_of(x)
        if items is not None:
            arrays: tuple[Any, ...] = tuple(items)
        elif named is not None and len(named) == count:
            arrays = tuple([named.get(name) for name in names])
        else:
            return None
        if len(arrays) != count:
            return None
        for check, array in zip(checks, arrays, strict=True):
            if not check(array):
                return None
        rows = {arrays[at].shape[0] for at in batched}
        return arrays if len(rows) < 2 else None

    return ready


def _check(type_: TensorType, ids: tuple[int, int] | None) -> _Check | None:
    """Whether an array has the type, and its ids their range."""
    dtype: Any = np.dtype(type_.dtype if type_.dtype != "bfloat16" else jnp.bfloat16)
    shape, rank = type_.shape, type_.rank
    if not rank:
        return None
    # Where only the batch is free, one comparison of tuples does.
    first = 0 if isinstance(shape[0], int) else 1
    tail = shape[first:]
    sizes = [(axis, dim) for axis, dim in enumerate(shape) if isinstance(dim, int)]
    whole = len(sizes) == rank - first

    def fits(x: Any) -> bool:
        # NumPy first: asking JAX takes longer.
        if not (isinstance(x, _NUMPY) or isinstance(x, jax.Array)):  # noqa: SIM101
            return False
        if x.dtype != dtype:
            return False
        given = x.shape
        if len(given) != rank:
            return False
        if whole:
            return given[first:] == tail
        return all(given[axis] == dim for axis, dim in sizes)

    if ids is None:
        return fits
    if dtype.kind not in "iu":
        return None  # ids in a float are cut to whole numbers first
    lowest, end = ids
    unsigned = _UNSIGNED[dtype.itemsize]
    # A negative id is a large number without its sign: then one pass is enough.
    one_pass = lowest == 0 and end <= 2 ** (8 * dtype.itemsize - 1)

    def fits_ids(x: Any) -> bool:
        if not fits(x) or isinstance(x, Tracer):
            return False
        host = np.asarray(x)
        if not host.size:
            return True
        if one_pass:
            return bool(host.view(unsigned).max() < end)
        return bool(host.min() >= lowest and host.max() < end)

    return fits_ids
