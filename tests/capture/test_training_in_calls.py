"""Layers called with ``training=True``: in that mode for ever."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.capture.emitter import Emitter
from graphjit.errors import CaptureError, DataError
from graphjit.ir import Value
from graphjit.ops.base import Op
from graphjit.ops.dropout import DropoutOp

DATA = np.random.default_rng(0).standard_normal((8, 6)).astype(np.float32)


def always_dropping(**settings: Any) -> gj.Model:
    x = gj.Input((6,), **settings)
    return gj.Model(x, L.Dropout(0.5, name="drop")(x, training=True))


def kinds(graph: gj.Graph) -> list[str]:
    return [node.op.kind for node in graph.nodes]


def round_trips(model: gj.Model) -> None:
    assert gj.from_bytes(gj.to_bytes(model)).graph == model.graph
    assert gj.Model.from_config(model.get_config()).graph == model.graph


# --- what draws -------------------------------------------------------------------


def test_every_call_draws_anew() -> None:
    model = always_dropping()
    found = [model.predict(DATA), model.predict(DATA), np.asarray(model(DATA))]
    for result in found:
        assert set(np.unique(result / DATA)) == {0, 2}
    assert all(np.any(a != b) for a, b in itertools.pairwise(found))
    again = always_dropping()
    np.testing.assert_array_equal(found[0], again.predict(DATA))
    round_trips(model)


def test_every_batch_draws_anew() -> None:
    result = always_dropping().predict(np.ones((8, 6), np.float32), batch_size=4)
    assert np.any(result[:4] != result[4:])


def test_the_pure_face_takes_the_key() -> None:
    model = always_dropping()
    one = model.apply(model.variables, DATA, rng=3)
    np.testing.assert_array_equal(one, model.apply(model.variables, DATA, rng=3))
    trained = model.apply(model.variables, DATA, training=True, rng=3)
    np.testing.assert_array_equal(one, trained)
    with pytest.raises(DataError, match="'drop/dropout' draws random numbers: rng is"):
        model.apply(model.variables, DATA)
    exe = gj.jit(model)
    assert exe.draws
    np.testing.assert_array_equal(exe.step({}, DATA, rng=3).outputs, one)
    hint = r"hint: use exe.step\(state, x, rng=0\)"
    with pytest.raises(DataError, match=hint):
        exe(DATA)
    with pytest.raises(DataError, match=hint):
        exe.in_batches(DATA)


def test_evaluate_and_fit_draw_too() -> None:
    model = always_dropping()
    model.compile("sgd", "mse")
    ones = np.ones((8, 6), np.float32)
    losses = {model.evaluate(ones, ones, verbose=0) for _ in range(3)}
    assert losses == {1.0}  # 0 and 2 are as far from 1
    found = {model.evaluate(ones, 0 * ones, verbose=0) for _ in range(3)}
    assert len(found) == 3
    assert model.fit(ones, ones, verbose=0).history["loss"] == [1.0]


def test_everything_that_draws() -> None:
    """In inference what it is in training, by the same key."""
    x, steps = gj.Input((6,)), gj.Input((3, 4))
    ids = gj.Input((5,), dtype="int32")
    inner = gj.Model(x, L.Dropout(0.3)(L.BatchNormalization()(x)), name="inner")
    cells = [L.GRUCell(3, dropout=0.5), L.SimpleRNNCell(2)]
    outputs = [
        inner(x, training=True),
        L.AlphaDropout(0.3)(x, training=True),
        L.GaussianNoise(0.3)(x, training=True),
        L.Lambda(lambda v, training: 2 * v if training else v)(x, training=True),
        L.LSTM(2, dropout=0.3, recurrent_dropout=0.2)(steps, training=True),
        L.RNN(cells)(steps, training=True),
        L.Bidirectional(L.GRU(2, dropout=0.3))(steps, training=True),
        L.MultiHeadAttention(2, 3, dropout=0.4)(steps, steps, training=True),
        L.Embedding(7, 3, dropout=0.5)(ids, training=True),
    ]
    model = gj.Model([x, steps, ids], outputs)
    rng = np.random.default_rng(0)
    data = [DATA, rng.random((8, 3, 4)), rng.integers(0, 7, (8, 5))]
    variables = model.variables
    found = model.apply(variables, data, rng=1)
    wanted = model.apply(variables, data, training=True, rng=1)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
    results = zip(model.predict(data), found, strict=True)
    same = [np.allclose(one, other) for one, other in results]
    assert same == [False] * 3 + [True] + [False] * 5
    round_trips_but_code(model)


def round_trips_but_code(model: gj.Model) -> None:
    """A Lambda's function has no name that a configuration could hold."""
    rest = [t for t in model.outputs if not isinstance(t.call.layer, L.Lambda)]
    round_trips(gj.Model(model.inputs, rest))


