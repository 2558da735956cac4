"""RNN over any cell, and several cells as one."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.capture.arguments import arg, boolean, size
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS
from graphjit.errors import CaptureError, ShapeError
from graphjit.initializers import GlorotUniform, Zeros
from graphjit.ir import Value
from graphjit.ops.dense import DenseOp
from graphjit.ops.elementwise import Add, Multiply, Tanh
from tests.graphs import evaluate, same_results, variables_for
from tests.ops.recurrent.twins import Pair, data, keras_layers, step_mask

ROWS, STEPS, FEATURES, UNITS = 4, 5, 3, 4
KINDS = {"SimpleRNN": 1, "GRU": 1, "LSTM": 2}


@LAYERS.register("tests>MinimalCell")
class MinimalCell(gj.layers.Layer):
    """A user's cell: h = tanh(x W + h), shown doubled if so wished."""

    units: int = arg(converter=size)
    doubled: bool = arg(default=False, converter=boolean)

    @classmethod
    def class_name(cls) -> str:
        return "tests>MinimalCell"

    @property
    def state_size(self) -> int:
        return self.units

    def emit(
        self, emitter: Emitter, *inputs: Value, constants: Any = ()
    ) -> list[Value]:
        x, h = inputs
        shape = (emitter.known_dim(x, -1, "the last axis"), self.units)
        kernel = emitter.param("kernel", shape, GlorotUniform())
        h = emitter(
            Tanh(), emitter(Add(), emitter(DenseOp(), x, kernel), h, *constants)
        )
        return [emitter(Add(), h, h) if self.doubled else h, h]


def plain(
    kernel: Any, x: Any, mask: Any = None, backwards: bool = False
) -> tuple[Any, Any]:
    """States after every step, and the last ones, of `MinimalCell`."""
    h = np.zeros((len(x), kernel.shape[1]))
    states = []
    steps = range(x.shape[1])
    for t in reversed(steps) if backwards else steps:
        new = np.tanh(x[:, t] @ kernel + h)
        h = new if mask is None else np.where(mask[:, t, None], new, h)
        states.append(h)
    return np.stack(states, 1), h


# --- the kinds there are --------------------------------------------------------------

FLAGS = list(itertools.product([False, True], repeat=4))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("masked", "sequences", "backwards", "unroll"), FLAGS)
def test_a_layer_is_its_cell_over_time(
    name: str, masked: bool, sequences: bool, backwards: bool, unroll: bool
) -> None:
    settings: dict[str, Any] = {
        "return_sequences": sequences,
        "go_backwards": backwards,
        "unroll": unroll,
        "return_state": True,
        "name": "r",
        "dtype": "float64",
    }
    x = L.Input((STEPS, FEATURES), dtype="float64", name="x")
    mask = L.Input((STEPS,), dtype="bool", name="m")
    layers = [
        getattr(L, name)(UNITS, **settings),
        L.RNN(getattr(L, f"{name}Cell")(UNITS, dtype="float64"), **settings),
    ]
    inputs = [x, mask] if masked else [x]
    graphs = [
        gj.Model(inputs, layer(x, mask=mask if masked else None)).graph
        for layer in layers
    ]
    arrays = [data(ROWS, STEPS, FEATURES).astype(np.float64), step_mask(ROWS, STEPS)]
    variables = variables_for(graphs[0])
    first, second = (
        evaluate(graph, variables, arrays[: len(inputs)]) for graph in graphs
    )
    same_results(second, first, 1e-12)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("zeros", [False, True])
def test_keras_agrees(name: str, zeros: bool) -> None:
    settings: dict[str, Any] = {
        "return_sequences": True,
        "return_state": True,
        "zero_output_for_mask": zeros,
    }
    twins = Pair(
        L.RNN(getattr(L, f"{name}Cell")(UNITS), **settings),
        lambda keras: keras.RNN(getattr(keras, f"{name}Cell")(UNITS), **settings),
        (STEPS, FEATURES),
        masked=True,
        states=[(UNITS,)] * KINDS[name],
    )
    states = [data(ROWS, UNITS, seed=7 + at) for at in range(KINDS[name])]
    twins.agree(data(ROWS, STEPS, FEATURES), step_mask(ROWS, STEPS), states)


