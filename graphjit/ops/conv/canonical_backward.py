"""Dense 2-D convolutions whose backward pass is canonical for XLA:CPU, in loops too."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax

from graphjit.ops.base import Array, Kernel, Rule
from graphjit.ops.bias import with_bias
from graphjit.ops.conv.image_gradient import image_gradient
from graphjit.ops.conv.kernel_gradient import kernel_gradient
from graphjit.ops.conv.sliding import Pads, Sliding, plain_convolution, sliding_of
from graphjit.ops.wide_sums import widened
from graphjit.types import TensorType

__all__ = ["CANONICAL_BACKWARD", "convolved", "gradients", "is_dense"]


def is_dense(op: Any, types: Sequence[TensorType | None]) -> bool:
    """Whether the op is a 2-D convolution of one group, of floating numbers."""
    return op.rank == 2 and op.groups == 1 and None not in types[:2]


def _lower(op: Any, x: Array, kernel: Array, bias: Array | None = None) -> Array:
    """The plain convolution, with gradients of its own.

    Shapes:
        x: (n, h, w, c)   kernel: (kh, kw, c, k)  ->  (n, h', w', k)
    """
    sliding, pads = sliding_of(op, x, kernel)
    y = convolved(sliding, pads, x, kernel)
    return with_bias(y, bias)


def convolved(sliding: Sliding, pads: Pads, x: Array, kernel: Array) -> Array:
    """The plain convolution, with `gradients` for its backward pass."""
    return _with_gradients(sliding, pads, x, kernel)


def _forward(
    sliding: Sliding, pads: Pads, x: Array, kernel: Array
) -> tuple[Array, tuple[Array, Array]]:
    return plain_convolution(sliding, pads, x, kernel), (x, kernel)


def gradients(
    sliding: Sliding,
    pads: Pads,
    kept: tuple[Array, Array],
    slope: Array,
) -> tuple[Array, Array]:
    """The gradients of a dense convolution: what `jax.custom_vjp` takes.

    Args:
        sliding: Where the windows lie.
        pads: Not needed.
        kept: x and the kernel.
        slope: The gradient to the result.
    """
    del pads
    image, taps, wide = widened(*kept, slope)
    x, kernel = kept
    to_image = image_gradient(sliding, wide, taps, x.shape[1:3])
    to_kernel = kernel_gradient(sliding, image, wide, kernel.shape[:2])
    return to_image.astype(x.dtype), to_kernel.astype(kernel.dtype)


_with_gradients: Any = functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))(
    plain_convolution
)
_with_gradients.defvjp(_forward, gradients)


def _many_channels(op: Any, types: Sequence[TensorType | None]) -> bool:
    """At least 16 channels on both sides."""
    del op
    kernel = types[1]
    assert kernel is not None
    return all(isinstance(dim, int) and dim >= 16 for dim in kernel.shape[2:])


CANONICAL_BACKWARD = Kernel(
    name="canonical_backward",
    can=is_dense,
    lower=_lower,
    rules=(
        Rule(
            "cpu",
            "gradients in a scan over 2 blocks: 14x14x256 b8 38x, 8x8x128 b64 37x, "
            "28x28x64 b8 33x; outside of loops, forward and gradients: maps from "
            "16x16 on 1.1-1.8x, smaller ones 1.0-1.4x",
            when=_many_channels,
            training=True,
        ),
    ),
)
