"""Convolutions: plain, transposed, locally connected."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from graphjit.ops.conv.conv_op import ConvOp
from graphjit.ops.conv.depth_conv import DepthConv
from graphjit.ops.conv.grouped_kernel import SpreadGroups
from graphjit.ops.conv.local_op import LocallyConnectedOp
from graphjit.ops.conv.transpose_op import ConvTransposeOp
from graphjit.ops.conv.winograd import WinogradConv, WinogradKernel
from graphjit.ops.windows import explicit_pads
from tests.conformance import formulas
from tests.conformance.case import Arg, Case, Row, w, x
from tests.conformance.formulas import Array

__all__ = ["ROWS"]


# --- as plain NumPy statements --------------------------------------------------------


def conv_transpose(
    op: Any, x: Array, kernel: Array, bias: Array | None = None
) -> Array:
    """Every element of x adds the kernel times itself; then the crops."""
    taps, filters = kernel.shape[:-2], kernel.shape[-2]
    rates = op.dilation or (1,) * len(taps)
    full = [
        s * (n - 1) + r * (k - 1) + 1
        for s, n, r, k in zip(op.strides, x.shape[1:-1], rates, taps, strict=True)
    ]
    y = np.zeros((x.shape[0], *full, filters))
    for position in itertools.product(*map(range, x.shape[1:-1])):
        for tap in itertools.product(*map(range, taps)):
            place = [
                s * at + r * t
                for s, at, r, t in zip(op.strides, position, rates, tap, strict=True)
            ]
            y[(slice(None), *place)] += x[(slice(None), *position)] @ kernel[tap].T
    for axis, (before, after) in enumerate(op.crops, start=1):
        more = [(0, 0)] * y.ndim
        more[axis] = (max(-before, 0), max(-after, 0))
        y = np.pad(y, more)
        places = range(max(before, 0), y.shape[axis] - max(after, 0))
        y = np.take(y, list(places), axis)
    return y if bias is None else y + bias


def locally_connected(
    op: Any, x: Array, kernel: Array, bias: Array | None = None
) -> Array:
    """The window at every place, flattened, times that place's matrix."""
    lengths = [
        (n - k) // s + 1
        for n, k, s in zip(x.shape[1:-1], op.size, op.strides, strict=True)
    ]
    y = np.zeros((x.shape[0], *lengths, kernel.shape[2]))
    for number, place in enumerate(itertools.product(*map(range, lengths))):
        cut = [
            slice(at * s, at * s + k)
            for at, s, k in zip(place, op.strides, op.size, strict=True)
        ]
        window = x[(slice(None), *cut)].reshape(len(x), -1)
        y[(slice(None), *place)] = window @ kernel[number]
    return y if bias is None else y + bias


# --- cases ----------------------------------------------------------------------------


def conv(data: Arg, kernel: Arg, bias: bool = True, **attributes: Any) -> Case:
    rank = len(data.shape) - 2
    attributes.setdefault("strides", (1,) * rank)
    args = (data, kernel, w(kernel.shape[-1])) if bias else (data, kernel)
    return Case(ConvOp(**attributes), args)


def transposed(data: Arg, kernel: Arg, bias: bool = True, **attributes: Any) -> Case:
    rank = len(data.shape) - 2
    attributes.setdefault("strides", (1,) * rank)
    attributes.setdefault("crops", ((0, 0),) * rank)
    args = (data, kernel, w(kernel.shape[-2])) if bias else (data, kernel)
    return Case(ConvTransposeOp(**attributes), args)


IMAGE = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], float)
KERNEL = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
PRODUCTS = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], float)


def winograd_kernel(_: Any, kernel: Array) -> Array:
    """G g G' for every pair of channels, in the paper's letters."""
    tiles = np.einsum("ai,bj,ijck->abck", KERNEL, KERNEL, kernel)
    return tiles.reshape(16, *kernel.shape[2:])


