"""Genuine files of Keras 2: their configurations as texts, and their weights."""

from __future__ import annotations

import functools
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import graphjit as gj
from graphjit.formats import hdf5, keras_weights
from graphjit.formats.limits import DEFAULT_LIMITS

#: What Keras 2 wrote, whole models; one more is a JSON text and weights alone.
MODELS = 21


@functools.cache
def files(corpus: Path) -> list[dict[str, Any]]:
    index = json.loads((corpus / "index_give.json").read_text())
    return [entry for entry in index if entry["kind"] == "h5"]


def text_of(path: Path) -> str:
    """The configuration in a file of a whole model, as a text with its version."""
    with h5py.File(path) as file:
        found = {key: file.attrs[key] for key in ("model_config", "keras_version")}
    plain = {k: v.decode() if isinstance(v, bytes) else v for k, v in found.items()}
    root = json.loads(plain["model_config"])
    return json.dumps({**root, "keras_version": plain["keras_version"]})


def check(model: gj.Model, recorded: Any) -> None:
    """The outputs are the recorded ones: to 1e-5, of order one."""
    names = sorted(recorded.files)
    x = [recorded[name] for name in names if name.startswith("x")]
    wanted = [recorded[name] for name in names if name.startswith("y")]
    found = model.predict(x if len(x) > 1 else x[0])
    outputs = found if isinstance(found, list) else [found]
    for ours, theirs in zip(outputs, wanted, strict=True):
        size = max(1.0, float(np.abs(theirs).max()))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * size)


def test_all_files_are_there(corpus: Path) -> None:
    assert len(files(corpus)) == MODELS


@pytest.mark.parametrize("index", range(MODELS))
def test_text_and_weights(index: int, corpus: Path, tmp_path: Path) -> None:
    entry = files(corpus)[index]
    path = corpus / "models" / entry["files"][0]
    model = gj.model_from_json(text_of(path))
    model.load_weights(path)
    with np.load(corpus / "refs" / f"{entry['name']}.npz") as recorded:
        check(model, recorded)
    # Our own text and file say the same.
    again = gj.model_from_json(model.to_json())
    assert again.graph == model.graph
    model.save_weights(tmp_path / "w.h5")
    again.load_weights(tmp_path / "w.h5")
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with hdf5.opened(path) as first, hdf5.opened(tmp_path / "w.h5") as second:
        stored = [keras_weights.read(file, DEFAULT_LIMITS) for file in (first, second)]
        shapes = [
            [(layer.name, [w.shape for w in layer.weights]) for layer in file.layers]
            for file in stored
        ]
    assert shapes[0] == shapes[1]


def test_a_json_file_and_a_file_of_weights(corpus: Path) -> None:
    folder = corpus / "models"
    model = gj.model_from_json(
        (folder / "mnist_mlp_tf_keras_2_config.json").read_text()
    )
    model.load_weights(folder / "mnist_mlp_tf_keras_2_weights.h5")
    with np.load(corpus / "refs" / "dl4j__mnist_mlp_tf_keras_2.npz") as recorded:
        check(model, recorded)


def test_a_configuration_of_keras_3(corpus: Path) -> None:
    (path,) = (corpus / "models").glob("*.keras")
    with zipfile.ZipFile(path) as archive:
        text = archive.read("config.json")
    model = gj.model_from_json(text)
    assert model.output_shape == (None, 1)
    assert gj.model_from_json(model.to_json()).graph == model.graph
