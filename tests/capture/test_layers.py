"""What each layer means: Keras 3's layer of that name, or a plain NumPy statement."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import graphjit.layers as L  # noqa: N812
from graphjit import activations, config
from graphjit.capture.layer import Layer
from graphjit.capture.tracer import capture
from graphjit.errors import CaptureError, ShapeError
from graphjit.ir import Graph
from graphjit.passes import ToInference, run
from tests.conformance.layer_case import LayerCase
from tests.conformance.layer_table import (
    ACTIVATIONS,
    IMAGE,
    LAYER_ROWS,
    called,
)
from tests.graphs import evaluate, random_inputs, variables_for

BATCH = 4


def output_of(graph: Graph, *data: Any, **settings: Any) -> Any:
    """The only output of a graph on this data."""
    (output,) = graph.outputs
    results = evaluate(graph, inputs=list(data) or None, **settings)
    return results[f"output {output.name}"]


def applied(layer: Layer, *data: Any) -> Any:
    """A layer's training output on data, batch included; weights are random."""
    tensors = [L.Input(a.shape[1:], dtype=a.dtype.name) for a in data]
    output = layer(tensors if len(tensors) > 1 else tensors[0])
    return output_of(capture(tensors, [output], "one").graph, *data)


def data(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(0.2, 1.3, shape).astype(np.float32)


# --- Keras ----------------------------------------------------------------------------

TWINS = [
    pytest.param(row.layer, case, id=f"{row.layer.__name__}{case}")
    for row in LAYER_ROWS
    for case in row.cases
    if case.keras is not None
]


def keras_twin(layer: type[Layer], case: LayerCase, weights: dict[str, Any]) -> Any:
    """Keras's layer of that name, with our weights."""
    keras = pytest.importorskip("keras")
    made = getattr(keras.layers, layer.__name__)(**case.keras or {})
    inputs = [keras.Input(shape) for shape in case.inputs]
    made(inputs if len(inputs) > 1 else inputs[0])
    for variable in made.weights:
        if variable.name in weights:
            variable.assign(weights.pop(variable.name))
    assert not weights
    return made


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("layer", "case"), TWINS)
def test_keras_agrees(layer: type[Layer], case: LayerCase, training: bool) -> None:
    made = layer(**case.settings, name="one")
    graph = called(made, case.inputs).graph
    if training and (case.random or not graph.updates):
        return
    variables = variables_for(graph, seed=3)
    weights = {k: v.get("one", {}) for k, v in variables.items()}
    twin = keras_twin(layer, case, {**weights["params"], **weights["state"]})
    arrays = random_inputs(graph, seed=4, batch=BATCH)
    wanted = twin(arrays if len(arrays) > 1 else arrays[0], training=training)
    if not training:
        graph, _ = run(graph, [ToInference()])
    found = evaluate(graph, variables, arrays, rng=0)
    (output,) = graph.outputs
    np.testing.assert_allclose(
        found[f"output {output.name}"], wanted, rtol=1e-5, atol=1e-5
    )
    for variable in twin.non_trainable_variables:
        state = found.get(f"state one/{variable.name}")
        if state is not None:
            np.testing.assert_allclose(state, variable, rtol=1e-5, atol=1e-6)


# --- weights --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "shape", "slots"),
    [
        (L.Dense(5), (4, 3), {"kernel": (3, 5), "bias": (5,)}),
        (L.Dense(5, use_bias=False), (3,), {"kernel": (3, 5)}),
        (
            L.Conv2D(6, (3, 2), groups=2),
            IMAGE,
            {"kernel": (3, 2, 2, 6), "bias": (6,)},
        ),
        (
            L.DepthwiseConv2D((3, 2), depth_multiplier=3),
            IMAGE,
            {"kernel": (3, 2, 4, 3), "bias": (12,)},
        ),
        (
            L.BatchNormalization(axis=1),
            IMAGE,
            dict.fromkeys(
                ("gamma", "beta", "moving_mean", "moving_variance"), (IMAGE[0],)
            ),
        ),
        (
            L.BatchNormalization(center=False),
            (3,),
            dict.fromkeys(("gamma", "moving_mean", "moving_variance"), (3,)),
        ),
        (L.ReLU(), (3,), {}),
    ],
)
def test_weights_and_their_order(
    layer: Layer, shape: tuple[int, ...], slots: dict[str, tuple[int, ...]]
) -> None:
    captured = called(layer, [shape])
    found = {name: cell.param.type.shape for name, cell in layer.cells.items()}
    assert found == slots
    assert list(found) == list(slots)
    states = {param.name for param in captured.graph.params if param.is_state}
    assert all("moving_" in name for name in states)


