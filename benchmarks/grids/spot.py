"""One point of a grid: an op, and the data it runs on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from graphjit.ops.base import Op
from graphjit.types import TensorType

__all__ = ["Data", "Spot", "floats"]


@dataclass(frozen=True, slots=True)
class Data:
    """One operand: random numbers of a shape, or whole numbers below `ids`.

    Floats are about as large as `size`.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    ids: int = 0
    size: float = 1.0

    def array(self, rng: np.random.Generator) -> Any:
        if self.ids:
            return rng.integers(0, self.ids, self.shape).astype("int32")
        if self.dtype == "bool":
            return rng.random(self.shape) < 0.8
        return (rng.normal(size=self.shape) * self.size).astype(self.dtype)

    @property
    def type(self) -> TensorType:
        return TensorType(self.shape, "int32" if self.ids else self.dtype)


@dataclass(frozen=True, slots=True)
class Spot:
    """One point of a grid: an op, and the data it runs on."""

    name: str
    op: Op
    data: tuple[Data | None, ...]


def floats(*shape: int, size: float = 1.0) -> Data:
    return Data(shape, size=size)
