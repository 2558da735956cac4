from __future__ import annotations

from typing import Any

import jax
import numpy as np
import optax
import pytest

import graphjit as gj
from graphjit.capture.tensor import Tensor
from graphjit.errors import PassError
from graphjit.lower import lower, x64_scope
from graphjit.ops.checkpoint import Checkpoint
from graphjit.ops.scan import Scan
from graphjit.passes import TRAINING, Remat, RollBlocks, run
from graphjit.training.state import Batch
from graphjit.training.step import make_train_step
from tests.graphs import evaluate, random_inputs, same_results, variables_for
from tests.passes.build import graph_of, kinds, lines, reasons, rewritten

L = gj.layers
D: dict[str, Any] = {"dtype": "float64"}


def network(blocks: int = 6) -> tuple[Tensor, Tensor]:
    """Norms that train, dropout and a penalty: everything a segment can hold."""
    x = gj.Input((6,), name="x", **D)
    y = x
    for _ in range(blocks):
        z = L.BatchNormalization(**D)(L.Dense(8, activation="tanh", **D)(y))
        y = L.Dropout(0.3, **D)(L.Dense(6, activity_regularizer="l2", **D)(z))
    return x, y


def gradient(graph: gj.Graph) -> Any:
    """Of everything that trains, from the outputs and the losses."""
    variables, inputs = variables_for(graph), random_inputs(graph)
    data = inputs[0] if len(inputs) == 1 else inputs

    def loss(params: Any) -> Any:
        step = lower(graph)(params, variables["state"], data, 7)
        outputs = jax.tree.leaves(step.outputs)
        return sum((y**2).sum() for y in outputs) + sum(step.losses.values())

    with x64_scope(graph):
        return jax.jit(jax.grad(loss))(variables["params"])


def wrapped(graph: gj.Graph, pass_: Remat | None = None) -> gj.Graph:
    after, _ = run(graph, [pass_ or Remat()], strict=True)
    same_results(evaluate(after), evaluate(graph), 1e-12)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12),
        gradient(after),
        gradient(graph),
    )
    return after


def test_parts_become_checkpoints() -> None:
    x = gj.Input((4,), name="x")
    y = x
    for at in range(3):
        y = L.ReLU(name=f"r{at}")(L.Dense(4, name=f"d{at}")(y))
    graph = graph_of(x, y)
    after, entry = rewritten(Remat(nodes=2), graph)
    assert lines(after) == [
        "%d0/dense/checkpoint = checkpoint(%x, %d0/kernel, %d0/bias)",
        "%d1/dense/checkpoint = checkpoint(%d0/dense/checkpoint, %d1/kernel, %d1/bias)",
        "%d2/dense = dense(%d1/dense/checkpoint, %d2/kernel, %d2/bias)",
        "%r2/relu = relu(%d2/dense)",
    ]
    what = "2 ops computed again, 32 -> 16 bytes of activations a row"
    assert entry.done == [("d0/dense", what), ("d1/dense", what)]
    assert "%r0/relu = relu(%d0/dense) : float32[batch, 4]" in str(after)


def test_results_and_gradients_stay() -> None:
    after = wrapped(graph_of(*network()))
    assert after.count("checkpoint") >= 2


def test_after_the_training_passes() -> None:
    graph, _ = run(graph_of(*network()), TRAINING)
    assert wrapped(graph, Remat(nodes=4)).count("checkpoint") >= 2


def test_cuts_lie_where_little_crosses() -> None:
    x = gj.Input((4,), name="x", **D)
    y = x
    for at in range(4):
        wide = L.Dense(40, activation="relu", name=f"w{at}", **D)(y)
        y = L.Dense(4, name=f"n{at}", **D)(wide)
    after = wrapped(graph_of(x, y), Remat(nodes=3))
    for node in after.nodes:
        if isinstance(node.op, Checkpoint):
            assert [type_.shape for type_ in node.types] == [("batch", 4)]


