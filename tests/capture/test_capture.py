"""From calls of layers to a graph: sharing, state, names, order, and refusals."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphjit.layers as L  # noqa: N812
from graphjit.capture.layer import Layer
from graphjit.capture.tensor import Tensor
from graphjit.capture.tracer import Captured, capture, snake_case
from graphjit.errors import CaptureError, GraphJitError, ShapeError, VerifyError
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


@pytest.mark.xfail(
    raises=VerifyError,
    reason="the input and the layer's call have one path in the layer table",
)
def test_a_model_may_begin_behind_a_layer_that_it_calls_again() -> None:
    dense = L.Dense(3, name="d")
    h = dense(vector())
    captured = one(h, dense(h))
    assert [call.cls for call in captured.graph.layers] == [
        "InputLayer",
        "Dense",
        "Functional",
    ]


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
    assert one(h, second(h)).names[-1] == "dense_1"
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


# --- the order of layers and weights is Keras's ---------------------------------------


@dataclass
class Twins:
    """The same model made twice: of our layers, and of Keras's."""

    keras: Any
    rng: random.Random
    pool: list[tuple[Tensor, Any]] = field(default_factory=list)
    layers: list[tuple[Layer, Any]] = field(default_factory=list)

    def input(self, name: str) -> tuple[Tensor, Any]:
        pair = (L.Input((3,), name=name), self.keras.Input((3,), name=name))
        self.pool.append(pair)
        return pair

    def step(self) -> None:
        kind = self.rng.choice(["dense", "dense", "norm", "again", "again", "add"])
        name = f"{kind}_{len(self.layers)}"
        keras = self.keras.layers
        if kind == "add":
            chosen = [self.rng.choice(self.pool) for _ in range(self.rng.randint(2, 3))]
            ours, theirs = zip(*chosen, strict=True)
            pair = (L.Add(name=name), keras.Add(name=name))
            self.layers.append(pair)
            self.pool.append((pair[0](list(ours)), pair[1](list(theirs))))
            return
        known = [p for p in self.layers if not isinstance(p[0], L.Add)]
        if kind == "again" and known:
            pair = self.rng.choice(known)
        elif kind == "norm":
            pair = (
                L.BatchNormalization(name=name),
                keras.BatchNormalization(name=name),
            )
        else:
            pair = (L.Dense(3, name=name), keras.Dense(3, name=name))
        self.layers.append(pair)
        ours, theirs = self.rng.choice(self.pool)
        self.pool.append((pair[0](ours), pair[1](theirs)))


def twins(keras: Any, seed: int) -> tuple[Captured, Any]:
    made = Twins(keras, random.Random(seed))
    inputs = [made.input(f"in{at}") for at in range(made.rng.randint(1, 3))]
    for _ in range(made.rng.randint(2, 9)):
        made.step()
    later = made.pool[len(inputs) :]
    outputs = [later[-1], *made.rng.sample(later, made.rng.randint(0, 1))]
    made.rng.shuffle(inputs)
    ours = capture([a for a, _ in inputs], [a for a, _ in outputs], "m")
    return ours, keras.Model([b for _, b in inputs], [b for _, b in outputs])


@examples(40)
@given(st.integers(0, 2**32 - 1))
def test_layers_and_weights_are_in_the_order_of_keras(seed: int) -> None:
    keras = pytest.importorskip("keras")
    ours, theirs = twins(keras, seed)
    assert list(ours.names) == [layer.name for layer in theirs.layers]
    weights = [
        f"{name}/{slot}"
        for name, layer in zip(ours.names, ours.layers, strict=True)
        for slot in layer.cells
    ]
    assert weights == [weight.path for weight in theirs.weights]
    owned = [name for call in ours.graph.layers for name in call.params]
    assert list(dict.fromkeys(owned)) == weights


# --- refusals -------------------------------------------------------------------------


def disconnected() -> None:
    one(vector(), L.Dense(2, name="d")(vector(3, "other")))


def nameless() -> None:
    one(vector(), L.Add()([L.Input((3,)), vector()]))


def unequal_calls() -> None:
    shared = L.Dense(4, name="shared")
    shared(vector(3))
    shared(vector(5, "wide"))


X = "<Tensor float32[batch, 3] of 'x'>"

