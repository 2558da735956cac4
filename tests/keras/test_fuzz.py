"""Mutants of small genuine files: an error of ours, or a right model.

``python -m tests.keras.fuzz`` runs as many as there is time for, in a process of their
own; here a few run in each run of the suite.
"""

from __future__ import annotations

import random
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from tests.keras.attacks.zip_files import archive
from tests.keras.fuzz import harmless, json_mutations, worker
from tests.keras.fuzz.mutants import mutant
from tests.keras.fuzz.originals import Original, originals_in
from tests.keras.keras1_files import entry, write_model
from tests.profiles import examples


def functional(path: Path) -> Path:
    """Two branches, a layer called twice, a model in the model."""
    x = gj.Input((6, 2), name="x")
    shared = L.Dense(2, name="shared")
    inner = gj.Sequential([L.Dense(2, input_shape=(2,), name="in")], name="inner")
    y = L.Add(name="add")([shared(L.LSTM(2, name="lstm")(x)), L.GRU(2, name="gru")(x)])
    model = gj.Model(x, L.BatchNormalization(name="norm")(inner(shared(y))), name="m")
    model.save_weights(path)
    with h5py.File(path, "r+") as file:
        weights = file.create_group("model_weights")
        for name in list(file):
            if name != "model_weights":
                file.move(name, f"model_weights/{name}")
        for key, value in file.attrs.items():
            weights.attrs[key] = value
        del file.attrs["layer_names"]
        file.attrs["model_config"] = model.to_json()
    return path


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Original]:
    folder = tmp_path_factory.mktemp("originals")
    functional(folder / "functional.h5")
    archive(folder / "chain.keras")
    config = [
        entry("Dense", "d", batch_input_shape=[None, 3], output_dim=2, init="uniform"),
        entry("Activation", "a", activation="hard_sigmoid"),
    ]
    arrays = {"W": np.ones((3, 2)), "b": np.ones(2)}
    write_model(folder / "one.h5", config, [("d", arrays), ("a", {})])
    found = originals_in([folder])
    assert len(found) == 3
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutants")


@examples(150)
@given(number=st.integers(0, 10**6))
def test_mutants(number: int, originals: list[Original], folder: Path) -> None:
    made = mutant(number, 0, originals, folder)
    found = worker.judged(made)
    assert "finding" not in found, f"--seed 0 --only {number}: {made.done}"


@examples(20)
@given(seed=st.integers(0, 10**6))
def test_what_is_said_otherwise_is_the_same(
    seed: int, originals: list[Original], folder: Path
) -> None:
    rng = random.Random(seed)
    original = rng.choice(originals)
    path = folder / f"said{original.path.suffix}"
    path.write_bytes(original.data)
    if original.is_zip:
        path.write_bytes(harmless.rewritten_zip(original.data, rng))
    else:
        with h5py.File(path, "r+") as file:
            harmless.rewrite_hdf5(file, rng)
    assert worker.fingerprint(gj.keras.load_model(path)) == original.fingerprint
    told: Any = gj.keras.load_model(harmless.rewritten_json(original.root, rng))
    assert str(told.graph) == str(original.load().graph)


def test_mutants_are_many_and_come_back(
    originals: list[Original], folder: Path
) -> None:
    kinds = {mutant(n, 0, originals, folder).kind for n in range(60)}
    assert kinds >= {"config", "hdf5", "bytes", "training", "zip", "harmless"}
    for number in (3, 4, 5):
        first = mutant(number, 0, originals, folder)
        data = first.path.read_bytes()
        again = mutant(number, 0, originals, folder)
        assert (again.done, again.given) == (first.done, first.given)
        if not zipfile.is_zipfile(again.path) and first.kind != "hdf5":
            assert again.path.read_bytes() == data


def test_the_judge_finds_what_is_wrong(
    originals: list[Original], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = next(
        found
        for found in (mutant(n, 0, originals, folder) for n in range(200))
        if found.is_harmless
    )

    def wrong(*_: Any, **__: Any) -> Any:
        raise KeyError("wrong")

    def another(*_: Any, **__: Any) -> Any:
        return gj.Sequential([L.Dense(7, input_shape=(1,))])

    monkeypatch.setattr(gj.keras, "load_model", wrong)
    assert "KeyError" in worker.judged(made)["finding"]
    monkeypatch.setattr(gj.keras, "load_model", another)
    assert worker.judged(made)["finding"] == "harmless, but another model"


def test_configurations_are_changed() -> None:
    root = {
        "class_name": "Sequential",
        "config": [{"class_name": "Dense", "config": {}}],
    }
    made = {
        json_mutations.mutated_text(root, random.Random(n), [root])[0]
        for n in range(50)
    }
    assert len(made) > 40