# --- activations ----------------------------------------------------------------------


def test_hard_sigmoid_is_the_documents() -> None:
    x = data(3, 50) * 4
    found = applied(L.Activation("hard_sigmoid"), x)
    # Near 0 the sum of two halves cancels: what is left is their rounding.
    np.testing.assert_allclose(found, np.clip(0.2 * x + 0.5, 0, 1), 1e-6, 1e-7)
    six = applied(L.Activation("hard_sigmoid_relu6"), x)
    np.testing.assert_allclose(six, np.clip(x + 3, 0, 6) / 6, rtol=1e-6)


def test_the_three_bends_of_relu() -> None:
    x = np.array([[-2.0, 0.3, 0.4, 1.0, 5.0]], np.float32)
    layer = L.ReLU(max_value=2.0, negative_slope=0.5, threshold=0.4)
    # max_value from 2 on; x from the threshold on; a line from the threshold below it.
    wanted = [[-1.2, -0.05, 0.4, 1.0, 2.0]]
    np.testing.assert_allclose(applied(layer, x), wanted, rtol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_at_zero_are_those_of_keras(name: str) -> None:
    """Zeros are common: pads, dead units, the borders of images."""
    if "softmax" in name:
        return
    keras = pytest.importorskip("keras")
    found = jax.grad(activations.get(name))(0.0)
    wanted = jax.grad(keras.activations.get(name))(0.0)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_a_function_as_activation() -> None:
    x = data(2, 3)
    found = applied(L.Activation(lambda v: v**3), x)
    np.testing.assert_allclose(found, x**3, rtol=1e-5)


@pytest.mark.parametrize("axis", [1, 2, -1, -2])
def test_softmax_sums_to_one_along_its_axis(axis: int) -> None:
    found = applied(L.Softmax(axis), data(2, 4, 5))
    np.testing.assert_allclose(found.sum(axis), 1, rtol=1e-6)


# --- dense ----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 5, 3)])
def test_dense_works_on_the_last_axis(shape: tuple[int, ...]) -> None:
    x = data(BATCH, *shape)
    graph = called(L.Dense(5, activation="tanh", name="d"), [shape]).graph
    weights = variables_for(graph)["params"]["d"]
    wanted = np.tanh(np.einsum("...i,io->...o", x, weights["kernel"]) + weights["bias"])
    np.testing.assert_allclose(output_of(graph, x), wanted, rtol=1e-4, atol=1e-6)


# --- shapes ---------------------------------------------------------------------------


def test_flatten_in_both_formats() -> None:
    x = data(2, 3, 4, 5)
    last = applied(L.Flatten("channels_last"), x)
    np.testing.assert_array_equal(last, x.reshape(2, -1))
    first = applied(L.Flatten("channels_first"), x)
    np.testing.assert_array_equal(first, np.moveaxis(x, 1, -1).reshape(2, -1))
    config.set_image_data_format("channels_first")
    np.testing.assert_array_equal(applied(L.Flatten(), x), first)
    vector = data(2, 3)
    np.testing.assert_array_equal(applied(L.Flatten(), vector), vector)
    assert L.Flatten()(L.Input(())).shape == (None, 1)


@pytest.mark.parametrize(
    ("target", "shape"),
    [((4, 6), (4, 6)), ((-1,), (24,)), ((2, -1, 3), (2, 4, 3)), ((24, 1), (24, 1))],
)
def test_reshape(target: tuple[int, ...], shape: tuple[int, ...]) -> None:
    x = data(2, 3, 8)
    np.testing.assert_array_equal(applied(L.Reshape(target), x), x.reshape(2, *shape))
    assert L.Reshape(target)(L.Input((3, 8))).shape == (None, *shape)


def test_permute_counts_from_one() -> None:
    x = data(2, 3, 4, 5)
    found = applied(L.Permute((3, 1, 2)), x)
    np.testing.assert_array_equal(found, x.transpose(0, 3, 1, 2))
    with pytest.raises(
        CaptureError, match=r"^Permute: dims: expected a permutation of"
    ):
        L.Permute((0, 1))


@pytest.mark.parametrize(
    ("padding", "pads"),
    [
        (2, ((2, 2), (2, 2))),
        ((1, 2), ((1, 1), (2, 2))),
        ([1, 2], ((1, 1), (2, 2))),
        (((1, 0), (2, 3)), ((1, 0), (2, 3))),
        ((1, (2, 3)), ((1, 1), (2, 3))),
        (0, ((0, 0), (0, 0))),
    ],
)
def test_zero_padding(padding: Any, pads: Any) -> None:
    x = data(2, 3, 4, 5)
    last = applied(L.ZeroPadding2D(padding), x)
    np.testing.assert_array_equal(last, np.pad(x, [(0, 0), *pads, (0, 0)]))
    first = applied(L.ZeroPadding2D(padding, "channels_first"), x)
    np.testing.assert_array_equal(first, np.pad(x, [(0, 0), (0, 0), *pads]))


@pytest.mark.parametrize("padding", [-1, (1, 2, 3), "same", ((1, 2), -1), 1.5, True])
def test_zero_padding_refuses(padding: Any) -> None:
    text = r"^ZeroPadding2D: padding: expected an int, 2 ints, or 2 pairs of ints, all "
    with pytest.raises(CaptureError, match=text):
        L.ZeroPadding2D(padding)


def test_upsampling_repeats() -> None:
    x = data(2, 3, 4, 5)
    found = applied(L.UpSampling2D((2, 3)), x)
    np.testing.assert_array_equal(found, x.repeat(2, 1).repeat(3, 2))


# --- merges ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "formula"), [(L.Add, np.add), (L.Multiply, np.multiply)]
)
def test_merges_broadcast_behind_the_batch(layer: Any, formula: Any) -> None:
    image, channels, vector = data(2, 3, 4, 5), data(2, 1, 1, 5), data(2, 5)
    found = applied(layer(), image, channels)
    np.testing.assert_allclose(found, formula(image, channels), rtol=1e-6)
    found = applied(layer(), image, vector)
    wanted = formula(image, vector[:, None, None, :])
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_three_tensors_in_a_merge() -> None:
    xs = [data(2, 3, seed=seed) for seed in range(3)]
    np.testing.assert_allclose(applied(L.Add(), *xs), sum(xs), rtol=1e-6, atol=1e-6)


