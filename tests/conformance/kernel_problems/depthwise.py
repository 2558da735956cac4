"""Depthwise convolutions."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from graphjit.ops.base import Op
from graphjit.ops.conv.conv_op import ConvOp
from tests.conformance.case import Arg, w, x
from tests.conformance.kernel_problems.problem import Problem, Problems

_RANKS = st.sampled_from([1, 2, 2, 2, 3])


@st.composite
def depthwise(draw: st.DrawFn) -> Problem:
    """Odd sizes, h != w, strides or dilation, uneven pads, multipliers, 1-3 axes."""
    rank = draw(_RANKS)
    each = lambda numbers: draw(st.tuples(*[numbers] * rank))  # noqa: E731
    channels, multiplier = draw(st.integers(2, 5)), draw(st.integers(1, 3))
    taps = each(st.integers(1, 4 if rank < 3 else 3))
    strides, dilation = each(st.just(1)), ()
    if draw(st.booleans()):
        strides = each(st.integers(1, 3))
    else:
        dilation = draw(st.sampled_from([(), each(st.integers(1, 3))]))
    pad = st.tuples(st.integers(0, 4), st.integers(0, 4))
    padding = draw(st.sampled_from(["valid", "same"]) | st.tuples(*[pad] * rank))
    sizes = each(st.integers(1, 11 if rank < 3 else 6))
    op = ConvOp(strides, padding, dilation, channels)
    return _problem(
        op, draw(st.integers(1, 3)), sizes, taps, channels, multiplier, draw
    )


def _problem(
    op: Op,
    batch: int,
    sizes: tuple[int, ...],
    taps: tuple[int, ...],
    channels: int,
    multiplier: int,
    draw: st.DrawFn,
) -> Problem:
    filters = channels * multiplier
    operands: list[Arg | None] = [
        x(batch, *sizes, channels),
        w(*taps, 1, filters),
    ]
    return op, [*operands, w(filters)] if draw(st.booleans()) else operands


@st.composite
def wide_windows(draw: st.DrawFn) -> Problem:
    """From 3x4 to 5x5, or 3x3x2: several outputs near each edge read other taps.

    Mostly those with few products: each of them takes time to compile.
    """
    few = [(4, 3), (3, 4), (5, 3), (3, 5), (3, 2, 3), (2, 3, 3)]
    taps = draw(st.sampled_from([*few, *few, (4, 4), (5, 5), (3, 3, 3)]))
    sizes = tuple(draw(st.integers(tap, 9)) for tap in taps)
    strides = tuple(draw(st.sampled_from([1, 1, 2])) for _ in taps)
    channels = draw(st.integers(2, 4))
    uneven = tuple((tap - 1, draw(st.integers(0, tap - 1))) for tap in taps)
    op = ConvOp(strides, draw(st.sampled_from(["same", uneven])), (), channels)
    return _problem(op, 2, sizes, taps, channels, draw(st.integers(1, 2)), draw)


@st.composite
def very_many_taps(draw: st.DrawFn) -> Problem:
    """More taps than one sum holds."""
    taps = draw(st.sampled_from([(12, 11), (2, 130), (130, 2), (131,), (6, 5, 5)]))
    assert math.prod(taps) > 128
    stride = draw(st.sampled_from([1, 1, 1, 2]))  # 2: many sums, slow to compile
    sizes = tuple(draw(st.integers(1, 7)) for _ in taps)
    op = ConvOp((stride,) * len(taps), "same", groups=2)
    return _problem(op, 2, sizes, taps, 2, draw(st.integers(1, 2)), draw)


PROBLEMS: Problems = {
    ("conv", "depthwise_shifted"): st.one_of(
        depthwise(), depthwise(), depthwise(), wide_windows(), very_many_taps()
    ),
}