def winograd_conv(op: Any, x: Array, kernel: Array, bias: Array | None = None) -> Array:
    """A' (U * B' d B) A for every tile d of 4 x 4, two apart."""
    pads = explicit_pads(op.padding, x.shape[1:3], (3, 3), (1, 1))
    assert pads is not None
    lengths = [n + sum(p) - 2 for n, p in zip(x.shape[1:3], pads, strict=True)]
    x = np.pad(x, ((0, 0), *((a, b + 2) for a, b in pads), (0, 0)))
    y = np.zeros((x.shape[0], lengths[0] + 2, lengths[1] + 2, kernel.shape[-1]))
    grid = kernel.reshape(4, 4, *kernel.shape[1:])
    for i, j in itertools.product(*(range(0, length, 2) for length in lengths)):
        tile = x[:, i : i + 4, j : j + 4]
        image = np.einsum("ai,bj,nijc->nabc", IMAGE, IMAGE, tile)
        product = np.einsum("nabc,abck->nabk", image, grid)
        y[:, i : i + 2, j : j + 2] = np.einsum(
            "ia,jb,nabk->nijk", PRODUCTS, PRODUCTS, product
        )
    y = y[:, : lengths[0], : lengths[1]]
    return y if bias is None else y + bias


def spread_groups(op: Any, kernel: Array) -> Array:
    """A filter reads the channels of its own group; those beside are 0 to it."""
    *taps, channels, filters = kernel.shape
    y = np.zeros((*taps, op.merged * channels, filters))
    for at in range(filters):
        group = at // (filters // op.groups) % op.merged
        own = slice(group * channels, (group + 1) * channels)
        y[..., own, at] = kernel[..., at]
    return y


