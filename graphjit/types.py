"""Tensor types: a shape of known, named and unknown dims, and an element type.

A dim is one of

- an ``int``: known;
- a ``str``: a named symbol, equal to itself at every place (axis 0 of a batched
  value is the symbol ``batch``);
- ``None``: unknown. It unifies with anything, and the known side wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from graphjit.errors import ShapeError

__all__ = [
    "BATCH",
    "DTYPE_BYTES",
    "Dim",
    "Shape",
    "TensorType",
    "broadcast_shapes",
    "is_floating",
    "known_size",
    "unify_dim",
    "unify_shapes",
]

Dim: TypeAlias = int | str | None
Shape: TypeAlias = tuple[Dim, ...]

BATCH: Final = "batch"

#: Element types of the IR and their size in bytes. A closed set.
DTYPE_BYTES: Final[dict[str, int]] = {
    "bool": 1,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "uint8": 1,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "float64": 8,
}
_FLOATING: Final = frozenset({"float16", "bfloat16", "float32", "float64"})


@dataclass(frozen=True, slots=True)
class TensorType:
    """The type of one value.

    >>> str(TensorType(("batch", None, 64), "float32"))
    'float32[batch, ?, 64]'
    """

    shape: Shape
    dtype: str = "float32"

    def __str__(self) -> str:
        dims = ("?" if dim is None else str(dim) for dim in self.shape)
        return f"{self.dtype}[{', '.join(dims)}]"

    @property
    def rank(self) -> int:
        return len(self.shape)

    def with_shape(self, shape: Iterable[Dim]) -> TensorType:
        """The same element type in another shape."""
        return TensorType(tuple(shape), self.dtype)

    def user_shape(self) -> tuple[int | None, ...]:
        """The shape as Keras shows it: None for every dim that is not a number."""
        return tuple(dim if isinstance(dim, int) else None for dim in self.shape)


def is_floating(dtype: str) -> bool:
    return dtype in _FLOATING


def known_size(shape: Sequence[Dim]) -> int | None:
    """The number of elements, or None where a dim is not a number."""
    size = 1
    for dim in shape:
        if not isinstance(dim, int):
            return None
        size *= dim
    return size


def unify_dim(a: Dim, b: Dim) -> Dim:
    """The dim that is both `a` and `b`.

    Raises:
        ShapeError: The two are known (or named) and differ.
    """
    if a is None or a == b:
        return b
    if b is None:
        return a
    raise ShapeError(f"dims {a} and {b} differ")


def unify_shapes(a: Shape, b: Shape) -> Shape:
    """Both shapes at once, dim by dim; ranks must be equal."""
    if a == b:
        return a
    if len(a) != len(b):
        raise ShapeError(f"ranks {len(a)} and {len(b)} differ")
    return tuple(unify_dim(x, y) for x, y in zip(a, b, strict=True))


def broadcast_shapes(shapes: Sequence[Shape]) -> Shape:
    """NumPy broadcasting over named and unknown dims.

    An unknown dim against 1 stays unknown; against anything else that is known,
    the known side wins (a run-time 1 is then refused by the lowering's shape check).

    >>> broadcast_shapes([("batch", None, 3), (1, 8, 1)])
    ('batch', 8, 3)
    """
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return first
    rank = max(len(shape) for shape in shapes)
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(_broadcast_dims(dims) for dims in zip(*padded, strict=True))


def _broadcast_dims(dims: Sequence[Dim]) -> Dim:
    result: Dim = 1
    for dim in dims:
        if dim == 1:
            continue
        result = dim if result == 1 else unify_dim(result, dim)
    return result
