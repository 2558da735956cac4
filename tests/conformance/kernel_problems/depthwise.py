"""Depthwise convolutions."""

from __future__ import annotations

from hypothesis import strategies as st

from graphjit.ops.conv.conv_op import ConvOp
from tests.conformance.case import Arg, w, x
from tests.conformance.kernel_problems.problem import Problem, Problems


@st.composite
def depthwise(draw: st.DrawFn) -> Problem:
    """Odd sizes, h != w, strides or dilation, uneven pads, multipliers."""
    small = st.integers(1, 3)
    channels, multiplier = draw(st.integers(2, 5)), draw(small)
    taps = (draw(st.integers(1, 4)), draw(small))
    strides = draw(st.sampled_from([(1, 1), (2, 1), (2, 3), (3, 2)]))
    dilation = draw(st.sampled_from([(), (2, 1), (2, 3)])) if strides == (1, 1) else ()
    pad = st.tuples(st.integers(0, 3), st.integers(0, 3))
    padding = draw(st.sampled_from(["valid", "same"]) | st.tuples(pad, pad))
    height, width = draw(st.integers(4, 11)), draw(st.integers(4, 11))
    op = ConvOp(strides, padding, dilation, channels)
    filters = channels * multiplier
    operands: list[Arg | None] = [
        x(2, height, width, channels),
        w(*taps, 1, filters),
    ]
    return op, [*operands, w(filters)] if draw(st.booleans()) else operands


PROBLEMS: Problems = {("conv", "depthwise_shifted"): depthwise()}
