"""Whole models and their files, saved by `save_model`: shared, nested, masked, …"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.errors import FormatError
from tests.every_call import every_call
from tests.keras.saved_models import ENDINGS, data, saved
from tests.test_model_text import with_random_weights

keras = pytest.importorskip("keras")


#: What Keras says of its own code.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)


# --- models --------------------------------------------------------------------------


def calls_of_every_kind() -> tuple[gj.Model, Any]:
    return every_call(), [data(2, 4, 3), data(2, 5, 3, seed=1)]


def shared_between_places() -> tuple[gj.Model, Any]:
    """A layer in a model, in a wrapper and in a chain in a wrapper."""
    x = gj.Input((5, 4))
    layer = L.Dense(4, name="shared")
    chain = gj.Sequential(
        [L.Dense(4, input_shape=(4,)), layer, L.BatchNormalization()], name="chain"
    )
    y = L.TimeDistributed(layer)(x)
    y = L.TimeDistributed(chain)(y)
    z = L.Dense(4)(L.Flatten()(y))
    return gj.Model(x, [chain(layer(z)), y]), data(2, 5, 4)


def cells_and_directions() -> tuple[gj.Model, Any]:
    """Cells, both directions with layers of their own, states kept, a fixed batch."""
    x = gj.Input(batch_shape=(2, 5, 3))
    y = L.Bidirectional(
        L.LSTM(3, return_sequences=True),
        merge_mode="sum",
        backward_layer=L.GRU(3, return_sequences=True, go_backwards=True),
    )(x)
    y = L.RNN([L.GRUCell(3), L.LSTMCell(2), L.GRUCell(3)], return_sequences=True)(y)
    y = L.ConvLSTM1D(2, 2, return_sequences=True)(L.Reshape((5, 3, 1))(y))
    y = L.GRU(3, stateful=True)(L.Reshape((5, 4))(y))
    return gj.Model(x, y), data(2, 5, 3)


def masked() -> tuple[gj.Model, Any]:
    ids = gj.Input((6,), dtype="int32")
    y = L.Embedding(7, 4, mask_zero=True)(ids)
    y = L.Bidirectional(L.LSTM(3, return_sequences=True))(L.Dropout(0.3)(y))
    y = L.TimeDistributed(L.Dense(3, activation="tanh"))(y)
    pooled = L.GlobalAveragePooling1D()(y)
    dropped = L.Conv1D(3, 2, drop_mask=True)(y)
    y = L.Concatenate()([pooled, L.GRU(2)(y), L.Flatten()(dropped)])
    rows = np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 1, 2, 0]], np.int32)
    return gj.Model(ids, y), rows


def frozen() -> tuple[gj.Model, Any]:
    """Weights come trained first: what is frozen changes their order in HDF5."""
    x = gj.Input((4,))
    inner = gj.Sequential(
        [
            L.Dense(3, input_shape=(4,), trainable=False),
            L.BatchNormalization(),
            L.Dense(4),
        ],
        name="inner",
    )
    whole = gj.Sequential(
        [L.Dense(4, input_shape=(4,)), L.BatchNormalization()], name="whole"
    )
    whole.trainable = False
    return gj.Model(x, whole(inner(x))), data(3, 4)


def of_chains() -> tuple[gj.Model, Any]:
    inner = gj.Sequential([L.Dense(3, input_shape=(4,)), L.ReLU()])
    return gj.Sequential([inner, L.Dense(2, activation="softmax")]), data(3, 4)


def of_a_model_alone() -> tuple[gj.Model, Any]:
    """A chain of one model, which says what the chain's input is."""
    x = gj.Input((4,))
    inner = gj.Model(x, L.Dense(2)(x))
    return gj.Sequential([gj.Sequential([inner])]), data(3, 4)


def that_begins_with_a_merge() -> tuple[gj.Model, Any]:
    """Keras 1's chains of several inputs: a graph in what Keras reads today."""
    parts = [gj.Sequential([L.Dense(n, input_shape=(4,))]) for n in (2, 3)]
    merge = gj.keras1.Merge(parts, mode="concat")
    return gj.Sequential([merge, L.Dense(2)]), [data(3, 4), data(3, 4, seed=1)]


