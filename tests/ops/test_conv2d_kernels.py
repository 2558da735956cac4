"""Which kernel a dense two-dimensional convolution gets, and what it says to refuse."""

from __future__ import annotations

from typing import Any

import pytest

import graphjit.layers as L  # noqa: N812
from graphjit.capture.tracer import capture
from graphjit.ops.base import Kernel
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.passes import INFERENCE, TRAINING, run
from graphjit.types import BATCH, Dim, TensorType

KERNELS = {kernel.name: kernel for kernel in ConvOp.kernels}
OWN = ("pointwise_dot", "shifted_sum", "filled_channels", "canonical_backward")


def chosen(op: ConvOp, x: tuple[Dim, ...], kernel: tuple[int, ...]) -> tuple[str, str]:
    """The kernels of an inference and of a training graph, for any batch."""
    types = [TensorType(x, "float32"), TensorType(kernel, "float32")]

    def first(training: bool) -> str:
        names = (
            name
            for name in OWN
            if KERNELS[name].rule_for(op, types, "cpu", training) is not None
        )
        return next(names, "")

    return first(False), first(True)


@pytest.mark.parametrize(
    ("channels", "taps", "stride", "wanted"),
    [
        ((64, 32), 1, 1, ("pointwise_dot", "pointwise_dot")),
        ((64, 32), 1, 2, ("", "pointwise_dot")),
        ((64, 32), 3, 1, ("", "canonical_backward")),
        ((64, 32), 3, 2, ("", "canonical_backward")),
        ((3, 32), 3, 2, ("filled_channels", "filled_channels")),
        ((3, 64), 7, 2, ("", "")),
        ((1, 16), 3, 1, ("shifted_sum", "")),
        ((8, 8), 3, 1, ("", "")),
    ],
)
@pytest.mark.parametrize("lengths", [(20, 30), (None, None)])
def test_rules_ask_for_channels_alone(
    channels: tuple[int, int],
    taps: int,
    stride: int,
    wanted: tuple[str, str],
    lengths: tuple[Dim, Dim],
) -> None:
    op = ConvOp((stride, stride), "same")
    x = (BATCH, *lengths, channels[0])
    assert chosen(op, x, (taps, taps, *channels)) == wanted


def can(name: str, op: ConvOp, *kernel: int) -> bool:
    x = TensorType((2, *(9,) * op.rank, kernel[-2] * op.groups), "float32")
    found: Kernel = KERNELS[name]
    return found.can(op, [x, TensorType(kernel, "float32")])


def test_pointwise_wants_windows_of_one_element_and_no_pads() -> None:
    assert can("pointwise_dot", ConvOp((2, 3), "same"), 1, 1, 4, 5)
    assert can("pointwise_dot", ConvOp((1, 1), ((0, 0), (0, 0))), 1, 1, 4, 5)
    assert can("pointwise_dot", ConvOp((2,)), 1, 4, 5)
    assert not can("pointwise_dot", ConvOp((1, 1), ((0, 1), (0, 0))), 1, 1, 4, 5)
    assert not can("pointwise_dot", ConvOp((1, 1)), 1, 3, 4, 5)
    assert not can("pointwise_dot", ConvOp((1, 1), groups=2), 1, 1, 2, 4)


def test_the_others_want_two_axes_and_one_group() -> None:
    for name in OWN[1:]:
        assert can(name, ConvOp((1, 1)), 3, 3, 3, 4)
        assert not can(name, ConvOp((1,)), 3, 3, 4)
        assert not can(name, ConvOp((1, 1), groups=2), 3, 3, 3, 4)
    assert not can("shifted_sum", ConvOp((1, 1)), 3, 3, 4, 4)
    assert not can("filled_channels", ConvOp((1, 1)), 3, 3, 8, 4)


def test_training_picks_the_backward_kernels_and_inference_does_not() -> None:
    image = L.Input((8, 8, 16), name="image")
    x = L.Conv2D(16, 3, name="dense")(image)
    x = L.Conv2D(16, 1, strides=2, name="strided")(x)
    graph = capture([image], [L.Conv2D(16, 1, name="point")(x)], "net").graph

    def kernels(passes: Any) -> list[str]:
        return [node.kernel for node in run(graph, passes, target="cpu")[0].nodes]

    assert kernels(INFERENCE) == ["", "", "pointwise_dot"]
    wanted = ["canonical_backward", "pointwise_dot", "pointwise_dot"]
    assert kernels(TRAINING) == wanted
