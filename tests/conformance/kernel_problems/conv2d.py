"""Dense two-dimensional convolutions."""

from __future__ import annotations

from hypothesis import strategies as st

from graphjit.ops.conv.conv_op import ConvOp
from tests.conformance.case import Arg, w, x
from tests.conformance.kernel_problems.problem import Problem, Problems

_PAD = st.tuples(st.integers(0, 3), st.integers(0, 3))


def _operands(
    draw: st.DrawFn, data: tuple[int, ...], kernel: tuple[int, ...]
) -> list[Arg | None]:
    operands: list[Arg | None] = [x(*data), w(*kernel)]
    return [*operands, w(kernel[-1])] if draw(st.booleans()) else operands


@st.composite
def pointwise(draw: st.DrawFn) -> Problem:
    """Windows of one element on one to three axes, strides that leave a rest."""
    rank = draw(st.integers(1, 3))
    size = st.integers(1, 7)
    lengths = tuple(draw(size) for _ in range(rank))
    strides = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    none = tuple((0, 0) for _ in range(rank))
    padding = draw(st.sampled_from(["valid", "same", none]))
    dilation = draw(st.sampled_from([(), (2,) * rank]))
    channels, filters = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    batch = draw(st.integers(1, 3))
    kernel = (*(1,) * rank, channels, filters)
    op = ConvOp(strides, padding, dilation)
    return op, _operands(draw, (batch, *lengths, channels), kernel)


@st.composite
def dense(
    draw: st.DrawFn,
    *,
    channels: tuple[int, ...],
    filters: tuple[int, ...] = (1, 3, 20),
    most_taps: int = 5,
) -> Problem:
    """Odd sizes, h != w, strides, dilation, uneven pads, windows short of the end."""
    taps = (draw(st.integers(1, most_taps)), draw(st.integers(1, most_taps)))
    strides = draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (2, 1), (2, 3), (3, 4)]))
    dilation = draw(st.sampled_from([(), (), (2, 1), (2, 3)]))
    padding = draw(st.sampled_from(["valid", "same"]) | st.tuples(_PAD, _PAD))
    height, width = draw(st.integers(3, 13)), draw(st.integers(3, 13))
    inner, outer = draw(st.sampled_from(channels)), draw(st.sampled_from(filters))
    batch = draw(st.integers(1, 4))
    op = ConvOp(strides, padding, dilation)
    return op, _operands(draw, (batch, height, width, inner), (*taps, inner, outer))


@st.composite
def large(draw: st.DrawFn) -> Problem:
    """256 windows and 16 channels: what the gradients that scan over images need."""
    taps = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    strides = draw(st.sampled_from([(1, 1), (2, 1), (2, 3)]))
    dilation = draw(st.sampled_from([(), (), (1, 2)]))
    padding = draw(st.sampled_from(["valid", "same"]) | st.tuples(_PAD, _PAD))
    height, width = (
        s * draw(st.integers(16, 17)) + (t - 1) * (d + 1)
        for s, t, d in zip(strides, taps, dilation or (1, 1), strict=True)
    )
    batch, channels = draw(st.integers(1, 4)), draw(st.sampled_from((16, 18)))
    op = ConvOp(strides, padding, dilation)
    return op, _operands(draw, (batch, height, width, channels), (*taps, channels, 17))


PROBLEMS: Problems = {
    ("conv", "pointwise_dot"): pointwise(),
    ("conv", "shifted_sum"): dense(channels=(1, 2), most_taps=4),
    ("conv", "filled_channels"): dense(channels=(1, 3, 5, 18)),
    ("conv", "canonical_backward"): dense(channels=(1, 18)) | large(),
}
