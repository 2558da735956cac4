"""HDF5 files that nobody should trust, and a chain that begins with a merge."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphjit as gj
from graphjit import keras1
from graphjit.errors import FormatError
from graphjit.layers import (
    Dense,
)

h5py = pytest.importorskip("h5py")


def chain(*names: str) -> gj.Sequential:
    """Dense layers of 4, 3, … units."""
    model = gj.Sequential(name="chain")
    for at, name in enumerate(names):
        first = {"input_dim": 5} if at == 0 else {}
        model.add(Dense(4 - at, name=name, **first))
    return model


def merged() -> gj.Sequential:
    left = keras1.Sequential([keras1.Dense(3, input_dim=4)])
    right = keras1.Sequential([keras1.Dense(3, input_dim=5)])
    both = keras1.Merge([left, right], mode="concat")
    return keras1.Sequential([both, keras1.Dense(2)])


def randomized(model: gj.Model) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    weights = [rng.random(w.shape).astype(np.float32) for w in model.get_weights()]
    model.set_weights(weights)
    return weights


def test_a_model_from_its_text_takes_its_weights(tmp_path: Path) -> None:
    model = merged()
    weights = randomized(model)
    model.save_weights(tmp_path / "w.h5")
    again = gj.model_from_json(model.to_json())
    again.load_weights(tmp_path / "w.h5")
    for old, new in zip(weights, again.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def _external(file: Any, folder: Path) -> None:
    del file["a/a/kernel:0"]
    other = [(str(folder / "secret"), 0, 80)]
    file["a/a"].create_dataset("kernel:0", (5, 4), "f4", external=other)


def _soft(file: Any, folder: Path) -> None:
    file["a/a"].move("kernel:0", "k")
    file["a/a"]["kernel:0"] = h5py.SoftLink("/a/a/k")


def _link(file: Any, folder: Path) -> None:
    del file["a/a/kernel:0"]
    file["a/a"]["kernel:0"] = h5py.ExternalLink(str(folder / "other.h5"), "/k")


def _strings(file: Any, folder: Path) -> None:
    del file["a/a/kernel:0"]
    file["a/a"]["kernel:0"] = ["text"]


def _bomb(file: Any, folder: Path) -> None:
    del file["a/a/kernel:0"]
    shape = (2**20, 2**20)
    file["a/a"].create_dataset("kernel:0", shape, "f4", chunks=(64, 64))


def _names(file: Any, folder: Path) -> None:
    file.attrs["layer_names"] = [b"a", b"nothing"]


HOSTILE: dict[str, tuple[Callable[[Any, Path], None], str]] = {
    "external storage": (_external, "its data are in other files"),
    "soft link": (_soft, "received a link"),
    "external link": (_link, "received a link"),
    "strings": (_strings, "expected an array of numbers"),
    "shape bomb": (_bomb, "bytes|limit"),
    "names of nothing": (_names, "nothing is there"),
}


@pytest.mark.parametrize(("damage", "text"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_refused(
    damage: Callable[[Any, Path], None], text: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(b"secret" * 100)
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["k"] = np.zeros((5, 4), np.float32)
    model = chain("a")
    before = model.get_weights()
    model.save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "r+") as file:
        damage(file, tmp_path)
    with pytest.raises(FormatError, match=text):
        model.load_weights(tmp_path / "w.h5")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_is_no_such_file(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text(json.dumps({}))
    with pytest.raises(FormatError, match="not an HDF5 file"):
        chain("a").load_weights(tmp_path / "text.h5")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(FormatError, match=re.escape("no weights of Keras")):
        chain("a").load_weights(tmp_path / "empty.h5")
    with pytest.raises(FileNotFoundError, match=re.escape("none.h5")):
        chain("a").load_weights(tmp_path / "none.h5")
