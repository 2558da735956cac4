"""A 1 x 1 convolution as a product of two matrices."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax

from graphjit.ops.base import Array, Kernel, Rule
from graphjit.ops.bias import with_bias
from graphjit.ops.conv.sliding import product
from graphjit.types import TensorType

__all__ = ["POINTWISE_DOT"]


def _can(op: Any, types: Sequence[TensorType | None]) -> bool:
    kernel = types[1]
    if kernel is None or op.groups != 1:
        return False
    # With a window of one element "same" pads nothing.
    pads: Any = () if isinstance(op.padding, str) else op.padding
    return all(dim == 1 for dim in kernel.shape[:-2]) and not any(map(any, pads))


def _lower(op: Any, x: Array, kernel: Array, bias: Array | None = None) -> Array:
    """Every stride-th element of x as a row, times the kernel as a matrix.

    Shapes:
        x: (n, h, w, c)   kernel: (1, 1, c, k)  ->  (n, h', w', k)
        Likewise for 1 and 3 spatial axes.
    """
    if any(stride > 1 for stride in op.strides):
        x = jax.lax.slice(x, (0,) * x.ndim, x.shape, (1, *op.strides, 1))
    channels, filters = kernel.shape[-2:]
    rows, matrix = x.reshape(-1, channels), kernel.reshape(channels, filters)
    y: Array = _with_gradients(rows, matrix)
    y = y.reshape(*x.shape[:-1], filters)
    return with_bias(y, bias)


def _rows_times(rows: Array, matrix: Array) -> Array:
    """``rows @ matrix``, summed in at least float32."""
    return product(rows, matrix, 1, 0).astype(rows.dtype)


def _forward(rows: Array, matrix: Array) -> tuple[Array, tuple[Array, Array]]:
    return _rows_times(rows, matrix), (rows, matrix)


def _backward(kept: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    rows, matrix = kept
    to_rows = product(slope, matrix, 1, 1).astype(rows.dtype)
    to_matrix = product(rows, slope, 0, 0).astype(matrix.dtype)
    return to_rows, to_matrix


_with_gradients: Any = functools.partial(jax.custom_vjp)(_rows_times)
_with_gradients.defvjp(_forward, _backward)


def _image(op: Any, types: Sequence[TensorType | None]) -> bool:
    """Two spatial axes and every window, so that x is read as it lies."""
    del types
    return op.rank == 2 and all(stride == 1 for stride in op.strides)


def _strided_image(op: Any, types: Sequence[TensorType | None]) -> bool:
    del types
    return op.rank == 2


POINTWISE_DOT = Kernel(
    name="pointwise_dot",
    can=_can,
    lower=_lower,
    rules=(
        Rule(
            "cpu",
            "20 shapes of residual and mobile nets at stride 1, forward: b1 0.84-1.8x, "
            "b8 1.1-2.7x, b32 2.3-3.1x; with gradients 1.2-5.2x",
            when=_image,
        ),
        Rule(
            "cpu",
            "56x56 256->512 at stride 2, with gradients: b1 2.1x, b8 4.0x",
            when=_strided_image,
            training=True,
        ),
    ),
)
