"""A layer that loops: its body is emitted, its params are constants of the loop."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import graphjit as gj
from graphjit.capture.arguments import arg, size
from graphjit.capture.emitter import Emitter
from graphjit.capture.loop import Loop
from graphjit.errors import CaptureError
from graphjit.initializers import GlorotUniform
from graphjit.ir import Value
from graphjit.ops.dense import DenseOp
from graphjit.ops.elementwise import Add, Tanh
from graphjit.ops.reduce import ReduceSum
from tests.graphs import variables_for


@gj.register("tests>TinyCell")
class TinyCell(gj.layers.Layer):
    units: int = arg(converter=size)

    def step(self, emitter: Emitter, x: Value, h: Value) -> Value:
        channels = emitter.known_dim(x, -1, "the last axis")
        kernel = emitter.param("kernel", (channels, self.units), GlorotUniform())
        again = emitter.param("recurrent", (self.units, self.units), GlorotUniform())
        total = emitter(
            Add(), emitter(DenseOp(), x, kernel), emitter(DenseOp(), h, again)
        )
        return emitter(Tanh(), total)


@gj.register("tests>TinyRNN")
class TinyRNN(gj.layers.Layer):
    units: int = arg(converter=size)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "cell", TinyCell(self.units, dtype=self.dtype))

    def parts(self) -> list[tuple[str, gj.layers.Layer]]:
        return [("cell", self.cell)]

    def emit(self, emitter: Emitter, *inputs: Value) -> tuple[Value, Value]:
        (x,) = inputs
        # The start is made of x, so that its batch is x's.
        start = emitter(ReduceSum((1,)), x)
        loop = Loop(emitter, [start], [x])
        inner = loop.body.inside(self.cell, "cell")
        h = self.cell.step(inner, loop.slices[0], loop.carries[0])
        (last,), (steps,) = loop.finish([h], [h])
        return last, steps


def net() -> gj.Model:
    x = gj.Input((None, 3), name="x", dtype="float64")
    last, steps = TinyRNN(3, name="rnn", dtype="float64")(x)
    return gj.Model(x, [last, steps])


def statement(variables: dict, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    cell = variables["params"]["rnn"]["cell"]
    h = x.sum(1)
    steps = []
    for t in range(x.shape[1]):
        h = np.tanh(
            x[:, t] @ np.asarray(cell["kernel"]) + h @ np.asarray(cell["recurrent"])
        )
        steps.append(h)
    return h, np.stack(steps, 1)


def test_equals_the_plain_statement() -> None:
    model = net()
    variables = variables_for(model.graph)
    x = np.random.default_rng(0).normal(size=(2, 5, 3))
    for found, wanted in zip(
        model.apply(variables, x), statement(variables, x), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
    model.variables = variables
    np.testing.assert_allclose(
        model.predict(x)[0], statement(variables, x)[0], rtol=1e-12
    )


def test_params_stand_outside_the_loop() -> None:
    model = net()
    assert [p.name for p in model.graph.params] == [
        "rnn/cell/kernel",
        "rnn/cell/recurrent",
    ]
    assert list(model.get_layer("rnn").cells) == ["cell/kernel", "cell/recurrent"]
    text = str(model.graph)
    assert "%rnn/scan = scan(%rnn/reduce_sum, %x, %rnn/cell/kernel, " in text
    assert "graph step(%carry0 : float64[batch, 3], %x0 : float64[batch, 3]" in text


def test_gradients_flow_through_the_loop() -> None:
    model = net()
    variables = variables_for(model.graph)
    x = np.random.default_rng(0).normal(size=(2, 4, 3))
    direction = variables_for(model.graph, seed=5)["params"]

    def loss(params: dict) -> jax.Array:
        return model.apply({**variables, "params": params}, x)[1].sum()

    with jax.enable_x64(True):
        params = variables["params"]
        gradient = jax.grad(loss)(params)
        both = zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
        along = sum(float((g * d).sum()) for g, d in both)
        step = 1e-6
        ahead = loss(jax.tree.map(lambda p, d: p + step * d, params, direction))
        behind = loss(jax.tree.map(lambda p, d: p - step * d, params, direction))
    np.testing.assert_allclose(along, float(ahead - behind) / (2 * step), rtol=1e-7)


def test_files_hold_loops() -> None:
    model = net()
    x = np.ones((1, 4, 3))
    loaded = gj.from_bytes(gj.to_bytes(model))
    assert loaded.graph == model.graph
    np.testing.assert_array_equal(loaded.predict(x)[1], model.predict(x)[1])


def test_no_state_or_loss_inside_a_loop() -> None:
    emitter = Emitter(TinyRNN(3), "TinyRNN")
    x = emitter.builder.input("x", gj.Input((4, 3)).type)
    loop = Loop(emitter, [], [x])
    with pytest.raises(CaptureError, match="state 's' cannot be updated in a loop"):
        loop.body.update("s", loop.slices[0])
    with pytest.raises(CaptureError, match="loss 'l' cannot be added in a loop"):
        loop.body.loss("l", loop.slices[0])
