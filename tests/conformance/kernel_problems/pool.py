"""Pooling; maxima over a few whole numbers, so that windows have ties."""

from __future__ import annotations

from hypothesis import strategies as st

from graphjit.ops.pool import AveragePool, MaxPool
from tests.conformance.case import Arg, x
from tests.conformance.kernel_problems.problem import Problem, Problems


@st.composite
def pool(draw: st.DrawFn, op: type[MaxPool | AveragePool]) -> Problem:
    """Odd sizes, h != w, windows that overlap, touch or leave gaps, 1-3 axes."""
    rank = draw(st.sampled_from([1, 2, 2, 2, 3]))
    size = tuple(draw(st.integers(1, 4)) for _ in range(rank))
    strides = tuple(draw(st.integers(1, 4)) for _ in range(rank))
    # Pads smaller than the window: else it may hold nothing, and the mean is 0 / 0.
    own = tuple(
        (draw(st.integers(0, s - 1)), draw(st.integers(0, s - 1))) for s in size
    )
    padding = draw(st.sampled_from(["valid", "same", own]))
    sizes = tuple(draw(st.integers(s, 11 if rank < 3 else 6)) for s in size)
    shape = (draw(st.integers(1, 3)), *sizes, draw(st.integers(1, 4)))
    tied = draw(st.sampled_from(["few", "few", "normal"]))
    operand = Arg(shape, tied) if op is MaxPool else x(*shape)
    return op(size, strides, padding), [operand]


PROBLEMS: Problems = {
    ("max_pool", "first_maximum"): pool(MaxPool),
    ("average_pool", "shifted_mean"): pool(AveragePool),
}
