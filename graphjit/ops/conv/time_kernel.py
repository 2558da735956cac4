"""Convolutions along one axis as products of matrices."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from graphjit.ops.base import Array, Kernel
from graphjit.ops.bias import with_bias
from graphjit.ops.conv.canonical_backward import CANONICAL_BACKWARD
from graphjit.ops.conv.one_axis import as_rows
from graphjit.ops.conv.sliding import product
from graphjit.ops.windows import explicit_pads, span
from graphjit.types import TensorType

__all__ = ["TIME_AS_ROWS", "TIME_COLUMNS"]

#: (stride, before, rate, windows): window y reads from ``y * stride - before`` on,
#: every `rate` elements.
_Steps = tuple[int, int, int, int]


def _can(op: Any, types: Sequence[TensorType | None]) -> bool:
    return op.rank == 1 and op.groups == 1 and None not in types[:2]


def _rows(op: Any, x: Array, kernel: Array, bias: Array | None = None) -> Array:
    """The convolution of images with a single row.

    Shapes:
        x: (n, t, c)   kernel: (k, c, c_out)  ->  (n, t', c_out)
    """
    return as_rows(CANONICAL_BACKWARD.lower, op, x, kernel, bias)


def _lower(op: Any, x: Array, kernel: Array, bias: Array | None = None) -> Array:
    """What every window reads side by side, times the kernel as one matrix.

    Shapes:
        x: (n, t, c)   kernel: (k, c, c_out)  ->  (n, t', c_out)
    """
    window = span(kernel.shape[0], op.rates()[0])
    pads = explicit_pads(op.padding, x.shape[1:2], [window], op.strides)
    assert pads is not None
    (stride,), (rate,), (before, after) = op.strides, op.rates(), pads[0]
    windows = (x.shape[1] + before + after - window) // stride + 1
    y: Any = _columns_times((stride, before, rate, windows), x, kernel)
    return with_bias(y, bias)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _columns_times(steps: _Steps, x: Array, kernel: Array) -> Array:
    taps, channels, filters = kernel.shape
    columns = _columns(steps, x, taps)
    y = product(columns, kernel.reshape(taps * channels, filters), 1, 0)
    return y.reshape(x.shape[0], -1, filters).astype(x.dtype)


def _forward(
    steps: _Steps, x: Array, kernel: Array
) -> tuple[Array, tuple[Array, Array]]:
    return _columns_times(steps, x, kernel), (x, kernel)


def _backward(
    steps: _Steps, kept: tuple[Array, Array], slope: Array
) -> tuple[Array, Array]:
    x, kernel = kept
    taps, channels, filters = kernel.shape
    flat = slope.reshape(-1, filters)
    to_kernel = product(_columns(steps, x, taps), flat, 0, 0).reshape(kernel.shape)
    to_columns = product(flat, kernel.reshape(-1, filters), 1, 1)
    to_columns = to_columns.reshape(*slope.shape[:2], taps, channels)
    to_x = _added_up(steps, to_columns, x.shape[1])
    return to_x.astype(x.dtype), to_kernel.astype(kernel.dtype)


_columns_times.defvjp(_forward, _backward)


def _columns(steps: _Steps, x: Array, taps: int) -> Array:
    """(n, t, c) as (n * t', k * c)."""
    stride, before, rate, windows = steps
    last = (windows - 1) * stride
    end = last + span(taps, rate)
    none = (0, 0, 0)
    config = [none, (before, end - before - x.shape[1], 0), none]
    padded = jax.lax.pad(x, jnp.zeros((), x.dtype), config)
    slices = [
        jax.lax.slice_in_dim(padded, first, first + last + 1, stride, axis=1)
        for first in range(0, taps * rate, rate)
    ]
    return jnp.concatenate(slices, -1).reshape(-1, taps * x.shape[-1])


def _added_up(steps: _Steps, columns: Array, length: int) -> Array:
    """Every element of x gets what the windows that read it have for it.

    Shapes:
        columns: (n, t', k, c)  ->  (n, t, c)
    """
    stride, before, rate, windows = steps
    none, zero = (0, 0, 0), jnp.zeros((), columns.dtype)
    terms: list[Array] = []
    for tap in range(columns.shape[2]):
        first = tap * rate - before
        rest = length - first - (windows - 1) * stride - 1
        config = [none, (first, rest, stride - 1), none]
        terms.append(jax.lax.pad(columns[:, :, tap], zero, config))
    return functools.reduce(jnp.add, terms)


TIME_COLUMNS = Kernel(name="time_columns", can=_can, lower=_lower)

TIME_AS_ROWS = Kernel(name="time_as_rows", can=_can, lower=_rows)
