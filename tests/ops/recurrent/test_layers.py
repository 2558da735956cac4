"""SimpleRNN, GRU and LSTM: against Keras 3, and what the documents state."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.errors import CaptureError, ShapeError
from graphjit.ir import Graph
from tests.graphs import evaluate, variables_for
from tests.ops.recurrent.twins import Pair, data, step_mask

KINDS = [L.SimpleRNN, L.GRU, L.LSTM]
EACH_KIND = pytest.mark.parametrize("cls", KINDS)
STATES = {L.SimpleRNN: 1, L.GRU: 1, L.LSTM: 2}
ROWS, STEPS, FEATURES, UNITS = 4, 5, 3, 6


def pair(cls: Any, masked: bool = False, states: bool = False, **settings: Any) -> Pair:
    firsts = [(UNITS,)] * STATES[cls] if states else []
    return Pair(
        cls(UNITS, **settings),
        lambda keras: getattr(keras, cls.__name__)(UNITS, **settings),
        (STEPS, FEATURES),
        masked,
        firsts,
    )


# --- Keras ----------------------------------------------------------------------------


@EACH_KIND
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
def test_sequences_and_states(cls: Any, backwards: bool, sequences: bool) -> None:
    twins = pair(
        cls, go_backwards=backwards, return_sequences=sequences, return_state=True
    )
    twins.agree(data(ROWS, STEPS, FEATURES))


FLAGS = list(itertools.product([False, True], repeat=3))


@EACH_KIND
@pytest.mark.parametrize(("sequences", "backwards", "unroll"), FLAGS)
def test_masks_with_first_states(
    cls: Any, sequences: bool, backwards: bool, unroll: bool
) -> None:
    twins = pair(
        cls,
        masked=True,
        states=True,
        return_sequences=sequences,
        go_backwards=backwards,
        unroll=unroll,
        return_state=True,
    )
    states = [data(ROWS, UNITS, seed=9 + at) for at in range(STATES[cls])]
    twins.agree(data(ROWS, STEPS, FEATURES), step_mask(ROWS, STEPS), states)


@EACH_KIND
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("unroll", [False, True])
def test_zero_output_for_mask(cls: Any, sequences: bool, unroll: bool) -> None:
    twins = pair(
        cls,
        masked=True,
        return_sequences=sequences,
        unroll=unroll,
        zero_output_for_mask=True,
        return_state=True,
    )
    twins.agree(data(ROWS, STEPS, FEATURES), step_mask(ROWS, STEPS))


def test_a_leading_masked_step_shows_the_first_state() -> None:
    """Zeros if unrolled."""
    mask = np.array([[False, False, True, True, True]])
    first = data(1, UNITS, seed=5)
    for unroll in (False, True):
        twins = pair(
            L.GRU, masked=True, states=True, return_sequences=True, unroll=unroll
        )
        (y,), _ = twins.results(data(1, STEPS, FEATURES), mask, [first])
        wanted = np.zeros_like(first) if unroll else first
        np.testing.assert_array_equal(y[:, 0], wanted)
        np.testing.assert_array_equal(y[:, 1], wanted)


@pytest.mark.parametrize("reset_after", [False, True])
@pytest.mark.parametrize("use_bias", [False, True])
def test_gru_resets_before_or_after(reset_after: bool, use_bias: bool) -> None:
    twins = pair(L.GRU, reset_after=reset_after, use_bias=use_bias, activation="relu")
    twins.agree(data(ROWS, STEPS, FEATURES))


@EACH_KIND
@pytest.mark.parametrize("activation", ["relu", "softmax", "elu", None])
def test_any_activation(cls: Any, activation: str | None) -> None:
    settings = {} if cls is L.SimpleRNN else {"recurrent_activation": activation}
    twins = pair(cls, activation=activation, **settings)
    twins.agree(0.4 * data(ROWS, STEPS, FEATURES))


@EACH_KIND
def test_the_initial_state_may_stand_in_the_list_of_inputs(cls: Any) -> None:
    x = L.Input((STEPS, FEATURES))
    states = [L.Input((UNITS,)) for _ in range(STATES[cls])]
    layer = cls(UNITS)
    listed = gj.Model([x, *states], layer([x, *states]))
    named = gj.Model([x, *states], layer(x, initial_state=states))
    arrays = [data(ROWS, STEPS, FEATURES), *(data(ROWS, UNITS) for _ in states)]
    np.testing.assert_array_equal(listed(arrays), named(arrays))


def test_a_custom_function_as_activation() -> None:
    def doubled_tanh(x: Any) -> Any:
        return 2 * jax.numpy.tanh(x)

    x = L.Input((STEPS, FEATURES))
    ours = gj.Model(x, L.SimpleRNN(UNITS, activation=doubled_tanh)(x))
    h = np.zeros((ROWS, UNITS))
    kernel, recurrent, bias = ours.get_weights()
    array = data(ROWS, STEPS, FEATURES)
    for t in range(STEPS):
        h = 2 * np.tanh(array[:, t] @ kernel + bias + h @ recurrent)
    np.testing.assert_allclose(ours(array), h, rtol=1e-5, atol=1e-6)


# --- weights and settings -------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [
        (L.SimpleRNN(4), [(3, 4), (4, 4), (4,)]),
        (L.GRU(4), [(3, 12), (4, 12), (2, 12)]),
        (L.GRU(4, reset_after=False), [(3, 12), (4, 12), (12,)]),
        (L.LSTM(4), [(3, 16), (4, 16), (16,)]),
        (L.LSTM(4, use_bias=False), [(3, 16), (4, 16)]),
    ],
)
def test_weights_lie_as_in_keras_2(layer: Any, shapes: list[tuple[int, ...]]) -> None:
    x = L.Input((STEPS, 3))
    model = gj.Model(x, layer(x))
    assert [w.shape for w in model.get_weights()] == shapes
    slots = [p.name.split("/")[-1] for p in model.graph.params]
    assert slots == ["kernel", "recurrent_kernel", "bias"][: len(shapes)]


def test_the_forget_gate_begins_with_ones() -> None:
    x = L.Input((STEPS, 3))
    for forget in (True, False):
        layer = L.LSTM(2, bias_initializer="zeros", unit_forget_bias=forget)
        bias = gj.Model(x, layer(x)).get_weights()[-1]
        assert bias.tolist() == [0, 0, int(forget), int(forget), 0, 0, 0, 0]
    layer = L.LSTM(2, bias_initializer=gj.initializers.Constant(0.5))
    bias = gj.Model(x, layer(x)).get_weights()[-1]
    assert bias.tolist() == [0.5, 0.5, 1, 1, 0.5, 0.5, 0.5, 0.5]


def test_the_defaults_are_keras_3s() -> None:
    config = L.GRU(3).get_config()
    assert config["recurrent_activation"] == "sigmoid"
    assert config["reset_after"] is True
    assert config["implementation"] == 2
    assert L.LSTM(3).get_config()["recurrent_activation"] == "sigmoid"
    assert L.LSTM(3).get_config()["unit_forget_bias"] is True


@EACH_KIND
def test_positional_arguments_are_in_the_documents_order(cls: Any) -> None:
    gates = [] if cls is L.SimpleRNN else ["hard_sigmoid"]
    layer = cls(3, "relu", *gates, False, "he_normal", "identity", "ones")
    assert layer.activation.name == "relu"
    assert layer.use_bias is False
    assert layer.bias_initializer == gj.initializers.Ones()
    if gates:
        assert layer.recurrent_activation.name == "hard_sigmoid"


@EACH_KIND
def test_penalties_and_constraints_reach_the_weights(cls: Any) -> None:
    x = L.Input((STEPS, 3))
    layer = cls(
        2,
        kernel_regularizer="l1",
        recurrent_regularizer="l2",
        bias_regularizer="l1_l2",
        activity_regularizer="l2",
        kernel_constraint="max_norm",
        recurrent_constraint="non_neg",
        bias_constraint="unit_norm",
    )
    graph = gj.Model(x, layer(x)).graph
    assert [type(p.regularizer).__name__ for p in graph.params] == ["L1", "L2", "L1L2"]
    names = [type(p.constraint).__name__ for p in graph.params]
    assert names == ["MaxNorm", "NonNeg", "UnitNorm"]
    assert len(graph.losses) == 1


@EACH_KIND
def test_float64_bfloat16_and_ints(cls: Any) -> None:
    for dtype, given in (("float64", "float64"), ("bfloat16", "float32")):
        x = L.Input((STEPS, 3), dtype=given)
        graph = gj.Model(x, cls(2, dtype=dtype, return_state=True)(x)).graph
        results = evaluate(graph)
        assert {str(r.dtype) for r in results.values()} == {dtype}
    ids = L.Input((STEPS, 3), dtype="int32")
    assert gj.Model(ids, cls(2)(ids))(np.ones((2, STEPS, 3), np.int32)).shape == (2, 2)


@EACH_KIND
def test_the_length_may_be_unknown(cls: Any) -> None:
    x = L.Input((None, FEATURES))
    model = gj.Model(x, cls(UNITS, return_sequences=True, go_backwards=True)(x))
    assert model.output_shape == (None, None, UNITS)
    for steps in (1, 4):
        assert model(data(2, steps, FEATURES)).shape == (2, steps, UNITS)


@EACH_KIND
def test_gradients_equal_those_of_the_loop_over_a_cell(cls: Any) -> None:
    """In float64, through masks and both directions of time."""
    cell = {L.SimpleRNN: L.SimpleRNNCell, L.GRU: L.GRUCell, L.LSTM: L.LSTMCell}[cls]
    x = L.Input((STEPS, 3), dtype="float64", name="x")
    mask = L.Input((STEPS,), dtype="bool", name="m")
    settings: dict[str, Any] = {"return_sequences": True, "go_backwards": True}
    whole = cls(2, dtype="float64", name="r", **settings)(x, mask=mask)
    stepped = L.RNN(cell(2, dtype="float64"), dtype="float64", name="r", **settings)
    graphs = [gj.Model([x, mask], y).graph for y in (whole, stepped(x, mask=mask))]
    variables = variables_for(graphs[0])
    arrays = [data(3, STEPS, 3).astype(np.float64), step_mask(3, STEPS)]

    def gradient(graph: Graph) -> Any:
        function = gj.lower(graph)

        def loss(params: Any) -> Any:
            return (function(params, {}, arrays).outputs ** 3).sum()

        with jax.enable_x64(True):
            return jax.grad(loss)(variables["params"])

    first, second = map(gradient, graphs)
    for found, wanted in zip(
        jax.tree.leaves(first), jax.tree.leaves(second), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


# --- the documents' examples (004, Recurrent) -----------------------------------------


def test_the_first_example() -> None:
    model = gj.Sequential()
    model.add(L.LSTM(32, input_shape=(10, 64)))
    assert model.output_shape == (None, 32)
    same = gj.Sequential()
    same.add(L.LSTM(32, input_dim=64, input_length=10))
    assert same.input_shape == model.input_shape == (None, 10, 64)
    free = gj.Sequential([L.GRU(32, input_dim=64)])
    assert free.input_shape == (None, None, 64)


def test_the_second_layer_of_the_example_wants_sequences() -> None:
    model = gj.Sequential()
    model.add(L.LSTM(32, input_shape=(10, 64)))
    text = r"LSTM: expected an input of rank 3 \(n, t, …\), received rank 2: .*\n"
    hint = "hint: a recurrent layer before this one needs return_sequences=True"
    with pytest.raises(ShapeError, match=text + r".*" + hint):
        model.add(L.LSTM(16))
    right = gj.Sequential([L.LSTM(32, return_sequences=True, input_shape=(10, 64))])
    right.add(L.LSTM(16))
    assert right.output_shape == (None, 16)


def test_the_example_of_masking() -> None:
    """Steps that are masked change nothing (Masking, K1:330)."""
    model = gj.Sequential()
    model.add(L.Masking(mask_value=0.0, input_shape=(6, 3)))
    model.add(L.LSTM(4))
    assert model.output_shape == (None, 4)
    x = data(2, 6, 3)
    x[:, 3] = x[:, 5] = 0
    short = np.delete(x, [3, 5], axis=1)
    free = L.Input((None, 3))
    same = gj.Model(free, L.LSTM(4)(free))
    same.set_weights(model.get_weights())
    np.testing.assert_allclose(model(x), same(short), rtol=1e-6, atol=1e-6)


def test_an_encoder_and_a_decoder() -> None:
    """States go from one layer to the next, through configuration and file too."""
    source, target = L.Input((None, 3), name="s"), L.Input((None, 2), name="t")
    _, *states = L.LSTM(4, return_state=True)(source)
    y = L.LSTM(4, return_sequences=True)(target, initial_state=states)
    model = gj.Model([source, target], L.TimeDistributed(L.Dense(2))(y))
    arrays = [data(2, 6, 3), data(2, 3, 2)]
    assert model(arrays).shape == (2, 3, 2)
    again = gj.Model.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(arrays), model(arrays))
    loaded = gj.from_bytes(gj.to_bytes(model))
    np.testing.assert_array_equal(loaded(arrays), model(arrays))
    assert loaded.graph == model.graph


def test_training_learns_to_remember() -> None:
    """The class of a sequence is the sign of its first element."""
    x = L.Input((6, 1))
    model = gj.Model(x, L.Dense(1, "sigmoid")(L.GRU(8, recurrent_dropout=0.1)(x)))
    model.compile(gj.optimizers.Adam(0.02), "binary_crossentropy")
    array = np.random.default_rng(0).normal(size=(256, 6, 1)).astype(np.float32)
    labels = (array[:, :1, 0] > 0).astype(np.float32)
    history = model.fit(array, labels, batch_size=32, epochs=20, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < 0.3 * losses[0]


# --- refusals -------------------------------------------------------------------------


@EACH_KIND
def test_an_unknown_length_is_not_unrolled(cls: Any) -> None:
    text = (
        rf"^{cls.__name__}: unroll=True needs a known number of steps, the input is "
        r"float32\[batch, \?, 3\]\n.*hint: give it to Input \(or input_length to the"
    )
    with pytest.raises(ShapeError, match=text):
        cls(2, unroll=True)(L.Input((None, 3)))


@EACH_KIND
def test_an_unknown_number_of_features(cls: Any) -> None:
    with pytest.raises(ShapeError, match=r"the last axis \(axis 2\) must be known"):
        cls(2)(L.Input((5, None)))


def test_initial_states_that_do_not_fit() -> None:
    x, h = L.Input((5, 3)), L.Input((4,))
    with pytest.raises(
        CaptureError, match=r"^LSTM: initial_state: expected 2 tensors, received 1$"
    ):
        L.LSTM(4)(x, initial_state=[h])
    with pytest.raises(
        CaptureError, match=r"^GRU: initial_state: expected 1 tensor, received ndarray$"
    ):
        L.GRU(4)(x, initial_state=np.zeros((1, 4)))
    text = r"initial_state: expected float32\[batch, 3\], received float32\[batch, 4\]"
    with pytest.raises(ShapeError, match=text):
        L.GRU(3)(x, initial_state=h)
    with pytest.raises(CaptureError, match=r"^GRU: the initial state is given twice$"):
        L.GRU(4)([x, h], initial_state=h)


def test_a_mask_that_is_not_one_of_steps() -> None:
    mask = L.Input((5, 3), dtype="bool")
    text = r"^GRU: expected a mask \(n, t\), received bool\[batch, 5, 3\]$"
    with pytest.raises(ShapeError, match=text):
        L.GRU(4)(L.Input((5, 3)), mask=mask)


@pytest.mark.parametrize(
    ("name", "modern"),
    [
        ("output_dim", "units"),
        ("init", "kernel_initializer"),
        ("inner_init", "recurrent_initializer"),
        ("inner_activation", "recurrent_activation"),
        ("forget_bias_init", "unit_forget_bias"),
        ("W_regularizer", "kernel_regularizer"),
        ("U_regularizer", "recurrent_regularizer"),
        ("b_regularizer", "bias_regularizer"),
        ("dropout_W", "dropout"),
        ("dropout_U", "recurrent_dropout"),
        ("consume_less", "implementation"),
    ],
)
def test_keras_1_names_get_a_hint(name: str, modern: str) -> None:
    with pytest.raises(CaptureError, match=rf"{name!r}\n.*it is called {modern!r}"):
        L.LSTM(3, **{name: 0})


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"units": 0}, "units: expected an int >= 1, received 0"),
        ({"units": 2, "dropout": 1.5}, "dropout: expected a number from 0 to 1"),
        ({"units": 2, "implementation": 3}, "implementation: expected 0, 1 or 2"),
        ({"units": 2, "implementation": True}, "expected 0, 1 or 2, received True"),
        ({"units": 2, "stateful": 2}, "stateful: expected True or False, received 2"),
    ],
)
def test_arguments_that_make_no_sense(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(CaptureError, match=f"^LSTM: .*{text}"):
        L.LSTM(**settings)


def test_masks_go_on_with_sequences_only() -> None:
    x = L.Masking()(L.Input((5, 3)))
    assert L.LSTM(2, return_sequences=True)(x).mask_type is not None
    assert L.LSTM(2)(x).mask_type is None
    y, h, c = L.LSTM(2, return_sequences=True, return_state=True)(x)
    assert y.mask_type is not None
    assert h.mask_type is None
    assert c.mask_type is None
