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
    lengths = [draw(st.integers(3, 9)) for _ in range(rank)]
    batch = draw(st.integers(1, 2))
    op = ConvOp(strides, padding, dilation, groups)
    operands: list[Arg | None] = [
        x(batch, *lengths, groups * per_group),
        w(*taps, per_group, filters),
    ]
    return op, [*operands, w(filters)] if draw(st.booleans()) else operands


@st.composite
def wide_maps(draw: st.DrawFn) -> Problem:
    """256 windows: what a kernel gradient that scans over images needs.

    And one tap, or more channels a block than are narrow.
    """
    taps, groups, each = (1, 1), draw(st.sampled_from([2, 12, 16])), 8
    if draw(st.booleans()):
        taps = (draw(st.integers(1, 2)), draw(st.integers(2, 3)))
        groups, each = 2, 33
    strides = draw(st.sampled_from([(1, 1), (1, 1), (2, 1)]))
    height, width = draw(st.integers(16, 17)), draw(st.integers(16, 17))
    op = ConvOp(strides, "same", (), groups)
    filters = groups * draw(st.sampled_from([8, 16]))
    shape = (draw(st.integers(1, 3)), height * strides[0], width, groups * each)
    return op, [x(*shape), w(*taps, each, filters)]


@st.composite
def long_sequences(draw: st.DrawFn) -> Problem:
    """Many merged groups and one row of taps: jax-ml/jax#40412 crashed on it."""
    groups, each = draw(st.sampled_from([(16, 16), (16, 8), (32, 4)]))
    op = ConvOp((1,), "same", (), groups)
    channels, length = groups * each, draw(st.integers(3, 20))
    return op, [x(1, length, channels), w(draw(st.integers(1, 15)), each, channels)]


PROBLEMS: Problems = {
    ("conv", "groups_merged"): grouped() | grouped() | wide_maps() | long_sequences()
}
