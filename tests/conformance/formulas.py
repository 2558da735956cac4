"""Ops as plain NumPy statements: one function per op, loops where they are clearest.

Each takes the op and its operands (None for one left out) and returns the result, or a
tuple of results. They share no code with the package.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

erf = np.vectorize(math.erf, otypes=[float])


# --- elementwise ----------------------------------------------------------------------


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softplus(x: Array) -> Array:
    return np.log(1 + np.exp(x))


def relu6(x: Array) -> Array:
    return np.minimum(np.maximum(x, 0), 6)


def relu(op: Any, x: Array) -> Array:
    top = np.inf if op.max_value is None else op.max_value
    line = op.negative_slope * (x - op.threshold)
    return np.where(x >= top, top, np.where(x >= op.threshold, x, line))


def elu(op: Any, x: Array) -> Array:
    return np.where(x > 0, x, op.alpha * (np.exp(x) - 1))


def selu(op: Any, x: Array) -> Array:
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return scale * np.where(x > 0, x, alpha * (np.exp(x) - 1))


def gelu(op: Any, x: Array) -> Array:
    if op.approximate:
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return x * 0.5 * (1 + erf(x / np.sqrt(2)))


# --- along axes -----------------------------------------------------------------------


def softmax(op: Any, x: Array) -> Array:
    powers = np.exp(x)
    return powers / powers.sum(op.axis, keepdims=True)


def log_softmax(op: Any, x: Array) -> Array:
    return np.log(softmax(op, x))


# --- moving elements ------------------------------------------------------------------


def reshape(op: Any, x: Array) -> Array:
    return np.reshape(x, x.shape[: op.keep] + op.shape)


def upsample(op: Any, x: Array) -> Array:
    for axis, factor in enumerate(op.factors):
        x = np.repeat(x, factor, axis)
    return x


# --- windows --------------------------------------------------------------------------


def window_pads(
    padding: Any, lengths: Any, windows: Any, strides: Any
) -> list[tuple[int, int]]:
    """Pads as TensorFlow documents them: "same" puts the odd one behind."""
    if padding == "valid":
        return [(0, 0)] * len(windows)
    if padding != "same":
        return list(padding)
    pads = []
    for length, window, stride in zip(lengths, windows, strides, strict=True):
        outputs = math.ceil(length / stride)
        total = max((outputs - 1) * stride + window - length, 0)
        pads.append((total // 2, total - total // 2))
    return pads


def windows_of(
    x: Array, size: Any, strides: Any, rates: Any, padding: Any, fill: float
) -> tuple[tuple[int, ...], Any]:
    """Output lengths, and (position, window of x) pairs; a window is (n, …taps, c)."""
    spans = [(k - 1) * rate + 1 for k, rate in zip(size, rates, strict=True)]
    pads = window_pads(padding, x.shape[1:-1], spans, strides)
    padded = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=fill)
    lengths = tuple(
        (length - span) // stride + 1
        for length, span, stride in zip(padded.shape[1:-1], spans, strides, strict=True)
    )

    def each() -> Any:
        for position in itertools.product(*map(range, lengths)):
            cut = [
                slice(at * stride, at * stride + span, rate)
                for at, stride, span, rate in zip(
                    position, strides, spans, rates, strict=True
                )
            ]
            yield position, padded[(slice(None), *cut)]

    return lengths, each()


def conv(op: Any, x: Array, kernel: Array, bias: Array | None = None) -> Array:
    rates = op.dilation or (1,) * len(op.strides)
    taps = kernel.shape[:-2]
    per_group, filters = kernel.shape[-2:]
    lengths, windows = windows_of(x, taps, op.strides, rates, op.padding, 0.0)
    y = np.zeros((x.shape[0], *lengths, filters))
    for position, window in windows:
        for filter_ in range(filters):
            first = filter_ // (filters // op.groups) * per_group
            seen = window[..., first : first + per_group] * kernel[..., filter_]
            y[(slice(None), *position, filter_)] = seen.reshape(len(x), -1).sum(1)
    return y if bias is None else y + bias


def max_pool(op: Any, x: Array) -> Array:
    ones = (1,) * len(op.size)
    lengths, windows = windows_of(x, op.size, op.strides, ones, op.padding, -np.inf)
    y = np.zeros((x.shape[0], *lengths, x.shape[-1]))
    for position, window in windows:
        y[(slice(None), *position)] = window.max(tuple(range(1, x.ndim - 1)))
    return y


def average_pool(op: Any, x: Array) -> Array:
    ones = (1,) * len(op.size)
    lengths, windows = windows_of(x, op.size, op.strides, ones, op.padding, np.nan)
    y = np.zeros((x.shape[0], *lengths, x.shape[-1]))
    for position, window in windows:
        y[(slice(None), *position)] = np.nanmean(window, tuple(range(1, x.ndim - 1)))
    return y


# --- weights --------------------------------------------------------------------------


def dense(op: Any, x: Array, kernel: Array, bias: Array | None = None) -> Array:
    y = (x[..., :, None] * kernel).sum(-2)
    return y if bias is None else y + bias


def penalty(op: Any, x: Array, row_mask: Array | None = None) -> Array:
    rows = x if row_mask is None else x[row_mask]
    settings = op.regularizer.get_config()
    l1, l2 = settings.get("l1", 0.0), settings.get("l2", 0.0)
    return l1 * np.abs(rows).sum() + l2 * (rows**2).sum()


def moving_sum(op: Any, start: Array, xs: Array, kernel: Array) -> tuple[Array, ...]:
    """What the table's scan body does: h = tanh(x @ kernel + h); outputs h * x."""
    xs = np.moveaxis(xs, op.axis, 0)
    state, stacked = start, [np.empty(0)] * len(xs)
    steps = range(len(xs))
    for step in reversed(steps) if op.reverse else steps:
        state = np.tanh(xs[step] @ kernel + state)
        stacked[step] = state * xs[step]
    return state, np.moveaxis(np.stack(stacked), 0, op.axis)
