"""Grouped convolutions with more than one channel a group."""

from __future__ import annotations

from hypothesis import strategies as st

from graphjit.ops.conv.conv_op import ConvOp
from tests.conformance.case import Arg, w, x
from tests.conformance.kernel_problems.problem import Problem, Problems

_PAD = st.tuples(st.integers(0, 3), st.integers(0, 3))


@st.composite
def grouped(draw: st.DrawFn) -> Problem:
    """Few and many groups, one and two axes, widths that merge in several ways."""
    rank = draw(st.sampled_from([1, 2, 2]))
    groups = draw(st.sampled_from([2, 3, 4, 6, 12, 16]))
    per_group = draw(st.sampled_from([2, 3, 5, 8, 17] if groups < 6 else [2, 3, 8]))
    filters = groups * draw(st.sampled_from([1, 2, 3, 8]))
    taps = [draw(st.integers(1, 4)) for _ in range(rank)]
    strides = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (2, 3), (3, 2)]))[:rank]
    dilation = draw(st.sampled_from([(), (), (2, 1), (2, 3)]))[:rank]
    pads = st.tuples(*(_PAD for _ in range(rank)))
    padding = draw(st.sampled_from(["valid", "same"]) | pads)
    lengths = [draw(st.integers(3, 11)) for _ in range(rank)]
    batch = draw(st.integers(1, 3))
    op = ConvOp(strides, padding, dilation, groups)
    operands: list[Arg | None] = [
        x(batch, *lengths, groups * per_group),
        w(*taps, per_group, filters),
    ]
    return op, [*operands, w(filters)] if draw(st.booleans()) else operands


@st.composite
def wide_maps(draw: st.DrawFn) -> Problem:
    """Maps large enough for a kernel gradient that scans over images."""
    groups, each = draw(st.sampled_from([(2, 16), (6, 8), (12, 8)]))
    taps = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    strides = draw(st.sampled_from([(1, 1), (2, 1)]))
    height, width = draw(st.integers(17, 20)), draw(st.integers(17, 20))
    op = ConvOp((1, 1) if draw(st.booleans()) else strides, "same", (), groups)
    channels = groups * each
    return op, [x(3, height * 2, width, channels), w(*taps, each, channels)]


@st.composite
def long_sequences(draw: st.DrawFn) -> Problem:
    """Many merged groups and one row of taps: jax-ml/jax#40412 crashed on it."""
    groups, each = draw(st.sampled_from([(16, 16), (16, 8), (32, 4)]))
    op = ConvOp((1,), "same", (), groups)
    channels, length = groups * each, draw(st.integers(60, 200))
    return op, [x(1, length, channels), w(draw(st.integers(1, 15)), each, channels)]


PROBLEMS: Problems = {
    ("conv", "groups_merged"): grouped() | grouped() | wide_maps() | long_sequences()
}
