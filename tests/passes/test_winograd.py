from __future__ import annotations

import re
from typing import Any

import pytest

import graphjit as gj
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.passes import INFERENCE, SelectKernels, Winograd, run
from graphjit.passes.prologue import split_prologue
from graphjit.types import TensorType
from tests.graphs import evaluate, same_results
from tests.passes.build import ir, kinds, lines, reasons, rewritten

L = gj.layers
D: dict[str, Any] = {"dtype": "float64"}
FOLDED = INFERENCE[:-2]


def graph_with(*layers: Any, size: tuple[int, ...] = (7, 6, 32)) -> gj.Graph:
    x = y = gj.Input(size, name="x", **D)
    for layer in layers:
        y = layer(y)
    return run(gj.Model(x, y).graph, FOLDED)[0]


def conv(**options: Any) -> Any:
    given = {"filters": 32, "kernel_size": 3, "name": "a", **D, **options}
    return L.Conv2D(**given)


def test_the_kernels_half_is_computed_once() -> None:
    graph = graph_with(conv(padding="same", activation="relu"))
    after, entry = rewritten(Winograd(), graph)
    assert lines(after) == [
        "%a/conv/winograd_kernel = winograd_kernel(%a/kernel)",
        "%a/conv = winograd_conv(%x, %a/conv/winograd_kernel, %a/bias) "
        "{padding='same'} |> relu",
    ]
    assert entry.done == [("a/conv", "16 products in the place of 36")]
    prologue, main = split_prologue(after)
    assert (kinds(prologue), kinds(main)) == (["winograd_kernel"], ["winograd_conv"])


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(3, 4, 32), (6, 9, 32), (None, 5, 33)])
def test_the_results_are_the_same(padding: str, bias: bool, size: Any) -> None:
    graph = graph_with(
        conv(padding=padding, use_bias=bias), L.BatchNormalization(**D), size=size
    )
    after, log = run(graph, [Winograd(), SelectKernels()], target="cpu", strict=True)
    assert kinds(after).count("winograd_conv") == 1
    assert log.of("Winograd")[0].changed
    same_results(evaluate(after), evaluate(graph), 1e-12)


REFUSED = {
    "one by one": (
        {"kernel_size": 1},
        r"kernel is \w+\[1, 1, 32, 32\] in 1 groups",
    ),
    "groups": ({"groups": 2, "filters": 64}, "16 to 64 channels are few"),
    "strides": ({"strides": 2}, r"strides are \(2, 2\)"),
    "dilation": ({"dilation_rate": 2}, r"dilation \(2, 2\)"),
    "few channels": ({"filters": 8}, "32 to 8 channels are few: the least is 32"),
}


@pytest.mark.parametrize(("options", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_others_are_left_alone(options: dict[str, Any], reason: str) -> None:
    graph = graph_with(conv(**options))
    after, entry = rewritten(Winograd(), graph)
    assert after is graph
    assert re.search(reason, reasons(entry)["a/conv"])


def test_half_precision_is_refused() -> None:
    x = gj.Input((5, 5, 32), name="x", dtype="bfloat16")
    graph = run(gj.Model(x, conv(dtype="bfloat16")(x)).graph, FOLDED)[0]
    after, entry = rewritten(Winograd(), graph)
    assert after is graph
    assert reasons(entry) == {"a/conv": "bfloat16 tiles would be rounded once more"}


def test_a_kernel_that_is_not_constant_is_refused() -> None:
    builder = ir()
    x = builder.input("x", TensorType((2, 5, 5, 32), "float32"))
    kernel = builder.input("kernel", TensorType((3, 3, 32, 32), "float32"))
    builder.output("y", builder(ConvOp((1, 1)), x, kernel, name="a"))
    graph = builder.build()
    after, entry = rewritten(Winograd(), graph)
    assert after is graph
    assert reasons(entry) == {"a": "its kernel is not constant"}
