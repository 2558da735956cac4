"""Batch sizes: how few programs do batches of every size, and that rows stay right."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import graphjit as gj
from benchmarks.batch_stream import Compilations
from benchmarks.models import mlp
from graphjit.buckets import SIZES, BatchSizes, calls_of, tied_rows
from graphjit.errors import CaptureError, DataError

L = gj.layers


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# --- how rows are cut -----------------------------------------------------------------


@pytest.mark.parametrize("call_rows", [2.0, 30.0, 300.0, 1e6])
def test_every_row_is_done_and_little_more(call_rows: float) -> None:
    sizes = BatchSizes(SIZES, call_rows, adopts_first=False)
    used: set[int] = set()
    for rows in [*range(1, 1200), 4096, 5000, 10**6]:
        pieces = sizes.pieces(rows)
        assert sum(pieces[:-1]) < rows <= sum(pieces)
        assert set(pieces) <= set(SIZES)
        assert len(set(pieces)) <= 2
        if call_rows == 2.0 and rows <= 512:
            assert sum(pieces) <= rows * 4 / 3
        if rows <= 512:
            used |= set(pieces)
    assert len(used) <= 9


def test_what_is_cut_depends_on_the_size_alone() -> None:
    one, other = (BatchSizes(SIZES, 5.0, adopts_first=False) for _ in range(2))
    first = [one.pieces(rows) for rows in range(1, 600)]
    assert first == [other.pieces(rows) for rows in range(599, 0, -1)][::-1]


def test_the_first_odd_size_is_kept() -> None:
    sizes = BatchSizes(SIZES, 2.0)
    assert sizes.pieces(8) == (8,)
    assert sizes.pieces(100) == (100,)
    assert sizes.pieces(101) == (128,)
    assert sizes.pieces(100) == (100,)


def test_sizes_of_ones_own() -> None:
    sizes = BatchSizes((32, 8), 2.0, adopts_first=False)
    assert sizes.pieces(3) == (8,)
    assert sizes.pieces(20) == (8, 8, 8)
    assert sizes.pieces(30) == (32,)
    assert sizes.pieces(10**5) == (32,) * 3125


def test_a_last_batch_is_filled_up_if_that_is_little() -> None:
    sizes = BatchSizes(SIZES, 2.0)
    calls = calls_of(sizes, 70, 32)
    assert [tuple(call) for call in calls] == [(0, 32, 32), (32, 32, 32), (64, 6, 32)]
    assert [call.size for call in calls_of(sizes, 258, 256)] == [256, 2]
    assert [tuple(call) for call in calls_of(None, 5, 2)] == [
        (0, 2, 2),
        (2, 2, 2),
        (4, 1, 1),
    ]


# --- programs -------------------------------------------------------------------------


def test_ten_programs_for_batches_of_1_to_512_rows() -> None:
    exe, data = gj.jit(mlp()), normal(512, 64)
    sizes = np.random.default_rng(0).integers(1, 513, 200)
    with Compilations() as compiled:
        for size in [*sizes, *range(1, 513, 7)]:
            assert exe(data[:size]).shape == (size, 10)
    assert 0 < compiled.count <= 10


def test_a_program_for_every_size_where_asked() -> None:
    exe = gj.jit(mlp(), buckets=False)
    with Compilations() as compiled:
        for size in (3, 5, 6, 7):
            exe(normal(size, 64))
    assert compiled.count == 4


@pytest.mark.parametrize("on_device", [False, True])
def test_results_are_those_of_the_sizes_program(on_device: bool) -> None:
    model = mlp()
    exe, exact = gj.jit(model, buckets=(4, 16)), gj.jit(model, buckets=False)
    x = normal(70, 64)
    for rows in (1, 3, 4, 9, 16, 23, 70):
        given = jax.device_put(x[:rows]) if on_device else x[:rows]
        found = exe(given)
        assert isinstance(found, jax.Array)
        wanted, at = [], 0
        for size in exe.sizes.pieces(rows):
            part = x[at : min(at + size, rows)]
            filled = np.concatenate([part, np.repeat(part[:1], size - len(part), 0)])
            wanted.append(np.asarray(exact(filled))[: len(part)])
            at += size
        np.testing.assert_array_equal(found, np.concatenate(wanted))
        np.testing.assert_array_equal(exe.in_batches(given, 100)[0][0], found)


def test_several_inputs_outputs_and_dtypes() -> None:
    a, b = gj.Input((3,), name="a"), gj.Input((4,), dtype="int32", name="b")
    embedded = L.GlobalAveragePooling1D()(L.Embedding(9, 3, name="e")(b))
    model = gj.Model([a, b], [L.Add()([a, embedded]), L.Dense(2)(a)])
    exe, exact = gj.jit(model, buckets=(8,)), gj.jit(model, buckets=False)
    x, ids = normal(11, 3), np.arange(44, dtype=np.int32).reshape(11, 4) % 9
    for given in ([x, ids], (x, ids), {"b": ids, "a": x}, [x.tolist(), ids]):
        for one, other in zip(exe(given), exact([x, ids]), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)
    for wrong, dtype in ((-1, np.int32), (9, np.int32), (9, np.int64)):
        bad = ids.astype(dtype)
        bad[2, 1] = wrong
        text = rf"expected ids from 0 to 8, received {wrong} at \[2, 1\]"
        for form in (np.asarray, jax.device_put):
            with pytest.raises(DataError, match=text):
                exe([x, form(bad)])
    with pytest.raises(DataError, match="has batch = 11"):
        exe([x, ids[:3]])


def test_64_bits_and_fixed_batches() -> None:
    wide = gj.Input((3,), dtype="float64")
    model = gj.Model(wide, L.Dense(2, dtype="float64")(wide))
    x = normal(5, 3).astype(np.float64)
    exe = gj.jit(model, buckets=(4,))
    found = exe(x)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, model.predict(x), rtol=1e-12)
    np.testing.assert_allclose(exe(x[:4]), found[:4], rtol=1e-12)
    fixed = gj.Input(batch_shape=(4, 3))
    exe = gj.jit(gj.Model(fixed, L.Dense(2)(fixed)))
    assert exe.sizes is None
    assert exe(normal(4, 3)).shape == (4, 2)
    with pytest.raises(DataError, match=r"expected float32\[4, 3\], received shape"):
        exe(normal(5, 3))


def test_no_rows() -> None:
    exe = gj.jit(mlp())
    assert exe(normal(0, 64)).shape == (0, 10)


def test_inside_a_trace_nothing_is_padded() -> None:
    exe = gj.jit(mlp(), buckets=(8,))
    x = normal(5, 64)
    np.testing.assert_allclose(jax.jit(exe)(x), exe(x), rtol=1e-6)


def test_a_buffer_may_be_filled_again_at_once() -> None:
    exe = gj.jit(mlp(), buckets=(64,))
    batches = normal(20, 50, 64)
    wanted = [np.asarray(exe(batch)) for batch in batches]
    buffer, found = np.empty((50, 64), np.float32), []
    for batch in batches:
        buffer[:] = batch
        found.append(exe(buffer))
    np.testing.assert_array_equal([np.asarray(a) for a in found], wanted)


def test_what_predict_gives_may_be_written_to() -> None:
    model = mlp()
    for rows in (3, 7, 40):
        model.predict(normal(rows, 64))[0] = 0


@pytest.mark.parametrize("given", [(), (0,), (True,), (2.5,)])
def test_sizes_refused(given: Any) -> None:
    with pytest.raises(CaptureError, match=r"buckets: expected True, False or batch"):
        gj.jit(mlp(), buckets=given)


# --- where rows are tied --------------------------------------------------------------


def reasons() -> dict[str, tuple[gj.Graph, str]]:
    x = gj.Input((3,))
    mixed = L.Lambda(lambda t: t - t.mean(0), output_shape=(3,), name="mix")(x)
    norm = L.BatchNormalization(name="norm")(x)
    fixed = gj.Input(batch_shape=(2, 3), name="fixed")
    return {
        "a lambda": (gj.jit(gj.Model(x, mixed)).graph, "'mix/lambda' mixes rows"),
        "state": (gj.Model(x, norm).graph, "state 'norm/moving_mean' changes"),
        "random": (gj.Model(x, L.Dropout(0.5)(x)).graph, "it draws random numbers"),
        "fixed": (
            gj.Model(fixed, L.Dense(1)(fixed)).graph,
            "input 'fixed' has a fixed batch, or none",
        ),
    }


@pytest.mark.parametrize("name", ["a lambda", "state", "random", "fixed"])
def test_tied_rows(name: str) -> None:
    graph, reason = reasons()[name]
    found = tied_rows(graph)
    assert found is not None
    assert reason in found


def test_rows_that_are_not_tied() -> None:
    x = gj.Input((6, 3))
    h = L.LSTM(4, return_sequences=True)(L.LayerNormalization()(x))
    model = gj.Model(x, L.Softmax()(L.GlobalMaxPooling1D()(h)))
    assert tied_rows(gj.jit(model).graph) is None
    assert "batch sizes: programs for 1, 2, 4" in gj.jit(model).explain()


def test_a_model_that_mixes_rows_keeps_exact_batches() -> None:
    x = gj.Input((3,))
    mixed = L.Lambda(lambda t: t - t.mean(0), output_shape=(3,), name="mix")(x)
    exe, data = gj.jit(gj.Model(x, mixed)), normal(7, 3)
    for rows in (7, 5, 3):
        part = data[:rows]
        np.testing.assert_allclose(exe(part), part - part.mean(0), atol=1e-6)
    assert "batch sizes: a program for each ('mix/lambda' mixes" in exe.explain()
    assert "(as asked for)" in gj.jit(mlp(), buckets=False).explain()


# --- ahead of time --------------------------------------------------------------------


def test_warm_sizes_never_compile_again() -> None:
    model = mlp()
    exe = gj.jit(model)
    assert exe.warm([1, 12, 100]) is exe
    with Compilations() as compiled:
        for rows in (12, 1, 100):
            exe(normal(rows, 64))
    assert compiled.count == 0
    exe.warm(7)
    assert {7, 12, 100} <= exe.sizes.own


def test_warm_with_unknown_dims() -> None:
    a, b = gj.Input((None, 3), name="a"), gj.Input((2,), name="b")
    two = gj.Model([a, b], [L.Dense(2)(a), L.Dense(2)(b)])
    exe = gj.jit(two)
    for shapes in ([(5, 3), (2,)], {"a": (5, 3)}):
        exe.warm(4, shapes=shapes)
    with Compilations() as compiled:
        exe([normal(4, 5, 3), normal(4, 2)])
    assert compiled.count == 0
    with pytest.raises(
        DataError, match=r"warm: input 'a': float32\[batch, \?, 3\] has"
    ):
        exe.warm(4)
    with pytest.raises(DataError, match="warm: shapes: expected the name of an input"):
        exe.warm(4, shapes={"c": (2,)})
    with pytest.raises(DataError, match="warm: input 'a': expected the shape of a row"):
        exe.warm(4, shapes=[(5, 4), (2,)])
    one = gj.Model(a, L.Dense(2)(a))
    gj.jit(one).warm(4, shapes=(5, 3))


def test_what_warm_refuses() -> None:
    exe = gj.jit(mlp())
    with pytest.raises(DataError, match="warm: batch size: expected an int >= 1, rec"):
        exe.warm([0])
    fixed = gj.Input(batch_shape=(4, 3), name="x")
    exe = gj.jit(gj.Model(fixed, L.Dense(2)(fixed)))
    exe.warm(4)
    with pytest.raises(DataError, match="expected 4, the model's fixed batch, receive"):
        exe.warm(3)
    with pytest.raises(DataError, match="no weights are bound"):
        gj.jit(mlp().graph).warm(1)


def test_warm_a_stateful_model() -> None:
    layer = L.LSTM(3, stateful=True, batch_input_shape=(2, 4, 3))
    model = gj.Sequential([layer])
    exe = gj.jit(model).warm(2)
    state = model.variables["state"]
    with Compilations() as compiled:
        exe.step(state, normal(2, 4, 3))
    assert compiled.count == 0
