"""ToInference, Freeze and MaskRows: passes that put a graph into another mode."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import graphjit as gj
from graphjit.errors import PassError
from graphjit.ir import Config, LayerCall
from graphjit.ops.batch_norm import BatchNorm
from graphjit.ops.scan import Scan
from graphjit.passes import Freeze, MaskRows, ToInference, run
from graphjit.passes.mask_rows import ROW_MASK, can_mask_rows
from graphjit.types import TensorType
from tests.passes.build import graph_of, ir, kinds, lines, param, reasons, rewritten


def net(**norm: object) -> gj.Graph:
    x = gj.Input((4,), name="x")
    y = gj.layers.Dense(3, name="d", activity_regularizer="l2")(x)
    y = gj.layers.BatchNormalization(name="n", **norm)(y)
    y = gj.layers.Dropout(0.5, name="drop")(y)
    return graph_of(x, y)


def test_inference_of_norm_and_dropout() -> None:
    graph = net()
    after, entry = rewritten(ToInference(), graph)
    assert lines(after) == [
        "%d/dense = dense(%x, %d/kernel, %d/bias)",
        "%n/batch_norm = batch_norm_inference(%d/dense, %n/gamma, %n/beta, "
        "%n/moving_mean, %n/moving_variance) {axis=1}",
    ]
    assert after.updates == ()
    assert after.losses == ()
    assert [str(o.value) for o in after.outputs] == ["%n/batch_norm"]
    assert ("n/batch_norm", "batch_norm -> batch_norm_inference") in entry.done
    assert ("drop/dropout", "dropout -> its input") in entry.done


def test_inference_of_a_shared_norm_reads_the_saved_statistics_twice() -> None:
    x = gj.Input((4,), name="x")
    norm = gj.layers.BatchNormalization(name="n")
    graph = graph_of(x, gj.layers.Add()([norm(x), norm(gj.layers.ReLU()(x))]))
    after, _ = rewritten(ToInference(), graph)
    norms = [node for node in after.nodes if node.op.kind == "batch_norm_inference"]
    assert len(norms) == 2
    for node in norms:
        assert [str(v) for v in node.operands[3:]] == [
            "%n/moving_mean",
            "%n/moving_variance",
        ]
    assert after.updates == ()


def test_inference_of_an_inference_graph_is_itself() -> None:
    after, _ = rewritten(ToInference(), net())
    assert rewritten(ToInference(), after)[0] is after


@pytest.mark.parametrize(
    ("frozen", "kind", "updates"),
    [
        ("infer", "batch_norm_inference", 0),
        ("keep", "batch_norm", 0),
        ("update", "batch_norm", 2),
    ],
)
def test_freezing_means_what_the_origin_meant(
    frozen: str, kind: str, updates: int
) -> None:
    after, _ = rewritten(Freeze(("n",)), net(frozen=frozen))
    assert kinds(after) == ["dense", "penalty", kind, "dropout"]
    assert len(after.updates) == updates
    trainable = {p.name: p.trainable for p in after.params}
    assert trainable["d/kernel"]
    assert not trainable["n/gamma"]
    assert rewritten(Freeze(("n",)), after)[0] is after


def test_freezing_a_nested_model_freezes_all_inside() -> None:
    x = gj.Input((4,))
    inner = gj.Model(x, gj.layers.BatchNormalization(name="n")(x), name="inner")
    y = gj.Input((4,))
    graph = graph_of(y, gj.layers.Dense(2, name="d")(inner(y)))
    after, entry = rewritten(Freeze(("inner",)), graph)
    assert kinds(after) == ["batch_norm_inference", "dense"]
    assert ("inner/n/gamma", "not trainable") in entry.done
    assert all(p.trainable for p in after.params if p.name.startswith("d/"))


def test_freezing_an_unknown_layer() -> None:
    with pytest.raises(PassError, match="expected the path of a layer, received 'nn'"):
        rewritten(Freeze(("nn",)), net())


def test_row_masks_go_to_every_op_that_mixes_rows() -> None:
    after, _ = rewritten(MaskRows(), net())
    assert after.inputs[-1].name == ROW_MASK
    text = "\n".join(lines(after))
    assert "%n/moving_variance, %row_mask)" in text
    assert "%d/penalty = penalty(%d/dense, %row_mask)" in text
    assert rewritten(MaskRows(), after)[0] is after


def test_a_softmax_over_the_rows_takes_no_mask() -> None:
    x = gj.Input((4,), name="x")
    over_rows = graph_of(x, gj.layers.Softmax(axis=0, name="s")(x))
    assert can_mask_rows(over_rows) == "s/softmax"
    assert can_mask_rows(graph_of(x, gj.layers.Softmax(name="s")(x))) is None


def test_row_masks_are_refused_where_an_op_takes_none() -> None:
    x = gj.Input((4,), name="x")
    loss = gj.regularizers.OrthogonalRegularizer()
    graph = graph_of(x, gj.layers.Dense(4, name="d", activity_regularizer=loss)(x))
    after, entry = rewritten(MaskRows(), graph)
    assert after is graph
    assert can_mask_rows(graph) == "d/penalty"
    assert reasons(entry) == {"d/penalty": "it mixes rows and takes no row mask"}


def loop() -> gj.Graph:
    """A graph with a body: a step over time, run by a `scan`."""
    x = gj.Input((5, 4), name="x")
    cells = [gj.layers.GRUCell(3, dropout=0.5), gj.layers.SimpleRNNCell(2)]
    return graph_of(x, gj.layers.RNN(cells, name="r")(x))


@pytest.mark.parametrize("pass_", [Freeze(("r",)), MaskRows()])
def test_what_only_a_model_has_is_not_looked_for_in_bodies(pass_: Freeze) -> None:
    graph, _ = run(loop(), [pass_], strict=True)
    assert "scan" in kinds(graph)
    if isinstance(pass_, MaskRows):
        assert graph.inputs[-1].name == ROW_MASK
    else:
        assert not any(param.trainable for param in graph.params)


def test_freezing_reaches_the_norms_in_a_body() -> None:
    """The node is what a layer `n` emitted; its body normalizes every slice."""
    body = ir("step")
    state = [body.input(name, TensorType((3,))) for name in ("mean", "variance")]
    x = body.input("x", TensorType(("batch", 3)))
    y, *new = body.node(BatchNorm(axis=1), (x, None, None, *state))
    for name, value in zip(("mean", "variance", "y"), (*new, y), strict=True):
        body.output(name, value)
    graph = ir()
    graph.layers.append(LayerCall("n", "n", "Looped", Config()))
    xs = graph.input("xs", TensorType(("batch", 5, 3)))
    statistics = [
        graph.param(param(f"n/{name}", 3, collection="state"))
        for name in ("mean", "variance")
    ]
    loop = Scan(body.build(), carries=2, sequences=1)
    results = graph.node(loop, (*statistics, xs), call=0)
    graph.output("ys", results[2])
    after, _ = run(graph.build(), [Freeze(("n",))], strict=True)
    (node,) = after.nodes
    assert isinstance(node.op, Scan)
    assert kinds(node.op.body) == ["batch_norm_inference"]


def test_a_call_for_inference_reaches_into_bodies() -> None:
    x = gj.Input((5, 4), name="x")
    cells = [gj.layers.GRUCell(3, dropout=0.5), gj.layers.SimpleRNNCell(2)]
    layer = gj.layers.RNN(cells, name="r")
    model = gj.Model(x, layer(x, training=False))
    data = np.ones((2, 5, 4), "float32")
    variables = model.init(0)
    trained = model.apply(variables, data, training=True, rng=jax.random.key(0))
    np.testing.assert_array_equal(trained, model.apply(variables, data))
