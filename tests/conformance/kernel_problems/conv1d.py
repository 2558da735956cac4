"""Convolutions along one axis."""

from __future__ import annotations

from hypothesis import strategies as st

from graphjit.ops.conv.conv_op import ConvOp
from tests.conformance.case import Arg, w, x
from tests.conformance.kernel_problems.problem import Problem, Problems


@st.composite
def sequences(draw: st.DrawFn) -> Problem:
    """Strides with dilation, causal and uneven pads, windows short of the end."""
    taps, rate = draw(st.integers(1, 7)), draw(st.sampled_from([1, 1, 2, 3, 5]))
    pad = st.tuples(st.integers(0, 5), st.integers(0, 5))
    causal = st.just(((rate * (taps - 1), 0),))
    padding = draw(st.sampled_from(["valid", "same"]) | st.tuples(pad) | causal)
    channels = draw(st.sampled_from([1, 3, 8, 20]))
    filters = draw(st.sampled_from([1, 4, 17]))
    op = ConvOp((draw(st.integers(1, 4)),), padding, (rate,))
    operands: list[Arg | None] = [
        x(draw(st.integers(1, 4)), draw(st.integers(2, 40)), channels),
        w(taps, channels, filters),
    ]
    return op, [*operands, w(filters)] if draw(st.booleans()) else operands


PROBLEMS: Problems = {
    ("conv", "time_columns"): sequences(),
    ("conv", "time_as_rows"): sequences(),
}
