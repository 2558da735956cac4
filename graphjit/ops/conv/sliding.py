"""Where the windows of a dense convolution lie: strides, pads, dilation as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from graphjit.ops.base import Array
from graphjit.ops.wide_sums import sum_dtype
from graphjit.ops.windows import explicit_pads, span

__all__ = [
    "NHWC",
    "Pads",
    "Sliding",
    "fitted",
    "plain_convolution",
    "product",
    "sliding_of",
    "with_pads",
]

#: Dimension numbers of the one form of convolution that XLA:CPU runs fast everywhere.
NHWC = ("NHWC", "HWIO", "NHWC")

#: (before, after) per spatial axis.
Pads: TypeAlias = "tuple[tuple[int, int], ...]"


@dataclass(frozen=True, slots=True)
class Sliding:
    """Per spatial axis (rows, columns); hashable, for `jax.custom_vjp`.

    Window y reads x at ``y * stride + i * rate - before`` for tap i.

    Attributes:
        strides: Steps between windows.
        before: Zeros before the image; what lies after follows from the lengths.
        rates: Dilation.
    """

    strides: tuple[int, int]
    before: tuple[int, int]
    rates: tuple[int, int]

    def reach(self, outputs: Sequence[int], taps: Sequence[int]) -> tuple[int, int]:
        """How long the padded image is up to the last element that is read."""
        rows, columns = (
            (out - 1) * stride + span(tap, rate)
            for out, stride, tap, rate in zip(
                outputs, self.strides, taps, self.rates, strict=True
            )
        )
        return rows, columns


def sliding_of(op: Any, x: Array, kernel: Array) -> tuple[Sliding, Pads]:
    """The windows of a 2-D `ConvOp` on such operands, and its pads."""
    rates = op.rates()
    windows = [span(k, r) for k, r in zip(kernel.shape[:2], rates, strict=True)]
    pads = explicit_pads(op.padding, x.shape[1:3], windows, op.strides)
    assert pads is not None
    before = (pads[0][0], pads[1][0])
    return Sliding(op.strides, before, rates), pads


def plain_convolution(sliding: Sliding, pads: Pads, x: Array, kernel: Array) -> Array:
    """The convolution itself, without gradients of its own.

    Shapes:
        x: (n, h, w, c)   kernel: (kh, kw, c, k)  ->  (n, h', w', k)
    """
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        sliding.strides,
        pads,
        rhs_dilation=sliding.rates,
        dimension_numbers=NHWC,
    )


def fitted(
    x: Array,
    rows: tuple[int, int],
    columns: tuple[int, int],
    strides: tuple[int, int] = (1, 1),
) -> Array:
    """Rows and columns `strides` apart, zeros between and around; negative: crop.

    Shapes:
        x: (n, h, w, c)  ->  (n, h + sum(rows), w + sum(columns), c)  for strides of 1
    """
    zero = jnp.zeros((), x.dtype)
    inner_rows, inner_columns = strides[0] - 1, strides[1] - 1
    config = ((0, 0, 0), (*rows, inner_rows), (*columns, inner_columns), (0, 0, 0))
    return jax.lax.pad(x, zero, config)


def with_pads(
    x: Array,
    rows: tuple[int, int],
    columns: tuple[int, int],
    strides: tuple[int, int] = (1, 1),
) -> tuple[Array, Pads]:
    """`fitted`, its pads left to the convolution that follows where none is a crop.

    A convolution takes no crops, and a crop may be longer than x where zeros come in
    from the other side: then one pad has to do both.
    """
    if min(*rows, *columns) < 0:
        return fitted(x, rows, columns, strides), ((0, 0), (0, 0))
    return fitted(x, (0, 0), (0, 0), strides), (rows, columns)


def product(left: Array, right: Array, left_axis: int, right_axis: int) -> Array:
    """The product that sums over one axis of each, with no transposed copy."""
    return jax.lax.dot_general(
        left,
        right,
        (((left_axis,), (right_axis,)), ((), ())),
        preferred_element_type=sum_dtype(left.dtype),
    )
