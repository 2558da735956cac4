from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import graphjit as gj
from graphjit.builder import Rewriter
from graphjit.capture.tensor import Tensor
from graphjit.errors import PassError
from graphjit.lower import lower
from graphjit.ops.base import Op, register_op
from graphjit.passes import INFERENCE, TRAINING, MixedPrecision, SelectKernels, run
from graphjit.passes.prologue import split_prologue
from graphjit.types import TensorType, is_floating
from tests.graphs import evaluate, random_inputs, same_results, variables_for
from tests.passes.build import graph_of, lines, reasons, rewritten

L = gj.layers
NARROW = MixedPrecision()
FOR_INFERENCE = (*INFERENCE[:-2], NARROW, SelectKernels())


def mixed(graph: gj.Graph, dtype: str = "bfloat16") -> gj.Graph:
    after, _ = run(graph, [MixedPrecision(dtype)], strict=True)
    return after


def dtypes(graph: gj.Graph, kind: str) -> list[str]:
    """The element types of the first results of all nodes of a kind."""
    return [n.types[0].dtype for n in graph.nodes if n.op.kind == kind]


def test_casts_stand_around_products() -> None:
    x = gj.Input((4,), name="x")
    y = L.ReLU(name="r")(L.Dense(3, name="d")(x))
    after = mixed(graph_of(x, L.Softmax(name="s")(L.Dense(2, name="e")(y))))
    assert lines(after) == [
        "%x/bfloat16 = cast(%x) {dtype='bfloat16'}",
        "%d/kernel/bfloat16 = cast(%d/kernel) {dtype='bfloat16'}",
        "%d/bias/bfloat16 = cast(%d/bias) {dtype='bfloat16'}",
        "%d/dense = dense(%x/bfloat16, %d/kernel/bfloat16, %d/bias/bfloat16)",
        "%r/relu = relu(%d/dense)",
        "%e/kernel/bfloat16 = cast(%e/kernel) {dtype='bfloat16'}",
        "%e/bias/bfloat16 = cast(%e/bias) {dtype='bfloat16'}",
        "%e/dense = dense(%r/relu, %e/kernel/bfloat16, %e/bias/bfloat16)",
        "%e/dense/float32 = cast(%e/dense)",
        "%s/softmax = softmax(%e/dense/float32) {axis=1}",
    ]
    assert [str(o.value) for o in after.outputs] == ["%s/softmax"]


def test_casts_of_weights_run_once() -> None:
    x = gj.Input((4,), name="x")
    after = mixed(graph_of(x, L.Dense(3, name="d")(x)))
    _, main = split_prologue(after)
    assert {p.name: p.type.dtype for p in main.params} == {
        "d/kernel/bfloat16": "bfloat16",
        "d/bias/bfloat16": "bfloat16",
    }
    assert dtypes(main, "cast") == ["bfloat16", "float32"]


def test_it_reports_what_it_saved() -> None:
    x = gj.Input((4,), name="x")
    graph = graph_of(x, L.Dense(64, name="e")(L.Dense(64, name="d")(x)))
    _, entry = rewritten(NARROW, graph)
    ((name, text),) = entry.done
    assert name == "test"
    assert text == "2 of 2 ops in bfloat16, 512 -> 256 bytes a row"


def network(**options: Any) -> tuple[Tensor, Tensor]:
    x = gj.Input((8, 9, 3), name="x", **options)
    y = L.Conv2D(6, 3, name="a", **options)(L.Rescaling(1 / 255, **options)(x))
    y = L.ReLU(**options)(L.BatchNormalization(name="n", **options)(y))
    y = L.Dropout(0.2, **options)(y)
    y = L.DepthwiseConv2D(3, activation="gelu", name="b", **options)(y)
    y = L.LayerNormalization(**options)(L.AveragePooling2D(**options)(y))
    return x, L.Dense(5, activation="softmax", **options)(L.Flatten(**options)(y))


def test_what_is_narrow_and_what_is_not() -> None:
    after = mixed(graph_of(*network()))
    for kind in ("conv", "relu", "gelu", "dropout", "average_pool", "dense"):
        assert set(dtypes(after, kind)) == {"bfloat16"}, kind
    for kind in ("affine", "batch_norm", "layer_norm", "softmax"):
        assert set(dtypes(after, kind)) == {"float32"}, kind
    types = after.types()
    assert {types[u.value].dtype for u in after.updates} == {"float32"}
    assert {types[o.value].dtype for o in after.outputs} == {"float32"}


@pytest.mark.parametrize("training", [False, True])
def test_results_are_near(training: bool) -> None:
    graph = graph_of(*network())
    wanted, _ = run(graph, TRAINING if training else INFERENCE, target="cpu")
    passes = (*TRAINING, NARROW) if training else FOR_INFERENCE
    after, _ = run(graph, passes, target="cpu", strict=True)
    same_results(evaluate(after), evaluate(wanted), 0.03)


def test_gradients_are_near_and_wide() -> None:
    graph = graph_of(*network())
    variables, (x,) = variables_for(graph), random_inputs(graph)

    def gradient(of: gj.Graph) -> Any:
        def loss(params: Any) -> Any:
            step = lower(of)(params, variables["state"], x, 0)
            return (step.outputs**2).sum()

        return jax.jit(jax.grad(loss))(variables["params"])

    found = jax.tree.leaves(gradient(mixed(graph)))
    wanted = jax.tree.leaves(gradient(graph))
    # One scale for all: that of a bias before a norm is 0, but for rounding.
    largest = max(float(abs(b).max()) for b in wanted)
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=0, atol=0.1 * largest)


