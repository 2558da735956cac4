"""Locally connected layers."""

from __future__ import annotations

from hypothesis import strategies as st

from graphjit.ops.conv.local_op import LocallyConnectedOp
from tests.conformance.case import Arg, w, x
from tests.conformance.kernel_problems.problem import Problem, Problems


@st.composite
def local(draw: st.DrawFn) -> Problem:
    """One to three axes; few and many images; matrices on both sides of "large"."""
    rank = draw(st.sampled_from([1, 2, 2, 3]))
    size = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    strides = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    large = draw(st.booleans())
    most = 2 if large else {1: 9, 2: 6, 3: 4}[rank]
    lengths = tuple(draw(st.integers(1, most)) for _ in range(rank))
    dims = [
        (length - 1) * stride + window + draw(st.integers(0, stride - 1))
        for length, stride, window in zip(lengths, strides, size, strict=True)
    ]
    channels, filters = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    if large:
        channels, filters = 64 * -(-channels // 2), 64 * -(-filters // 2)
    batch = draw(st.sampled_from([1, 2, 3, 5, 33]))
    places, taps = 1, channels
    for length, window in zip(lengths, size, strict=True):
        places, taps = places * length, taps * window
    operands: list[Arg | None] = [x(batch, *dims, channels), w(places, taps, filters)]
    bias = draw(st.sampled_from([None, (filters,), (*lengths, filters)]))
    return LocallyConnectedOp(size, strides), [
        *operands,
        *([] if bias is None else [w(*bias)]),
    ]


PROBLEMS: Problems = {("locally_connected", "places_first"): local()}
