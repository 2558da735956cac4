"""Attention and AdditiveAttention with masks, orders and scores; their refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.capture.tracer import capture
from graphjit.errors import CaptureError, ShapeError
from graphjit.passes import ToInference, run
from tests.graphs import evaluate, random_inputs, variables_for

BATCH = 3
QUERY, VALUE, KEY = (4, 3), (5, 2), (5, 3)

LAYERS: list[tuple[str, dict[str, Any]]] = [
    ("Attention", {}),
    ("Attention", {"use_scale": True}),
    ("Attention", {"score_mode": "concat", "use_scale": True, "dropout": 0.2}),
    ("AdditiveAttention", {}),
    ("AdditiveAttention", {"use_scale": False}),
]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("name", "settings"), LAYERS)
def test_keras_agrees(name: str, settings: Any, causal: bool, masked: bool) -> None:
    keras = pytest.importorskip("keras")
    shapes = {"q": QUERY, "v": VALUE, "k": KEY}
    tensors = [L.Input(shape, name=at) for at, shape in shapes.items()]
    masks = [L.Input((n,), dtype="bool", name=f"mask{n}") for n in (4, 5)]
    call = {"use_causal_mask": causal, "return_attention_scores": True}
    given: dict[str, Any] = {"mask": [*masks, None]} if masked else {}
    made = getattr(L, name)(**settings, name="one")
    outputs = made(tensors, **call, **given)
    inputs = [*tensors, *(masks if masked else [])]
    graph, _ = run(capture(inputs, outputs, "one").graph, [ToInference()])
    variables = variables_for(graph, seed=3)
    arrays = random_inputs(graph, seed=4, batch=BATCH)
    if masked:
        arrays[4][:, 0] = True  # nobody is left with nothing to read
    found = evaluate(graph, variables, arrays)
    twin = getattr(keras.layers, name)(**settings)
    twin.build([(BATCH, *shape) for shape in shapes.values()])
    for variable in twin.weights:
        variable.assign(variables["params"]["one"][variable.name])
    if masked:
        given = {"mask": [*map(keras.ops.convert_to_tensor, arrays[3:]), None]}
    wanted = twin([keras.ops.convert_to_tensor(a) for a in arrays[:3]], **call, **given)
    for output, value in zip(graph.outputs, wanted, strict=True):
        np.testing.assert_allclose(
            found[f"output {output.name}"], value, rtol=1e-5, atol=1e-5
        )
    if masked:
        np.testing.assert_array_equal(found["mask one"], arrays[3])


def test_who_may_read_nothing_reads_all_alike() -> None:
    """As Keras in float32, where 1e9 swallows what the scores are."""
    keras = pytest.importorskip("keras")
    q, v = L.Input(QUERY), L.Input(KEY)
    mask = L.Input((5,), dtype="bool")
    made = L.Attention()
    model = gj.Model([q, v, mask], made([q, v], mask=[None, mask]))
    query, value, readable = random_inputs(model.graph, seed=4, batch=BATCH)
    readable[0] = False
    found = model([query, value, readable])
    alike = np.broadcast_to(value[0].mean(0), (4, 3))
    np.testing.assert_allclose(found[0], alike, rtol=1e-5, atol=1e-6)
    tensors = [keras.ops.convert_to_tensor(a) for a in (query, value)]
    wanted = keras.layers.Attention()(tensors, mask=[None, readable])
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention"])
def test_more_axes_of_batch(name: str) -> None:
    """Attention over the second last axis, whatever stands before it."""
    layer = getattr(L, name)()
    q, v = L.Input((2, 4, 3)), L.Input((2, 5, 3))
    flat_q, flat_v = L.Input((4, 3)), L.Input((5, 3))
    deep = gj.Model([q, v], layer([q, v]))
    flat = gj.Model([flat_q, flat_v], layer([flat_q, flat_v]))
    query, value = random_inputs(deep.graph, seed=1)
    found = np.asarray(deep([query, value]))
    for at in range(2):
        wanted = flat([query[:, at], value[:, at]])
        np.testing.assert_allclose(found[:, at], wanted, rtol=1e-5, atol=1e-6)


def test_weights() -> None:
    def slots(layer: Any) -> dict[str, Any]:
        layer([L.Input(QUERY), L.Input(KEY)])
        return {name: cell.param.type.shape for name, cell in layer.cells.items()}

    assert slots(L.Attention()) == {}
    assert slots(L.Attention(use_scale=True)) == {"scale": ()}
    both = slots(L.Attention(use_scale=True, score_mode="concat"))
    assert list(both.items()) == [("scale", ()), ("concat_score_weight", ())]
    assert slots(L.AdditiveAttention()) == {"scale": (3,)}
    assert slots(L.AdditiveAttention(use_scale=False)) == {}


def test_unknown_lengths() -> None:
    q, v = L.Input((None, 3)), L.Input((None, 3))
    output, scores = L.Attention()([q, v], return_attention_scores=True)
    assert (output.shape, scores.shape) == ((None, None, 3), (None, None, None))
    model = gj.Model([q, v], output)
    data = [np.ones((2, n, 3), np.float32) for n in (4, 7)]
    np.testing.assert_allclose(model(data), np.ones((2, 4, 3)), rtol=1e-6)


def test_dropout_is_drawn_in_training_alone() -> None:
    x = L.Input(QUERY)
    model = gj.Model(x, L.Attention(dropout=0.5, seed=3)([x, x]))
    variables = model.init()
    (data,) = random_inputs(model.graph, seed=1)
    plain = model.apply(variables, data)
    first, again = (model.apply(variables, data, True, rng=1) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, plain)
    assert L.Attention(dropout=1)([x, x]).call.fragment.count("attention") == 1


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: L.Attention()(L.Input(QUERY)),
            CaptureError,
            r"^Attention: expected \[query, value\] or \[query, value, key\], received "
            r"1 tensors$",
        ),
        (
            lambda: L.AdditiveAttention()([L.Input(QUERY)] * 4),
            CaptureError,
            r"^AdditiveAttention: expected \[query, value\] or .*, received 4 tensors$",
        ),
        (
            lambda: L.Attention()([L.Input((3,)), L.Input((3,))]),
            ShapeError,
            r"^Attention: expected an input of rank >= 3, received rank 2",
        ),
        (
            lambda: L.Attention()([L.Input(QUERY), L.Input(VALUE)]),
            ShapeError,
            r"^attention 'attention': key: expected 3 at axis 2, received 2\n",
        ),
        (
            lambda: L.AdditiveAttention()([L.Input((4, None)), L.Input((4, None))]),
            ShapeError,
            r"^AdditiveAttention: the last axis \(axis 2\) must be known",
        ),
        (
            lambda: L.Attention()(
                [L.Input((2, 4, 3)), L.Input((2, 5, 3))],
                mask=[L.Input((2,), dtype="bool"), None],
            ),
            ShapeError,
            r"^Attention: masks want inputs of rank 3, received float32\[batch, 2, 4, "
            r"3\]$",
        ),
        (
            lambda: L.Attention()(
                [L.Input(QUERY), L.Input(KEY)],
                mask=[None, L.Input((4,), dtype="bool")],
            ),
            ShapeError,
            r"^attention 'attention': value_mask: expected bool\[batch, 5\], received "
            r"bool\[batch, 4\]\n",
        ),
        (
            lambda: L.Attention(score_mode="sum"),
            CaptureError,
            r"^Attention: score_mode: expected one of 'dot', 'concat', received 'sum'$",
        ),
        (
            lambda: L.Attention(dropout=1.5),
            CaptureError,
            r"^Attention: dropout: expected a number from 0 to 1, received 1\.5$",
        ),
    ],
    ids=range(9),
)
def test_refusals(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
