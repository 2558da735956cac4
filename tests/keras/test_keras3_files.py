"""Files that Keras 3 writes here, `.keras` and `.h5`, judged against Keras 3 itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.capture.layer import Layer
from tests.conformance.layer_case import LayerCase
from tests.conformance.layer_table import LAYER_ROWS
from tests.test_model_text import model_of, with_random_weights

keras = pytest.importorskip("keras")

#: The first case of every layer that Keras 3 spells as we do.
CASES = [
    pytest.param(row.layer, case, id=f"{row.layer.__name__}{case}")
    for row in LAYER_ROWS
    for case in [c for c in row.cases if c.keras == c.settings][:1]
    # Keras 3 takes a normalization's statistics from `adapt` alone.
    if row.layer not in (L.Lambda, L.Normalization)
]
#: What Keras says of its own code and files.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning",
    "ignore:Argument `alpha` is deprecated:UserWarning",
    "ignore:.*destroy the mask:UserWarning",
)


@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.parametrize(("layer", "case"), CASES)
def test_every_layer(
    layer: type[Layer], case: LayerCase, ending: str, tmp_path: Path
) -> None:
    ours = with_random_weights(model_of(layer(**case.settings), case))
    theirs = keras.models.model_from_json(ours.to_json())
    theirs.set_weights(ours.get_weights())
    theirs.save(tmp_path / f"m.{ending}")
    model = gj.keras.load_model(tmp_path / f"m.{ending}")
    assert model.graph.nodes == ours.graph.nodes
    for found, wanted in zip(model.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert model.provenance is not None
    assert model.provenance.writer == f"Keras {keras.__version__}"


# --- models -----------------------------------------------------------------------


def nested() -> Any:
    """Models in wrappers, layers shared between places, cells, several outputs."""
    k = keras.layers
    x = keras.Input((5, 4), name="x")
    chain = keras.Sequential(
        [keras.Input((4,)), k.Dense(3), k.BatchNormalization(), k.Dense(4)],
        name="chain",
    )
    shared = k.Dense(4, name="shared")
    y = k.TimeDistributed(chain)(x)
    y = k.TimeDistributed(shared)(y)
    y = k.Bidirectional(k.LSTM(3, return_sequences=True))(y)
    y = k.RNN(k.GRUCell(3), return_sequences=True)(y)
    cells = [k.GRUCell(3), k.LSTMCell(3), k.GRUCell(3)]
    y = k.RNN(cells, return_sequences=True)(y)
    y = k.MultiHeadAttention(2, 3, dropout=0.1)(y, y)
    y = k.ConvLSTM1D(2, 3, return_sequences=True)(k.Reshape((5, 3, 1))(y))
    y = k.Dropout(0.2)(k.Dense(4)(k.Flatten()(y)))
    y = shared(y)
    start = keras.Input((4,))
    inner = keras.Model(
        start, [k.Dense(4)(k.Dropout(0.5)(start)), k.Dense(4)(start)], name="inner"
    )
    a, b = inner(y)
    y = chain(k.Add()([a, b]))
    y = k.Conv1D(2, 2)(k.Reshape((4, 1))(y))
    y = k.SeparableConv1D(2, 2)(y)
    return keras.Model(x, [k.Attention(use_scale=True)([y, y]), a])


@pytest.fixture(scope="module")
def nested_run() -> tuple[Any, Any, list[Any]]:
    """The model with random weights, an input, and what Keras gives for it."""
    theirs = nested()
    rng = np.random.default_rng(5)
    theirs.set_weights([rng.random(v.shape) * 0.5 + 0.1 for v in theirs.weights])
    x = np.random.default_rng(0).random((2, 5, 4)).astype(np.float32)
    return theirs, x, [np.asarray(each) for each in theirs(x)]


def agree(model: gj.Model, x: Any, wanted: list[Any]) -> None:
    for ours, other in zip(model.predict(x), wanted, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("ending", ["keras", "h5", "weights.h5"])
def test_nested_and_shared(
    ending: str, nested_run: tuple[Any, Any, list[Any]], tmp_path: Path
) -> None:
    theirs, x, wanted = nested_run
    path = tmp_path / f"m.{ending}"
    if ending == "weights.h5":
        theirs.save_weights(path)
        model = gj.keras.load_model(path, config=theirs.to_json())
    else:
        theirs.save(path)
        model = gj.keras.load_model(path)
    agree(model, x, wanted)
    model.save(tmp_path / "m.gjit")
    agree(gj.load(tmp_path / "m.gjit"), x, wanted)


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_masks_that_end_are_reported(ending: str, tmp_path: Path) -> None:
    k = keras.layers
    theirs = keras.Sequential(
        [
            keras.Input((6,)),
            k.Embedding(5, 4, mask_zero=True),
            k.Conv1D(3, 2, name="conv"),
            k.LSTM(2),
        ]
    )
    theirs.save(tmp_path / f"m.{ending}")
    model = gj.keras.load_model(tmp_path / f"m.{ending}")
    assert model.provenance is not None
    (note,) = model.provenance.notes
    assert note.startswith("Conv1D 'conv' cannot carry a mask")
    x = np.array([[1, 2, 0, 3, 0, 0]], np.int32)
    np.testing.assert_allclose(model.predict(x), np.asarray(theirs(x)), atol=1e-6)
    model.save(tmp_path / "m.gjit")
    again = gj.load(tmp_path / "m.gjit")
    assert again.graph == model.graph
    assert len(again.layers) == len(model.layers)
