"""From calls of layers to a graph: sharing, state, names, order, and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphjit.layers as L  # noqa: N812
from graphjit.capture.snake_case import snake_case
from graphjit.capture.tensor import Tensor
from graphjit.capture.tracer import Captured, capture
from graphjit.errors import CaptureError
from graphjit.ir import Ref, Value
from graphjit.lower import lower
from tests.graphs import (
    Maker,
    evaluate,
    random_tensors,
    same_results,
    variables_for,
)
from tests.profiles import examples


def one(inputs: Tensor | list[Tensor], outputs: Tensor | list[Tensor]) -> Captured:
    given = inputs if isinstance(inputs, list) else [inputs]
    made = outputs if isinstance(outputs, list) else [outputs]
    return capture(given, made, "model")


def vector(size: int = 3, name: str | None = "x") -> Tensor:
    return L.Input((size,), name=name)


# --- inputs and outputs ---------------------------------------------------------------


def test_several_inputs_and_outputs_keep_their_order() -> None:
    a, b = vector(3, "a"), vector(2, "b")
    both = L.Concatenate(name="both")([b, a])
    left, right = L.Dense(4, name="left")(both), L.Dense(5, name="right")(both)
    graph = one([b, a], [right, left]).graph
    assert [entry.name for entry in graph.inputs] == ["b", "a"]
    assert [output.name for output in graph.outputs] == ["right", "left"]
    shapes = [graph.types()[output.value].shape for output in graph.outputs]
    assert shapes == [("batch", 5), ("batch", 4)]


def test_an_input_may_be_an_output() -> None:
    x = vector()
    graph = one(x, [x, L.ReLU(name="r")(x)]).graph
    assert [(o.name, str(o.value)) for o in graph.outputs] == [
        ("x", "%x"),
        ("r", "%r/relu"),
    ]


def test_outputs_have_names_of_their_own() -> None:
    x = vector()
    first, second = L.Dense(2, name="a_2")(x), L.Dense(2, name="a")(x)
    for outputs, names in (
        ([first, second, second], ["a_2", "a", "a_3"]),
        ([second, second, first], ["a", "a_1", "a_2"]),
    ):
        graph = one(x, outputs).graph
        assert [output.name for output in graph.outputs] == names


def test_an_input_that_nothing_reads_stays() -> None:
    spare, x = vector(2, "spare"), vector()
    captured = one([spare, x], L.ReLU(name="r")(x))
    assert [entry.name for entry in captured.graph.inputs] == ["spare", "x"]
    assert set(captured.names) == {"x", "spare", "r"}


def test_calls_that_lead_to_no_output_are_left_out() -> None:
    x = vector()
    h = L.Dense(4, name="used")(x)
    L.Dense(5, name="unused")(h)
    graph = one(x, h).graph
    assert [param.name for param in graph.params] == ["used/kernel", "used/bias"]
    assert [call.path for call in graph.layers] == ["x", "used", "/"]


def test_features_of_inner_tensors() -> None:
    """A second model reads the middle of the first, with the same weights."""
    x = vector()
    h = L.Dense(4, activation="relu", name="body")(x)
    y = L.Dense(2, name="head")(h)
    whole, features = one(x, [h, y]).graph, one(x, h).graph
    assert set(features.params) < set(whole.params)
    found = evaluate(features, variables_for(whole))
    wanted = evaluate(whole)
    np.testing.assert_array_equal(found["output body"], wanted["output body"])


def test_a_model_may_begin_in_the_middle() -> None:
    x = vector()
    h = L.Dense(4, name="body")(x)
    y = L.Dense(2, name="head")(h)
    captured = one(h, y)
    graph = captured.graph
    assert [(e.name, str(e.type)) for e in graph.inputs] == [
        ("body", "float32[batch, 4]")
    ]
    assert list(captured.cells) == ["head/kernel", "head/bias"]
    assert [(call.path, call.cls) for call in graph.layers] == [
        ("body", "InputLayer"),
        ("head", "Dense"),
        ("/", "Functional"),
    ]


def test_a_model_may_begin_behind_a_layer_that_it_calls_again() -> None:
    dense = L.Dense(3, name="d")
    h = dense(vector())
    captured = one(h, dense(h))
    assert [(call.path, call.cls) for call in captured.graph.layers] == [
        ("d_input", "InputLayer"),
        ("d", "Dense"),
        ("/", "Functional"),
    ]
    assert [type(layer) for layer in captured.layers] == [L.InputLayer, L.Dense]


# --- sharing --------------------------------------------------------------------------


def test_a_layer_called_twice_has_one_set_of_params() -> None:
    a, b = vector(3, "a"), vector(3, "b")
    shared = L.Dense(4, name="shared")
    captured = one([a, b], [shared(a), shared(b)])
    graph = captured.graph
    assert [param.name for param in graph.params] == ["shared/kernel", "shared/bias"]
    assert [node.operands[1:] for node in graph.nodes] == [
        (Value("shared/kernel"), Value("shared/bias"))
    ] * 2
    assert [node.name for node in graph.nodes] == ["shared/dense", "shared@1/dense"]
    rows = [call for call in graph.layers if call.cls == "Dense"]
    assert [(row.path, row.layer, row.call) for row in rows] == [
        ("shared", "shared", 0),
        ("shared@1", "shared", 1),
    ]
    assert rows[0].params == rows[1].params == ("shared/kernel", "shared/bias")
    assert captured.names == ("a", "b", "shared")


def test_models_of_the_same_layers_share_cells() -> None:
    x = vector()
    dense = L.Dense(4, name="d")
    first, second = one(x, dense(x)), one(x, L.ReLU()(dense(x)))
    assert first.cells["d/kernel"] is second.cells["d/kernel"]


def test_a_shared_norm_threads_its_state() -> None:
    """The second call reads what the first has written; one update per state."""
    a, b = vector(3, "a"), vector(3, "b")
    norm = L.BatchNormalization(momentum=0.6, name="n")
    graph = one([a, b], [norm(a), norm(b)]).graph
    first, second = graph.nodes
    assert second.operands[3:] == (Value(first.name, 1), Value(first.name, 2))
    assert [(u.param, u.value) for u in graph.updates] == [
        ("n/moving_mean", Value(second.name, 1)),
        ("n/moving_variance", Value(second.name, 2)),
    ]
    variables = variables_for(graph)
    rng = np.random.default_rng(0)
    data = [rng.normal(1, 2, (5, 3)).astype(np.float32) for _ in range(2)]
    state = lower(graph)(variables["params"], variables["state"], data).state["n"]
    mean = variables["state"]["n"]["moving_mean"]
    variance = variables["state"]["n"]["moving_variance"]
    for batch in data:
        mean = 0.6 * mean + 0.4 * batch.mean(0)
        variance = 0.6 * variance + 0.4 * batch.var(0)
    np.testing.assert_allclose(state["moving_mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(state["moving_variance"], variance, rtol=1e-5)


def test_state_is_threaded_in_the_order_of_data() -> None:
    x = vector()
    norm = L.BatchNormalization(name="n")
    graph = one(x, norm(L.ReLU()(norm(x)))).graph
    norms = [node for node in graph.nodes if node.op.kind == "batch_norm"]
    assert [node.name for node in norms] == ["n/batch_norm", "n@1/batch_norm"]
    assert norms[1].operands[3] == Value("n/batch_norm", 1)


def test_random_layers_have_seeds_of_their_own() -> None:
    x = vector()
    drop = L.Dropout(0.5, seed=3)
    graph = one(x, [drop(x), drop(x), L.Dropout(0.5, seed=3)(x)]).graph
    seeds = [node.op.seed for node in graph.nodes]  # type: ignore[attr-defined]
    assert len(set(seeds)) == 3


# --- names and the layer table --------------------------------------------------------


def test_unnamed_layers_are_named_by_class() -> None:
    x = L.Input((8, 8, 1))
    h = L.Conv2D(2, 3)(x)
    h = L.BatchNormalization()(L.Conv2D(2, 3)(h))
    assert one(x, L.ReLU()(h)).names == (
        "input",
        "conv2d",
        "conv2d_1",
        "batch_normalization",
        "re_lu",
    )


def test_given_names_are_kept_free() -> None:
    x = vector()
    h = L.Dense(2)(L.Dense(2, name="dense_1")(L.Dense(2)(x)))
    assert one(x, L.Dense(2)(h)).names == (
        "x",
        "dense",
        "dense_1",
        "dense_2",
        "dense_3",
    )


def test_names_belong_to_the_model() -> None:
    """An unnamed layer has a name in a model only, and another one in another."""
    x = vector()
    first, second = L.Dense(3), L.Dense(3)
    h = first(x)
    assert one(x, second(h)).names == ("x", "dense", "dense_1")
    assert one(h, second(h)).names == ("input", "dense")
    assert one(x, second(x)).names == ("x", "dense")
    assert first.name is None


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("Dense", "dense"),
        ("Conv2D", "conv2d"),
        ("BatchNormalization", "batch_normalization"),
        ("ReLU", "re_lu"),
        ("GlobalAveragePooling2D", "global_average_pooling2d"),
        ("LSTM", "lstm"),
        ("PReLU", "p_re_lu"),
        ("ConvLSTM2D", "conv_lstm2d"),
    ],
)
def test_names_are_formed_as_in_keras(name: str, snake: str) -> None:
    keras = pytest.importorskip("keras")
    assert snake_case(name) == snake
    assert keras.src.utils.naming.to_snake_case(name) == snake


def test_the_layer_table() -> None:
    x = vector()
    h = L.Dense(4, name="d")(x)
    graph = one(x, L.Concatenate(name="c")([h, x])).graph
    table = {call.path: call for call in graph.layers}
    assert list(table) == ["x", "d", "c", "/"]
    assert table["d"].inputs == (Ref(0),)
    assert table["c"].inputs == (Ref(1), Ref(0))
    assert str(table["d"].types[0]) == "float32[batch, 4]"
    assert table["d"].config.thaw()["units"] == 4
    assert table["d"].config.thaw()["name"] == "d"
    assert table["/"].results == (Ref(2),)


def test_nodes_point_into_the_table_and_to_the_users_line() -> None:
    x = vector()
    y = L.Dense(4, activation="tanh", name="d")(x)  # this line
    graph = one(x, y).graph
    for node in graph.nodes:
        assert graph.layers[node.call].path == "d"
        assert node.loc is not None
        assert node.loc.file.endswith("test_capture.py")
    lines = {node.loc.line for node in graph.nodes if node.loc is not None}
    source = Path(__file__).read_text().splitlines()
    assert [source[line - 1].split("#")[-1] for line in lines] == [" this line"]


# --- determinism ----------------------------------------------------------------------


SEEDS = st.lists(st.integers(0, 2**32 - 1), min_size=4, max_size=12, unique=True)


def tensors(seeds: list[int]) -> tuple[Maker, list[Tensor], list[Tensor]]:
    return random_tensors(lambda _: seeds)  # type: ignore[arg-type, return-value]


@examples(40)
@given(SEEDS)
def test_two_captures_of_the_same_code_are_equal(seeds: list[int]) -> None:
    first, second = (capture(*tensors(seeds)[1:], "m") for _ in range(2))
    assert first.graph == second.graph
    assert str(first.graph) == str(second.graph)
    assert first.names == second.names
    assert list(first.cells) == list(second.cells)


@examples(40)
@given(SEEDS)
def test_capture_never_reads_the_list_of_calls(seeds: list[int]) -> None:
    """Calls made after a model, of its own layers, change no later capture."""
    maker, inputs, outputs = tensors(seeds)
    before = capture(inputs, outputs, "m")
    for layer, _ in maker.calls:
        given = list(layer.calls[0].inputs)
        layer(given if len(given) > 1 else given[0])
    after = capture(inputs, outputs, "m")
    assert after.graph == before.graph
    assert after.layers == before.layers


# --- a layer's own calls --------------------------------------------------------------


def test_input_and_output_of_a_layer() -> None:
    x, dense = vector(), L.Dense(4, name="d")
    with pytest.raises(CaptureError, match=r"^Dense 'd': it was never called") as e:
        _ = dense.output
    assert e.value.hint == "call it first"
    y = dense(x)
    assert dense.input is x
    assert dense.output is y
    z = dense(vector(3, "z"))
    with pytest.raises(CaptureError, match=r"^Dense 'd': it was called 2 times, so"):
        _ = dense.input
    assert dense.get_output_at(1) is z
    assert dense.get_input_at(0) is x
    text = r"^Dense 'd': expected a call from 0 to 1, received 2$"
    with pytest.raises(CaptureError, match=text):
        dense.get_output_at(2)


def test_tensors_show_shapes_as_keras_does() -> None:
    x = L.Input((None, 3), name="x")
    assert x.shape == (None, None, 3)
    assert repr(x) == "<Tensor float32[batch, ?, 3] of 'x'>"
    assert L.Input((3,), batch_size=7).shape == (7, 3)
    assert L.Input(batch_shape=(None, "time", 3)).type.shape == ("batch", "time", 3)


def test_inner_tensors_and_results_agree() -> None:
    """What a model of the middle computes goes into the rest: the whole."""
    x = vector()
    h = L.BatchNormalization(name="n")(L.Dense(4, name="a")(x))
    y = L.Dense(2, name="b")(h)
    whole, front, back = one(x, y).graph, one(x, h).graph, one(h, y).graph
    variables = variables_for(whole)
    middle = evaluate(front, variables)["output n"]
    found = evaluate(back, variables, [middle])
    same_results(found, evaluate(whole, variables), 1e-6, only="output")
