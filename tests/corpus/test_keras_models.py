"""Genuine files of Keras 2 and 3, loaded whole by `gj.keras.load_model`."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphjit as gj
from graphjit_cli import main

#: The models of the corpus.
MODELS = 23
#: Of those recorded by the Keras that wrote them: the model, and which files are which.
RECORDED = {
    "fullconfigs_cnn_batch_norm": ("cnn_batch_norm.h5",),
    "mnist_mlp_tf_keras_2": (
        "mnist_mlp_tf_keras_2_config.json",
        "mnist_mlp_tf_keras_2_weights.h5",
    ),
    "simple_rnn_tf_keras_2": ("simple_rnn_tf_keras_2_model.h5",),
}


@functools.cache
def entries(corpus: Path) -> list[dict[str, Any]]:
    return json.loads((corpus / "index_give.json").read_text())


def loaded(corpus: Path, files: Any) -> gj.Model:
    return gj.keras.load_model(*(corpus / "models" / name for name in files))


def converted(corpus: Path, files: Any, target: Path) -> gj.Model:
    """The model that ``graphjit convert`` writes."""
    first, *weights = (str(corpus / "models" / name) for name in files)
    beside = ["--weights", *weights] if weights else []
    assert main(["convert", first, str(target), *beside]) == 0
    return gj.load(target)


def ran(file: Path, x: Any, names: list[str]) -> list[Any]:
    """What ``graphjit run`` makes of the inputs."""
    given, outputs = file.with_name("x.npz"), file.with_name("y.npz")
    np.savez(given, *outputs_of(x))
    arguments = ["--input", str(given), "--output", str(outputs)]
    assert main(["run", str(file), *arguments]) == 0
    with np.load(outputs) as found:
        assert found.files == names
        return [found[name] for name in names]


def outputs_of(found: Any) -> list[Any]:
    return list(found) if isinstance(found, (list, tuple)) else [found]


def recorded_of(corpus: Path, entry: dict[str, Any]) -> tuple[Any, list[Any]]:
    """The inputs of a model, as it takes them, and what it gave for them."""
    with np.load(corpus / "refs" / f"{entry['name']}.npz") as recorded:
        names = sorted(recorded.files)
        x = [recorded[name] for name in names if name.startswith("x")]
        y = [recorded[name] for name in names if name.startswith("y")]
    return x if len(x) > 1 else x[0], y


def check(found: Any, wanted: list[Any], tolerance: float = 1e-5) -> None:
    for ours, theirs in zip(outputs_of(found), wanted, strict=True):
        size = max(1.0, float(np.abs(theirs).max()))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * size)


def test_all_files_are_there(corpus: Path) -> None:
    assert len(entries(corpus)) == MODELS


@pytest.mark.parametrize("index", range(MODELS))
def test_a_genuine_model(index: int, corpus: Path, tmp_path: Path) -> None:
    entry = entries(corpus)[index]
    model = loaded(corpus, entry["files"])
    x, y = recorded_of(corpus, entry)
    eager = model.apply(model.variables, x)
    check(eager, y)
    check(gj.jit(model)(x), y)
    check(model.predict(x), y)
    again = converted(corpus, entry["files"], tmp_path / "m.gjit")
    assert again.graph == model.graph
    assert again.provenance == model.provenance
    check(ran(tmp_path / "m.gjit", x, model.output_names), y)
    assert model.provenance is not None
    assert entry["keras_version"].split()[0] in model.provenance.writer
    assert model.count_params() == entry["params"]


@pytest.mark.parametrize("name", RECORDED)
def test_what_the_writer_recorded(name: str, corpus: Path) -> None:
    """Outputs, and those of layers on the way, as Keras 2 computed them then."""
    model = loaded(corpus, RECORDED[name])
    with np.load(corpus / "recorded" / f"{name}.npz") as recorded:
        arrays = dict(recorded)
    check(model.predict(arrays["x0"]), [arrays["y0"]])
    for key, wanted in arrays.items():
        if key.startswith("act__"):
            layer = model.get_layer(key.removeprefix("act__"))
            part = gj.Model(model.inputs, layer.output)
            found = np.asarray(part.predict(arrays["x0"]))
            check(found.reshape(wanted.shape), [wanted])
