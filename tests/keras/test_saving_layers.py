"""Every layer, saved by `save_model`, as Keras and as graphjit load it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.errors import FormatError
from tests.conformance.layer_case import LayerCase, LayerRow
from tests.conformance.layer_table import LAYER_ROWS
from tests.keras.same_models import check_same
from tests.keras.saved_models import check
from tests.test_model_text import data_of, with_random_weights

keras = pytest.importorskip("keras")

#: What Keras says of its own code and files.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning",
    "ignore:Argument `alpha` is deprecated:UserWarning",
    "ignore:.*rms_scaling.*:UserWarning",
)

#: Layers that Keras cannot say at all, and why.
REFUSED: dict[str, str] = {
    **dict.fromkeys(
        ("Cosine", "Highway", "MaxoutDense", "ParametricSoftplus", "SReLU"),
        "Keras has no .* since Keras 1",
    ),
    "Lambda": "its function is code, which no file holds",
}
#: Layers that HDF5 alone can hold, for Keras 2.
OF_KERAS_2 = ("LocallyConnected1D", "LocallyConnected2D")


def refusal(row: LayerRow, case: LayerCase) -> str | None:
    """Why Keras cannot say this case; None where it can."""
    if case.settings.get("mode", 0):
        return "mode . of Keras 1"
    if row.layer is L.RMSNormalization and case.keras is None:
        return "takes the last axes alone"
    return REFUSED.get(row.layer.__name__)


def side_by_side(row: LayerRow, cases: list[LayerCase]) -> gj.Model:
    """A model that is a call of the layer for every case, each on its own inputs."""
    inputs: list[Any] = []
    outputs: list[Any] = []
    for at, case in enumerate(cases):
        layer = row.layer(**case.settings, name=f"case{at}")
        dtype = layer.first_input.dtype or "float32"
        xs = [
            gj.Input(shape, dtype=dtype, name=f"in{at}_{index}")
            for index, shape in enumerate(case.inputs)
        ]
        inputs += xs
        outputs.append(layer(xs if len(xs) > 1 else xs[0]))
    return with_random_weights(gj.Model(inputs, outputs))


def one_or_all(items: list[Any]) -> Any:
    return items[0] if len(items) == 1 else items


def sayable(row: LayerRow) -> list[LayerCase]:
    return [case for case in row.cases if refusal(row, case) is None]


def name_of(row: LayerRow) -> str:
    return row.layer.__name__


@pytest.mark.parametrize(
    "row",
    [r for r in LAYER_ROWS if sayable(r) and name_of(r) not in OF_KERAS_2],
    ids=name_of,
)
def test_keras_computes_the_same(row: LayerRow, tmp_path: Path) -> None:
    """One call of Keras for all cases; its model from HDF5 must be the same one."""
    cases = sayable(row)
    if row.layer is L.MultiHeadAttention:
        # Keras 3.15 on JAX cannot run heads whose values have a size of their own.
        cases = [case for case in cases if "value_dim" not in case.settings]
    model = side_by_side(row, cases)
    x = one_or_all(data_of(model))
    found = model.predict(x)
    made: list[Any] = []
    for ending in ("keras", "h5"):
        path = tmp_path / f"m.{ending}"
        gj.keras.save_model(model, path)
        made.append(keras.saving.load_model(path, compile=False))
        again = gj.keras.load_model(path)
        if again.graph.nodes == model.graph.nodes:
            for ours, wanted in zip(
                again.get_weights(), model.get_weights(), strict=True
            ):
                np.testing.assert_array_equal(ours, wanted)
        else:
            check(again.predict(x), found)
    archive, hdf5 = made
    check(found, archive(x))
    check_same(archive, hdf5)


@pytest.mark.parametrize(
    "row",
    [r for r in LAYER_ROWS if len(sayable(r)) < len(r.cases)],
    ids=name_of,
)
def test_what_keras_cannot_say_is_refused(row: LayerRow, tmp_path: Path) -> None:
    refused = [case for case in row.cases if refusal(row, case) is not None]
    model = side_by_side(row, refused)
    for ending in ("keras", "h5"):
        path = tmp_path / f"m.{ending}"
        text = refusal(row, refused[0])
        with pytest.raises(FormatError, match=rf"Keras cannot say (?s:.*){text}") as e:
            gj.keras.save_model(model, path)
        for at in range(len(refused)):
            assert f"{name_of(row)} 'case{at}'" in str(e.value)
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "row", [r for r in LAYER_ROWS if name_of(r) in OF_KERAS_2], ids=name_of
)
def test_layers_of_keras_2_alone(row: LayerRow, tmp_path: Path) -> None:
    model = side_by_side(row, list(row.cases))
    with pytest.raises(FormatError, match=r"Keras 3 has no Locally.*; HDF5 \(\.h5\)"):
        gj.keras.save_model(model, tmp_path / "m.keras")
    gj.keras.save_model(model, tmp_path / "m.h5")
    again = gj.keras.load_model(tmp_path / "m.h5")
    assert again.provenance is not None
    assert again.provenance.writer == "tf.keras 2.15.0"
    x = data_of(model)
    check(again.predict(x), model.predict(x))
