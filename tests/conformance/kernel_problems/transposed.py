"""Transposed convolutions."""

from __future__ import annotations

from hypothesis import strategies as st

from graphjit.ops.conv.transpose_op import ConvTransposeOp
from tests.conformance.case import Arg, w, x
from tests.conformance.kernel_problems.problem import Problem, Problems


@st.composite
def transposed(draw: st.DrawFn, *, rank: int, most_taps: int = 6) -> Problem:
    """Every form: taps up to and beyond the strides, few and many filters.

    Crops of either sign, beyond a stride too; dilation with strides as well.
    """
    taps = tuple(draw(st.integers(1, most_taps)) for _ in range(rank))
    strides = tuple(draw(st.sampled_from([1, 2, 2, 3, 5])) for _ in range(rank))
    dilation = tuple(draw(st.sampled_from([1, 1, 1, 2, 3])) for _ in range(rank))
    lengths = tuple(draw(st.integers(1, 6)) for _ in range(rank))
    crop = st.tuples(st.integers(-3, 4), st.integers(-3, 4))
    crops = draw(st.tuples(*(crop for _ in range(rank))))
    filters = draw(st.sampled_from([1, 3, 9, 18]))
    channels = draw(st.sampled_from([1, 2, 5, 18]))
    op = ConvTransposeOp(strides, crops, draw(st.sampled_from([(), (), dilation])))
    operands: list[Arg | None] = [
        x(draw(st.integers(1, 3)), *lengths, channels),
        w(*taps, filters, channels),
    ]
    return op, [*operands, w(filters)] if draw(st.booleans()) else operands


@st.composite
def wide_maps(draw: st.DrawFn) -> Problem:
    """Many inputs and channels; more taps than are added up one by one."""
    taps = (draw(st.integers(2, 4)), draw(st.integers(3, 4)))
    if draw(st.booleans()):
        taps = (draw(st.integers(11, 13)), draw(st.integers(12, 15)))
    height, width = draw(st.integers(16, 17)), draw(st.integers(16, 17))
    op = ConvTransposeOp(draw(st.sampled_from([(2, 2), (4, 3)])), ((1, 1), (0, 1)))
    return op, [x(draw(st.integers(1, 3)), height, width, 16), w(*taps, 17, 16)]


PROBLEMS: Problems = {
    ("conv_transpose", "transposed_products"): transposed(rank=1)
    | transposed(rank=2)
    | transposed(rank=2)
    | transposed(rank=3, most_taps=3)
    | wide_maps()
}
