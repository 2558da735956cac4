"""Files whose layers were called with ``training=``: as the Keras that wrote them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.errors import FormatError
from tests.keras.saved_models import ENDINGS, data

keras = pytest.importorskip("keras")

RECORDED = Path(__file__).parent / "recorded" / "training_in_calls.h5"

#: What Keras says of its own code.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)


def state_of(model: gj.Model) -> dict[str, Any]:
    names = [p.name for p in model.graph.params if p.is_state]
    return {name: np.asarray(model.cells[name].array) for name in names}


def test_a_file_of_tf_keras() -> None:
    """Recorded: outputs, which draw, and whose running statistics training moves."""
    recorded = json.loads(RECORDED.with_suffix(".json").read_text())
    x = np.array(recorded["x"], np.float32)
    model = gj.keras.load_model(RECORDED)
    first, second = model.predict(x), model.predict(x)
    results = zip(recorded["names"], first, second, strict=True)
    for name, found, again in results:
        wanted = recorded["outputs"].get(name)
        assert np.array_equal(found, again) == (wanted is not None), name
        if wanted is not None:
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    before = state_of(model)
    model.compile(gj.optimizers.SGD(0.0), "mse")
    model.fit(x, first, batch_size=8, verbose=0)
    after = state_of(model)
    moved = [name for name in before if not np.allclose(before[name], after[name])]
    ours = ["/".join(name.split("/")[-2:]) for name in moved]
    assert ours == [name.removesuffix(":0") for name in recorded["moved"]]


def written_in_keras_3(path: Path) -> Path:
    x = keras.Input((6,), name="x")
    y = keras.layers.Dropout(0.5, name="drop")(x, training=True)
    y = keras.layers.BatchNormalization(name="norm")(y, training=False)
    keras.Model(x, y).save(path)
    return path


@pytest.mark.parametrize("ending", ENDINGS)
def test_keras_3_heeds_it_neither_in_predict_nor_in_fit(
    ending: str, tmp_path: Path
) -> None:
    path = written_in_keras_3(tmp_path / f"m.{ending}")
    model, theirs = gj.keras.load_model(path), keras.saving.load_model(path)
    x = data(8, 6)
    np.testing.assert_allclose(model.predict(x), theirs.predict(x, verbose=0), 1e-5)
    assert model.provenance is not None
    (note,) = [n for n in model.provenance.notes if "training" in n]
    assert note == (
        "Dropout 'drop': it is called with training=True, which Keras 3 heeds neither "
        "in predict nor in fit: nor is it here"
    )
    theirs.compile("sgd", "mse")
    theirs.fit(x, x, batch_size=8, verbose=0)
    assert np.any(theirs.get_layer("norm").moving_mean != 0)
    model.compile("sgd", "mse")
    model.fit(x, x, batch_size=8, verbose=0)
    assert np.any(model.get_layer("norm").get_weights()[2] != 0)


@pytest.mark.parametrize("ending", ENDINGS)
def test_saving_what_keras_3_does_not_heed(ending: str, tmp_path: Path) -> None:
    x = gj.Input((6,), name="x")
    y = L.Dropout(0.5, name="drop")(x, training=True)
    inner = gj.Model(x, y, name="inner")
    model = gj.Model(x, inner(x))
    with pytest.raises(FormatError, match="Keras cannot say one") as caught:
        gj.keras.save_model(model, tmp_path / f"m.{ending}")
    assert caught.value.details == (
        "Dropout 'inner/drop': it is called with training=True, which Keras 3 heeds "
        "neither in predict nor in fit",
    )
    assert not list(tmp_path.iterdir())
    again = gj.keras.load_model(model.to_json())
    assert again.graph == model.graph  # tf.keras's form, which says it


def test_saving_what_keras_3_heeds_in_predict_alone(tmp_path: Path) -> None:
    x = gj.Input((6,), name="x")
    y = L.BatchNormalization(name="norm")(x, training=False)
    model = gj.Model(x, y)
    notes = gj.keras.save_model(model, tmp_path / "m.keras")
    assert notes == (
        "model/norm: it is called with training=False, which Keras 3 heeds in predict "
        "but not in fit: there set trainable=False",
    )
    theirs = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(theirs(data(8, 6)), model.predict(data(8, 6)), 1e-5)


def test_a_mode_that_is_none() -> None:
    recorded = gj.keras.load_model(RECORDED).get_config()
    config = copy.deepcopy(json.loads(json.dumps(recorded)))
    (drop,) = [e for e in config["layers"] if e["name"] == "drawn_true"]
    drop["inbound_nodes"][0][0][3]["training"] = "sometimes"
    root = {"class_name": "Functional", "config": config, "keras_version": "2.11.0"}
    text = "Dropout 'drawn_true': training: expected True, False or None, received 'so"
    with pytest.raises(gj.errors.CaptureError, match=text):
        gj.keras.load_model(root)
