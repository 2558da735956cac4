"""Genuine models saved again by `save_model`: here and in Keras 3 as recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import graphjit as gj
from tests.corpus.test_keras_models import MODELS, check, entries, loaded, recorded_of
from tests.keras.same_models import check_same

keras = pytest.importorskip("keras")

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning",
    "ignore:.*destroy the mask:UserWarning",
)


@pytest.mark.parametrize("index", range(MODELS))
def test_a_genuine_model_saved_again(index: int, corpus: Path, tmp_path: Path) -> None:
    entry = entries(corpus)[index]
    model = loaded(corpus, entry["files"])
    x, y = recorded_of(corpus, entry)
    theirs: list[Any] = []
    for ending in ("keras", "h5"):
        path = tmp_path / f"m.{ending}"
        gj.keras.save_model(model, path)
        again = gj.keras.load_model(path)
        if ending == "keras":
            check(again.predict(x), y)
        theirs.append(keras.saving.load_model(path, compile=False))
    # One call of Keras: its model from HDF5 is the same one.
    archive, hdf5 = theirs
    check(archive(x), y)
    check_same(archive, hdf5)
