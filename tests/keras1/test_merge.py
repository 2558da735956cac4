"""Merge: its modes, what it merges, its masks and errors, and the way to a file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.errors import CaptureError, ShapeError
from graphjit.keras1 import (
    LSTM,
    Dense,
    Input,
    Masking,
    Merge,
    Model,
    Sequential,
    merge,
)

RNG = np.random.default_rng(5)
A, B = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3))


def run(layer: Any, *arrays: Any) -> np.ndarray[Any, Any]:
    """The layer on arrays, in float64."""
    with gj.config.using(floatx="float64"):
        inputs = [gj.Input(np.shape(array)[1:]) for array in arrays]
        model = gj.Model(inputs, layer(inputs))
    return model.predict(list(arrays))


def made(*args: Any, **kwargs: Any) -> Any:
    with gj.config.using(floatx="float64"):
        return Merge(*args, **kwargs)


# --- modes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("sum", A + B),
        ("mul", A * B),
        ("ave", (A + B) / 2),
        ("max", np.maximum(A, B)),
        ("concat", np.concatenate([A, B], -1)),
        ("dot", (A * B).sum(1, keepdims=True)),
    ],
)
def test_modes_by_name(mode: str, wanted: Any) -> None:
    np.testing.assert_allclose(run(made(mode=mode), A, B), wanted, rtol=1e-12)


def cosine(a: Any, b: Any) -> Any:
    """Keras 1.2.2: (a·b) / max(sqrt((a·a)(b·b)), 1e-7), declared (n, 1)."""
    lengths = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    return ((a * b).sum(1) / np.maximum(lengths, 1e-7))[:, None]


def test_cos() -> None:
    found = run(made(mode="cos"), A, B)
    assert found.shape == (4, 1)
    np.testing.assert_allclose(found, cosine(A, B), rtol=1e-12)


def test_cos_of_short_vectors() -> None:
    """The product of the lengths is bounded, not each of them."""
    a = np.array([[1e-6, 0.0], [0.0, 0.0], [3e-9, 4e-9]])
    b = np.array([[1.0, 1.0], [2.0, 1.0], [1e-3, 0.0]])
    np.testing.assert_allclose(run(made(mode="cos"), a, b), cosine(a, b), rtol=1e-12)


def test_sum_is_the_default_and_takes_many() -> None:
    np.testing.assert_allclose(run(made(), A, B, A), 2 * A + B, rtol=1e-12)


def test_concat_axis_counts_the_batch() -> None:
    a, b = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(2, 5, 4))
    found = run(made(mode="concat", concat_axis=1), a, b)
    np.testing.assert_array_equal(found, np.concatenate([a, b], 1))


@pytest.mark.parametrize("axes", [(2, 1), [2, 1]])
def test_dot_axes_are_one_or_a_pair(axes: Any) -> None:
    a, b = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(2, 4, 5))
    found = run(made(mode="dot", dot_axes=axes), a, b)
    np.testing.assert_allclose(found, a @ b, rtol=1e-12)
    same = run(made(mode="dot", dot_axes=2), a, b.transpose(0, 2, 1))
    np.testing.assert_allclose(same, a @ b, rtol=1e-12)


def test_a_function() -> None:
    layer = made(
        mode=lambda xs, by: xs[0] - by * xs[1],
        output_shape=(3,),
        arguments={"by": 2.0},
    )
    assert isinstance(layer, L.Lambda)
    np.testing.assert_allclose(run(layer, A, B), A - 2 * B, rtol=1e-12)


def test_a_function_and_its_output_shape() -> None:
    """It is given every shape, with the batch, and returns one with it."""
    seen: list[Any] = []

    def shape(shapes: Any) -> Any:
        seen.append(shapes)
        return (shapes[0][0], 6)

    def join(xs: Any) -> Any:
        return gj.backend.concatenate(xs, axis=1)

    assert merge([Input((3,)), Input((3,))], join, output_shape=shape).shape == (
        None,
        6,
    )
    assert seen == [[(None, 3), (None, 3)]]
    with pytest.raises(ShapeError, match=r"output_shape says \(None, 5\)"):
        merge([Input((3,)), Input((3,))], mode=join, output_shape=(5,))


def test_positional_order() -> None:
    layers = [Input((3,)), Input((3,))]
    merged = Merge(layers, "concat", 1, -1, None, None, None, [0, 0], [0, 0])
    assert merged.output_shape == (None, 6)


def test_every_argument() -> None:
    a, b = Input((3, 4)), Input((3, 4))
    joined = Merge(layers=[a, b], mode="concat", concat_axis=1, name="joined")
    assert joined.name == "joined"
    assert joined.output_shape == (None, 6, 4)
    assert Merge([a, b], mode="dot", dot_axes=2).output_shape == (None, 3, 3)
    made = Merge(
        layers=[a.call.layer, b.call.layer],
        mode=lambda xs, by: by * xs[0],
        output_shape=(3, 4),
        output_mask=lambda masks: masks[0],
        arguments={"by": 2.0},
        node_indices=[0, 0],
        tensor_indices=[0, 0],
    )
    assert made.output_shape == (None, 3, 4)


# --- what is merged ---------------------------------------------------------------


def test_native_layers_are_made() -> None:
    classes = {
        "sum": L.Add,
        "mul": L.Multiply,
        "concat": L.Concatenate,
        "ave": L.Average,
        "cos": L.Cosine,
        "dot": L.Dot,
        "max": L.Maximum,
    }
    for mode, cls in classes.items():
        layer = Merge(mode=mode, name="both")
        assert isinstance(layer, cls)
        assert layer.class_name() == cls.__name__
        assert layer.name == "both"


def test_tensors() -> None:
    a, b = Input((3,)), Input((2,))
    merged = Merge([a, b], mode="concat")
    assert merged.output.shape == (None, 5)
    assert merge([a, b], mode="concat").shape == (None, 5)
    model = Model(input=[a, b], output=Dense(2)(merged.output))
    assert model.predict([np.ones((4, 3)), np.ones((4, 2))]).shape == (4, 2)


def test_layers_by_the_index_of_their_calls() -> None:
    a, b = Input((3,)), Input((3,))
    shared, other = Dense(2), Dense(4)
    first, second = shared(a), shared(b)
    wide = other(a)
    merged = Merge([shared, other], mode="concat", node_indices=[1, 0])
    assert merged.inputs == [b, a]
    model = Model(input=[a, b], output=merged.output)
    twin = Model(input=[a, b], output=merge([second, wide], mode="concat"))
    x = [A, B]
    np.testing.assert_array_equal(model.predict(x), twin.predict(x))
    assert first.shape == (None, 2)


def test_a_tensor_of_a_layer_with_several() -> None:
    x = Input((5, 3))
    layer = L.LSTM(4, return_state=True)
    layer(x)
    merged = Merge([layer, layer], tensor_indices=[0, 2])
    assert merged.output_shape == (None, 4)
    with pytest.raises(CaptureError, match="tensor_indices: expected an index below 3"):
        Merge([layer, layer], tensor_indices=[0, 3])


def test_a_model_of_its_own_and_a_call_of_it() -> None:
    branch = Sequential([Dense(2, input_dim=3)])
    x = Input((3,))
    branch(x)
    merged = Merge([branch, branch], mode="sum", node_indices=[0, 1])
    assert len(merged.inputs) == 2
    np.testing.assert_allclose(
        merged.predict([A, B]), branch.predict(A) + branch.predict(B), rtol=1e-5
    )


def test_a_layer_that_knows_its_input_needs_no_model() -> None:
    merged = Merge([Dense(2, input_dim=3), Dense(4, input_dim=3)], mode="concat")
    assert merged.input_shape == [(None, 3), (None, 3)]
    assert merged.output_shape == (None, 6)


def test_merged_models_share_their_weights() -> None:
    left = Sequential([Dense(2, input_dim=3)])
    right = Sequential([Dense(2, input_dim=3)])
    both = Sequential([Merge([left, right]), Dense(1)])
    both.compile("sgd", "mse")
    before = left.get_weights()[0]
    both.fit([A, B], np.ones((4, 1)), nb_epoch=1, verbose=0)
    assert not np.array_equal(left.get_weights()[0], before)


def test_the_same_model_twice_has_one_input() -> None:
    branch = Sequential([Dense(2, input_dim=3)])
    merged = Merge([branch, branch])
    assert len(merged.inputs) == 1
    np.testing.assert_allclose(merged.predict(A), 2 * branch.predict(A), rtol=1e-6)


def test_a_merge_of_merges() -> None:
    branches = [Sequential([Dense(2, input_dim=3)]) for _ in range(3)]
    inner = Merge(branches[:2], mode="mul")
    outer = Sequential([Merge([inner, branches[2]], mode="concat"), Dense(1)])
    assert outer.input_shape == [(None, 3)] * 3
    assert outer.output_shape == (None, 1)


# --- masks ------------------------------------------------------------------------


def masked_branch() -> Sequential:
    return Sequential([Masking(input_shape=(4, 3))])


STEPS = np.array(RNG.normal(size=(2, 4, 3)))
STEPS[0, 1] = 0.0
OTHERS = np.array(RNG.normal(size=(2, 4, 3)))
OTHERS[1, 3] = 0.0
MASKS = [(each != 0).any(-1) for each in (STEPS, OTHERS)]


def mask_after(merged: Any, *arrays: Any) -> Any:
    step = merged.step(merged.variables, list(arrays))
    mask = step.masks
    return None if mask is None else np.asarray(mask)


@pytest.mark.parametrize("mode", ["sum", "mul", "ave", "max"])
def test_masks_are_anded(mode: str) -> None:
    merged = Merge([masked_branch(), masked_branch()], mode=mode)
    mask = mask_after(merged, STEPS, OTHERS)
    np.testing.assert_array_equal(mask, MASKS[0] & MASKS[1])
    plain = Sequential([Dense(3, input_shape=(4, 3))])
    mask = mask_after(Merge([masked_branch(), plain], mode=mode), STEPS, OTHERS)
    np.testing.assert_array_equal(mask, MASKS[0])


def test_masks_are_joined_as_the_tensors_are() -> None:
    pair = [masked_branch(), masked_branch()]
    mask = mask_after(Merge(pair, mode="concat", concat_axis=1), STEPS, OTHERS)
    np.testing.assert_array_equal(mask, np.concatenate(MASKS, 1))
    mask = mask_after(Merge(pair, mode="concat"), STEPS, OTHERS)
    np.testing.assert_array_equal(mask, MASKS[0] & MASKS[1])


def test_dot_and_functions_have_no_mask() -> None:
    pair = [masked_branch(), masked_branch()]
    assert mask_after(Merge(pair, mode="dot", dot_axes=2), STEPS, OTHERS) is None
    assert mask_after(Merge(pair, mode=lambda x: x[0]), STEPS, OTHERS) is None


def test_a_function_says_its_mask() -> None:
    pair = [masked_branch(), masked_branch()]
    merged = Merge(pair, mode=lambda x: x[0], output_mask=lambda masks: masks[1])
    np.testing.assert_array_equal(mask_after(merged, STEPS, OTHERS), MASKS[1])
    value = np.array([[True, False, True, True]] * 2)
    merged = Merge(pair, mode=lambda x: x[0], output_mask=value)
    np.testing.assert_array_equal(mask_after(merged, STEPS, OTHERS), value)


def test_a_chain_goes_on_with_the_mask() -> None:
    model = Sequential([Merge([masked_branch(), masked_branch()]), LSTM(2)])
    once = STEPS + OTHERS
    assert model.predict([STEPS, OTHERS]).shape == (2, 2)
    # Row 0 has no step 1, row 1 no step 3.
    lstm = Sequential([LSTM(2, input_shape=(3, 3))])
    lstm.set_weights(model.get_weights())
    short = np.stack([np.delete(once[0], 1, 0), np.delete(once[1], 3, 0)])
    np.testing.assert_allclose(
        model.predict([STEPS, OTHERS]), lstm.predict(short), atol=1e-6
    )


# --- errors -----------------------------------------------------------------------


def test_an_unknown_mode() -> None:
    with pytest.raises(CaptureError, match="mode: expected one of 'sum', 'mul'") as e:
        Merge([Input((3,)), Input((3,))], mode="sums")
    assert "did you mean 'sum'?" in str(e.value)


@pytest.mark.parametrize("layers", [[], [Input((3,))], Input((3,))])
def test_fewer_than_two(layers: Any) -> None:
    with pytest.raises(CaptureError, match="at least 2 tensors, layers or models"):
        Merge(layers)
    with pytest.raises(CaptureError, match="at least 2 tensors, layers or models"):
        merge(layers)
    with pytest.raises(CaptureError, match="at least 2 tensors"):
        Merge()([Input((3,))])


@pytest.mark.parametrize("mode", ["dot", "cos"])
def test_exactly_two(mode: str) -> None:
    three = [Input((3,)) for _ in range(3)]
    with pytest.raises(CaptureError, match="exactly 2 tensors, received 3"):
        Merge(three, mode=mode)


@pytest.mark.parametrize("mode", ["sum", "mul", "ave", "max", "cos"])
def test_unequal_shapes(mode: str) -> None:
    with pytest.raises(ShapeError, match=r"one shape, received \(None, 3\), \(None, 1"):
        Merge(mode=mode)([Input((3,)), Input((1,))])


def test_concat_of_other_dims_off_the_axis() -> None:
    with pytest.raises(ShapeError, match="concat"):
        merge([Input((3, 4)), Input((5, 6))], mode="concat", concat_axis=1)


def test_dot_of_unequal_dims() -> None:
    with pytest.raises(ShapeError, match="axis 2 of the first input has 4 elements"):
        merge([Input((3, 4)), Input((3, 5))], mode="dot", dot_axes=2)


def test_cos_is_for_vectors() -> None:
    with pytest.raises(ShapeError, match="expected an input of rank 2"):
        merge([Input((3, 4)), Input((3, 4))], mode="cos")
    with pytest.raises(CaptureError, match="dot_axes: expected -1 or 1 for mode 'cos'"):
        Merge(mode="cos", dot_axes=2)


def test_what_is_no_layer() -> None:
    with pytest.raises(CaptureError, match="tensors, layers or models, received int"):
        Merge([Input((3,)), 3])
    with pytest.raises(CaptureError, match="Dense was never called") as error:
        Merge([Input((3,)), Dense(3)])
    assert "put it into a Sequential" in str(error.value.hint)
    with pytest.raises(CaptureError, match="node_indices: expected 2 ints"):
        Merge([Input((3,)), Input((3,))], node_indices=[0])


def test_names_of_keras_2() -> None:
    with pytest.raises(CaptureError, match="unknown argument 'axis'") as error:
        Merge(mode="concat", axis=1)
    assert "it is called 'concat_axis' in Keras 1" in str(error.value.hint)
    with pytest.raises(CaptureError, match="unknown argument 'input_dim'"):
        Merge(input_dim=3)


# --- files ------------------------------------------------------------------------


def chain() -> Sequential:
    left = Sequential([Dense(2, input_dim=3, name="left")])
    right = Sequential([Dense(2, input_dim=3, name="right")])
    return Sequential([Merge([left, right], mode="concat", name="both"), Dense(1)])


def test_a_chain_that_begins_with_merge_from_its_config() -> None:
    model = chain()
    assert model.layers[0].name == "both"
    again = Sequential.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.predict([A, B]), model.predict([A, B]))


def test_a_chain_that_begins_with_merge_in_a_file() -> None:
    model = chain()
    again = gj.from_bytes(gj.to_bytes(model))
    np.testing.assert_array_equal(again.predict([A, B]), model.predict([A, B]))


def test_a_registered_function_goes_into_a_file() -> None:
    @gj.register("tests.keras1>first")
    def first(xs: Any) -> Any:
        return xs[0]

    a, b = Input((3,)), Input((3,))
    model = Model(input=[a, b], output=merge([a, b], mode=first))
    again = gj.from_bytes(gj.to_bytes(model))
    np.testing.assert_allclose(again.predict([A, B]), A, rtol=1e-6)
