"""Embedding: its meaning, its mask, its dropout, and which inputs are ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.capture.tracer import capture
from graphjit.errors import CaptureError, DataError, ShapeError
from graphjit.id_ranges import id_ranges
from graphjit.ir import Graph
from graphjit.ops.embedding import EmbeddingOp
from graphjit.passes import INFERENCE, run
from graphjit.types import TensorType
from tests.conformance.case import run_op
from tests.graphs import evaluate
from tests.ops.applied import graph_of, inference, results

TABLE = np.arange(18, dtype=np.float32).reshape(6, 3)


def looked_up(layer: L.Embedding, ids: Any) -> Any:
    """The vectors of ids, when row i of the table is 3 i, 3 i + 1, 3 i + 2."""
    variables = {"params": {"one": {"embeddings": TABLE}}, "state": {}}
    return results(graph_of(layer, [ids]), ids, variables=variables)


def layer(**settings: Any) -> L.Embedding:
    return L.Embedding(6, 3, name="one", **settings)


# --- values ---------------------------------------------------------------------------


def test_the_documents_example() -> None:
    x = gj.Input((10,), dtype="int32")
    y = L.Embedding(1000, 64, input_length=10)(x)
    assert y.shape == (None, 10, 64)
    model = gj.Model(x, y)
    assert model.output_shape == (None, 10, 64)
    ids = np.random.default_rng(0).integers(0, 1000, (32, 10))
    found = model.predict(ids)
    assert found.shape == (32, 10, 64)
    (table,) = model.get_weights()
    assert table.shape == (1000, 64)
    np.testing.assert_array_equal(found, table[ids])


def test_the_matrix_begins_uniform_within_a_twentieth() -> None:
    x = gj.Input((3,), dtype="int32")
    (table,) = gj.Model(x, L.Embedding(500, 20)(x)).get_weights()
    assert 0.049 < np.abs(table).max() <= 0.05
    assert abs(table.mean()) < 0.002


def test_of_floats_the_whole_part_counts() -> None:
    ids = np.array([[0.9, 1.0, 2.999, -0.7]], np.float32)
    np.testing.assert_array_equal(looked_up(layer(), ids)[0], TABLE[[[0, 1, 2, 0]]])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "bool"])
def test_ids_of_every_type(dtype: str) -> None:
    ids = np.array([[1, 0, 1]]).astype(dtype)
    np.testing.assert_array_equal(looked_up(layer(), ids)[0], TABLE[[[1, 0, 1]]])


def test_ids_in_64_bits_stay_so() -> None:
    ids = np.array([[1, 5, 2**32 + 1]], np.int64)
    found, _ = looked_up(layer(), ids)
    np.testing.assert_array_equal(found[0, :2], TABLE[[1, 5]])
    assert np.isnan(found[0, 2]).all()


@pytest.mark.parametrize("bad", [-1, -6, 6, 100])
def test_ids_out_of_range_give_nan_and_no_other_row(bad: int) -> None:
    found, _ = looked_up(layer(), np.array([[5, bad, 0]], np.int32))
    assert np.isnan(found[0, 1]).all()
    np.testing.assert_array_equal(found[0, [0, 2]], TABLE[[5, 0]])


@pytest.mark.parametrize("bad", [-1, 6])
def test_data_out_of_range_is_refused(bad: int) -> None:
    x = gj.Input((3,), dtype="int32")
    model = gj.Model(x, layer()(x))
    with pytest.raises(DataError, match=f"expected ids from 0 to 5, received {bad}"):
        model.predict(np.array([[5, bad, 0]]))


def test_ids_may_have_any_rank() -> None:
    for shape in ((), (4,), (2, 3), (2, 1, 3)):
        assert layer()(gj.Input(shape)).shape == (None, *shape, 3)


def test_a_shared_embedding_has_one_matrix() -> None:
    embedding = layer()
    x, y = gj.Input((2,)), gj.Input((5,))
    model = gj.Model([x, y], L.Dot(2)([embedding(x), embedding(y)]))
    assert [w.shape for w in model.get_weights()] == [(6, 3)]
    assert model.output_shape == (None, 2, 5)


def test_a_gradient_is_summed_over_equal_ids() -> None:
    import jax

    def weighted(table: Any) -> Any:
        rows = EmbeddingOp().lower(jax.numpy.array([1, 1, 4]), jax.numpy.array(table))
        return (rows * np.array([[1.0], [10.0], [100.0]], np.float32)).sum()

    found = jax.grad(weighted)(TABLE)
    np.testing.assert_array_equal(found[:, 0], [0, 11, 0, 0, 100, 0])


def test_penalties() -> None:
    ids = np.array([[1, 2]], np.int32)
    made = layer(embeddings_regularizer="l2", activity_regularizer="l1")
    graph = graph_of(made, [ids])
    found = evaluate(graph, inputs=[ids])
    (name,) = (f"loss {loss.name}" for loss in graph.losses)
    output = found[f"output {graph.outputs[0].name}"]
    np.testing.assert_allclose(found[name], 0.01 * np.abs(output).sum(), rtol=1e-6)
    assert graph.params[0].regularizer == gj.regularizers.L2(0.01)


# --- the mask -------------------------------------------------------------------------


def test_zero_is_masked() -> None:
    ids = np.array([[3, 0, 1], [0, 0, 5]], np.int32)
    _, mask = looked_up(layer(mask_zero=True), ids)
    np.testing.assert_array_equal(mask, ids != 0)
    assert looked_up(layer(), ids)[1] is None


def test_of_floats_the_whole_part_is_masked() -> None:
    ids = np.array([[0.5, 1.5, 0.0]], np.float32)
    _, mask = looked_up(layer(mask_zero=True), ids)
    np.testing.assert_array_equal(mask, [[False, True, False]])


def test_what_carries_no_mask_refuses() -> None:
    steps = layer(mask_zero=True)(gj.Input((4,)))
    with pytest.raises(CaptureError, match="Flatten does not support masking"):
        L.Flatten()(steps)
    with pytest.raises(CaptureError, match="Embedding 'one' does not support masking"):
        layer()(steps)


# --- input_length ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "shape", "wanted"),
    [
        (4, (None,), (4,)),
        (4, (4,), (4,)),
        ((None,), (None,), (None,)),
        ((2, 5), (None, None), (2, 5)),
        ((None, 5), (None, None), (None, 5)),
        ((None, 5), (2, None), (2, 5)),
    ],
)
def test_input_length_fills_in_the_shape(length: Any, shape: Any, wanted: Any) -> None:
    assert layer(input_length=length)(gj.Input(shape)).shape == (None, *wanted, 3)


def test_flatten_and_dense_behind_an_input_length() -> None:
    """Document 004: the argument is required for Flatten then Dense."""
    steps = layer(input_length=4)(gj.Input((None,)))
    assert L.Dense(2)(L.Flatten()(steps)).shape == (None, 2)
    with pytest.raises(ShapeError, match="must be known"):
        L.Dense(2)(L.Flatten()(layer()(gj.Input((None,)))))


@pytest.mark.parametrize(
    ("length", "shape"), [(4, (5,)), (4, (4, 4)), ((2, 3), (3,)), ((None, 3), (2, 4))]
)
def test_input_length_is_checked(length: Any, shape: Any) -> None:
    with pytest.raises(ShapeError, match=r"input_length is .*, the input has shape"):
        layer(input_length=length)(gj.Input(shape))


def test_a_mask_has_the_filled_in_shape() -> None:
    steps = layer(input_length=4, mask_zero=True)(gj.Input((None,)))
    assert steps.mask_type == TensorType(("batch", 4), "bool")


def test_what_it_says_of_a_models_input() -> None:
    assert layer().first_input.shape == (None, None)
    assert layer(input_length=7).first_input.shape == (None, 7)
    assert layer(input_length=(7, None)).first_input.shape == (None, 7, None)
    assert layer(input_shape=(9,)).first_input.shape == (None, 9)
    assert layer().first_input.dtype == "int32"


# --- dropout --------------------------------------------------------------------------


def test_dropout_drops_ids_for_the_whole_batch() -> None:
    ids = np.tile(np.arange(200, dtype=np.int32), (3, 2))
    made = L.Embedding(200, 4, "ones", dropout=0.25, name="one")
    graph = graph_of(made, [ids])
    variables = {"params": {"one": {"embeddings": np.ones((200, 4), np.float32)}}}
    found, _ = results(graph, ids, variables={**variables, "state": {}})
    vectors = found.reshape(-1, 200, 4)
    np.testing.assert_array_equal(vectors, np.broadcast_to(vectors[:1], (6, 200, 4)))
    assert set(np.unique(vectors)) == {np.float32(0), np.float32(1 / 0.75)}
    np.testing.assert_array_equal(vectors, vectors[..., :1].repeat(4, -1))
    assert 0.6 < (vectors != 0).mean() < 0.9


def test_dropout_is_for_training() -> None:
    ids = np.array([[1, 2, 3]], np.int32)
    graph = graph_of(layer(dropout=0.5), [ids])
    assert graph.count("dropout") == 1
    assert inference(graph).count("dropout") == 0
    assert graph_of(layer(dropout=0.0), [ids]).count("dropout") == 0
    assert graph_of(layer(dropout=1.0), [ids]).count("dropout") == 0


# --- arguments ------------------------------------------------------------------------


def test_arguments_in_the_order_of_keras_2() -> None:
    made = L.Embedding(5, 2, "ones", "l1", "l2", "max_norm", True, 4)
    assert list(made.get_config())[3:] == [
        "input_dim",
        "output_dim",
        "embeddings_initializer",
        "embeddings_regularizer",
        "activity_regularizer",
        "embeddings_constraint",
        "mask_zero",
        "input_length",
    ]
    assert made.embeddings_regularizer == gj.regularizers.L1(0.01)
    assert made.activity_regularizer == gj.regularizers.L2(0.01)
    assert made.embeddings_constraint == gj.constraints.MaxNorm()
    assert (made.mask_zero, made.input_length) == (True, 4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input_dim": 0}, "input_dim: expected an int >= 1, received 0"),
        ({"output_dim": 2.5}, "output_dim: expected an int >= 1, received 2.5"),
        ({"dropout": 1.5}, "dropout: expected a number from 0 to 1, received 1.5"),
        (
            {"input_length": (3, 0)},
            r"input_length: expected an int >= 1, or a tuple .* received \(3, 0\)",
        ),
        ({"init": "ones"}, "unknown argument 'init'"),
    ],
)
def test_wrong_arguments(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        L.Embedding(**{"input_dim": 5, "output_dim": 2, **settings})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("init", "embeddings_initializer"),
        ("W_regularizer", "embeddings_regularizer"),
        ("W_constraint", "embeddings_constraint"),
    ],
)
def test_the_hint_for_an_old_name(old: str, new: str) -> None:
    with pytest.raises(CaptureError, match=f"called '{new}' here"):
        L.Embedding(5, 2, **{old: None})


def test_malformed_operands() -> None:
    floats, ids = TensorType((2, 3)), TensorType((2, 3), "int32")
    table = TensorType((5, 4))
    with pytest.raises(ShapeError, match="ids: expected whole numbers, received float"):
        EmbeddingOp().infer(floats, table)
    with pytest.raises(ShapeError, match="table: expected a matrix of floats"):
        EmbeddingOp().infer(ids, ids)
    with pytest.raises(ShapeError, match="table: expected a matrix of floats"):
        EmbeddingOp().infer(ids, TensorType((5,)))


def test_a_long_table_and_narrow_ids() -> None:
    table = np.arange(600.0).reshape(300, 2)
    ids = np.array([[255, 254]], np.uint8)
    np.testing.assert_array_equal(run_op(EmbeddingOp(), [ids, table])[0], table[ids])


# --- which inputs are ids -------------------------------------------------------------


def captured(inputs: list[Any], output: Any) -> Graph:
    return capture(inputs, [output], "m").graph


def ids_input(shape: Any = (4,), dtype: str = "float32", name: str = "ids") -> Any:
    return L.Input(shape, dtype=dtype, name=name)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8"])
def test_an_input_of_an_embedding_is_ids(dtype: str) -> None:
    x, other = ids_input(dtype=dtype), L.Input((3,))
    y = L.Add()([L.Flatten()(layer(input_length=4)(x)), L.Dense(12)(other)])
    assert id_ranges(captured([other, x], y)) == {"ids": (0, 6)}


def test_ids_are_followed_through_what_keeps_them() -> None:
    x, y = ids_input((2, 3)), ids_input((6,), name="more")
    moved = L.Reshape((6,))(L.Permute((2, 1))(x))
    joined = L.Concatenate()([moved, y])
    found = id_ranges(captured([x, y], layer()(joined)))
    assert found == {"ids": (0, 6), "more": (0, 6)}


def test_ids_are_followed_into_nested_models_and_epilogues() -> None:
    inner_x = L.Input((2, 3))
    inner = gj.Model(inner_x, layer()(L.Reshape((6,))(inner_x)))
    x = ids_input((2, 3))
    graph = captured([x], inner(L.Reshape((2, 3))(L.Permute((2, 1))(x))))
    assert id_ranges(graph) == {"ids": (0, 6)}
    optimized, _ = run(graph, INFERENCE)
    assert id_ranges(optimized) == {"ids": (0, 6)}


def test_what_two_tables_allow() -> None:
    x = ids_input()
    y = L.Concatenate()([L.Embedding(6, 3)(x), L.Embedding(4, 2)(x)])
    assert id_ranges(captured([x], y)) == {"ids": (0, 4)}


@pytest.mark.parametrize("maker", [L.ReLU, lambda: L.Cropping1D(1)])
def test_computed_ids_say_nothing_of_the_input(maker: Any) -> None:
    x = ids_input((4, 2))
    assert id_ranges(captured([x], layer()(maker()(x)))) == {}


def test_whether_an_id_is_zero_says_nothing_of_it() -> None:
    x = ids_input((4,), "int32")
    steps = layer(mask_zero=True)(x)
    mask_alone = capture([x], [steps], "m").graph
    (output,) = mask_alone.outputs
    assert id_ranges(mask_alone) == {"ids": (0, 6)}
    nodes = tuple(n for n in mask_alone.nodes if n.op.kind == "cast")
    outputs = (type(output)("y", output.mask),)
    assert id_ranges(mask_alone.replace(nodes=nodes, outputs=outputs)) == {}
