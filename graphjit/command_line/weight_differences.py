"""How far the weights of two models lie apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from graphjit.types import TensorType

__all__ = ["Apart", "weights_apart"]

#: How many numbers are compared at a time: comparing takes memory too.
_CHUNK: Final = 2**22


@dataclass(frozen=True, slots=True)
class Apart:
    """A weight in two models.

    Attributes:
        name: Its name.
        types: Its type in each; None where it is not there.
        most: The largest absolute difference; infinite where one is NaN or infinite
            and the other is not, or where the shapes differ.
        count: How many numbers differ.
        size: How many there are.
        at: Where the largest difference is.
        values: The two numbers there.
    """

    name: str
    types: tuple[str | None, str | None]
    most: float = math.inf
    count: int = 0
    size: int = 0
    at: tuple[int, ...] = ()
    values: tuple[Any, Any] | None = None

    def __str__(self) -> str:
        first, second = self.types
        if first is None or second is None:
            return f"{self.name} {first or second}: only in {'A' if first else 'B'}"
        kind = first if first == second else f"{first}, {second}"
        if self.values is None:
            return f"{self.name} {kind}" + (": equal" if self.most == 0.0 else "")
        one, other = self.values
        return (
            f"{self.name} {kind}: largest difference {self.most:.3g} at "
            f"{list(self.at)}: {one!s}, {other!s}; {self.count:,} of {self.size:,} "
            "numbers differ"
        )


def weights_apart(
    first: Mapping[str, Any], second: Mapping[str, Any]
) -> dict[str, Apart]:
    """For every weight of the two models how far it lies apart, by name.

    Args:
        first: Arrays by name.
        second: Those of the other model.
    """
    return {
        name: _apart(name, first.get(name), second.get(name))
        for name in dict.fromkeys([*first, *second])
    }


def _apart(name: str, first: Any, second: Any) -> Apart:
    types = (_type_of(first), _type_of(second))
    if first is None or second is None or first.shape != second.shape:
        return Apart(name, types)
    a, b = np.asarray(first), np.asarray(second)
    most, count, place = 0.0, 0, 0
    flat_a, flat_b = a.reshape(-1), b.reshape(-1)
    for start in range(0, a.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        distance = _distance(flat_a[part], flat_b[part])
        count += int(np.count_nonzero(distance))
        largest = int(np.argmax(distance))
        if float(distance[largest]) > most:
            most, place = float(distance[largest]), start + largest
    if not count:
        return Apart(name, types, 0.0)
    at = tuple(int(index) for index in np.unravel_index(place, a.shape))
    return Apart(name, types, most, count, a.size, at, (a[at], b[at]))


def _type_of(array: Any) -> str | None:
    if array is None:
        return None
    return str(TensorType(tuple(map(int, array.shape)), array.dtype.name))


def _distance(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """|a - b|; 0 for two NaN, and for two infinities of one sign."""
    if not jnp.issubdtype(a.dtype, jnp.floating) and a.dtype == b.dtype:
        # In integers: int64 does not fit into float64.
        high, low = np.maximum(a, b), np.minimum(a, b)
        same = high == low
        apart = high.astype(np.float64) - low.astype(np.float64)
        return np.where(same, 0.0, np.maximum(apart, 1.0))
    x, y = a.astype(np.float64), b.astype(np.float64)
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(x - y)
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))