# --- batch statistics -------------------------------------------------------------


def normalizing(**mode: Any) -> gj.Model:
    x = gj.Input((6,))
    h = L.Dense(4, name="dense")(x)
    return gj.Model(x, L.BatchNormalization(name="norm", momentum=0.5)(h, **mode))


def test_a_norm_always_takes_the_batch_and_trains_its_running_statistics() -> None:
    model = normalizing(training=True)
    assert kinds(gj.jit(model).graph) == ["dense", "batch_norm"]
    result = model.predict(DATA)
    np.testing.assert_allclose(result.mean(0), 0, atol=1e-6)
    before = model.get_layer("norm").get_weights()
    model.predict(DATA)
    for one, other in zip(model.get_layer("norm").get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    model.compile("sgd", "mse")
    model.fit(DATA, result, verbose=0)
    assert np.all(model.get_layer("norm").get_weights()[2] != before[2])
    round_trips(model)


@pytest.mark.parametrize("whole", [False, True])
def test_a_frozen_norm_takes_its_running_statistics_all_the_same(whole: bool) -> None:
    """As in tf.keras; `trainable` is read when it is asked, here as there."""
    model, plain = normalizing(training=True), normalizing()
    plain.set_weights(model.get_weights())
    free = model.predict(DATA)
    frozen = model if whole else model.get_layer("norm")
    frozen.trainable = False
    np.testing.assert_allclose(model.predict(DATA), plain.predict(DATA), atol=1e-6)
    found = model.apply(model.variables, DATA)
    np.testing.assert_allclose(found, plain.predict(DATA), atol=1e-6)
    frozen.trainable = True
    np.testing.assert_array_equal(model.predict(DATA), free)


@pytest.mark.parametrize(("frozen", "updates"), [("keep", 0), ("update", 2)])
def test_frozen_norms_of_older_kerases(frozen: str, updates: int) -> None:
    x = gj.Input((6,))
    norm = L.BatchNormalization(name="n", frozen=frozen)
    graph = gj.Model(x, norm(x, training=True)).graph
    after, _ = gj.passes.run(graph, [gj.passes.Freeze(("n",))], strict=True)
    assert kinds(after) == ["batch_norm"]
    assert len(after.updates) == updates


# --- models inside ----------------------------------------------------------------


def test_what_is_said_inside_holds() -> None:
    """Of two calls that say a mode the inner one is heeded, as in tf.keras."""
    x = gj.Input((6,))
    drop, norm = L.Dropout(0.5), L.BatchNormalization()
    inner = gj.Model(x, norm(drop(x, training=True)), name="inner")
    outer = gj.Model(x, inner(x, training=False))
    assert kinds(outer.graph) == ["dropout", "batch_norm_inference"]
    assert np.any(outer.predict(DATA) == 0)
    other = gj.Model(x, drop(norm(x, training=False)), name="other")
    graph = gj.Model(x, other(x, training=True)).graph
    assert kinds(gj.jit(graph).graph) == ["batch_norm_inference", "dropout"]


def test_both_modes_of_one_layer() -> None:
    x = gj.Input((6,))
    drop = L.Dropout(0.5)
    model = gj.Model(x, [drop(x), drop(x, training=True), drop(x, training=0)])
    plain, dropped, never = model.predict(DATA)
    np.testing.assert_array_equal(plain, DATA)
    np.testing.assert_array_equal(never, DATA)
    assert np.any(dropped == 0)


# --- refused ----------------------------------------------------------------------


class _StubbornOp(DropoutOp):
    def to_always(self) -> Op | None:
        return None


class _Stubborn(L.Layer):
    def emit(self, emitter: Emitter, *inputs: Value) -> Value | Sequence[Value]:
        return emitter(_StubbornOp(0.5, 0), *inputs)


def test_an_op_that_has_no_such_form() -> None:
    text = r"_Stubborn: training=True: op 'dropout' has no form that stays the same"
    with pytest.raises(CaptureError, match=text):
        _Stubborn()(gj.Input((6,)), training=True)


@pytest.mark.parametrize("asked", ["yes", 2, 1.5, [True]], ids=str)
def test_modes_that_are_none(asked: Any) -> None:
    with pytest.raises(CaptureError, match="training: expected True, False or None, r"):
        L.Dropout(0.5)(gj.Input((6,)), training=asked)
