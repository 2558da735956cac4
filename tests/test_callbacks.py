"""Callbacks: when they are called, what they get, and what they may do."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import graphjit as gj
from graphjit.callbacks import Callback, EarlyStopping, History, LambdaCallback
from graphjit.errors import CaptureError

ROWS, BATCHES = 10, 3


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


def compiled() -> gj.Model:
    x = gj.Input((3,))
    model = gj.Model(x, gj.layers.Dense(1, name="dense")(x))
    model.compile(gj.optimizers.SGD(0.1), "mse", ["mae"])
    return model


def fit(model: gj.Model, *callbacks: Callback, **given: Any) -> History:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 3)).astype("float32")
    given = {"epochs": 2, "batch_size": 4, "verbose": 0, **given}
    return model.fit(x, x.sum(1), callbacks=list(callbacks), **given)


class Recorder(Callback):
    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.told.append("train begins")

    def on_train_end(self, logs: Any = None) -> None:
        self.told.append(("train ends", sorted(logs)))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.told.append(f"epoch {epoch} begins")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        assert all(type(value) is float for value in logs.values())
        self.told.append((f"epoch {epoch} ends", sorted(logs)))
        logs.clear()  # it is this callback's own copy


class Batches(Callback):
    def __init__(self) -> None:
        self.begun: list[int] = []
        self.means: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.begun.append(batch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.means.append(logs["loss"])


def test_when_callbacks_are_called() -> None:
    recorder = Recorder()
    history = fit(compiled(), recorder, validation_split=0.2)
    names = ["loss", "mae", "val_loss", "val_mae"]
    assert recorder.told == [
        "train begins",
        "epoch 0 begins",
        ("epoch 0 ends", names),
        "epoch 1 begins",
        ("epoch 1 ends", names),
        ("train ends", names),
    ]
    assert sorted(history.history) == names
    assert history.epoch == [0, 1]
    assert recorder.params == {"epochs": 2, "steps": 2, "verbose": 0}


def test_batch_callbacks_see_the_running_means() -> None:
    batches = Batches()
    history = fit(compiled(), batches, epochs=1)
    assert batches.begun == list(range(BATCHES))
    assert batches.means[-1] == history.history["loss"][0]
    assert len(set(batches.means)) == BATCHES
    # Listening changes nothing.
    assert fit(compiled(), epochs=1).history == history.history


def test_an_earlier_and_a_later_epoch() -> None:
    history = fit(compiled(), initial_epoch=3, epochs=5)
    assert history.epoch == [3, 4]


def test_functions() -> None:
    told: list[Any] = []
    callback = LambdaCallback(
        on_epoch_end=lambda epoch, logs: told.append((epoch, sorted(logs))),
        on_train_batch_end=lambda batch, logs: told.append(batch),
        on_train_begin=lambda logs: told.append("begin"),
        on_train_end=lambda logs: told.append("end"),
    )
    fit(compiled(), callback, epochs=1)
    assert told == ["begin", 0, 1, 2, (0, ["loss", "mae"]), "end"]


def test_weights_that_a_callback_writes_are_trained_on() -> None:
    model = compiled()
    kernels: list[Any] = []

    class Reset(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            kernels.append(self.model.get_weights()[0])
            self.model.set_weights([np.zeros((3, 1)), np.zeros(1)])

    fit(model, Reset(), epochs=3, shuffle=False)
    # From zeros on the same rows every epoch ends at the same place.
    assert (kernels[0] != kernels[1]).any()
    np.testing.assert_array_equal(kernels[1], kernels[2])
    assert not model.get_weights()[0].any()


def test_stopping() -> None:
    def stop(epoch: int, logs: Any) -> None:
        model.stop_training = epoch == 1

    model = compiled()
    stopper = LambdaCallback(on_epoch_end=stop)
    assert fit(model, stopper, epochs=5).epoch == [0, 1]
    assert fit(model, epochs=2).epoch == [0, 1]  # the next fit begins anew


class Told(EarlyStopping):
    """EarlyStopping on numbers given beforehand."""

    def __init__(self, values: list[float], **settings: Any) -> None:
        super().__init__(monitor="told", **settings)
        self.values = values

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_end(epoch, {"told": self.values[epoch]})


@pytest.mark.parametrize(
    ("values", "settings", "stopped", "best"),
    [
        ([3, 2, 2, 1], {}, 2, 1),
        ([3, 2, 2, 1, 1, 1], {"patience": 2}, 5, 3),
        ([3, 2.9, 2.8, 2.7], {"min_delta": 0.5}, 1, 0),
        ([1, 2, 3, 2], {"mode": "max"}, 3, 2),
        ([3, 4, 2, 2], {"start_from_epoch": 1}, 3, 2),
        ([5, 4, 4, 4], {"baseline": 1, "patience": 2}, 2, 1),
        ([np.nan, np.nan, np.nan], {}, 1, 0),
        ([4, 3, 2, 1], {}, 0, 3),
    ],
)
def test_early_stopping(
    values: list[float], settings: dict[str, Any], stopped: int, best: int
) -> None:
    stopper = Told(values, **settings)
    fit(compiled(), stopper, epochs=len(values))
    assert (stopper.stopped_epoch, stopper.best_epoch) == (stopped, best)


def test_early_stopping_gives_the_best_weights_back() -> None:
    model = compiled()
    seen: list[Any] = []
    watch = LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model.get_weights())
    )
    stopper = Told([3, 1, 2, 2], patience=2, restore_best_weights=True, verbose=0)
    fit(model, watch, stopper, epochs=4)
    assert stopper.stopped_epoch == 3
    for found, wanted in zip(model.get_weights(), seen[1], strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert (seen[3][0] != seen[1][0]).any()


def test_early_stopping_by_name() -> None:
    assert EarlyStopping("val_accuracy")._sign == 1
    assert EarlyStopping("val_loss")._sign == -1
    text = "EarlyStopping: mode: expected 'auto', 'min' or 'max', received 'least'"
    with pytest.raises(CaptureError, match=exactly(text)):
        EarlyStopping(mode="least")
    text = "EarlyStopping: expected 'val_loss' in the logs, received ['loss', 'mae']"
    with pytest.warns(UserWarning, match=exactly(text)):
        fit(compiled(), EarlyStopping(), epochs=1)


def test_what_is_no_callback() -> None:
    text = "callbacks: expected objects of gj.callbacks.Callback, received 3"
    with pytest.raises(CaptureError, match=exactly(text)):
        compiled().fit(np.ones((2, 3)), np.ones(2), callbacks=[3])
