"""How a model is compiled, as `save_model` writes it and Keras reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from tests.keras.saved_models import ENDINGS, data

keras = pytest.importorskip("keras")


#: What Keras says of its own code.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)


OPTIMIZERS = {
    "SGD": gj.optimizers.SGD(0.1, momentum=0.9, nesterov=True, clipnorm=1.0),
    "RMSprop": gj.optimizers.RMSprop(0.02, centered=True, momentum=0.5),
    "Adam": gj.optimizers.Adam(0.03, amsgrad=True, weight_decay=0.01),
    "Nadam": gj.optimizers.Nadam(0.02),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_compiled(name: str, ending: str, tmp_path: Path) -> None:
    x = gj.Input((4,))
    y = L.Dense(3, activation="softmax", name="a")(x)
    model = gj.Model(x, [y, L.Dense(2, name="b")(x)])
    model.compile(
        OPTIMIZERS[name],
        [gj.losses.CategoricalCrossentropy(label_smoothing=0.1), "mse"],
        metrics=[["accuracy"], ["mae"]],
        loss_weights=[1.0, 0.5],
    )
    path = tmp_path / f"m.{ending}"
    notes = gj.keras.save_model(model, path)
    assert notes == ("the state of the optimizer is not written: it begins anew",)
    theirs = keras.saving.load_model(path)
    assert type(theirs.optimizer).__name__ == name
    settings = OPTIMIZERS[name].get_config()
    config = theirs.optimizer.get_config()
    for key, value in settings.items():
        assert config[key] == pytest.approx(value), key
    rows, targets = data(6, 4), [np.eye(3)[[0, 1, 2, 0, 1, 2]], data(6, 2)]
    again = gj.keras.load_model(path)
    ours = model.evaluate(rows, targets, verbose=0)
    assert again.evaluate(rows, targets, verbose=0) == pytest.approx(ours, rel=1e-5)
    wanted = theirs.evaluate(rows, targets, verbose=0)
    # Keras gives the loss, the outputs' losses, their metrics, as we do.
    np.testing.assert_allclose(ours, wanted, rtol=1e-5)
    model.train_on_batch(rows, targets)
    theirs.train_on_batch(rows, targets)
    for one, other in zip(model.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_written_of_how_it_is_compiled(tmp_path: Path) -> None:
    import optax

    model = gj.Sequential([L.Dense(2, input_shape=(3,))])
    path = tmp_path / "m.keras"

    def notes(*args: Any, **kwargs: Any) -> str:
        model.compile(*args, **kwargs)
        return "\n".join(gj.keras.save_model(model, path))

    assert "its optimizer is optax's own" in notes(optax.sgd(0.1), "mse")
    assert "its loss is a function" in notes("sgd", lambda y, p: (y - p) ** 2)
    assert not keras.saving.load_model(path).compiled
    rate = optax.linear_schedule(0.5, 0.0, 9)
    assert "it stays at 0.5" in notes(gj.optimizers.SGD(rate), "mse", ["Huber", "mae"])
    assert float(keras.saving.load_model(path).optimizer.learning_rate.numpy()) == 0.5
    assert "the metric 'huber' is left out" in notes("sgd", "mse", ["huber", "mae"])