def test_concatenation_counts_axes_with_the_batch() -> None:
    a, b = data(2, 3, 4), data(2, 5, 4)
    found = applied(L.Concatenate(axis=1), a, b)
    np.testing.assert_array_equal(found, np.concatenate([a, b], 1))
    found = applied(L.Concatenate(axis=-2), a, b)
    np.testing.assert_array_equal(found, np.concatenate([a, b], 1))


# --- pooling --------------------------------------------------------------------------


def test_averages_leave_pads_out() -> None:
    x = np.arange(1, 10, dtype=np.float32).reshape(1, 3, 3, 1)
    found = applied(L.AveragePooling2D(2, padding="same"), x)[0, :, :, 0]
    np.testing.assert_allclose(found, [[3, 4.5], [7.5, 9]])


def test_strides_of_none_are_the_pool_size() -> None:
    x = L.Input((7, 6, 2))
    assert L.MaxPooling2D((3, 2))(x).shape == (None, 2, 3, 2)
    assert L.MaxPooling2D((3, 2), 1)(x).shape == (None, 5, 5, 2)


# --- batch normalization --------------------------------------------------------------


def test_running_statistics_over_steps() -> None:
    """momentum * old + (1 - momentum) * batch, of the biased variance."""
    graph = called(L.BatchNormalization(axis=1, momentum=0.8, name="n"), [(3, 4)]).graph
    variables = variables_for(graph)
    mean, variance = (
        variables["state"]["n"][slot] for slot in ("moving_mean", "moving_variance")
    )
    for step in range(3):
        x = data(BATCH, 3, 4, seed=step) * 2 + step
        found = evaluate(graph, variables, [x])
        mean = 0.8 * mean + 0.2 * x.mean((0, 2))
        variance = 0.8 * variance + 0.2 * x.var((0, 2))
        state = {
            slot: found[f"state n/{slot}"]
            for slot in ("moving_mean", "moving_variance")
        }
        variables["state"]["n"] = state
    np.testing.assert_allclose(state["moving_mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(state["moving_variance"], variance, rtol=1e-5)


def test_a_trained_norm_is_an_affine_map() -> None:
    graph = called(L.BatchNormalization(epsilon=0.05, name="n"), [(4, 3)]).graph
    after, _ = run(graph, [ToInference()])
    assert after.updates == ()
    variables = variables_for(graph)
    n = {**variables["params"]["n"], **variables["state"]["n"]}
    x = data(BATCH, 4, 3)
    scale = n["gamma"] / np.sqrt(n["moving_variance"] + 0.05)
    wanted = (x - n["moving_mean"]) * scale + n["beta"]
    np.testing.assert_allclose(output_of(after, x), wanted, rtol=1e-4, atol=1e-5)


def test_the_batch_is_no_channel_axis() -> None:
    text = (
        r"^BatchNormalization: axis: expected an axis other than the batch, received 0$"
    )
    with pytest.raises(CaptureError, match=text):
        L.BatchNormalization(axis=0)(L.Input((3,)))


# --- dropout --------------------------------------------------------------------------


def test_dropout_keeps_the_mean() -> None:
    x = np.ones((200, 300), np.float32)
    found = applied(L.Dropout(0.3), x)
    kept = found != 0
    np.testing.assert_allclose(found[kept], 1 / 0.7, rtol=1e-6)
    # 60,000 draws: the standard error of the share is 0.0019.
    assert abs(kept.mean() - 0.7) < 0.01
    # No row and no column is favoured.
    assert abs(kept.mean(0) - 0.7).max() < 0.2
    assert abs(kept.mean(1) - 0.7).max() < 0.2


def test_dropout_shares_its_draw_along_ones() -> None:
    x = np.ones((50, 4, 30), np.float32)
    found = applied(L.Dropout(0.5, noise_shape=(None, 1, None)), x)
    np.testing.assert_array_equal(found, found[:, :1].repeat(4, 1))
    assert len(np.unique(found[:, 0], axis=0)) > 40


@pytest.mark.parametrize("rate", [0, 1])
def test_dropout_at_either_end_draws_nothing(rate: float) -> None:
    assert called(L.Dropout(rate), [(3,)]).graph.nodes == ()


# --- arguments ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [3, (3, 3), [3, 3], (3,), np.int64(3), np.array([3, 3])]
)
def test_sizes_are_ints_or_sequences(size: Any) -> None:
    assert L.Conv2D(2, size).kernel_size == (3, 3)


@pytest.mark.parametrize("size", [0, (3, 0), (1, 2, 3), 2.5, "3", None, True])
def test_sizes_that_are_none(size: Any) -> None:
    text = r"^Conv2D: kernel_size: expected an int >= 1 or 2 of them, received "
    with pytest.raises(CaptureError, match=text):
        L.Conv2D(2, size)


@pytest.mark.parametrize("padding", ["SAME", "Same", "same"])
def test_padding_in_any_case(padding: str) -> None:
    assert L.Conv2D(2, 3, padding=padding).padding == "same"


def test_strides_and_dilation_exclude_each_other() -> None:
    text = r"^Conv2D: dilation_rate: expected 1 where strides are not 1, received \(2, "
    with pytest.raises(CaptureError, match=text):
        L.Conv2D(3, 3, strides=2, dilation_rate=2)


def test_groups_divide_filters_and_channels() -> None:
    text = r"^Conv2D: groups: expected a divisor of 3 filters, received 2$"
    with pytest.raises(CaptureError, match=text):
        L.Conv2D(3, 3, groups=2)
    text = r"^Conv2D: groups: expected a divisor of 3 channels, received 2$"
    with pytest.raises(CaptureError, match=text):
        L.Conv2D(4, 3, groups=2)(L.Input((5, 5, 3)))


def test_reshapes_that_do_not_fit() -> None:
    text = r"^reshape 'reshape': cannot make \(2, 2\) of 3 elements\n"
    with pytest.raises(ShapeError, match=text):
        L.Reshape((2, 2))(L.Input((3,)))


def test_integers_become_floats_where_a_layer_computes() -> None:
    ids = L.Input((4, 4, 2), dtype="int32")
    assert L.Conv2D(2, 3)(ids).dtype == "float32"
    assert L.AveragePooling2D(2)(ids).dtype == "float32"
    assert L.MaxPooling2D(2)(ids).dtype == "int32"
    assert L.Flatten()(ids).dtype == "int32"
    x = np.arange(32, dtype=np.int32).reshape(1, 4, 4, 2)
    np.testing.assert_array_equal(applied(L.MaxPooling2D(2), x), x[:, 1::2, 1::2])


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_a_layers_dtype_is_that_of_its_result(dtype: str) -> None:
    x = L.Input((3,), dtype="float32")
    dense = L.Dense(4, dtype=dtype)
    assert dense(x).dtype == dtype
    assert {cell.param.type.dtype for cell in dense.cells.values()} == {dtype}


def test_the_configured_float_type_is_the_default() -> None:
    config.set_floatx("float64")
    assert L.Input((3,)).dtype == "float64"
    assert L.Dense(2)(L.Input((3,))).dtype == "float64"
