"""Three-dimensional convolutions as two-dimensional ones with depth in the channels.

XLA:CPU convolves volumes several times slower than images, and their gradients slower
still. The slices that the taps along depth read, side by side as channels, make it one
convolution of images, with a kernel to match.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from graphjit.errors import ShapeError
from graphjit.ops.base import Array, Kernel, Op, PackedForm, Rule, register_op
from graphjit.ops.bias import with_bias
from graphjit.ops.conv.canonical_backward import convolved
from graphjit.ops.conv.operands import check_operands, convolution_flops
from graphjit.ops.conv.sliding import Pads, Sliding, plain_convolution
from graphjit.ops.shape import Reshape, Transpose
from graphjit.ops.wide_sums import widened
from graphjit.ops.windows import Padding, explicit_pads, output_length, span
from graphjit.types import TensorType

__all__ = ["DEPTH_IN_CHANNELS", "DepthConv"]


@register_op("depth_conv", roles=("x", "kernel", "bias"))
class DepthConv(Op):
    """A convolution of volumes whose kernel has its taps along depth as channels.

    Shapes:
        x: (n, d, h, w, c)   kernel: (kh, kw, kd * c, k)   bias: (k,)
            ->  (n, d', h', w', k)

    Attributes:
        taps: kd, along depth.
    """

    taps: int
    strides: tuple[int, int, int]
    padding: Padding
    dilation: tuple[int, int, int]

    def infer(
        self, x: TensorType, kernel: TensorType, bias: TensorType | None = None
    ) -> TensorType:
        if x.rank != 5 or kernel.rank != 4:
            raise ShapeError(
                "expected x (n, d, h, w, c) and kernel (kh, kw, kd * c, k), received "
                f"{x}, {kernel}"
            )
        *_, joined, filters = kernel.shape
        if not isinstance(joined, int) or joined % self.taps:
            raise ShapeError(f"{joined} channels are not those of {self.taps} taps")
        channels = joined // self.taps
        check_operands(
            x, kernel, bias, axes="DHWIO", channels=channels, filters=filters
        )
        pads = self.padding
        lengths = [
            output_length(
                x.shape[1 + axis],
                window,
                stride,
                pads if isinstance(pads, str) else pads[axis],
            )
            for axis, (window, stride) in enumerate(
                zip(self._windows(kernel.shape), self.strides, strict=True)
            )
        ]
        return x.with_shape((x.shape[0], *lengths, filters))

    def lower(self, x: Array, kernel: Array, bias: Array | None = None) -> Array:
        return self.by(plain_convolution, x, kernel, bias)

    def by(
        self,
        convolve: Callable[[Sliding, Pads, Array, Array], Array],
        x: Array,
        kernel: Array,
        bias: Array | None,
    ) -> Array:
        """The result, by some convolution of images."""
        windows = self._windows(kernel.shape)
        pads = explicit_pads(self.padding, x.shape[1:4], windows, self.strides)
        assert pads is not None
        (stride, *strides), (rate, *rates) = self.strides, self.dilation
        # The slopes of a slice are sums over the taps that read it: in float32 at
        # least.
        volume, taps = widened(x, kernel)
        images = _side_by_side(volume, self.taps, stride, pads[0], rate)
        before = (pads[1][0], pads[2][0])
        sliding = Sliding((strides[0], strides[1]), before, (rates[0], rates[1]))
        y = convolve(sliding, pads[1:], images.reshape(-1, *images.shape[2:]), taps)
        y = y.reshape(*images.shape[:2], *y.shape[1:]).astype(x.dtype)
        return with_bias(y, bias)

    def _windows(self, kernel: Sequence[Any]) -> list[int]:
        """How far the taps reach along depth, rows and columns."""
        taps = (self.taps, *kernel[:2])
        return [span(k, rate) for k, rate in zip(taps, self.dilation, strict=True)]

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        return convolution_flops(operands[1], results[0])


def _can(op: Any, types: Sequence[TensorType | None]) -> bool:
    return op.rank == 3 and op.groups == 1 and None not in types[:2]


def _lower(op: Any, x: Array, kernel: Array, bias: Array | None = None) -> Array:
    """One 2-D convolution of all slices that come out.

    Shapes:
        x: (n, d, h, w, c)   kernel: (kd, kh, kw, c, k)  ->  (n, d', h', w', k)
    """
    conv, packing = _depth_conv(op, kernel.shape)
    for at in packing:
        kernel = at.lower(kernel)
    return conv.by(convolved, x, kernel, bias)


def _depth_conv(op: Any, kernel: Sequence[Any]) -> tuple[DepthConv, tuple[Op, ...]]:
    """The op with depth in the channels, and what makes its kernel."""
    depth, high, wide, channels, filters = kernel
    packing = (
        Transpose((1, 2, 0, 3, 4)),
        Reshape((high, wide, depth * channels, filters), keep=0),
    )
    return DepthConv(depth, op.strides, op.padding, op.rates()), packing


def _packed(op: Any, types: Sequence[TensorType | None]) -> PackedForm:
    kernel = types[1]
    assert kernel is not None
    conv, packing = _depth_conv(op, kernel.shape)
    return PackedForm(packing, conv)


def _side_by_side(
    x: Array, taps: int, stride: int, pads: tuple[int, int], rate: int
) -> Array:
    """What every tap along depth reads, as channels.

    Shapes:
        x: (n, d, h, w, c)  ->  (n, d', h, w, kd * c)
    """
    # Rows and columns as one axis, zeros joined on: pads of five axes take twice as
    # long to compile, and longer to run.
    flat = x.reshape(*x.shape[:2], x.shape[2] * x.shape[3], x.shape[-1])

    def zeros(count: int) -> Array:
        return jnp.zeros((flat.shape[0], count, *flat.shape[2:]), x.dtype)

    if any(pads):
        flat = jnp.concatenate([zeros(pads[0]), flat, zeros(pads[1])], 1)
    windows = (flat.shape[1] - span(taps, rate)) // stride + 1
    slices = [
        jax.lax.slice_in_dim(
            flat, first, first + (windows - 1) * stride + 1, stride, axis=1
        )
        for first in range(0, taps * rate, rate)
    ]
    joined = jnp.concatenate(slices, -1)
    return joined.reshape(*joined.shape[:2], *x.shape[2:4], joined.shape[-1])


DEPTH_IN_CHANNELS = Kernel(
    name="depth_in_channels",
    can=_can,
    lower=_lower,
    packed=_packed,
    rules=(
        Rule(
            "cpu",
            "16 shapes, 1 to 256 ch, b1 to b32: forward 1.5-12x, with gradients "
            "1.8-11x, 50-250x where strided; prototype, 9 shapes: 2.7-22x and 2.9-168x",
        ),
    ),
)
