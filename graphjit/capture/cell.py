"""Where a layer's variables live: cells, their first values, what goes into them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from graphjit.errors import CaptureError, DataError
from graphjit.ir import Param
from graphjit.variables import device_copy, device_given

__all__ = [
    "Cell",
    "as_variable",
    "as_variables",
    "first_value",
    "read_weights",
    "size_of",
    "write_weights",
]

#: Types that JAX has only where 64 bits are enabled.
WIDE: Final = ("float64", "int64", "uint64")


@dataclass(eq=False, slots=True)
class Cell:
    """Where a layer keeps one variable; models built from the layer share it.

    Attributes:
        param: The param as the layer declares it, named by its slot.
        array: The current value; None until a model or the layer initialises it.
        version: Raised on every write, so that executables know to rebind.
    """

    param: Param
    version: int = 0
    _array: Any = None
    _read: Callable[[], Any] | None = None

    @property
    def array(self) -> Any:
        if self._read is not None:
            self._array, self._read = self._read(), None
        return self._array

    @property
    def is_empty(self) -> bool:
        """Whether there is no value yet."""
        return self._array is None and self._read is None

    def write(self, array: Any) -> None:
        self._array, self._read = array, None
        self.version += 1

    def clear(self) -> None:
        """Forget the value: the first one holds again."""
        self._array = self._read = None
        self.version += 1

    def defer(self, read: Callable[[], Any]) -> None:
        """Take the value from `read` when it is first asked for."""
        self._array, self._read = None, read
        self.version += 1


def size_of(param: Param) -> int:
    """How many numbers a param holds."""
    return math.prod(_shape(param))


def first_value(param: Param, seed: int) -> jax.Array:
    """The first value of a param."""
    if param.initializer is None:
        raise CaptureError(f"param {param.name!r} has no initializer")
    drawn = param.initializer.draw(_shape(param), param.type.dtype, seed, param.name)
    # Not `jnp.asarray`, which compiles a program for every shape.
    return jax.device_put(drawn)


def as_variable(param: Param, given: Any) -> jax.Array:
    """A copy of `given` as the param's type.

    Raises:
        DataError: Its shape is another, or it is not numeric.
    """
    array = given if isinstance(given, jax.Array) else np.asarray(given)
    _check(param, array)
    if not isinstance(array, jax.Array):
        return device_copy(array, param.type.dtype)
    if array.dtype.name == param.type.dtype:
        return array  # what training writes after every epoch: no dispatch
    return array.astype(param.type.dtype)


def as_variables(
    params: Sequence[Param], given: Sequence[np.ndarray[Any, Any]]
) -> list[jax.Array]:
    """`as_variable` of several arrays, handed to the device together.

    Args:
        params: The params.
        given: An array for each, that nobody else holds: it is not copied first.

    Raises:
        DataError: One has another shape, or is not numeric.
    """
    for param, array in zip(params, given, strict=True):
        _check(param, array)
    return device_given(given, [param.type.dtype for param in params])


def _check(param: Param, array: Any) -> None:
    if tuple(array.shape) != param.type.shape:
        raise DataError(
            f"variable {param.name!r}: expected shape {param.type.shape}, received "
            f"{tuple(array.shape)}"
        )
    if not jnp.issubdtype(array.dtype, jnp.number) and array.dtype != np.bool_:
        raise DataError(
            f"variable {param.name!r}: expected numbers, received {array.dtype}"
        )


def _shape(param: Param) -> tuple[int, ...]:
    return tuple(dim for dim in param.type.shape if isinstance(dim, int))


def wide_scope(params: Iterable[Param]) -> contextlib.AbstractContextManager[Any]:
    """64-bit types exist inside it, where a param has one."""
    if any(param.type.dtype in WIDE for param in params):
        return jax.enable_x64(True)
    return contextlib.nullcontext()


def read_weights(cells: Mapping[str, Cell], prefix: str) -> list[np.ndarray[Any, Any]]:
    """Copies of the weights among some variables; recurrent state is none.

    A variable without a value gets its first one, as ``prefix/name`` draws it.
    """
    weights: list[np.ndarray[Any, Any]] = []
    for name, cell in cells.items():
        if cell.param.recurrent:
            continue
        if cell.is_empty:
            param = replace(cell.param, name=f"{prefix}/{name}" if prefix else name)
            with wide_scope([param]):
                cell.write(first_value(param, 0))
        weights.append(np.array(cell.array))
    return weights


def write_weights(cells: Mapping[str, Cell], weights: Sequence[Any], what: str) -> None:
    """Copy arrays into the weights among some variables: all of them or none.

    Raises:
        DataError: The count or a shape differs.
    """
    wanted = {name: cell for name, cell in cells.items() if not cell.param.recurrent}
    if len(weights) != len(wanted):
        shapes = ", ".join(f"{n} {c.param.type.shape}" for n, c in wanted.items())
        raise DataError(
            f"{what}: expected {len(wanted)} arrays, received {len(weights)}",
            details=[f"expected: {shapes or 'no weights'}"],
        )
    params = [replace(cell.param, name=name) for name, cell in wanted.items()]
    with wide_scope(params):
        arrays = [as_variable(p, w) for p, w in zip(params, weights, strict=True)]
    for cell, array in zip(wanted.values(), arrays, strict=True):
        cell.write(array)