REFUSED: dict[str, tuple[Callable[[], Any], type[GraphJitError], str]] = {
    "disconnected": (
        disconnected,
        CaptureError,
        "model 'model': the graph is disconnected: output <Tensor float32[batch, 2] of "
        "'d'> depends on <Tensor float32[batch, 3] of 'other'>, which is not among the "
        f"inputs\n  inputs: {X}\n  hint: add that Input to the model's inputs",
    ),
    "disconnected, without a name": (
        nameless,
        CaptureError,
        "model 'model': the graph is disconnected: output <Tensor float32[batch, 3] of "
        "'Add'> depends on <Tensor float32[batch, 3] of 'InputLayer'>, which is not "
        f"among the inputs\n  inputs: {X}\n  hint: add that Input to the model's "
        "inputs",
    ),
    "no input": (
        lambda: capture([], [vector()], "model"),
        CaptureError,
        "a model needs inputs, received none",
    ),
    "no output": (
        lambda: capture([vector()], [], "model"),
        CaptureError,
        "a model needs outputs, received none",
    ),
    "an input twice": (
        lambda: (lambda x: capture([x, x], [x], "model"))(vector()),
        CaptureError,
        "model 'model': an input is given twice",
    ),
    "an array as output": (
        lambda: capture([vector()], [np.ones(3)], "model"),  # type: ignore[list-item]
        CaptureError,
        "a model's outputs are tensors, received ndarray\n"
        "  hint: start from graphjit.Input(shape) and call layers on it",
    ),
    "duplicate names": (
        lambda: (lambda x: one(x, L.Dense(3, name="d")(L.ReLU(name="d")(x))))(vector()),
        CaptureError,
        "two layers are called 'd' (ReLU and Dense)\n"
        "  hint: names are unique in a model; rename one",
    ),
    "unknown keyword": (
        lambda: L.Dense(3, activaton="relu"),
        CaptureError,
        "Dense: unknown argument 'activaton'\n  hint: did you mean 'activation'?",
    ),
    "a keyword of Keras 1": (
        lambda: L.Dense(output_dim=3),
        CaptureError,
        "Dense: unknown argument 'output_dim'\n  hint: it is called 'units' here; "
        "graphjit.keras1 has the old spelling",
    ),
    "a strange keyword": (
        lambda: L.Dense(3, zzz=1),
        CaptureError,
        "Dense: unknown argument 'zzz'",
    ),
    "too many arguments": (
        lambda: L.ReLU(1, 2, 3, 4),
        CaptureError,
        "ReLU: expected at most 3 positional arguments, received 4",
    ),
    "an argument twice": (
        lambda: L.Dense(3, units=3),
        CaptureError,
        "Dense: argument 'units' is given twice",
    ),
    "an argument missing": (
        lambda: L.Dense(),
        CaptureError,
        "Dense: argument 'units' is missing",
    ),
    "a bad value": (
        lambda: L.Dense(0),
        CaptureError,
        "Dense: units: expected an int >= 1, received 0",
    ),
    "unknown activation": (
        lambda: L.Dense(3, activation="rellu"),
        CaptureError,
        "Dense: activation: activation: expected a known name, received 'rellu'\n"
        "  hint: did you mean 'relu'?",
    ),
    "no activation": (
        lambda: L.Dense(3, activation=7),
        CaptureError,
        "Dense: activation: activation: expected a name or a function, received 7",
    ),
    "an activation that changes the shape": (
        lambda: L.Activation(lambda x: x[:, :1])(vector(4)),
        CaptureError,
        "activation '<lambda>': expected a result of shape (5, 4) like its input's, "
        "received (5, 1)",
    ),
    "wrong rank": (
        lambda: L.Conv2D(3, 3, name="c")(vector()),
        ShapeError,
        "Conv2D 'c': expected an input of rank 4, received rank 2: float32[batch, 3]",
    ),
    "low rank": (
        lambda: L.Dense(3)(L.Input(())),
        ShapeError,
        "Dense: expected an input of rank >= 2, received rank 1: float32[batch]",
    ),
    "axis": (
        lambda: L.BatchNormalization(axis=4)(vector()),
        ShapeError,
        "BatchNormalization: axis 4 does not fit an input of rank 2",
    ),
    "one tensor in a merge": (
        lambda: L.Add(name="s")([vector()]),
        CaptureError,
        "Add 's': expected a list of at least 2 tensors, received 1",
    ),
    "ranks in a merge": (
        lambda: L.Add()([L.Input((2, 3)), L.Input((None,))]),
        ShapeError,
        "inputs of ranks 2 and 3 need known dims, received float32[batch, ?]",
    ),
    "a list of numbers": (
        lambda: L.Dense(3)([[1, 2, 3]]),
        CaptureError,
        "Dense: expected a tensor or a list of tensors, received list\n"
        "  hint: start from graphjit.Input(shape)",
    ),
    "no tensor": (
        lambda: L.Add(name="s")([]),
        CaptureError,
        "Add 's': expected tensors, received none",
    ),
    "call argument": (
        lambda: L.Dense(3)(vector(), training=True),
        CaptureError,
        "Dense: unknown call argument 'training'",
    ),
    "truth": (
        lambda: bool(vector()),
        CaptureError,
        f"{X} has no truth value: its elements are not known at capture",
    ),
    "array": (
        lambda: np.asarray(vector()),
        CaptureError,
        f"{X} cannot become an array: its elements are not known at capture\n"
        "  hint: build a Model and call it on data",
    ),
    "frozen": (
        lambda: setattr(L.Dense(3), "units", 4),
        CaptureError,
        "Dense: 'units' cannot change, a configuration is frozen\n"
        "  hint: make a new layer",
    ),
    "calls of other sizes": (
        unequal_calls,
        ShapeError,
        "Dense 'shared': 'kernel' has shape (3, 4) from the layer's first call, this "
        "call needs (5, 4)\n  hint: a shared layer wants the same number of channels "
        "at every call",
    ),
    "input shape": (
        lambda: L.Input(),
        CaptureError,
        "InputLayer: shape: expected either shape or batch_shape, got None",
    ),
    "input dims": (
        lambda: L.Input((0,)),
        CaptureError,
        "InputLayer: shape: expected a tuple of ints >= 1, names or None, received "
        "(0,)",
    ),
    "input dtype": (
        lambda: L.Input((3,), dtype="flaot32"),
        CaptureError,
        "InputLayer: dtype: expected a dtype such as 'float32', received 'flaot32'",
    ),
    "input called": (
        lambda: L.InputLayer((3,))(vector()),
        CaptureError,
        "an InputLayer is not called on tensors\n  hint: use Input()",
    ),
}


