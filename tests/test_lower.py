"""The lowered function is pure JAX: jit, grad, jvp, vmap and checkpoint work on it."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import graphjit.layers as L  # noqa: N812
from graphjit.capture.tensor import Tensor
from graphjit.capture.tracer import capture
from graphjit.errors import DataError
from graphjit.ir import Graph
from graphjit.lower import lower, lower_flat, rng_key, uses_rng, x64_scope
from tests.graphs import evaluate, random_inputs, same_results, variables_for


def network(dtype: str = "float32", drop: bool = True) -> Graph:
    """Two inputs and outputs, a norm, dropout, and a penalty."""
    image = L.Input((4, 5, 2), dtype=dtype, name="image")
    vector = L.Input((3,), dtype=dtype, name="vector")
    h: Tensor = L.Conv2D(3, 2, activation="tanh", dtype=dtype, name="conv")(image)
    h = L.BatchNormalization(momentum=0.7, dtype=dtype, name="norm")(h)
    if drop:
        h = L.Dropout(0.3, dtype=dtype, name="drop")(h)
    h = L.Flatten(dtype=dtype)(h)
    h = L.Concatenate(dtype=dtype)([h, vector])
    y = L.Dense(4, activity_regularizer="l2", dtype=dtype, name="head")(h)
    return capture([image, vector], [y, h], "network").graph


GRAPH = network()
VARIABLES = variables_for(GRAPH)
PARAMS, STATE = VARIABLES["params"], VARIABLES["state"]
X = random_inputs(GRAPH)


def loss(params: Any, x: Any, rng: Any = 0) -> Any:
    step = lower(GRAPH)(params, STATE, x, rng)
    return (step.outputs[0] ** 2).sum() + sum(step.losses.values())


# --- what it takes and gives ----------------------------------------------------------


def test_a_step_has_outputs_state_losses_masks() -> None:
    step = lower(GRAPH)(PARAMS, STATE, X, 0)
    assert [output.shape for output in step.outputs] == [(3, 4), (3, 39)]
    assert step.masks == [None, None]
    assert set(step.state) == {"norm"}
    assert set(step.state["norm"]) == {"moving_mean", "moving_variance"}
    assert list(step.losses) == ["head/activity0"]
    assert step.losses["head/activity0"].shape == ()


def test_one_output_is_no_list() -> None:
    x = L.Input((3,))
    graph = capture([x], [L.ReLU()(x)], "one").graph
    step = lower(graph)({}, {}, np.ones((2, 3)))
    assert step.outputs.shape == (2, 3)
    assert step.masks is None


def test_inputs_by_name_or_in_order() -> None:
    function = lower(GRAPH)
    by_name = {"vector": X[1], "image": X[0]}
    forms = [X, tuple(X), by_name]
    results = [function(PARAMS, STATE, form, 0).outputs[0] for form in forms]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_state_that_nobody_updates_passes_through() -> None:
    graph = GRAPH.replace(updates=())
    state = lower(graph)(PARAMS, STATE, X, 0).state
    np.testing.assert_array_equal(
        state["norm"]["moving_mean"], STATE["norm"]["moving_mean"]
    )


def test_flat_results_are_in_the_graphs_order() -> None:
    names = [param.name for param in GRAPH.params]
    tree = {**PARAMS, **STATE, "norm": {**PARAMS["norm"], **STATE["norm"]}}
    flat = [tree[name.split("/")[0]][name.split("/")[1]] for name in names]
    result = lower_flat(GRAPH)(flat, X, jax.random.key(0))
    step = lower(GRAPH)(PARAMS, STATE, X, 0)
    np.testing.assert_array_equal(result.outputs[1], step.outputs[1])
    assert [update.param for update in GRAPH.updates] == [
        "norm/moving_mean",
        "norm/moving_variance",
    ]
    np.testing.assert_array_equal(
        result.updates[1], step.state["norm"]["moving_variance"]
    )
    assert result.masks == (None, None)
    assert len(result.losses) == 1


def test_arguments_are_left_as_they_are() -> None:
    before = jax.tree.map(np.copy, (PARAMS, STATE, X))
    lower(GRAPH)(PARAMS, STATE, X, 0)
    jax.tree.map(np.testing.assert_array_equal, (PARAMS, STATE, X), before)


# --- transformations ------------------------------------------------------------------


def test_jit() -> None:
    same_results(evaluate(GRAPH), evaluate(GRAPH, jit=False), 1e-5)


def test_gradients_forwards_and_backwards_agree() -> None:
    gradient = jax.jit(jax.grad(loss))(PARAMS, X)
    direction = jax.tree.map(
        lambda w: np.cos(np.arange(w.size)).reshape(w.shape), PARAMS
    )
    direction = jax.tree.map(lambda d: d.astype(np.float32), direction)
    _, slope = jax.jit(lambda p, d: jax.jvp(lambda w: loss(w, X), (p,), (d,)))(
        PARAMS, direction
    )
    pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
    total = sum(float(np.vdot(g, d)) for g, d in pairs)
    np.testing.assert_allclose(total, slope, rtol=1e-4)
    assert jax.tree.structure(gradient) == jax.tree.structure(PARAMS)


def test_vmap_over_models() -> None:
    """Two sets of weights at once are two calls."""
    other = variables_for(GRAPH, seed=1)
    stacked = jax.tree.map(lambda a, b: np.stack([a, b]), VARIABLES, other)
    function = jax.jit(jax.vmap(lower(GRAPH), in_axes=(0, 0, None, None)))
    both = function(stacked["params"], stacked["state"], X, jax.random.key(0))
    for at, variables in enumerate((VARIABLES, other)):
        step = lower(GRAPH)(variables["params"], variables["state"], X, 0)
        np.testing.assert_allclose(
            both.outputs[0][at], step.outputs[0], rtol=1e-4, atol=1e-5
        )


def test_checkpoint_gives_the_same_gradient() -> None:
    plain = jax.jit(jax.grad(loss))(PARAMS, X)
    saved = jax.jit(jax.grad(jax.checkpoint(loss)))(PARAMS, X)
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(saved), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_no_tracer_leaks() -> None:
    with jax.checking_leaks():
        jax.make_jaxpr(lower(GRAPH))(PARAMS, STATE, X, 0)


def test_nodes_name_their_part_of_the_program() -> None:
    text = jax.jit(lower(GRAPH)).lower(PARAMS, STATE, X, 0).as_text(debug_info=True)
    assert "norm/batch_norm" in text


# --- randomness -----------------------------------------------------------------------


def test_the_key_decides_the_draw() -> None:
    function = jax.jit(lower(GRAPH))

    def draw(rng: Any) -> Any:
        return np.asarray(function(PARAMS, STATE, X, rng).outputs[1])

    np.testing.assert_array_equal(draw(3), draw(3))
    assert not np.array_equal(draw(3), draw(4))
    np.testing.assert_array_equal(draw(jax.random.key(3)), draw(3))
    np.testing.assert_array_equal(draw(jax.random.PRNGKey(3)), draw(3))
    np.testing.assert_array_equal(draw(np.int32(3)), draw(3))


def test_random_layers_draw_apart() -> None:
    x = L.Input((50,))
    pair = [L.Dropout(0.5)(x), L.Dropout(0.5)(x)]
    graph = capture([x], pair, "pair").graph
    first, second = lower(graph)({}, {}, np.ones((4, 50)), 0).outputs
    assert not np.array_equal(first, second)


def test_random_draws_need_rng() -> None:
    text = (
        "dropout 'drop/dropout' draws random numbers: rng is needed\n"
        "  hint: pass rng=0, or a JAX key"
    )
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        lower(GRAPH)(PARAMS, STATE, X)
    assert uses_rng(GRAPH)
    assert not uses_rng(network(drop=False))


def test_what_is_no_key() -> None:
    text = "rng: expected an int or a JAX key, received 'seed'"
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        rng_key("seed")


# --- refusals -------------------------------------------------------------------------


def test_missing_variables() -> None:
    params = {**PARAMS, "head": {"kernal": PARAMS["head"]["kernel"]}}
    text = (
        "variables['params']: expected an entry for 'head/kernel', found none at "
        "'kernel'\n  hint: did you mean 'kernal'?"
    )
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        lower(GRAPH)(params, STATE, X, 0)


def test_missing_state() -> None:
    text = (
        r"^variables\['state'\]: expected an entry for 'norm/moving_mean', found none"
    )
    with pytest.raises(DataError, match=text):
        lower(GRAPH)(PARAMS, {}, X, 0)


def test_data_that_does_not_fit() -> None:
    text = "input 'vector': axis 0 (batch) is 2, but input 'image' has batch = 3"
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        lower(GRAPH)(PARAMS, STATE, [X[0], X[1][:2]], 0)


def _of_five(x: Tensor) -> Tensor:
    return L.Embedding(4, 2, input_length=5, name="five")(x)


def _with_shorter(x: Tensor) -> Tensor:
    shorter = L.MaxPooling1D(2, 1)(L.Embedding(4, 2)(x))
    return L.Concatenate(axis=-1, name="both")([L.Embedding(4, 2)(x), shorter])


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (_of_five, r"reshape 'five.*: cannot make \(5,\) of 3 elements"),
        (_with_shorter, r"concatenate 'both.*: .*dims 3 and 2 differ"),
    ],
)
def test_sizes_of_open_dims_that_do_not_fit(build: Any, text: str) -> None:
    """The graph leaves them open, so the data is what does not fit."""
    x = L.Input((None,), dtype="int32", name="x")
    graph = capture([x], [build(x)], "net").graph
    params = variables_for(graph)["params"]
    with pytest.raises(DataError, match=text) as caught:
        lower(graph)(params, {}, np.zeros((1, 3), np.int32))
    assert "where the model leaves dims open" in str(caught.value)
    assert isinstance(caught.value.__cause__, (TypeError, ValueError))


# --- 64 bits --------------------------------------------------------------------------


def test_a_float64_graph_runs_in_float64() -> None:
    graph = network("float64", drop=False)
    variables, inputs = variables_for(graph), random_inputs(graph)
    assert not jax.config.jax_enable_x64
    step = lower(graph)(variables["params"], variables["state"], inputs)
    assert step.outputs[0].dtype == np.float64
    assert step.state["norm"]["moving_mean"].dtype == np.float64
    assert not jax.config.jax_enable_x64
    assert jnp.ones(3).dtype == np.float32
    narrow = network("float32", drop=False)
    rounded = jax.tree.map(lambda a: a.astype(np.float32), (variables, inputs))
    wanted = lower(narrow)(rounded[0]["params"], rounded[0]["state"], rounded[1])
    error = np.abs(np.asarray(step.outputs[0]) - np.asarray(wanted.outputs[0])).max()
    assert 0 < error < 1e-4


def test_a_float64_graph_compiles_inside_its_scope() -> None:
    graph = network("float64", drop=False)
    same_results(evaluate(graph), evaluate(graph, jit=False), 1e-12)
    with x64_scope(graph):
        assert jnp.ones(3).dtype == np.float64
    with x64_scope(GRAPH):
        assert jnp.ones(3).dtype == np.float32


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_graphs_stay_narrow(dtype: str) -> None:
    graph = network(dtype, drop=False)
    results = evaluate(graph)
    kept = {name: r for name, r in results.items() if not name.startswith("loss")}
    assert {np.dtype(r.dtype).name for r in kept.values()} == {dtype}