def depth_conv(op: Any, x: Array, kernel: Array, bias: Array | None = None) -> Array:
    """The convolution whose taps along depth stand among the channels."""
    *taps, joined, filters = kernel.shape
    apart = kernel.reshape(*taps, op.taps, joined // op.taps, filters)
    full = np.moveaxis(apart, 2, 0)
    return formulas.conv(ConvOp(op.strides, op.padding, op.dilation), x, full, bias)


def volumes(data: Arg, kernel: Arg, bias: bool, *attributes: Any) -> Case:
    args = (data, kernel, w(kernel.shape[-1]))
    return Case(DepthConv(*attributes), args if bias else args[:2])


def winograd(data: Arg, kernel: Arg, bias: bool, padding: Any) -> Case:
    args = (data, kernel, w(kernel.shape[-1]))
    return Case(WinogradConv(padding), args if bias else args[:2])


def local(data: Arg, size: Any, strides: Any, bias: str, filters: int) -> Case:
    *dims, channels = data.shape[1:]
    lengths = [(n - k) // s + 1 for n, k, s in zip(dims, size, strides, strict=True)]
    kernel = w(int(np.prod(lengths)), int(np.prod(size)) * channels, filters)
    biases = {"everywhere": w(*lengths, filters), "one": w(filters), "none": None}
    args = (data, kernel, biases[bias])
    return Case(LocallyConnectedOp(size, strides), args[: 2 if bias == "none" else 3])


ROWS = [
    Row(
        ConvOp,
        (
            conv(x(2, 5, 7, 3), w(3, 2, 3, 4)),
            conv(x(2, 6, 7, 3), w(3, 2, 3, 4), strides=(2, 3), padding="same"),
            conv(x(2, 8, 7, 2), w(2, 3, 2, 4), dilation=(3, 2), padding="same"),
            conv(x(2, 9, 7, 2), w(2, 3, 2, 4), dilation=(3, 1), strides=(2, 3)),
            conv(x(2, 6, 7, 2), w(3, 2, 2, 4), False, padding=((2, 0), (1, 3))),
            conv(x(2, 5, 4, 6), w(2, 3, 2, 9), groups=3, strides=(2, 1)),
            conv(x(2, 5, 6, 3), w(3, 2, 1, 6), groups=3, padding="same"),
            conv(x(2, 4, 3, 5), w(1, 1, 5, 2), False),
            conv(x(2, 9, 4), w(3, 2, 6), groups=2, dilation=(2,), padding="same"),
            conv(x(2, 9, 4), w(4, 4, 3), strides=(2,), padding=((3, 0),)),
            conv(x(2, 4, 5, 3, 2), w(2, 3, 2, 2, 3), strides=(1, 2, 1)),
            conv(
                x(2, 4, 5, 3, 4),
                w(2, 1, 2, 2, 4),
                False,
                strides=(2, 1, 1),
                padding="same",
                groups=2,
            ),
        ),
        formulas.conv,
    ),
    Row(
        ConvTransposeOp,
        (
            transposed(x(2, 3, 4, 3), w(3, 2, 4, 3)),
            transposed(
                x(2, 3, 4, 2), w(3, 4, 3, 2), strides=(2, 3), crops=((0, 1), (1, 2))
            ),
            # Further apart than the kernel is long: rows that get the bias alone.
            transposed(
                x(2, 3, 4, 2), w(2, 1, 3, 2), strides=(3, 2), crops=((0, -1), (-2, -1))
            ),
            transposed(
                x(2, 5, 4, 2), w(2, 3, 3, 2), dilation=(3, 2), crops=((1, 2), (2, 0))
            ),
            transposed(
                x(2, 6, 5, 2), w(3, 2, 4, 2), False, crops=((2, 2), (1, 2))
            ),  # the whole kernel everywhere
            transposed(x(2, 4, 3, 5), w(1, 1, 2, 5), False),
            transposed(x(2, 5, 4), w(4, 3, 4), strides=(2,), crops=((1, 1),)),
            transposed(x(2, 5, 3), w(2, 2, 3), False, dilation=(2,)),
            transposed(
                x(2, 2, 3, 4, 2),
                w(2, 3, 2, 3, 2),
                strides=(1, 2, 2),
                crops=((0, 0), (1, 0), (0, -1)),
            ),
        ),
        conv_transpose,
    ),
    Row(
        LocallyConnectedOp,
        (
            local(x(2, 5, 4, 3), (3, 2), (1, 1), "everywhere", 4),
            local(x(2, 7, 6, 2), (2, 3), (2, 3), "none", 3),
            local(x(2, 4, 5, 2), (2, 2), (1, 2), "one", 3),
            local(x(2, 8, 3), (3,), (2,), "everywhere", 4),
            local(x(2, 3, 4, 5, 2), (2, 3, 2), (1, 1, 2), "everywhere", 2),
        ),
        locally_connected,
    ),
    Row(
        WinogradKernel,
        (
            Case(WinogradKernel(), (w(3, 3, 2, 4),), batched=False),
            Case(WinogradKernel(), (w(3, 3, 1, 3),), batched=False),
        ),
        winograd_kernel,
    ),
    Row(
        WinogradConv,
        (
            winograd(x(2, 5, 8, 3), w(16, 3, 4), True, "same"),
            winograd(x(2, 6, 7, 2), w(16, 2, 3), False, "valid"),
            winograd(x(2, 3, 4, 2), w(16, 2, 3), True, ((2, 0), (1, 3))),
            winograd(x(2, 1, 2, 3), w(16, 3, 1), False, "same"),
        ),
        winograd_conv,
    ),
    Row(
        SpreadGroups,
        (
            Case(SpreadGroups(6, 3), (w(3, 2, 2, 12),), batched=False),
            Case(SpreadGroups(4, 4), (w(3, 3, 4),), batched=False),
        ),
        spread_groups,
    ),
    Row(
        DepthConv,
        (
            volumes(
                x(2, 5, 4, 6, 2), w(2, 3, 6, 4), True, 3, (1, 2, 1), "same", (1, 1, 1)
            ),
            volumes(
                x(2, 6, 5, 4, 1), w(2, 1, 2, 3), False, 2, (2, 1, 3), "valid", (3, 2, 1)
            ),
            volumes(
                *(x(2, 3, 4, 3, 2), w(1, 2, 4, 2), True, 2, (1, 1, 1)),
                *(((2, 0), (1, 3), (0, 1)), (1, 1, 1)),
            ),
        ),
        depth_conv,
    ),
]