def test_a_list_of_cells_is_stacked() -> None:
    twins = Pair(
        L.RNN([L.LSTMCell(3), L.GRUCell(4), L.SimpleRNNCell(2)], return_state=True),
        lambda keras: keras.RNN(
            [keras.LSTMCell(3), keras.GRUCell(4), keras.SimpleRNNCell(2)],
            return_state=True,
        ),
        (STEPS, FEATURES),
    )
    twins.agree(data(ROWS, STEPS, FEATURES))


@pytest.mark.parametrize("sequences", [False, True])
def test_a_masked_stack_shows_what_it_showed_before(sequences: bool) -> None:
    twins = Pair(
        L.RNN([L.GRUCell(3), L.LSTMCell(2)], return_sequences=sequences),
        lambda keras: keras.RNN(
            [keras.GRUCell(3), keras.LSTMCell(2)], return_sequences=sequences
        ),
        (STEPS, FEATURES),
        masked=True,
    )
    x, mask = data(ROWS, STEPS, FEATURES), step_mask(ROWS, STEPS)
    (found,), _ = twins.results(x, mask)
    assert found.shape == ((ROWS, STEPS, 2) if sequences else (ROWS, 2))
    short = mask[2]  # the last steps are masked: as if they were not there
    x = x[2:3, short]
    free = L.Input((None, FEATURES))
    layer = L.RNN([L.GRUCell(3), L.LSTMCell(2)], return_sequences=sequences)
    model = gj.Model(free, layer(free))
    model.set_weights(twins.model.get_weights())
    wanted = np.asarray(model(x))[0]
    rows = found[2][short] if sequences else found[2]
    np.testing.assert_allclose(rows, wanted, rtol=1e-5, atol=1e-6)


def test_one_cell_alone() -> None:
    """A call on [x, *states] gives [output, *states], as Keras's cell does."""
    x, h, c = L.Input((FEATURES,)), L.Input((UNITS,)), L.Input((UNITS,))
    model = gj.Model([x, h, c], L.LSTMCell(UNITS)([x, h, c]))
    arrays = [data(ROWS, FEATURES), data(ROWS, UNITS, seed=1), data(ROWS, UNITS)]
    output, *states = model(arrays)
    twin = keras_layers().LSTMCell(UNITS)
    twin(arrays[0], arrays[1:])
    twin.set_weights(model.get_weights())
    wanted, new = twin(arrays[0], arrays[1:])
    for found, value in zip([output, *states], [wanted, *new], strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6)


def test_stacked_cells_alone() -> None:
    cells = [L.GRUCell(3), L.LSTMCell(2)]
    stacked = L.StackedRNNCells(cells)
    assert stacked.state_size == [3, 2, 2]
    assert stacked.output_size == 2
    tensors = [L.Input((n,)) for n in (FEATURES, 3, 2, 2)]
    assert [y.shape[1] for y in stacked(tensors)] == [2, 3, 2, 2]