@pytest.mark.parametrize(("make", "error", "text"), REFUSED.values(), ids=REFUSED)
def test_refused(
    make: Callable[[], Any], error: type[GraphJitError], text: str
) -> None:
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        make()


SHAPES: dict[str, tuple[Callable[[], Any], str]] = {
    "merge": (
        lambda: L.Add(name="s")([vector(), vector(4, "wide")]),
        "add 's/add': shapes do not broadcast: dims 3 and 4 differ\n"
        "  x0 %x    : float32[batch, 3]\n"
        "  x1 %wide : float32[batch, 4]\n",
    ),
    "concatenation": (
        lambda: L.Concatenate(axis=1, name="c")(
            [L.Input((2, 3), name="a"), L.Input((2, 4), name="b")]
        ),
        "concatenate 'c/concatenate': off axis 1 all dims must agree: at axis 2 dims 3 "
        "and 4 differ\n"
        "  x0 %a : float32[batch, 2, 3]\n"
        "  x1 %b : float32[batch, 2, 4]\n",
    ),
    "window": (
        lambda: L.Conv2D(3, 9, name="c")(L.Input((5, 5, 1), name="image")),
        "conv 'c/conv': a window of 9 does not fit a length of 5 (axis 1)\n"
        "  x      %image    : float32[batch, 5, 5, 1]   read as NHWC\n"
        "  kernel %c/kernel : float32[9, 9, 1, 3]\n"
        "  bias   %c/bias   : float32[3]\n",
    ),
    "size": (
        lambda: L.Reshape((2, 2), name="r")(vector()),
        "reshape 'r/reshape': cannot make (2, 2) of 3 elements\n"
        "  x %x : float32[batch, 3]\n",
    ),
    "dtypes": (
        lambda: L.Add(name="s")([vector(), L.Input((3,), dtype="int32", name="ids")]),
        "add 's/add': expected one dtype, received float32, int32\n"
        "  x0 %x   : float32[batch, 3]\n"
        "  x1 %ids : int32[batch, 3]\n",
    ),
}


@pytest.mark.parametrize(("make", "text"), SHAPES.values(), ids=SHAPES)
def test_shapes_that_do_not_fit_are_shown(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(ShapeError, match=f"^{re.escape(text)}  at .*:[0-9]+$"):
        make()


def test_a_failed_call_leaves_the_layer_as_it_was() -> None:
    dense = L.Dense(4)
    with pytest.raises(ShapeError, match=r"^Dense: the last axis"):
        dense(L.Input((None,)))
    assert dense.calls == ()
    assert dense.cells == {}
    assert dense(vector(5)).shape == (None, 4)


# --- a layer's own calls --------------------------------------------------------------


def test_input_and_output_of_a_layer() -> None:
    x, dense = vector(), L.Dense(4, name="d")
    with pytest.raises(CaptureError, match=r"^Dense 'd': it was called never") as e:
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
