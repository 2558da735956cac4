from __future__ import annotations

from typing import Any

import pytest

import graphjit as gj
from graphjit import ir
from graphjit.passes import PackWeights, SelectKernels, run
from graphjit.passes.prologue import split_prologue
from tests.graphs import evaluate, same_results
from tests.passes.build import graph_of, kinds, lines, reasons, rewritten

L = gj.layers


def selected(size: tuple[int, ...], layer: Any) -> gj.Graph:
    """One layer of a chosen kernel."""
    x = gj.Input(size, name="x")
    return run(graph_of(x, layer(x)), [SelectKernels(target="cpu")])[0]


def grouped(groups: int, filters: int = 32, **options: Any) -> gj.Graph:
    layer = L.Conv2D(filters, 3, groups=groups, name="a", **options)
    return selected((6, 7, 32), layer)


def volume(**options: Any) -> gj.Graph:
    return selected((5, 6, 4, 3), L.Conv3D(4, (3, 2, 1), name="a", **options))


def test_groups_become_fewer_and_wider() -> None:
    after, entry = rewritten(PackWeights(), grouped(16, 64))
    assert lines(after) == [
        "%a/conv/spread_groups = spread_groups(%a/kernel) {groups=16, merged=8}",
        "%a/conv = conv(%x, %a/conv/spread_groups, %a/bias) "
        "{strides=(1, 1), groups=2} @groups_merged",
    ]
    assert entry.done == [("a/conv", "weights packed ahead (spread_groups)")]
    prologue, main = split_prologue(after)
    assert (kinds(prologue), kinds(main)) == (["spread_groups"], ["conv"])


def test_all_groups_as_one_are_a_plain_convolution() -> None:
    after, _ = rewritten(PackWeights(), grouped(8))
    assert lines(after)[1] == (
        "%a/conv = conv(%x, %a/conv/spread_groups, %a/bias) {strides=(1, 1)}"
    )


def test_depth_goes_into_the_channels() -> None:
    after, _ = rewritten(PackWeights(), volume(strides=(1, 2, 1), use_bias=False))
    assert lines(after) == [
        "%a/conv/transpose = transpose(%a/kernel) {perm=(1, 2, 0, 3, 4)}",
        "%a/conv/reshape = reshape(%a/conv/transpose) {shape=(2, 1, 9, 4), keep=0}",
        "%a/conv = depth_conv(%x, %a/conv/reshape) {taps=3, strides=(1, 2, 1), "
        "padding='valid', dilation=(1, 1, 1)}",
    ]


@pytest.mark.parametrize(
    "graph",
    [grouped(16, 64), grouped(8), grouped(4, padding="same"), volume()],
    ids=["fewer groups", "one group", "same", "volume"],
)
def test_the_results_are_the_same(graph: gj.Graph) -> None:
    after, log = run(graph, [PackWeights()], strict=True)
    assert log.entries[0].changed
    same_results(evaluate(after), evaluate(graph), 1e-6)


def test_what_reads_its_weights_as_they_lie() -> None:
    for graph in (
        grouped(2, 128),
        selected((6, 7, 32), L.DepthwiseConv2D(3, name="a")),
    ):
        after, entry = rewritten(PackWeights(), graph)
        assert after is graph
        assert graph.nodes[-1].kernel
        assert not entry.refused


def test_weights_that_are_data_are_refused() -> None:
    """In a graph of its own, the kernel may be an input."""
    graph = grouped(16, 64)
    kernel = next(param for param in graph.params if param.name == "a/kernel")
    entry = ir.Input(kernel.name, kernel.type)
    others = tuple(param for param in graph.params if param is not kernel)
    open_graph = graph.replace(inputs=(*graph.inputs, entry), params=others)
    after, log = rewritten(PackWeights(), open_graph)
    assert after is open_graph
    assert reasons(log) == {"a/conv": "its weights are not constant"}


def test_packing_needs_no_compiling() -> None:
    x = gj.Input((6, 7, 32))
    y = L.Conv2D(32, 3, groups=16, activation="relu")(x)
    y = L.Reshape((4, 5, 8, 4))(y)
    exe = gj.jit(gj.Model(x, L.Conv3D(3, 2, padding="same")(y)), target="cpu")
    assert set(kinds(exe.prologue)) == {"spread_groups", "transpose", "reshape"}
    assert exe._pack._on_host
