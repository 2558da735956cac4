"""MultiHeadAttention is Keras 3's, weights, masks and all; and its refusals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.capture.tracer import Captured, capture
from graphjit.errors import CaptureError, ShapeError
from graphjit.passes import ToInference, run
from tests.graphs import evaluate, random_inputs, variables_for

BATCH = 3
QUERY, VALUE, KEY = (4, 3), (5, 2), (5, 6)
HEADS: dict[str, Any] = {"num_heads": 2, "key_dim": 3}

#: Settings, shapes of the inputs, and what the call is given.
CASES: list[tuple[dict[str, Any], Sequence[Any], dict[str, Any]]] = [
    (HEADS, [QUERY, VALUE], {}),
    (HEADS, [QUERY, VALUE, KEY], {}),
    # Without dropout Keras 3.15 fails where value_dim is not key_dim.
    (
        {**HEADS, "value_dim": 4, "use_bias": False, "dropout": 0.1},
        [QUERY, VALUE],
        {},
    ),
    ({**HEADS, "output_shape": 7}, [QUERY, VALUE], {}),
    ({**HEADS, "output_shape": (2, 3)}, [QUERY, VALUE], {}),
    ({**HEADS, "dropout": 0.4}, [QUERY, VALUE], {}),
    ({**HEADS, "use_gate": True}, [QUERY, VALUE], {}),
    ({**HEADS, "use_gate": True, "value_dim": 2, "dropout": 0.1}, [QUERY, VALUE], {}),
    (HEADS, [QUERY, QUERY], {"use_causal_mask": True}),
    (HEADS, [QUERY, VALUE], {"use_causal_mask": True}),
    ({**HEADS, "sliding_window": 2}, [QUERY, VALUE], {}),
    ({**HEADS, "sliding_window": 2}, [QUERY, QUERY], {"use_causal_mask": True}),
    ({**HEADS, "sliding_window": 1, "dropout": 0.1}, [QUERY, QUERY], {}),
    (HEADS, [QUERY, VALUE], {"return_attention_scores": True}),
    (
        {**HEADS, "dropout": 0.2},
        [QUERY, VALUE, KEY],
        {"return_attention_scores": True, "use_causal_mask": True},
    ),
    (HEADS, [(3, 4, 5), (2, 6, 5)], {}),
    ({**HEADS, "attention_axes": 1}, [(3, 4, 5), (2, 4, 6)], {}),
    ({**HEADS, "attention_axes": (-2,)}, [(3, 4, 5), (3, 2, 6)], {}),
    (
        {**HEADS, "attention_axes": (1, 2), "output_shape": 3},
        [(3, 4, 5), (2, 3, 6)],
        {"return_attention_scores": True},
    ),
    (
        {**HEADS, "attention_axes": (1,)},
        [(3, 4, 5), (2, 4, 6)],
        {"use_causal_mask": True},
    ),
]


def captured(
    layer: Any, shapes: Sequence[Any], call: dict[str, Any], masks: dict[str, Any]
) -> Captured:
    """One call of the layer; `masks` are shapes of boolean inputs, by argument."""
    tensors = [L.Input(shape, name=f"in{at}") for at, shape in enumerate(shapes)]
    extra = {
        name: L.Input(shape, dtype="bool", name=name) for name, shape in masks.items()
    }
    outputs = layer(*tensors, **call, **extra)
    found = outputs if isinstance(outputs, list) else [outputs]
    return capture([*tensors, *extra.values()], found, "one")


def keras_results(
    settings: dict[str, Any],
    arrays: Sequence[Any],
    count: int,
    call: dict[str, Any],
    masks: Sequence[str],
    weights: Any,
) -> list[Any]:
    keras = pytest.importorskip("keras")
    made = keras.layers.MultiHeadAttention(**settings)
    made.build(*(array.shape for array in arrays[:count]))
    for variable in made.weights:
        slot, name = variable.path.split("/")[-2:]
        variable.assign(weights[slot].pop(name))
    assert not any(weights.values())
    given = dict(zip(masks, arrays[count:], strict=True))
    found = made(*arrays[:count], **call, **given)
    return list(found) if isinstance(found, tuple) else [found]


def check(
    settings: dict[str, Any],
    shapes: Sequence[Any],
    call: dict[str, Any],
    masks: dict[str, Any],
) -> None:
    made = L.MultiHeadAttention(**settings, name="one")
    graph, _ = run(captured(made, shapes, call, masks).graph, [ToInference()])
    variables = variables_for(graph, seed=3)
    arrays = random_inputs(graph, seed=4, batch=BATCH)
    found = evaluate(graph, variables, arrays)
    weights = {k: dict(v) for k, v in variables["params"]["one"].items()}
    wanted = keras_results(settings, arrays, len(shapes), call, [*masks], weights)
    for output, value in zip(graph.outputs, wanted, strict=True):
        np.testing.assert_allclose(
            found[f"output {output.name}"], value, rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize(("settings", "shapes", "call"), CASES)
def test_keras_agrees(settings: Any, shapes: Any, call: Any) -> None:
    check(settings, shapes, call, {})


@pytest.mark.parametrize("settings", [HEADS, {**HEADS, "dropout": 0.1}])
@pytest.mark.parametrize(
    "masks",
    [
        {"attention_mask": (4, 5)},
        {"attention_mask": (2, 4, 5)},
        {"attention_mask": (1, 5)},
        {"value_mask": (5,)},
        {"value_mask": (5,), "attention_mask": (4, 5)},
    ],
)
def test_masks_agree_with_keras(settings: Any, masks: Any) -> None:
    check(settings, [QUERY, VALUE], {}, masks)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("order", [{}, {"use_causal_mask": True}])
def test_masks_of_inputs_agree_with_keras(dropout: float, order: Any) -> None:
    """Rows of padding read nothing: everything alike, or zero, as in Keras."""
    keras = pytest.importorskip("keras")
    settings = {**HEADS, "dropout": dropout}
    tensors = [
        L.Input(shape, name=name)
        for name, shape in (("q", QUERY), ("v", VALUE), ("k", KEY))
    ]
    masks = [
        L.Input(t.shape[1:2], dtype="bool", name=f"m{t.call.layer.name}")
        for t in tensors
    ]
    made = L.MultiHeadAttention(**settings, name="one")
    output = made(*tensors, mask=masks, **order)
    graph, _ = run(capture([*tensors, *masks], [output], "one").graph, [ToInference()])
    variables = variables_for(graph, seed=3)
    *arrays, q_mask, v_mask, k_mask = random_inputs(graph, seed=5, batch=BATCH)
    v_mask[0] = False
    twin = keras.layers.MultiHeadAttention(**settings)
    twin.build(*(a.shape for a in arrays))
    for variable in twin.weights:
        slot, name = variable.path.split("/")[-2:]
        variable.assign(variables["params"]["one"][slot][name])
    given = [keras.ops.convert_to_tensor(a) for a in arrays]
    for array, mask in zip(given, [q_mask, v_mask, k_mask], strict=True):
        keras.src.backend.set_keras_mask(array, mask)
    wanted = twin(*given, **order)
    found = evaluate(graph, variables, [*arrays, q_mask, v_mask, k_mask])
    np.testing.assert_allclose(found["output one"], wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found["mask one"], q_mask)


# --- the call -------------------------------------------------------------------------


def test_a_call_in_every_form() -> None:
    layer = L.MultiHeadAttention(2, 3)
    q, v, k = (L.Input(shape) for shape in (QUERY, VALUE, KEY))
    ways = [
        layer(q, v, k),
        layer(q, v, key=k),
        layer(q, value=v, key=k),
        layer([q, v, k]),
    ]
    assert {tensor.shape for tensor in ways} == {(None, 4, 3)}
    assert len({str(call.fragment) for call in layer.calls}) == 1
    assert layer.output_shape == (None, 4, 3)
    output, scores = L.MultiHeadAttention(2, 3)(q, v, return_attention_scores=True)
    assert (output.shape, scores.shape) == ((None, 4, 3), (None, 2, 4, 5))


def test_unknown_lengths() -> None:
    q, v = L.Input((None, 3)), L.Input((None, 2))
    model = gj.Model([q, v], L.MultiHeadAttention(2, 3)(q, v, use_causal_mask=True))
    assert model.output_shape == (None, None, 3)
    rng = np.random.default_rng(0)
    first = rng.normal(size=(2, 4, 3)).astype(np.float32)
    value = rng.normal(size=(2, 6, 2)).astype(np.float32)
    whole = model([first, value])
    # A query does not see what comes later.
    np.testing.assert_allclose(
        model([first[:, :3], value[:, :3]]), whole[:, :3], rtol=1e-5, atol=1e-6
    )


def test_heads_of_the_value_may_have_another_size() -> None:
    """Scores ask for the plain formula, which both sizes share."""
    q, v = L.Input(QUERY), L.Input(VALUE)
    layer = L.MultiHeadAttention(2, 3, value_dim=4)
    output, _ = layer(q, v, return_attention_scores=True)
    model = gj.Model([q, v], [layer(q, v), output])
    found, wanted = model(random_inputs(model.graph, seed=2))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_scores_change_no_result() -> None:
    q, v = L.Input(QUERY), L.Input(VALUE)
    layer = L.MultiHeadAttention(2, 3)
    output, scores = layer(q, v, return_attention_scores=True)
    model = gj.Model([q, v], [layer(q, v), output, scores])
    data = random_inputs(model.graph, seed=2)
    plain, same, weights = model(data)
    np.testing.assert_allclose(plain, same, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.asarray(weights).sum(-1), 1, rtol=1e-5)


def test_weights_and_their_order() -> None:
    layer = L.MultiHeadAttention(2, 3, value_dim=4, output_shape=5, use_gate=True)
    layer(L.Input(QUERY), L.Input(VALUE), L.Input(KEY))
    found = {name: cell.param.type.shape for name, cell in layer.cells.items()}
    assert list(found.items()) == [
        ("query/kernel", (3, 2, 3)),
        ("query/bias", (2, 3)),
        ("key/kernel", (6, 2, 3)),
        ("key/bias", (2, 3)),
        ("gate/kernel", (3, 2, 4)),
        ("gate/bias", (2, 4)),
        ("value/kernel", (2, 2, 4)),
        ("value/bias", (2, 4)),
        ("attention_output/kernel", (2, 4, 5)),
        ("attention_output/bias", (5,)),
    ]


def test_kernels_know_their_fans() -> None:
    """As matrices: (3, 2·3) for the query, (2·3, 3) for the output."""
    layer = L.MultiHeadAttention(2, 300)
    layer(L.Input(QUERY), L.Input(QUERY))
    for slot, (fan_in, fan_out) in {
        "query/kernel": (3, 600),
        "attention_output/kernel": (600, 3),
    }.items():
        param = layer.cells[slot].param
        drawn = param.initializer.draw(param.type.shape, "float32", 0, slot)  # type: ignore[union-attr, arg-type]
        limit = np.sqrt(6 / (fan_in + fan_out))
        assert np.abs(drawn).max() == pytest.approx(limit, rel=0.01)
    assert layer.get_config()["kernel_initializer"]["config"] == {"seed": None}


def test_the_penalty_is_on_the_projections() -> None:
    layer = L.MultiHeadAttention(2, 3, activity_regularizer="l2", name="a")
    graph = captured(layer, [QUERY, VALUE], {"return_attention_scores": True}, {}).graph
    assert [loss.name for loss in graph.losses] == [
        "a/query/activity",
        "a/key/activity",
        "a/value/activity",
        "a/attention_output/activity",
    ]
    results = evaluate(graph)
    output = results["output a"]
    found = results["loss a/attention_output/activity"]
    assert float(found) == pytest.approx(0.01 * float((output**2).sum()), rel=1e-5)


def test_dropout_is_drawn_in_training_alone() -> None:
    x = L.Input(QUERY, name="x")
    model = gj.Model(x, L.MultiHeadAttention(2, 3, dropout=0.5)(x, x))
    variables = model.init()
    (data,) = random_inputs(model.graph, seed=1)
    plain = model.apply(variables, data)
    first, again, other = (
        model.apply(variables, data, training=True, rng=rng) for rng in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert not np.allclose(first, plain)
    assert gj.jit(model).graph.count("attention_dropout") == 0


def test_training_moves_every_weight() -> None:
    x = L.Input(QUERY)
    model = gj.Model(x, L.MultiHeadAttention(2, 3)(x, x))
    model.compile("sgd", "mse")
    (data,) = random_inputs(model.graph, seed=1, batch=8)
    before = model.get_weights()
    model.fit(data, data[..., ::-1], epochs=3, verbose=0)
    moved = [
        not np.array_equal(a, b)
        for a, b in zip(before, model.get_weights(), strict=True)
    ]
    # A bias of the key moves all scores of a query alike: but for rounding it stays.
    names = [param.name.rsplit("/", 2)[-2:] for param in model.graph.params]
    assert all(
        m for m, name in zip(moved, names, strict=True) if name != ["key", "bias"]
    )


def test_it_is_saved_and_loaded() -> None:
    x = L.Input(QUERY)
    model = gj.Model(x, L.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True))
    again = gj.from_bytes(gj.to_bytes(model))
    (data,) = random_inputs(model.graph, seed=1)
    np.testing.assert_array_equal(model(data), again(data))
    rebuilt = gj.Model.from_config(model.get_config())
    assert rebuilt.graph.nodes == model.graph.nodes


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_other_float_types(dtype: str) -> None:
    x = L.Input(QUERY, dtype=dtype)
    model = gj.Model(x, L.MultiHeadAttention(2, 3, dtype=dtype)(x, x))
    (data,) = random_inputs(model.graph)
    assert model(data).dtype == dtype


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: L.MultiHeadAttention(2, 3)(L.Input(QUERY)),
            CaptureError,
            r"^MultiHeadAttention: expected query and value, received one tensor\n"
            r"  hint: layer\(x, x\) is self-attention$",
        ),
        (
            lambda: L.MultiHeadAttention(2, 3)(L.Input((4,)), L.Input(QUERY)),
            ShapeError,
            r"^MultiHeadAttention: expected an input of rank >= 3, received rank 2",
        ),
        (
            lambda: L.MultiHeadAttention(2, 3)(L.Input(QUERY), L.Input((2, 3, 4))),
            ShapeError,
            r"^MultiHeadAttention: expected an input of rank 3, received rank 4",
        ),
        (
            lambda: L.MultiHeadAttention(2, 3)(
                L.Input(QUERY), L.Input(VALUE), L.Input((6, 3))
            ),
            ShapeError,
            r"^attention 'attention': value: expected 6 at axis 1, received 5\n",
        ),
        (
            lambda: L.MultiHeadAttention(2, 3)(L.Input((4, None)), L.Input(VALUE)),
            ShapeError,
            r"^MultiHeadAttention: an axis of features \(axis 2\) must be known",
        ),
        (
            lambda: L.MultiHeadAttention(2, 3, attention_axes=(1, 1))(
                L.Input((3, 4, 5)), L.Input((3, 4, 5))
            ),
            CaptureError,
            r"^MultiHeadAttention: attention_axes: expected different axes from 1 to 2,"
            r" received \(1, 1\)$",
        ),
        (
            lambda: L.MultiHeadAttention(2, 3, attention_axes=3)(
                L.Input((3, 4, 5)), L.Input((3, 4, 5))
            ),
            CaptureError,
            r"^MultiHeadAttention: attention_axes: expected different axes from 1 to 2",
        ),
        (
            lambda: L.MultiHeadAttention(2, 3)(
                L.Input((3, 4, 5)), L.Input((3, 4, 5)), use_causal_mask=True
            ),
            ShapeError,
            r"^MultiHeadAttention: masks of sequences and orders of reading want "
            r"attention over axis 1 alone, not \(1, 2\)$",
        ),
        (
            lambda: L.MultiHeadAttention(2, 3)(
                L.Input(QUERY), L.Input(VALUE), attention_mask=np.ones((4, 5), bool)
            ),
            CaptureError,
            r"^MultiHeadAttention: attention_mask: expected a tensor, received ndarray"
            r"\n  hint: make it an Input of the model$",
        ),
        (
            lambda: L.MultiHeadAttention(2, 3)(
                L.Input(QUERY),
                L.Input(VALUE),
                attention_mask=L.Input((4, 4), dtype="bool"),
            ),
            ShapeError,
            r"^attention 'attention': mask: expected a bool that broadcasts to "
            r"\('batch', 2, 4, 5\), received bool\[batch, 4, 4\]\n",
        ),
        (
            lambda: L.MultiHeadAttention(2, 3, output_shape=()),
            CaptureError,
            r"^MultiHeadAttention: output_shape: expected an int >= 1 or a tuple of "
            r"them, received \(\)$",
        ),
        (
            lambda: L.MultiHeadAttention(0, 3),
            CaptureError,
            r"^MultiHeadAttention: num_heads: expected an int >= 1, received 0$",
        ),
    ],
    ids=range(12),
)
def test_refusals(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
