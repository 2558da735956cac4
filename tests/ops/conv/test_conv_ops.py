"""What the convolution ops refuse, and how they name it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from graphjit.builder import Builder
from graphjit.errors import ShapeError
from graphjit.ops.base import Refusal
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.ops.conv.local_op import LocallyConnectedOp
from graphjit.ops.conv.transpose_op import ConvTransposeOp
from graphjit.types import TensorType


def f32(*shape: int | str | None) -> TensorType:
    return TensorType(shape, "float32")


IMAGE = f32("batch", 7, 8, 3)
CONV = ConvOp((1, 1))
SPREAD = ConvTransposeOp((2, 1), ((0, 0), (1, 1)))
LOCAL = LocallyConnectedOp((3, 2), (1, 2))

ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "pads of another rank": (
        lambda: ConvOp((1, 1), ((0, 0),)).infer(IMAGE, f32(3, 3, 3, 4)),
        "strides (1, 1) want dilation and padding of 2 axes",
    ),
    "an unknown padding": (
        lambda: ConvOp((1, 1), "causal").infer(IMAGE, f32(3, 3, 3, 4)),
        "padding: expected 'valid', 'same' or a pair of ints per axis, received "
        "'causal'",
    ),
    "rank": (
        lambda: CONV.infer(f32("batch", 7, 3), f32(3, 3, 3, 4)),
        "expected x of rank 4 (NHWC), received rank 3",
    ),
    "rank of the kernel": (
        lambda: CONV.infer(IMAGE, f32(3, 3, 4)),
        "expected a kernel of rank 4, received float32[3, 3, 4]",
    ),
    "groups": (
        lambda: ConvOp((1, 1), groups=3).infer(IMAGE, f32(3, 3, 1, 4)),
        "4 filters do not divide by 3 groups",
    ),
    "dtype": (
        lambda: SPREAD.infer(IMAGE, TensorType((3, 3, 4, 3), "float64")),
        "x is float32, kernel is float64",
    ),
    "channels": (
        lambda: SPREAD.infer(IMAGE, f32(3, 3, 4, 2)),
        "kernel wants 2 input channels, x has 3",
    ),
    "bias": (
        lambda: SPREAD.infer(IMAGE, f32(3, 3, 4, 3), f32(3)),
        "bias: expected shape (4,), received (3,)",
    ),
    "crops of another rank": (
        lambda: ConvTransposeOp((1, 1), ((0, 0),)).infer(IMAGE, f32(3, 3, 4, 3)),
        "strides (1, 1) want dilation and crops of 2 axes",
    ),
    "crops of everything": (
        lambda: ConvTransposeOp((1,), ((4, 5),)).infer(f32(2, 7, 3), f32(3, 4, 3)),
        "crops (4, 5) leave nothing of a length of 7 (axis 1)",
    ),
    "strides of another rank": (
        lambda: LocallyConnectedOp((3, 2), (1,)).infer(IMAGE, f32(20, 18, 4)),
        "size (3, 2) wants strides of 2 axes",
    ),
    "local rank": (
        lambda: LOCAL.infer(f32("batch", 7, 3), f32(20, 18, 4)),
        "expected x of rank 4 (NHWC), received rank 3",
    ),
    "local rank of the kernel": (
        lambda: LOCAL.infer(IMAGE, f32(20, 4)),
        "expected a kernel of rank 3, received float32[20, 4]",
    ),
    "local dtype": (
        lambda: LOCAL.infer(IMAGE, TensorType((20, 18, 4), "float64")),
        "x is float32, kernel is float64",
    ),
    "unknown rows": (
        lambda: LOCAL.infer(f32("batch", None, 8, 3), f32(20, 18, 4)),
        "axis 1 of x must be known, each place has its weights",
    ),
    "unknown channels": (
        lambda: LOCAL.infer(f32("batch", 7, 8, None), f32(20, 18, 4)),
        "the channels of x must be known",
    ),
    "places": (
        lambda: LOCAL.infer(IMAGE, f32(21, 18, 4)),
        "kernel has 21 places and patches of 18, x wants 20 and 18",
    ),
    "local channels first": (
        lambda: LOCAL.infer(f32("batch", 3, 8, 7), f32(20, 18, 4)),
        "kernel has 20 places and patches of 18, x wants 4 and 42",
    ),
    "local bias": (
        lambda: LOCAL.infer(IMAGE, f32(20, 18, 4), f32(4, 5, 4)),
        "bias: expected shape (5, 4, 4) or (4,), received (4, 5, 4)",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    make, text = ERRORS[name]
    with pytest.raises(ShapeError, match=f"^{re.escape(text)}"):
        make()


def test_a_message_says_how_the_operands_are_read() -> None:
    """With the names of a node: what a user sees."""
    builder = Builder()
    data = builder.input("x", f32("batch", 7, 8, 3))
    kernel = builder.input("kernel", f32(3, 3, 4, 2))
    text = (
        "conv_transpose 'conv_transpose': kernel wants 2 input channels, x has 3\n"
        "  x      %x      : float32[batch, 7, 8, 3]   read as NHWC, channels = axis 3\n"
        "  kernel %kernel : float32[3, 3, 4, 2]       HWOI"
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(text)}"):
        builder(SPREAD, data, kernel)


def test_a_layout_hint() -> None:
    hint = r'hint: the input looks channels_first; say data_format="channels_first"'
    with pytest.raises(ShapeError, match=hint):
        CONV.infer(f32("batch", 3, 8, 7), f32(3, 3, 3, 4))
    with pytest.raises(ShapeError, match=hint):
        LOCAL.infer(f32("batch", 3, 8, 7), f32(20, 18, 4))


@pytest.mark.parametrize(
    ("stride", "crops", "wanted"),
    [(1, (1, 1), "time"), (1, (2, 0), "time"), (2, (1, 1), None), (1, (0, 0), None)],
)
def test_a_named_length_stays_where_it_does_not_change(
    stride: int, crops: tuple[int, int], wanted: str | None
) -> None:
    op = ConvTransposeOp((stride,), (crops,))
    y = op.infer(f32("batch", "time", 2), f32(3, 4, 2))
    assert y.shape == ("batch", wanted, 4)


def test_floating_point_operations() -> None:
    x, kernel = f32(2, 7, 8, 3), f32(3, 2, 5, 3)
    op = ConvTransposeOp((2, 2), ((0, 0), (0, 0)))
    assert op.flops([x, kernel], [op.infer(x, kernel)]) == 2 * (2 * 7 * 8) * 3 * 2 * 15
    weights = f32(20, 18, 4)
    assert LOCAL.flops([x, weights], [LOCAL.infer(x, weights)]) == 2 * 2 * 20 * 18 * 4


@pytest.mark.parametrize("op", [CONV, SPREAD])
def test_pads_that_are_not_taken_over(op: Any) -> None:
    def answer(pads: Any, value: float = 0.0) -> Any:
        return op.padded(pads, value, [IMAGE, f32(3, 3, 3, 3)])

    zero, one = (0, 0), (1, 1)
    assert answer((zero, one, one, zero), 2.0) == Refusal(
        "the convolution pads with 0, not with 2.0"
    )
    for pads in ((one, zero, zero, zero), (zero, zero, zero, one)):
        assert answer(pads) == Refusal("the batch or the channels are padded")
