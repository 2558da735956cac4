"""Depthwise convolutions as sums of shifted images, and their gradients.

XLA:CPU sends a grouped convolution, and both its gradients, to a naive loop.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from graphjit.ops.base import Array, Kernel, Rule
from graphjit.ops.conv.depthwise_gradient import image_slopes, kernel_slopes
from graphjit.ops.conv.shifted_sum import region_terms, shifted_sum
from graphjit.ops.window_steps import Steps, steps_of
from graphjit.types import TensorType, is_floating, known_size

__all__ = ["DEPTHWISE_REGIONS", "DEPTHWISE_SHIFTED"]

#: Sums over regions of at most so many products by rule: 3x3 has 49. 5x5 has 361,
#: which compiles in 0.7-1.0 s, not in 0.1-0.2.
_FEW_TERMS = 64
_MANY_TERMS = 400


def _can(op: Any, types: Sequence[TensorType | None]) -> bool:
    x, kernel = types[0], types[1]
    if x is None or kernel is None or not is_floating(x.dtype):
        return False
    taps = known_size(kernel.shape[:-2])
    return kernel.shape[-2] == 1 and op.groups > 1 and taps is not None


def _can_regions(op: Any, types: Sequence[TensorType | None]) -> bool:
    """Where the two kernels differ: more regions than one does, fewer than too many."""
    x, kernel = types[0], types[1]
    if not _can(op, types) or x is None or kernel is None:
        return False
    if known_size(x.shape[1:-1]) is None:
        return False
    axes = _steps(op, x.shape[1:-1], kernel.shape[:-2])
    return _FEW_TERMS < region_terms(axes, _numbers(x.shape[1:-1])) <= _MANY_TERMS


def _numbers(dims: Sequence[Any]) -> list[int]:
    return [int(dim) for dim in dims]


def _steps(op: Any, sizes: Sequence[Any], taps: Sequence[Any]) -> tuple[Steps, ...]:
    return steps_of(op.padding, sizes, taps, op.strides, op.rates())


def _lower(
    op: Any, x: Array, kernel: Array, bias: Array | None = None, *, most_terms: int
) -> Array:
    """Depthwise convolution as shifted multiply-adds.

    Shapes:
        x: (n, h, w, c)   kernel: (kh, kw, 1, c * m)  ->  (n, h', w', c * m); likewise
        for 1 and 3 spatial axes. Output channel c * m + j reads input channel c.
    """
    axes = _steps(op, x.shape[1:-1], kernel.shape[:-2])
    filters = kernel.shape[-1]
    if filters > x.shape[-1]:
        multiplier = filters // x.shape[-1]
        several = jnp.broadcast_to(x[..., None], (*x.shape, multiplier))
        x = jnp.reshape(several, (*x.shape[:-1], filters))
    y: Any = _depthwise(axes, most_terms, x, kernel[..., 0, :])
    return y if bias is None else y + bias


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _depthwise(
    axes: tuple[Steps, ...], most_terms: int, x: Array, kernel: Array
) -> Array:
    return shifted_sum(x, kernel, axes, most_terms)


def _forward(
    axes: tuple[Steps, ...], most_terms: int, x: Array, kernel: Array
) -> tuple[Array, tuple[Array, Array]]:
    return _depthwise(axes, most_terms, x, kernel), (x, kernel)


def _backward(
    axes: tuple[Steps, ...], most_terms: int, saved: tuple[Array, Array], slopes: Array
) -> tuple[Array, Array]:
    x, kernel = saved
    return (
        image_slopes(slopes, kernel, axes, x.shape[1:-1], most_terms),
        kernel_slopes(x, slopes, axes).astype(kernel.dtype),
    )


_depthwise.defvjp(_forward, _backward)


DEPTHWISE_SHIFTED = Kernel(
    name="depthwise_shifted",
    can=_can,
    lower=functools.partial(_lower, most_terms=_FEW_TERMS),
    rules=(
        Rule(
            "cpu",
            "3x3, 256 ch, 28x28, b8: 48 ms plain, 2.1 ms shifted (23x); "
            "5x5 to 11x11: 12-27x",
        ),
    ),
)

#: No rule: as a prototype 1.2-2.5x over the other at 5x5, forward, for about five
#: times its time to compile.
DEPTHWISE_REGIONS = Kernel(
    name="depthwise_regions",
    can=_can_regions,
    lower=functools.partial(_lower, most_terms=_MANY_TERMS),
)
