"""Convolutions of volumes."""

from __future__ import annotations

from hypothesis import strategies as st

from graphjit.ops.conv.conv_op import ConvOp
from tests.conformance.case import Arg, w, x
from tests.conformance.kernel_problems.problem import Problem, Problems


@st.composite
def volumes(draw: st.DrawFn) -> Problem:
    """Odd sizes, d != h != w, strides, dilation, uneven pads."""
    taps = tuple(draw(st.integers(1, 4)) for _ in range(3))
    strides = draw(st.sampled_from([(1, 1, 1), (2, 1, 3), (1, 2, 2), (3, 2, 1)]))
    dilation = draw(st.sampled_from([(), (), (2, 1, 3), (3, 2, 1)]))
    pad = st.tuples(st.integers(0, 3), st.integers(0, 3))
    padding = draw(st.sampled_from(["valid", "same"]) | st.tuples(pad, pad, pad))
    lengths = tuple(draw(st.integers(2, 9)) for _ in range(3))
    channels = draw(st.sampled_from([1, 3, 5, 18]))
    filters = draw(st.sampled_from([1, 4, 17]))
    op = ConvOp(strides, padding, dilation)
    operands: list[Arg | None] = [
        x(draw(st.integers(1, 3)), *lengths, channels),
        w(*taps, channels, filters),
    ]
    return op, [*operands, w(filters)] if draw(st.booleans()) else operands


PROBLEMS: Problems = {("conv", "depth_in_channels"): volumes()}
