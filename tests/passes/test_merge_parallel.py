from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import graphjit as gj
from graphjit.capture.tensor import Tensor
from graphjit.ops.dense import DenseOp
from graphjit.passes import FuseEpilogue, MergeParallel, ToInference, run
from graphjit.passes.prologue import split_prologue
from graphjit.types import TensorType
from tests.graphs import evaluate, same_results
from tests.passes.build import graph_of, ir, kinds, lines, reasons, rewritten

L = gj.layers


def inference(inputs: Tensor, outputs: list[Tensor]) -> gj.Graph:
    return run(graph_of(inputs, outputs), [ToInference(), FuseEpilogue()])[0]


def merged(graph: gj.Graph) -> gj.Graph:
    after, _ = run(graph, [MergeParallel()], strict=True)
    same_results(evaluate(after), evaluate(graph), 1e-12)
    return after


def dense(units: int, name: str, **options: Any) -> gj.layers.Layer:
    return L.Dense(units, name=name, dtype="float64", **options)


def test_two_denses_become_parts_of_one() -> None:
    x = gj.Input((6,), name="x", dtype="float64")
    after = merged(inference(x, [dense(2, "a")(x), dense(3, "b")(x)]))
    assert lines(after) == [
        "%a/dense/concatenate = concatenate(%a/kernel, %b/kernel) {axis=1}",
        "%a/dense/concatenate_1 = concatenate(%a/bias, %b/bias) {axis=0}",
        "%a/dense/joined = dense(%x, %a/dense/concatenate, %a/dense/concatenate_1)",
        "%a/dense = crop(%a/dense/joined) {cuts=((0, 0), (0, 3))}",
        "%b/dense = crop(%a/dense/joined) {cuts=((0, 0), (2, 0))}",
    ]
    assert kinds(split_prologue(after)[1]) == ["dense", "crop", "crop"]


def test_it_reports_what_it_saved() -> None:
    x = gj.Input((6,), name="x")
    plain = [L.Dense(units, name=name)(x) for units, name in ((2, "a"), (3, "b"))]
    _, entry = rewritten(MergeParallel(), inference(x, plain))
    assert entry.done == [("a/dense", "one op with b/dense: 2 -> 1 ops")]


SIBLINGS: dict[str, Callable[[Tensor], list[Tensor]]] = {
    "convolutions": lambda x: [
        L.Conv2D(n, (3, 2), strides=2, padding="same", dtype="float64")(x)
        for n in (2, 5, 1)
    ],
    "dilated": lambda x: [
        L.Conv2D(n, 2, dilation_rate=(1, 2), dtype="float64")(x) for n in (3, 4)
    ],
    "some biases": lambda x: [
        L.Conv2D(n, 1, use_bias=n > 2, activation="relu", dtype="float64")(x)
        for n in (1, 3, 2, 4)
    ],
    "other activations": lambda x: [
        L.Conv2D(3, 1, activation=name, dtype="float64")(x)
        for name in ("relu", "tanh", None)
    ],
    "no biases": lambda x: [
        L.Conv2D(3, 1, use_bias=False, dtype="float64")(x) for _ in range(2)
    ],
    "denses of an image": lambda x: [
        L.Dense(n, use_bias=n == 3, dtype="float64")(x) for n in (4, 3)
    ],
}


@pytest.mark.parametrize("name", SIBLINGS)
def test_siblings_are_one_op(name: str) -> None:
    x = gj.Input((7, 8, 4), name="x", dtype="float64")
    outputs = SIBLINGS[name](x)
    graph = inference(x, outputs)
    main = split_prologue(merged(graph))[1]
    assert kinds(main) == [kinds(graph)[0], *["crop"] * len(outputs)]


@pytest.mark.parametrize("value_dim", [4, 7])
@pytest.mark.parametrize("use_bias", [True, False])
def test_query_key_and_value_are_one_product(value_dim: int, use_bias: bool) -> None:
    x = gj.Input((5, 6), name="x", dtype="float64")
    layer = L.MultiHeadAttention(
        3, 4, value_dim=value_dim, use_bias=use_bias, dtype="float64"
    )
    after = merged(inference(x, [layer(x, x)]))
    # Heads are joined; another width of them is another kernel.
    assert after.count("einsum") == (2 if value_dim == 4 else 3)


def test_weights_that_are_made_further_down_are_joined_too() -> None:
    x = gj.Input((7, 8, 4), name="x", dtype="float64")
    norm = [L.BatchNormalization(dtype="float64") for _ in range(2)]
    outputs = [n(L.Conv2D(3, 1, dtype="float64")(x)) for n in norm]
    graph, _ = run(graph_of(x, outputs), gj.passes.INFERENCE)
    assert split_prologue(merged(graph))[1].count("conv") == 1


def test_a_value_read_twice_through_one_layer_stays() -> None:
    x = gj.Input((6,), name="x", dtype="float64")
    layer = dense(3, "a")
    graph = inference(x, [layer(x), L.ReLU(dtype="float64")(layer(x))])
    same, _ = run(graph, [gj.passes.Simplify(), MergeParallel()], strict=True)
    assert same.count("dense") == 1


def _refused(graph: gj.Graph) -> dict[str, str]:
    after, entry = rewritten(MergeParallel(), graph)
    assert after is graph
    return reasons(entry)


def test_refuses_other_kernel_sizes() -> None:
    x = gj.Input((7, 8, 4), name="x")
    sizes = {"a": 1, "b": 3}
    outputs = [
        L.Conv2D(2, size, padding="same", name=name)(x) for name, size in sizes.items()
    ]
    why = "no other reader of %x has its attributes and kernel size"
    assert _refused(inference(x, outputs)) == {"a/conv": why, "b/conv": why}


def test_refuses_groups() -> None:
    x = gj.Input((7, 8, 4), name="x")
    outputs = [L.Conv2D(4, 1, groups=2, name=name)(x) for name in "ab"]
    assert set(_refused(inference(x, outputs))) == {"a/conv", "b/conv"}


def test_refuses_weights_that_train() -> None:
    x = gj.Input((6,), name="x")
    outputs = [L.Dropout(0.5)(L.Dense(2, name=name)(x)) for name in "ab"]
    graph = graph_of(x, outputs)
    why = "weights that train would be joined at every step"
    assert _refused(graph) == {"a/dense": why}
    after, _ = run(graph, [MergeParallel(training=True)], strict=True)
    assert after.count("dense") == 1
    same_results(evaluate(after), evaluate(graph), 1e-6)


def test_refuses_weights_that_depend_on_data() -> None:
    b = ir()
    x = b.input("x", TensorType(("batch", 4)))
    kernels = [b.input(name, TensorType((4, 3))) for name in "kl"]
    for kernel in kernels:
        b.output(kernel.node, b(DenseOp(), x, kernel, name=f"by_{kernel.node}"))
    why = "its weights are not constant"
    assert _refused(b.build()) == {"by_k": why, "by_l": why}
