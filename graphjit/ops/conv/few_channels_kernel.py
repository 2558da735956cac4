"""Convolutions with few channels on either side, as image stems have them.

XLA:CPU sends them to Eigen (up to 16 channels on both sides) or to YNNPACK, and both
are slow at numbers of channels that do not fill a vector.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from graphjit.ops.base import Array, Kernel, Rule
from graphjit.ops.bias import with_bias
from graphjit.ops.conv.canonical_backward import gradients, is_dense
from graphjit.ops.conv.sliding import Pads, Sliding, fitted, sliding_of
from graphjit.ops.wide_sums import widened
from graphjit.types import TensorType, known_size

__all__ = ["FILLED_CHANNELS", "SHIFTED_SUM"]

#: A sum of more terms than this is too long for one loop.
_MOST_TERMS = 32

#: YNNPACK reads so many channels at once.
_READ_AT_ONCE = 4


# --- a sum of shifted channels --------------------------------------------------------


def _can_sum(op: Any, types: Sequence[TensorType | None]) -> bool:
    kernel = types[1]
    if kernel is None or not is_dense(op, types):
        return False
    terms = known_size(kernel.shape[:3])
    return terms is not None and terms <= _MOST_TERMS


def _lower_sum(op: Any, x: Array, kernel: Array, bias: Array | None = None) -> Array:
    """Each channel of x, shifted to each tap, times that tap's row of the kernel.

    Shapes:
        x: (n, h, w, c)   kernel: (kh, kw, c, k)  ->  (n, h', w', k)
    """
    sliding, pads = sliding_of(op, x, kernel)
    y: Array = _with_gradients(sliding, pads, x, kernel)
    return with_bias(y, bias)


def _shifted_sum(sliding: Sliding, pads: Pads, x: Array, kernel: Array) -> Array:
    image, weights = widened(x, kernel)
    terms = _terms(sliding, fitted(image, pads[0], pads[1]), weights)
    return functools.reduce(jnp.add, terms).astype(x.dtype)


def _terms(sliding: Sliding, padded: Array, kernel: Array) -> Iterator[Array]:
    """(n, h', w', 1) times (k,) for every tap and channel."""
    high, wide, channels, _ = kernel.shape
    (down, right), rates = sliding.strides, sliding.rates
    rows, columns = (
        padded.shape[axis + 1] - (taps - 1) * rate
        for axis, taps, rate in zip((0, 1), (high, wide), rates, strict=True)
    )
    for i in range(high):
        for j in range(wide):
            top, left = i * rates[0], j * rates[1]
            for channel in range(channels):
                seen = jax.lax.slice(
                    padded,
                    (0, top, left, channel),
                    (padded.shape[0], top + rows, left + columns, channel + 1),
                    (1, down, right, 1),
                )
                yield seen * kernel[i, j, channel]


def _forward(
    sliding: Sliding, pads: Pads, x: Array, kernel: Array
) -> tuple[Array, tuple[Array, Array]]:
    return _shifted_sum(sliding, pads, x, kernel), (x, kernel)


_with_gradients: Any = functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))(
    _shifted_sum
)
_with_gradients.defvjp(_forward, gradients)


# --- channels of zeros ----------------------------------------------------------------


def _can_fill(op: Any, types: Sequence[TensorType | None]) -> bool:
    kernel = types[1]
    if kernel is None or not is_dense(op, types):
        return False
    channels = kernel.shape[2]
    return isinstance(channels, int) and channels % _READ_AT_ONCE != 0


def _lower_filled(op: Any, x: Array, kernel: Array, bias: Array | None = None) -> Array:
    """The convolution with channels of zeros added to x, up to a multiple of four.

    The gradients are those of the plain convolution: zeros gain nothing there.

    Shapes:
        x: (n, h, w, c)   kernel: (kh, kw, c, k)  ->  (n, h', w', k)
    """
    y: Any = _filled(op, x, kernel)
    return with_bias(y, bias)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _filled(op: Any, x: Array, kernel: Array) -> Array:
    more = -kernel.shape[2] % _READ_AT_ONCE
    return op.lower(
        jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, more))),
        jnp.pad(kernel, ((0, 0), (0, 0), (0, more), (0, 0))),
    )


def _forward_filled(
    op: Any, x: Array, kernel: Array
) -> tuple[Array, tuple[Array, Array]]:
    return _filled(op, x, kernel), (x, kernel)


def _backward_filled(
    op: Any, kept: tuple[Array, Array], slope: Array
) -> tuple[Array, Array]:
    def plain(x: Array, kernel: Array) -> Array:
        return op.lower(x, kernel)

    pull: Any = jax.vjp(plain, *kept)[1]  # pyright: ignore[reportUnknownVariableType]
    return pull(slope)


_filled.defvjp(_forward_filled, _backward_filled)


# --- where they pay -------------------------------------------------------------------


def _narrow(op: Any, types: Sequence[TensorType | None]) -> bool:
    """One or three channels in, 6 to 16 out."""
    del op
    return _channels(types)[0] in (1, 3) and _channels(types)[1] in range(6, 17)


def _stem(op: Any, types: Sequence[TensorType | None]) -> bool:
    """Three channels in, 17 to 32 out."""
    del op
    return _channels(types)[0] == 3 and _channels(types)[1] in range(17, 33)


def _channels(types: Sequence[TensorType | None]) -> tuple[Any, Any]:
    kernel = types[1]
    assert kernel is not None
    return kernel.shape[2], kernel.shape[3]


SHIFTED_SUM = Kernel(
    name="shifted_sum",
    can=_can_sum,
    lower=_lower_sum,
    rules=(
        Rule(
            "cpu",
            "3x3 and 5x5, 1 or 3 -> 6 to 16 channels, forward: b1 1.5-1.9x, b8 and "
            "b64 1.8-5.1x",
            when=_narrow,
            training=False,
        ),
    ),
)

FILLED_CHANNELS = Kernel(
    name="filled_channels",
    can=_can_fill,
    lower=_lower_filled,
    rules=(
        Rule(
            "cpu",
            "3x3 and 5x5, 3 -> 24 or 32 channels, forward: b1 1.7-2.8x, b8 and b64 "
            "1.9-5.5x; with the gradient to the kernel, 6 shapes, two runs: 1.5-2.9x",
            when=_stem,
        ),
    ),
)