def test_layers_by_name() -> None:
    inner = gj.Input((6,), **D)
    block = gj.Model(
        inner, L.Dense(6, **D)(L.Dense(30, activation="gelu", **D)(inner)), name="block"
    )
    x = gj.Input((6,), name="x", **D)
    y = L.Dense(6, name="last", **D)(L.ReLU(name="r", **D)(block(x)))
    after = wrapped(graph_of(x, y), Remat(layers=("block",)))
    assert kinds(after) == ["checkpoint", "relu", "dense"]


def test_random_numbers_are_those_of_the_plain_graph() -> None:
    x = gj.Input((50,), name="x", **D)
    y = L.Dropout(0.5, name="a", **D)(x)
    y = L.Dropout(0.5, name="b", **D)(L.ReLU(name="r", **D)(y))
    after = wrapped(graph_of(x, L.Dense(3, **D)(y)), Remat(layers=("a", "r", "b")))
    assert "checkpoint" not in kinds(after), "one op saves nothing"
    wrapped(graph_of(x, L.Dense(3, **D)(y)), Remat(nodes=2))


def test_a_turn_of_a_loop_is_a_part() -> None:
    x = gj.Input((4, 6, 3), name="x", **D)
    y = L.ConvLSTM1D(2, 3, dropout=0.3, **D)(L.Dropout(0.2, **D)(x))
    after = wrapped(graph_of(x, L.Dense(3, **D)(y)))
    (loop,) = (node for node in after.nodes if isinstance(node.op, Scan))
    assert kinds(loop.op.body) == ["checkpoint"]  # type: ignore[attr-defined]


def test_blocks_that_were_rolled() -> None:
    x = gj.Input((4,), name="x", **D)
    y = x
    for _ in range(5):
        y = L.Dense(4, **D)(L.Dense(9, activation="gelu", **D)(y))
    graph, _ = run(graph_of(x, y), [RollBlocks()])
    assert kinds(wrapped(graph)).count("scan") == 1


def test_refuses_a_part_that_saves_nothing() -> None:
    x = gj.Input((4,), name="x")
    y = L.Dense(3, name="d")(x)
    after, entry = rewritten(Remat(layers=("d",)), graph_of(x, L.ReLU()(y)))
    assert "checkpoint" not in kinds(after)
    assert reasons(entry) == {"d/dense": "all it computes is read outside of it"}


def test_refuses_a_graph_with_checkpoints() -> None:
    graph = wrapped(graph_of(*network()))
    after, entry = rewritten(Remat(nodes=3), graph)
    assert after is graph
    assert reasons(entry) == {"test": "it has checkpoints already"}


def test_refuses_wrong_options() -> None:
    graph = graph_of(*network())
    message = r"Remat: expected the path of a layer, received 'dens'"
    with pytest.raises(PassError, match=message) as caught:
        run(graph, [Remat(layers=("dens",))])
    assert "did you mean 'dense'?" in str(caught.value)
    with pytest.raises(PassError, match="Remat: nodes: expected an int >= 0, got -1"):
        run(graph, [Remat(nodes=-1)])


def test_a_train_step_keeps_less() -> None:
    """What XLA itself says of its buffers, at a size where it shows."""
    x = gj.Input((64,), name="x")
    y = x
    for _ in range(16):
        y = L.Dense(64, activation="gelu")(L.Dense(256, activation="gelu")(y))
    graph = graph_of(x, y)
    sizes: dict[bool, int] = {}
    for remat in (False, True):
        chosen = run(graph, [Remat()])[0] if remat else graph
        step = make_train_step(chosen, optax.sgd(0.1), "mse")
        state = step.init(variables_for(graph), rng=0)
        data = np.zeros((2048, 64), np.float32)
        batch = Batch((data,), (data,), (None,))
        compiled = jax.jit(step).lower(state, batch).compile()
        sizes[remat] = compiled.memory_analysis().temp_size_in_bytes
    assert sizes[True] < 0.6 * sizes[False]
