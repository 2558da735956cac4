from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import graphjit as gj
from graphjit.capture.tensor import Tensor
from graphjit.errors import PassError
from graphjit.lower import lower, x64_scope
from graphjit.ops.scan import Scan
from graphjit.passes import (
    INFERENCE,
    FuseEpilogue,
    RollBlocks,
    SelectKernels,
    ToInference,
    run,
)
from tests.graphs import evaluate, random_inputs, same_results, variables_for
from tests.passes.build import graph_of, kinds, reasons, rewritten

L = gj.layers
D: dict[str, Any] = {"dtype": "float64"}


def rolled(graph: gj.Graph, least: int = 4) -> gj.Graph:
    after, _ = run(graph, [RollBlocks(least)], strict=True)
    same_results(evaluate(after), evaluate(graph), 1e-12)
    return after


def chain(
    block: Callable[[Tensor], Tensor], count: int, shape: tuple[int, ...] = (6,)
) -> tuple[Tensor, Tensor]:
    x = gj.Input(shape, name="x", **D)
    y = L.Dense(4, **D)(x)
    for _ in range(count):
        y = block(y)
    return x, L.Dense(3, **D)(y)


def residual(x: Tensor) -> Tensor:
    y = L.Dense(8, activation="gelu", **D)(L.LayerNormalization(**D)(x))
    return L.Add(**D)([x, L.Dense(4, **D)(y)])


def attention(x: Tensor) -> Tensor:
    y = L.LayerNormalization(**D)(x)
    return residual(L.Add(**D)([x, L.MultiHeadAttention(2, 3, **D)(y, y)]))


def norm(x: Tensor) -> Tensor:
    return L.ReLU(**D)(L.BatchNormalization(**D)(L.Dense(4, **D)(x)))


BLOCKS = {"residual": residual, "norm": norm, "attention": attention}


def test_a_chain_becomes_a_loop() -> None:
    x = gj.Input((4,), name="x")
    y = x
    for at in range(5):
        y = L.Dense(4, activation="tanh", name=f"d{at}")(y)
    graph, _ = run(graph_of(x, y), [FuseEpilogue()])
    after, entry = rewritten(RollBlocks(), graph)
    names = ", ".join(f"%d{at}/kernel" for at in range(5))
    biases = ", ".join(f"%d{at}/bias" for at in range(5))
    declared = [
        f"  param %d{at}/{slot} : float32[{shape}]"
        for at in range(5)
        for slot, shape in (("kernel", "4, 4"), ("bias", "4"))
    ]
    assert str(after).splitlines() == [
        "graph test(%x : float32[batch, 4]) {",
        *declared,
        f"  %d0/dense/concatenate = concatenate({names}) {{axis=0}} : float32[20, 4]",
        "  %d0/dense/reshape = reshape(%d0/dense/concatenate) "
        "{shape=(5, 4, 4), keep=0} : float32[5, 4, 4]",
        f"  %d0/dense/concatenate_1 = concatenate({biases}) {{axis=0}} : float32[20]",
        "  %d0/dense/reshape_1 = reshape(%d0/dense/concatenate_1) "
        "{shape=(5, 4), keep=0} : float32[5, 4]",
        "  %d0/dense/blocks = scan(%x, %d0/dense/reshape, %d0/dense/reshape_1) "
        "{carries=1, sequences=2, axis=0} : float32[batch, 4]",
        "    body:",
        "    graph block(%carry0 : float32[batch, 4], %weight0 : float32[4, 4], "
        "%weight1 : float32[4]) {",
        "      %dense = dense(%carry0, %weight0, %weight1) |> tanh : float32[batch, 4]",
        "      return out0=%dense",
        "    }",
        "  return d4=%d0/dense/blocks",
        "}",
    ]
    what = "5 blocks of 1 ops as a loop: 5 -> 1 ops, 400 bytes of weights stacked"
    assert entry.done == [("d0/dense", what)]


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("count", [4, 7])
def test_blocks_of_every_kind(name: str, count: int) -> None:
    shape = (5, 6) if name == "attention" else (6,)
    graph, _ = run(graph_of(*chain(BLOCKS[name], count, shape)), [ToInference()])
    after = rolled(graph)
    (loop,) = (node for node in after.nodes if isinstance(node.op, Scan))
    body = loop.op.body  # type: ignore[attr-defined]
    assert len(body.nodes) * count == len(graph.nodes) - 2
    assert not body.params


