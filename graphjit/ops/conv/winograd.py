"""3 x 3 convolutions by Winograd's minimal filtering, F(2 x 2, 3 x 3).

Sixteen products of matrices take the place of 36 per two by two results
(arXiv:1509.09308). The kernel's half is an op of its own, so that it is computed once
where the weights are constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp

from graphjit.errors import ShapeError
from graphjit.ops.base import Array, Op, PackedForm, Refusal, register_op
from graphjit.ops.bias import with_bias
from graphjit.ops.conv.operands import check_operands
from graphjit.ops.wide_sums import sum_dtype
from graphjit.ops.windows import Padding, explicit_pads, output_length
from graphjit.types import TensorType, known_size

__all__ = ["FiltersMinimally", "WinogradConv", "WinogradKernel"]

_Matrix: TypeAlias = tuple[tuple[float, ...], ...]

#: Of a tile of x, of the kernel, and of the products: B', G and A' of the paper.
_OF_IMAGE: _Matrix = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
_OF_KERNEL: _Matrix = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
_OF_PRODUCTS: _Matrix = ((1, 1, 1, 0), (0, 1, -1, -1))

_TILE = 4
_RESULTS = 2


class FiltersMinimally:
    """Trait: there is a form with fewer products, whose kernel is prepared ahead."""

    __slots__ = ()

    def minimal(self, types: Sequence[TensorType | None]) -> PackedForm | Refusal:
        """That form, for operands of these types; or why there is none."""
        raise NotImplementedError


@register_op("winograd_kernel", roles=("kernel",))
class WinogradKernel(Op):
    """A kernel as the sixteen matrices that `winograd_conv` multiplies with.

    Shapes:
        kernel: (3, 3, c, k)  ->  (16, c, k)
    """

    def infer(self, kernel: TensorType) -> TensorType:
        if kernel.rank != 4 or kernel.shape[:2] != (3, 3):
            raise ShapeError(f"kernel: expected (3, 3, c, k), received {kernel}")
        return kernel.with_shape((_TILE**2, *kernel.shape[2:]))

    def lower(self, kernel: Array) -> Array:
        dtype = sum_dtype(kernel.dtype)
        taps = [[kernel[i, j].astype(dtype) for j in range(3)] for i in range(3)]
        tiles = jnp.stack([part for row in _both(_OF_KERNEL, taps) for part in row])
        return tiles.astype(kernel.dtype)


@register_op("winograd_conv", roles=("x", "kernel", "bias"))
class WinogradConv(Op):
    """A 3 x 3 convolution of stride 1 with a kernel from `winograd_kernel`.

    In float32 the error is about twice that of the plain sum.

    Shapes:
        x: (n, h, w, c)   kernel: (16, c, k)   bias: (k,)  ->  (n, h', w', k)
    """

    padding: Padding = "valid"

    def infer(
        self, x: TensorType, kernel: TensorType, bias: TensorType | None = None
    ) -> TensorType:
        if x.rank != 4 or kernel.rank != 3 or kernel.shape[0] != _TILE**2:
            raise ShapeError(
                f"expected x (n, h, w, c) and kernel (16, c, k), received {x}, {kernel}"
            )
        channels, filters = kernel.shape[1:]
        check_operands(x, kernel, bias, axes="HWIO", channels=channels, filters=filters)
        padding = self.padding
        lengths = [
            output_length(
                x.shape[1 + axis],
                3,
                1,
                padding if isinstance(padding, str) else padding[axis],
            )
            for axis in range(2)
        ]
        return x.with_shape((x.shape[0], *lengths, filters))

    def lower(self, x: Array, kernel: Array, bias: Array | None = None) -> Array:
        pads = explicit_pads(self.padding, x.shape[1:3], (3, 3), (1, 1))
        assert pads is not None  # a stride of 1 needs no length
        n, filters = x.shape[0], kernel.shape[-1]
        lengths = [
            size + sum(pad) - 2 for size, pad in zip(x.shape[1:3], pads, strict=True)
        ]
        tiles = [-(-length // _RESULTS) for length in lengths]
        wanted = [
            (before, tile * _RESULTS + 2 - size - before)
            for (before, _), tile, size in zip(pads, tiles, x.shape[1:3], strict=True)
        ]
        x = jnp.pad(x, ((0, 0), *wanted, (0, 0)))
        parts = _both(_OF_IMAGE, _strided(x, tiles))
        dtype = sum_dtype(x.dtype)
        products = [
            [
                jnp.dot(
                    part.reshape(-1, part.shape[-1]),
                    kernel[row * _TILE + column],
                    preferred_element_type=dtype,
                ).reshape(n, *tiles, filters)
                for column, part in enumerate(line)
            ]
            for row, line in enumerate(parts)
        ]
        results = _both(_OF_PRODUCTS, products)
        y = jnp.stack([jnp.stack(line, axis=3) for line in results], axis=2)
        y = y.reshape(n, tiles[0] * _RESULTS, tiles[1] * _RESULTS, filters)
        y = y[:, : lengths[0], : lengths[1]].astype(x.dtype)
        return with_bias(y, bias)

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        kernel = operands[1]
        assert kernel is not None
        tiles = [
            -(-dim // _RESULTS) if isinstance(dim, int) else 1
            for dim in results[0].shape[1:3]
        ]
        rows = results[0].shape[0]
        images = rows if isinstance(rows, int) else 1
        return 2 * images * (known_size([*tiles, *kernel.shape]) or 1)


def _strided(x: Array, tiles: Sequence[int]) -> list[list[Array]]:
    """Element (i, j) of every 4 x 4 tile, tiles lying two apart."""

    def part(i: int, j: int) -> Array:
        stop = [
            at + (count - 1) * _RESULTS + 1
            for at, count in zip((i, j), tiles, strict=True)
        ]
        limits = (x.shape[0], *stop, x.shape[-1])
        return jax.lax.slice(x, (0, i, j, 0), limits, (1, _RESULTS, _RESULTS, 1))

    return [[part(i, j) for j in range(_TILE)] for i in range(_TILE)]


def _both(matrix: _Matrix, parts: Sequence[Sequence[Array]]) -> list[list[Array]]:
    """matrix @ parts @ matrix', for a grid of arrays."""
    columns = len(parts[0])
    half = [
        [_weighted(row, [line[at] for line in parts]) for at in range(columns)]
        for row in matrix
    ]
    return [[_weighted(row, line) for row in matrix] for line in half]


def _weighted(weights: Sequence[float], parts: Sequence[Array]) -> Array:
    """The sum of the arrays by their weights, without products by 0, 1 and -1."""
    total: Array | None = None
    for weight, part in zip(weights, parts, strict=True):
        if weight == 0:
            continue
        if total is not None and weight == -1:
            total = total - part
            continue
        term = part if weight == 1 else -part if weight == -1 else weight * part
        total = term if total is None else total + term
    assert total is not None
    return total