# --- a user's cell --------------------------------------------------------------------


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_a_cell_of_the_users(backwards: bool, masked: bool) -> None:
    x, mask = L.Input((STEPS, FEATURES)), L.Input((STEPS,), dtype="bool")
    layer = L.RNN(
        MinimalCell(UNITS),
        return_sequences=True,
        return_state=True,
        go_backwards=backwards,
    )
    inputs = [x, mask] if masked else [x]
    model = gj.Model(inputs, layer(x, mask=mask if masked else None))
    arrays = [data(ROWS, STEPS, FEATURES), step_mask(ROWS, STEPS)][: len(inputs)]
    y, h = model(arrays if masked else arrays[0])
    wanted = plain(model.get_weights()[0], *arrays, backwards=backwards)
    np.testing.assert_allclose(y, wanted[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(h, wanted[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("zeros", [False, True])
def test_an_output_that_is_no_state(masked: bool, sequences: bool, zeros: bool) -> None:
    """A masked step shows the output before it, at first zeros."""
    x, mask = L.Input((STEPS, FEATURES)), L.Input((STEPS,), dtype="bool")
    layer = L.RNN(
        MinimalCell(UNITS, doubled=True),
        return_sequences=sequences,
        zero_output_for_mask=zeros,
    )
    inputs = [x, mask] if masked else [x]
    model = gj.Model(inputs, layer(x, mask=mask if masked else None))
    arrays = [data(ROWS, STEPS, FEATURES), step_mask(ROWS, STEPS)][: len(inputs)]
    states, _ = plain(model.get_weights()[0], *arrays)
    wanted = 2 * states
    if masked and zeros:
        wanted = np.where(arrays[1][..., None], wanted, 0)
    found = model(arrays if masked else arrays[0])
    np.testing.assert_allclose(
        found, wanted if sequences else wanted[:, -1], rtol=1e-5, atol=1e-6
    )


def test_constants_reach_every_step() -> None:
    x, constant = L.Input((STEPS, FEATURES)), L.Input((UNITS,))
    model = gj.Model([x, constant], L.RNN(MinimalCell(UNITS))(x, constants=[constant]))
    arrays = [data(ROWS, STEPS, FEATURES), data(ROWS, UNITS, seed=2)]
    kernel, h = model.get_weights()[0], np.zeros((ROWS, UNITS))
    for t in range(STEPS):
        h = np.tanh(arrays[0][:, t] @ kernel + h + arrays[1])
    np.testing.assert_allclose(model(arrays), h, rtol=1e-5, atol=1e-6)


def test_a_stateful_loop_goes_on() -> None:
    x = L.Input((STEPS, FEATURES), batch_size=ROWS)
    model = gj.Model(x, L.RNN(MinimalCell(UNITS), stateful=True)(x))
    whole = data(ROWS, 2 * STEPS, FEATURES)
    model(whole[:, :STEPS])
    wanted = plain(model.get_weights()[0], whole)[1]
    np.testing.assert_allclose(model(whole[:, STEPS:]), wanted, rtol=1e-5, atol=1e-6)


def test_a_users_cell_in_a_stack_and_in_a_wrapper() -> None:
    x = L.Input((STEPS, FEATURES))
    stack = L.RNN([MinimalCell(3), L.LSTMCell(2, dropout=0.2)])
    assert gj.Model(x, stack(x))(data(2, STEPS, FEATURES)).shape == (2, 2)
    both = L.Bidirectional(L.RNN(MinimalCell(3)))
    assert gj.Model(x, both(x))(data(2, STEPS, FEATURES)).shape == (2, 6)


def test_configurations_hold_the_cells() -> None:
    layers = [
        L.RNN(L.GRUCell(3, reset_after=False), go_backwards=True),
        L.RNN([L.LSTMCell(3), MinimalCell(2, doubled=True)]),
    ]
    for layer in layers:
        x = L.Input((STEPS, FEATURES))
        model = gj.Model(x, layer(x))
        again = gj.Model.from_config(model.get_config())
        assert again.get_config() == model.get_config()
        again.set_weights(model.get_weights())
        array = data(2, STEPS, FEATURES)
        np.testing.assert_array_equal(again(array), model(array))
    config = L.RNN(L.GRUCell(3)).get_config()
    assert config["cell"]["class_name"] == "GRUCell"
    assert config["cell"]["config"]["units"] == 3
    cells = L.StackedRNNCells([L.GRUCell(3)]).get_config()["cells"]
    assert [cell["class_name"] for cell in cells] == ["GRUCell"]
    again = L.StackedRNNCells.from_config(L.StackedRNNCells(cells=cells).get_config())
    assert again.state_size == [3]


def test_saved_and_loaded() -> None:
    x = L.Input((STEPS, FEATURES))
    layer = L.RNN([L.LSTMCell(3, dropout=0.3), L.GRUCell(2)], return_sequences=True)
    model = gj.Model(x, layer(x))
    again = gj.from_bytes(gj.to_bytes(model))
    assert again.graph == model.graph
    array = data(2, STEPS, FEATURES)
    np.testing.assert_array_equal(again(array), model(array))


# --- refusals -------------------------------------------------------------------------


def test_a_cell_has_states() -> None:
    text = r"expected a cell: a layer with state_size, received "
    with pytest.raises(CaptureError, match=rf"^RNN: cell: {text}Dense\(units=3\)$"):
        L.RNN(L.Dense(3))
    text = rf"^StackedRNNCells: cells: {text}\[Dense\(units=3\)\]$"
    with pytest.raises(CaptureError, match=text):
        L.StackedRNNCells([L.Dense(3)])


def test_what_is_no_cell_at_all() -> None:
    with pytest.raises(CaptureError, match=r"^StackedRNNCells: cells: expected a list"):
        L.StackedRNNCells([])
    with pytest.raises(CaptureError, match=r"^RNN: cell: expected a layer, or a dict"):
        L.RNN(3)


class Forgetful(MinimalCell):
    def emit(self, emitter: Emitter, *inputs: Value, constants: Any = ()) -> Any:
        return super().emit(emitter, *inputs)[0]


class Updating(MinimalCell):
    def emit(self, emitter: Emitter, *inputs: Value, constants: Any = ()) -> Any:
        emitter.state("seen", (), Zeros())
        emitter.update("seen", inputs[0])
        return super().emit(emitter, *inputs)


class Shapeless(MinimalCell):
    def emit(self, emitter: Emitter, *inputs: Value, constants: Any = ()) -> Any:
        x, h = inputs
        return [emitter(Multiply(), x, x), h]


def test_cells_that_break_the_protocol() -> None:
    x = L.Input((STEPS, FEATURES))
    text = "^Forgetful: expected the cell to return an output and 1 states, received 0$"
    with pytest.raises(CaptureError, match=text):
        L.RNN(Forgetful(UNITS))(x)
    with pytest.raises(CaptureError, match="state 'seen' cannot be updated in a loop"):
        L.RNN(Updating(UNITS))(x)
    free = L.Input((STEPS, None))
    text = (
        r"^RNN: the output of a step must have known dims, it is float32\[batch, \?\]"
    )
    with pytest.raises(ShapeError, match=text):
        L.RNN(Shapeless(UNITS))(free)


def test_cells_called_alone_want_their_states() -> None:
    text = r"^LSTMCell: expected a list of an input and 2 states, received 1 states\n"
    with pytest.raises(CaptureError, match=text + ".*RNN\\(cell\\) runs a cell"):
        L.LSTMCell(2)([L.Input((3,)), L.Input((2,))])
    text = r"^StackedRNNCells: expected a list of an input and 1 states, received 0"
    with pytest.raises(CaptureError, match=text):
        L.StackedRNNCells([L.GRUCell(2)])(L.Input((3,)))


def test_constants_are_tensors() -> None:
    text = "^RNN: constants: expected a tensor or a list of tensors$"
    with pytest.raises(CaptureError, match=text):
        L.RNN(MinimalCell(2))(L.Input((4, 3)), constants=[1.0])


def test_sequences_of_rank_3_at_least() -> None:
    text = r"^RNN: expected an input of rank >= 3 \(n, t, …\), received rank 2: "
    with pytest.raises(ShapeError, match=text):
        L.RNN(L.GRUCell(2))(L.Input((3,)))
