from __future__ import annotations

import numpy as np
import pytest

import graphjit as gj
from graphjit.capture.tensor import Tensor
from graphjit.passes import FoldNorm, Freeze, ToInference, run
from tests.passes.build import graph_of, kinds, reasons, rewritten
from tests.passes.values import assert_equal_outputs


def inference(inputs: Tensor, outputs: Tensor | list[Tensor]) -> gj.Graph:
    return run(graph_of(inputs, outputs), [ToInference()])[0]


def norm(name: str = "n", **options: object) -> gj.layers.Layer:
    return gj.layers.BatchNormalization(name=name, epsilon=0.013, **options)


LINEAR = {
    "conv": lambda: gj.layers.Conv2D(6, (3, 2), strides=2, groups=3, name="l"),
    "conv_same": lambda: gj.layers.Conv2D(6, 3, padding="same", name="l"),
    "no_bias": lambda: gj.layers.Conv2D(6, 3, use_bias=False, name="l"),
    "depthwise": lambda: gj.layers.DepthwiseConv2D(3, depth_multiplier=2, name="l"),
    "dense": lambda: gj.layers.Dense(5, name="l"),
}


@pytest.mark.parametrize("linear", LINEAR)
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
def test_a_norm_after_folds(linear: str, options: dict[str, bool]) -> None:
    x = gj.Input((7, 8, 6), name="x")
    graph = inference(x, norm(**options)(LINEAR[linear]()(x)))
    after, entry = rewritten(FoldNorm(), graph)
    assert "batch_norm_inference" not in kinds(after)
    assert entry.done[0][0] == "n/batch_norm"
    assert rewritten(FoldNorm(), after)[0] is after
    assert_equal_outputs(graph, after)


@pytest.mark.parametrize("linear", [name for name in LINEAR if name != "conv_same"])
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
def test_a_norm_before_folds(linear: str, options: dict[str, bool]) -> None:
    x = gj.Input((7, 8, 6), name="x")
    graph = inference(x, LINEAR[linear]()(norm(**options)(x)))
    after, _ = rewritten(FoldNorm(), graph)
    assert "batch_norm_inference" not in kinds(after)
    assert rewritten(FoldNorm(), after)[0] is after
    assert_equal_outputs(graph, after)


def test_norms_on_both_sides_and_in_a_row_fold_in_one_run() -> None:
    x = gj.Input((6,), name="x")
    y = norm("b")(norm("a")(x))
    y = gj.layers.Dense(5, name="l")(y)
    y = gj.layers.ReLU()(norm("d")(norm("c")(y)))
    graph = inference(x, y)
    after, _ = rewritten(FoldNorm(), graph)
    assert [k for k in kinds(after) if k.startswith("batch")] == []
    assert rewritten(FoldNorm(), after)[0] is after
    assert_equal_outputs(graph, after)


def test_a_shared_convolution_folds_each_call_on_its_own() -> None:
    x = gj.Input((7, 8, 6), name="x")
    conv = LINEAR["conv"]()
    a, b = norm("a")(conv(x)), norm("b")(conv(gj.layers.ReLU()(x)))
    graph = inference(x, gj.layers.Add()([a, b]))
    after, _ = rewritten(FoldNorm(), graph)
    assert "batch_norm_inference" not in kinds(after)
    assert_equal_outputs(graph, after)


def _refused(graph: gj.Graph) -> dict[str, str]:
    after, entry = rewritten(FoldNorm(), graph)
    assert after is graph
    return reasons(entry)


def test_refuses_zero_pads_behind_a_norm() -> None:
    x = gj.Input((7, 8, 6), name="x")
    graph = inference(x, LINEAR["conv_same"]()(norm()(x)))
    why = "l/conv: the convolution pads with zeros, the norm shifts them"
    assert _refused(graph) == {"n/batch_norm": why}


def test_refuses_an_activation_in_between() -> None:
    x = gj.Input((6,), name="x")
    y = gj.layers.Dense(5, name="l", activation="relu")(x)
    graph = run(inference(x, norm()(y)), [gj.passes.FuseEpilogue()])[0]
    assert _refused(graph) == {
        "n/batch_norm": "relu stands between it and its neighbour"
    }


def test_refuses_a_value_with_other_readers() -> None:
    x = gj.Input((6,), name="x")
    h = gj.layers.Dense(6, name="l")(x)
    graph = inference(x, gj.layers.Add()([norm()(h), h]))
    assert _refused(graph) == {"n/batch_norm": "%l/dense has 2 readers"}


def test_refuses_readers_that_the_first_fold_brings() -> None:
    x = gj.Input((6,), name="x")
    h = norm("a")(gj.layers.Dense(6, name="l")(x))
    graph = inference(x, gj.layers.Add()([norm("b")(h), h]))
    after, entry = rewritten(FoldNorm(), graph)
    assert reasons(entry) == {"b/batch_norm": "%l/dense has 2 readers"}
    assert rewritten(FoldNorm(), after)[0] is after
    assert_equal_outputs(graph, after)


def test_refuses_an_output_in_between() -> None:
    x = gj.Input((6,), name="x")
    h = gj.layers.Dense(6, name="l")(x)
    graph = inference(x, [h, norm()(h)])
    assert _refused(graph) == {"n/batch_norm": "%l/dense is a result of the graph"}


def test_refuses_another_axis() -> None:
    x = gj.Input((7, 8, 6), name="x")
    graph = inference(x, norm(axis=1)(gj.layers.Dense(5, name="l")(x)))
    why = "it normalizes axis 1, channels are axis 3"
    assert _refused(graph) == {"n/batch_norm": why}


def test_refuses_weights_that_train() -> None:
    x = gj.Input((6,), name="x")
    y = norm()(gj.layers.Dense(5, name="l")(x))
    graph = graph_of(x, gj.layers.Dropout(0.5)(y))
    half, _ = run(graph, [Freeze(("n",))])
    why = "a param of the norm or of the weights is trained"
    assert _refused(half) == {"n/batch_norm": why}
    whole, _ = run(graph, [Freeze(("n", "l"))])
    after, _ = rewritten(FoldNorm(), whole)
    assert "batch_norm_inference" not in kinds(after)


def test_training_statistics_are_never_folded() -> None:
    x = gj.Input((6,), name="x")
    graph = graph_of(x, norm()(gj.layers.Dense(5, name="l")(x)))
    assert rewritten(FoldNorm(), graph)[0] is graph


def test_the_formula_by_hand() -> None:
    x = gj.Input((2,), name="x", dtype="float64")
    y = gj.layers.Dense(1, name="l", dtype="float64")(x)
    y = gj.layers.BatchNormalization(name="n", epsilon=0.5, dtype="float64")(y)
    graph = inference(x, y)
    after, _ = rewritten(FoldNorm(), graph)
    params = {
        "l": {"kernel": np.array([[2.0], [3.0]]), "bias": np.array([5.0])},
        "n": {"gamma": np.array([7.0]), "beta": np.array([11.0])},
    }
    state = {"n": {"moving_mean": np.array([1.5]), "moving_variance": np.array([3.5])}}
    result = gj.lower(after)(params, state, np.array([[1.0, -1.0]])).outputs
    expected = (2.0 - 3.0 + 5.0 - 1.5) / np.sqrt(3.5 + 0.5) * 7.0 + 11.0
    np.testing.assert_allclose(result, [[expected]], rtol=1e-14)