def test_nothing_before_the_first_weights_is_cast() -> None:
    x = gj.Input((4,), name="x")
    doubled = L.Add(name="twice")([x, x])
    after = mixed(graph_of(x, [doubled, L.Dense(2)(doubled)]))
    assert dtypes(after, "add") == ["float32"]
    alone = graph_of(x, doubled)
    assert mixed(alone) is alone


def test_ids_and_masks_stay() -> None:
    ids = gj.Input((5,), dtype="int32", name="ids")
    y = L.Embedding(9, 6, mask_zero=True)(ids)
    y = L.MultiHeadAttention(2, 3)(y, y)
    graph = graph_of(ids, L.GlobalAveragePooling1D()(L.Dense(4)(y)))
    after = mixed(graph)
    before = [t for n in graph.nodes for t in n.types if not is_floating(t.dtype)]
    assert [
        t for n in after.nodes for t in n.types if not is_floating(t.dtype)
    ] == before
    assert dtypes(after, "embedding") == ["float32"]
    assert dtypes(after, "attention") == ["bfloat16"]
    same_results(evaluate(after), evaluate(graph), 0.03)


def test_loops_keep_their_state_wide() -> None:
    x = gj.Input((6, 3), name="x")
    y = L.RNN(L.LSTMCell(4))(L.Dense(3)(x))
    graph = graph_of(x, L.Dense(2)(L.LSTM(3)(L.Reshape((2, 2))(y))))
    after = mixed(graph)
    for kind in ("scan", "lstm"):
        assert dtypes(after, kind) == ["float32"]
    same_results(evaluate(after), evaluate(graph), 0.03)


def test_a_layer_with_a_narrower_type_of_its_own_stays() -> None:
    x = gj.Input((4,), name="x")
    y = L.Dense(3, dtype="float16", name="h")(x)
    after = mixed(graph_of(x, L.Dense(2, name="d")(y)))
    assert [str(n.types[0]) for n in after.nodes if n.op.kind == "dense"] == [
        "float16[batch, 3]",
        "bfloat16[batch, 2]",
    ]


def test_a_function_of_the_users_gets_what_it_was_captured_with() -> None:
    x = gj.Input((4,), name="x")
    seen: list[Any] = []

    def function(t: Any) -> Any:
        seen.append(t.dtype)
        return t * 2

    after = mixed(graph_of(x, L.Lambda(function)(L.Dense(3)(x))))
    evaluate(after)
    assert {str(dtype) for dtype in seen} == {"float32"}


def test_a_chosen_kernel_stays_where_it_can() -> None:
    x = gj.Input((8, 9, 4), name="x")
    graph, _ = run(graph_of(x, L.DepthwiseConv2D(3)(x)), INFERENCE, target="cpu")
    before, after = (
        [n for n in g.nodes if n.op.kind == "conv"] for g in (graph, mixed(graph))
    )
    assert before[0].kernel
    assert before[0].kernel == after[0].kernel
    assert after[0].types[0].dtype == "bfloat16"


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_every_narrower_type(dtype: str) -> None:
    graph = graph_of(*network(dtype="float64"))
    after = mixed(graph, dtype)
    assert set(dtypes(after, "conv")) == {dtype}
    same_results(evaluate(after), evaluate(graph), {"float32": 1e-5}.get(dtype, 0.03))


def test_refuses_an_op_that_does_not_fit() -> None:
    x = gj.Input((4,), name="x")

    def infer(self: Any, y: TensorType) -> TensorType:
        if y.dtype != "float32":
            raise gj.errors.ShapeError(f"expected float32, received {y.dtype}")
        return y

    op = _op("test.exact", infer)
    graph = graph_of(x, L.Dense(3, name="d")(x))
    rewriter = Rewriter(graph)
    for node in graph.nodes:
        kept = rewriter.keep(node)
    rewriter.replace(kept.value, rewriter(op, kept.value, name="exact"))
    after, entry = rewritten(NARROW, rewriter.finish())
    why = "not in bfloat16: expected float32, received bfloat16"
    assert reasons(entry) == {"exact": why}
    assert dtypes(after, "test.exact") == ["float32"]


def _op(kind: str, infer: Callable[..., TensorType]) -> Any:
    body = {"infer": infer, "lower": lambda self, y: y, "__doc__": "y."}
    return register_op(kind)(type("Exact", (Op,), body))()


def test_refuses_a_type_that_is_not_floating() -> None:
    x = gj.Input((4,))
    message = "MixedPrecision: dtype: expected a floating type, got 'int8'"
    with pytest.raises(PassError, match=message):
        run(graph_of(x, L.Dense(2)(x)), [MixedPrecision("int8")])


def test_an_executable_takes_it() -> None:
    model = gj.Model(*network())
    executable = gj.jit(model, passes=FOR_INFERENCE)
    data = np.random.default_rng(0).normal(size=(2, 8, 9, 3)).astype("float32") * 99
    found = np.asarray(executable(data))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, gj.jit(model)(data), atol=0.02)
    assert "ops in bfloat16" in executable.explain()