@pytest.mark.parametrize("name", BLOCKS)
def test_after_the_folds(name: str) -> None:
    shape = (5, 6) if name == "attention" else (6,)
    graph = graph_of(*chain(BLOCKS[name], 5, shape))
    passes = (*INFERENCE[:-2], RollBlocks(), SelectKernels())
    after, _ = run(graph, passes, target="cpu", strict=True)
    assert after.count("scan") == 1
    wanted = evaluate(run(graph, [ToInference()])[0])
    same_results(evaluate(after), wanted, 1e-9)


def test_training_gradients_are_the_same() -> None:
    graph = graph_of(*chain(residual, 5))
    after = rolled(graph)
    variables, (x,) = variables_for(graph), random_inputs(graph)

    def gradient(of: gj.Graph) -> Any:
        def loss(params: Any) -> Any:
            return (lower(of)(params, {}, x).outputs ** 2).sum()

        with x64_scope(of):
            return jax.jit(jax.grad(loss))(variables["params"])

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9),
        gradient(after),
        gradient(graph),
    )


def test_the_same_value_goes_into_every_block() -> None:
    x = gj.Input((4,), name="x", **D)
    y = x
    for _ in range(5):
        y = L.Add(**D)([L.Dense(4, **D)(y), x])
    after = rolled(graph_of(x, y))
    (loop,) = (node for node in after.nodes if isinstance(node.op, Scan))
    names = [entry.name for entry in loop.op.body.inputs]  # type: ignore[attr-defined]
    assert names == ["carry0", "weight0", "weight1", "constant0"]


def test_shared_weights_go_in_whole() -> None:
    x = gj.Input((4,), name="x", **D)
    y, shared = x, L.Dense(4, **D)
    for _ in range(5):
        y = shared(L.Dense(4, activation="relu", **D)(y))
    assert rolled(graph_of(x, y)).count("scan") == 1


def test_two_values_go_from_block_to_block() -> None:
    a = x = gj.Input((4,), name="x", **D)
    b = L.ReLU(**D)(a)
    for _ in range(5):  # a reversible block (arXiv:1707.04585)
        a = L.Add(**D)([a, L.Dense(4, activation="tanh", **D)(b)])
        b = L.Add(**D)([b, L.Dense(4, activation="relu", **D)(a)])
    after = rolled(graph_of(x, [a, b]))
    (loop,) = (node for node in after.nodes if isinstance(node.op, Scan))
    assert loop.op.carries == 2  # type: ignore[attr-defined]


def test_blocks_whose_nodes_stand_between_each_other() -> None:
    x = gj.Input((5, 4), name="x", **D)
    source = gj.Input((6, 4), name="source", **D)
    encoded = L.Dense(4, **D)(source)
    y = x
    for _ in range(5):
        z = L.MultiHeadAttention(2, 3, **D)(y, encoded)
        y = L.LayerNormalization(**D)(L.Add(**D)([y, z]))
    assert rolled(graph_of([x, source], y)).count("scan") == 1


def test_scalars_are_stacked() -> None:
    x = gj.Input((5, 4), name="x", **D)
    y = x
    for _ in range(4):
        y = L.Attention(use_scale=True, **D)([y, y])
    assert rolled(graph_of(x, y)).count("scan") == 1


