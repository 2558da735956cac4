"""BatchNormalization: Keras 1's modes, and masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.errors import CaptureError, ShapeError
from graphjit.ops.batch_norm import BatchNorm
from graphjit.passes import Freeze, ToInference, run
from graphjit.types import TensorType
from graphjit.verify import verify
from tests.graphs import evaluate, variables_for
from tests.ops.applied import data, graph_of, inference, results

SLOTS = ["gamma", "beta", "moving_mean", "moving_variance"]


def one(**settings: Any) -> L.BatchNormalization:
    return L.BatchNormalization(name="one", **settings)


def weights(graph: gj.Graph) -> tuple[Any, Any]:
    params = variables_for(graph)["params"]["one"]
    return params["gamma"], params["beta"]


# --- modes ----------------------------------------------------------------------------


def test_mode_1_normalizes_each_row_by_itself() -> None:
    x = data(5, 4)
    graph = graph_of(one(mode=1, epsilon=0.05), [x])
    gamma, beta = weights(graph)
    deviation = np.sqrt(x.var(-1, keepdims=True) + 0.05)
    wanted = gamma * (x - x.mean(-1, keepdims=True)) / (deviation + 0.05) + beta
    for mode in (graph, inference(graph)):
        np.testing.assert_allclose(results(mode, x)[0], wanted, rtol=1e-5, atol=1e-6)
    assert not graph.updates


def test_mode_2_uses_the_batchs_statistics_always() -> None:
    x = data(5, 4, 3)
    graph = graph_of(one(mode=2, epsilon=0.05), [x])
    gamma, beta = weights(graph)
    deviation = np.sqrt(x.var((0, 1)) + 0.05)
    wanted = gamma * (x - x.mean((0, 1))) / deviation + beta
    for mode in (graph, inference(graph)):
        np.testing.assert_allclose(results(mode, x)[0], wanted, rtol=1e-5, atol=1e-5)
    assert not graph.updates


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_every_mode_has_four_arrays(mode: int) -> None:
    layer = one(mode=mode)
    model_input = gj.Input((3,))
    model = gj.Model(model_input, layer(model_input))
    assert list(layer.cells) == SLOTS
    assert [w.shape for w in model.get_weights()] == [(3,)] * 4


@pytest.mark.parametrize("mode", [1, 2])
def test_running_statistics_stay_in_these_modes(mode: int) -> None:
    x = gj.Input((3,))
    model = gj.Model(x, one(mode=mode)(x))
    before = model.get_weights()
    model.compile("sgd", "mse")
    model.fit(data(8, 3), data(8, 3, seed=1), batch_size=4, epochs=1, verbose=0)
    after = model.get_weights()
    for old, new in zip(before[2:], after[2:], strict=True):
        np.testing.assert_array_equal(old, new)
    assert not np.array_equal(before[0], after[0])


def test_mode_2_predicts_by_the_batch() -> None:
    x = gj.Input((3,))
    model = gj.Model(x, one(mode=2, epsilon=1e-9)(x))
    values = data(6, 3) * 5 + 2
    found = model.predict(values, batch_size=6)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(found.var(0), 1, atol=1e-4)


def test_a_shared_norm_of_mode_2() -> None:
    x = gj.Input((3,))
    norm = one(mode=2)
    graph = gj.Model(x, norm(norm(x))).graph
    assert graph.count("batch_norm") == 2
    verify(inference(graph))


@pytest.mark.parametrize("frozen", ["infer", "keep", "update"])
def test_a_frozen_norm_of_mode_2_stays_as_it_is(frozen: str) -> None:
    graph = graph_of(one(mode=2, frozen=frozen), [data(5, 4)])
    after, _ = run(graph, [Freeze(("one",))])
    assert after.count("batch_norm") == 1


def test_a_shared_norm_that_keeps_its_statistics_when_frozen() -> None:
    x = gj.Input((3,))
    norm = one(frozen="keep")
    graph = gj.Model(x, norm(norm(x))).graph
    after, _ = run(graph, [Freeze(("one",))])
    assert [node.op for node in after.nodes] == [
        BatchNorm(1, frozen="keep", running="keep")
    ] * 2
    assert not after.updates
    kept, _ = run(after, [ToInference()])
    assert kept.count("batch_norm_inference") == 2


def test_mode_1_wants_matrices() -> None:
    with pytest.raises(ShapeError, match="mode 1 takes inputs of rank 2, received"):
        one(mode=1)(gj.Input((4, 3)))


def test_wrong_modes() -> None:
    for wrong in (3, -1):
        with pytest.raises(CaptureError, match=f"mode: expected 0, 1 or 2, .* {wrong}"):
            one(mode=wrong)
    with pytest.raises(CaptureError, match="mode: expected an int, received 'a'"):
        one(mode="a")


def test_modes_in_configs() -> None:
    assert one(mode=2).get_config()["mode"] == 2
    assert one(masked=False).get_config()["masked"] is False
    assert not {"mode", "masked"} & set(one().get_config())
    with pytest.raises(CaptureError, match="called 'gamma_initializer' here"):
        L.BatchNormalization(gamma_init="one")


# --- masks ----------------------------------------------------------------------------

STEPS = np.array([[True, True, False, False], [True, False, True, True], [True] * 4])


def test_masked_steps_are_left_out_of_the_statistics() -> None:
    x = data(3, 4, 2)
    graph = graph_of(one(epsilon=0.05, momentum=0.6), [x], [STEPS])
    gamma, beta = weights(graph)
    found = evaluate(graph, inputs=[x, STEPS])
    counted = x[STEPS]
    deviation = np.sqrt(counted.var(0) + 0.05)
    wanted = gamma * (x - counted.mean(0)) / deviation + beta
    np.testing.assert_allclose(found["output one"], wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found["mask one"], STEPS)
    old = variables_for(graph)["state"]["one"]
    np.testing.assert_allclose(
        found["state one/moving_variance"],
        0.6 * old["moving_variance"] + 0.4 * counted.var(0),
        rtol=1e-5,
    )


def test_masks_count_as_in_keras() -> None:
    keras = pytest.importorskip("keras")
    x = data(3, 4, 2)
    graph = graph_of(one(momentum=0.6), [x], [STEPS])
    variables = variables_for(graph)
    theirs = keras.layers.BatchNormalization(momentum=0.6)
    theirs.build(x.shape)
    ours = {**variables["params"]["one"], **variables["state"]["one"]}
    for variable in theirs.weights:
        variable.assign(ours[variable.name])
    wanted = theirs(x, training=True, mask=STEPS)
    found = evaluate(graph, variables, [x, STEPS])
    np.testing.assert_allclose(found["output one"], wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        found["state one/moving_mean"], theirs.moving_mean, rtol=1e-5, atol=1e-6
    )


def test_before_keras_3_every_step_counted() -> None:
    x = data(3, 4, 2)
    plain, _ = results(graph_of(one(), [x]), x)
    found, mask = results(graph_of(one(masked=False), [x], [STEPS]), x, STEPS)
    np.testing.assert_array_equal(found, plain)
    np.testing.assert_array_equal(mask, STEPS)


def test_a_batch_of_nothing_but_padding() -> None:
    x, none = data(2, 4, 2), np.zeros((2, 4), bool)
    found = evaluate(graph_of(one(), [x], [none]), inputs=[x, none])
    assert all(np.isfinite(value).all() for value in found.values())


def test_in_inference_a_mask_changes_nothing() -> None:
    x = data(3, 4, 2)
    plain, _ = results(inference(graph_of(one(), [x])), x)
    found, mask = results(inference(graph_of(one(), [x], [STEPS])), x, STEPS)
    np.testing.assert_array_equal(found, plain)
    np.testing.assert_array_equal(mask, STEPS)


def test_malformed_masks() -> None:
    x, vector = TensorType((5, 4, 3)), TensorType((3,))
    op = BatchNorm(2)

    def infer(mask: TensorType) -> Any:
        return op.infer(x, vector, vector, vector, vector, None, mask)

    with pytest.raises(ShapeError, match="mask: expected bool of rank 3, received"):
        infer(TensorType((5, 4), "bool"))
    with pytest.raises(ShapeError, match="mask: expected bool of rank 3, received"):
        infer(TensorType((5, 4, 1)))
    with pytest.raises(ShapeError, match="dims 4 and 2 differ"):
        infer(TensorType((5, 2, 1), "bool"))