MODELS = (
    calls_of_every_kind,
    shared_between_places,
    cells_and_directions,
    masked,
    frozen,
    of_chains,
    of_a_model_alone,
    that_begins_with_a_merge,
)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
@pytest.mark.filterwarnings("ignore:.*destroy the mask:UserWarning")
def test_models(
    make: Callable[[], tuple[gj.Model, Any]], ending: str, tmp_path: Path
) -> None:
    model, x = make()
    with_random_weights(model)
    path = tmp_path / f"m.{ending}"
    theirs, _ = saved(model, path, x)
    a_chain = isinstance(model, gj.Sequential) and len(model.graph.inputs) == 1
    assert isinstance(theirs, keras.Sequential) == a_chain
    assert theirs.name == model.graph.name
    if make is not shared_between_places:  # some become layers of their own
        ours, again = model.training_graph(), gj.keras.load_model(path).training_graph()
        flags = [param.trainable for param in ours.params if not param.is_state]
        found = [param.trainable for param in again.params if not param.is_state]
        assert found == flags
        assert len(theirs.trainable_weights) == sum(flags)


def test_weights_shared_with_a_wrapper_are_one_layer(tmp_path: Path) -> None:
    x = gj.Input((5, 4))
    layer = L.Dense(4, name="shared")
    y = L.TimeDistributed(layer, name="steps")(x)
    model = gj.Model(x, [y, layer(L.Dense(4)(L.Flatten()(y)))])
    rows = data(2, 5, 4)
    theirs, notes = saved(with_random_weights(model), tmp_path / "m.keras", rows)
    assert theirs.get_layer("steps").layer is theirs.get_layer("shared")
    assert len(theirs.weights) == len(model.get_weights())
    assert notes == ()
    theirs, notes = saved(model, tmp_path / "m.h5", rows)
    assert theirs.get_layer("steps").layer is not theirs.get_layer("shared")
    text = "shared stands at several places: in the file they are layers of their own"
    assert notes == (text,)


# --- files ---------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ENDINGS)
def test_equal_models_give_equal_bytes(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"m.{ending}"
    model = every_call()
    with_random_weights(model)
    model.compile("adam", "mse")
    gj.keras.save_model(model, path)
    first = path.read_bytes()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 100)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(0))
    again = every_call()
    with_random_weights(again)
    again.compile("adam", "mse")
    gj.keras.save_model(again, path)
    assert path.read_bytes() == first


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_that_cannot_be_finished_leaves_the_old_one(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import h5py

    path = tmp_path / f"m.{ending}"
    path.write_bytes(b"old")
    model = gj.Sequential([L.Dense(2, input_shape=(3,), name="d")])

    def full(*args: Any, **kwargs: Any) -> Any:
        raise OSError("no space left")

    monkeypatch.setattr(h5py.Group, "create_dataset", full)
    with pytest.raises(OSError, match="no space left"):
        gj.keras.save_model(model, path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.gjit", r"m\.gjit: expected a name that ends in \.keras, .*\n.*model\.save"),
        ("m.weights.h5", r"expected a name .*\n  hint: model\.save_weights\(path\)"),
    ],
)
def test_other_endings(name: str, text: str, tmp_path: Path) -> None:
    model = gj.Sequential([L.Dense(2, input_shape=(3,))])
    with pytest.raises(FormatError, match=text):
        gj.keras.save_model(model, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_class_of_the_users_is_refused(tmp_path: Path) -> None:
    class Mine(L.Dense):
        """A layer that only its author has."""

    x = gj.Input((3,))
    model = gj.Model(x, L.TimeDistributed(Mine(2))(L.RepeatVector(2)(x)))
    text = r"Mine 'time_distributed/layer': Mine is a class of the user's"
    with pytest.raises(FormatError, match=text):
        gj.keras.save_model(model, tmp_path / "m.h5")
    plain = gj.Model(x, L.Dense(2, activation=lambda v: v**2, name="d")(x))
    text = r"Dense 'd': activation: '<lambda>' is a function, which no file holds"
    with pytest.raises(FormatError, match=text):
        gj.keras.save_model(plain, tmp_path / "m.keras")


def test_a_layer_of_keras_2_with_what_only_keras_3_says(tmp_path: Path) -> None:
    x = gj.Input((9, 4))
    y = L.LocallyConnected1D(3, 2)(x)
    model = gj.Model(x, L.LSTM(2, recurrent_activation="hard_sigmoid")(y))
    with pytest.raises(FormatError, match="one part of the model only Keras 2 can say"):
        gj.keras.save_model(model, tmp_path / "m.h5")
    assert not list(tmp_path.iterdir())