def test_loops_in_loops() -> None:
    x = gj.Input((4,), name="x", **D)
    y = x
    for _ in range(4):
        for _ in range(4):
            y = L.Dense(4, activation="tanh", **D)(y)
        y = L.LayerNormalization(**D)(y)
    after = rolled(graph_of(x, y))
    # Norm to norm are three blocks more than the fewest; what is left is a loop too.
    assert after.count("scan") >= 1
    assert len(after.nodes) < 40


def test_an_output_in_the_middle_parts_the_loop() -> None:
    x = gj.Input((4,), name="x", **D)
    y, seen = x, []
    for at in range(9):
        y = L.Dense(4, activation="relu", **D)(y)
        if at == 3:
            seen.append(y)
    graph, _ = run(graph_of(x, [*seen, y]), [FuseEpilogue()])
    after = rolled(graph)
    assert [n.op.kind for n in after.nodes].count("scan") == 2


def test_stages_of_other_widths_are_loops_of_their_own() -> None:
    x = gj.Input((8, 8, 3), name="x", **D)
    y = x
    for width in (4, 6):
        y = L.Conv2D(width, 3, strides=2, padding="same", **D)(y)
        for _ in range(4):
            z = L.Conv2D(width, 3, padding="same", activation="relu", **D)(y)
            y = L.Add(**D)([y, z])
    assert rolled(graph_of(x, y)).count("scan") == 2


# --- refusals -------------------------------------------------------------------------


def _refused(graph: gj.Graph, least: int = 4) -> str:
    after, entry = rewritten(RollBlocks(least), graph)
    assert after is graph
    assert len(entry.refused) == 1
    return entry.refused[0].reason


def test_refuses_random_numbers() -> None:
    graph = graph_of(*chain(lambda x: L.Dropout(0.3, **D)(residual(x)), 5))
    assert _refused(graph) == "dropout has another seed in every block"
    assert rolled(run(graph, [ToInference()])[0]).count("scan") == 1


def test_refuses_state_that_changes() -> None:
    graph = graph_of(*chain(norm, 5))
    assert _refused(graph) == "values inside the blocks are read outside of them"


def test_refuses_blocks_with_nothing_of_their_own() -> None:
    x = gj.Input((4,), name="x", **D)
    y, layer = x, L.Dense(4, **D)
    for _ in range(5):
        y = layer(y)
    assert _refused(graph_of(x, y)) == "no weight differs from block to block"


def test_refuses_values_of_two_blocks_before() -> None:
    x = gj.Input((4,), name="x", **D)
    before, y = x, L.ReLU(**D)(x)
    for _ in range(6):
        before, y = y, L.Add(**D)([L.Dense(4, **D)(y), before])
    assert (
        _refused(graph_of(x, y))
        == "a block reads a value from before the block before it"
    )


def test_too_few_blocks_stay() -> None:
    graph = graph_of(*chain(residual, 3))
    after, entry = rewritten(RollBlocks(), graph)
    assert after is graph
    assert reasons(entry) == {}
    assert rolled(graph, least=3).count("scan") == 1


def test_refuses_a_wrong_option() -> None:
    x = gj.Input((4,))
    with pytest.raises(PassError, match="RollBlocks: least: expected >= 2, received 1"):
        run(graph_of(x, L.ReLU()(x)), [RollBlocks(1)])


# --- whole models ---------------------------------------------------------------------


def test_an_executable_stacks_once() -> None:
    x, y = chain(attention, 6, (5, 6))
    model = gj.Model(x, y)
    passes = (*INFERENCE[:-2], RollBlocks(), SelectKernels())
    executable = gj.jit(model, passes=passes)
    assert "scan" in kinds(executable.graph)
    assert "concatenate" not in kinds(executable.graph)
    data = np.random.default_rng(0).normal(size=(3, 5, 6))
    wanted = model.apply(model.variables, data)
    np.testing.assert_allclose(executable(data), wanted, rtol=1e-9, atol=1e-12)
