"""Files that Keras 1.0 to tf.keras 2.15 wrote, and the outputs they computed.

`old_writers/` has an archive for each of them and the scripts that made it.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import graphjit as gj
from graphjit.errors import FormatError

FOLDER = Path(__file__).parent / "old_writers"


class Case(NamedTuple):
    """One model of one writer, and the endings of its files."""

    writer: str
    name: str
    endings: frozenset[str]

    @property
    def backend(self) -> str | None:
        """What Keras ran on, where the files do not say."""
        return "theano" if self.writer.startswith("keras-1") else None


def _cases() -> list[Case]:
    found: list[Case] = []
    for path in sorted(FOLDER.glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            names = [name.partition(".")[::2] for name in archive.namelist()]
        for model in dict.fromkeys(name for name, _ in names):
            endings = frozenset(end for name, end in names if name == model)
            found.append(Case(path.stem, model, endings))
    return found


CASES = _cases()
#: The writers, and how they name themselves in their files.
SAYS = {
    "keras-1.0.8-theano": "Keras 1.0.8",
    "keras-1.1.2-theano": "Keras 1.1.2",
    "keras-1.2.2-theano": "Keras 1.2.2",
    "keras-2.0.9-tensorflow": "Keras 2.0.9",
    "keras-2.1.6-tensorflow": "Keras 2.1.6",
    "keras-2.2.4-tensorflow": "Keras 2.2.4",
    "keras-2.2.4-theano": "Keras 2.2.4",
    "keras-2.3.1-tensorflow": "Keras 2.3.1",
    "tf.keras-1.15": "tf.keras 2.2.4",
    "tf.keras-2.15": "tf.keras 2.15.0",
}
#: How many models there are.
MODELS = 165
#: The largest error, in parts of the largest output or of one; 7e-7 has been found.
TOLERANCE = 5e-6
#: Merging by cos gave (n, 1, 1); the documents, and graphjit, say (n, 1).
COS_OUTPUTS = {
    ("keras-1.2.2-theano", "merges"): 5,
    ("keras-2.0.9-tensorflow", "funmerge"): 5,
}
#: Its cells' states come in the order that Keras had before 2.2.3.
STACKED = ("keras-2.1.6-tensorflow", "stacked_state")
#: Models that go through a file of ours: masks, states, a Merge, operations.
RELOADED = [
    ("keras-1.0.8-theano", "stateful"),
    ("keras-1.2.2-theano", "seqmerge_rnn"),
    STACKED,
    ("keras-2.2.4-theano", "convlstm"),
    ("tf.keras-1.15", "bi_state"),
    ("tf.keras-2.15", "resid_ops"),
]


def unpacked(case: Case, folder: Path) -> Path:
    """The case's files in a folder; their path without the endings."""
    with zipfile.ZipFile(FOLDER / f"{case.writer}.zip") as archive:
        for ending in case.endings:
            archive.extract(f"{case.name}.{ending}", folder)
    return folder / case.name


def whole(case: Case, path: Path) -> gj.Model:
    """The model of the one file that holds it all."""
    return gj.keras.load_model(f"{path}.h5", backend=case.backend)


def in_parts(case: Case, path: Path) -> gj.Model:
    """The model of its other files: a text and weights, or a ``.keras``."""
    if "keras" in case.endings:
        return gj.keras.load_model(f"{path}.keras")
    weights = Path(f"{path}.weights.h5")
    if "json" in case.endings:
        config = Path(f"{path}.json")
        return gj.keras.load_model(weights, config=config, backend=case.backend)
    text = Path(f"{path}.yaml")
    return gj.keras.load_model(text, weights=weights, backend=case.backend)


def recorded(case: Case, path: Path) -> tuple[list[Any], list[Any]]:
    """The inputs, and what the writer computed of them."""
    with np.load(f"{path}.npz") as arrays:
        x = [arrays[f"x{at}"] for at in range(10) if f"x{at}" in arrays]
        y = [arrays[f"y{at}"] for at in range(10) if f"y{at}" in arrays]
    cos = COS_OUTPUTS.get((case.writer, case.name))
    if cos is not None:
        assert y[cos].shape == (len(x[0]), 1, 1)
        y[cos] = y[cos][:, 0]
    return x, y


def check(found: Any, wanted: list[Any]) -> None:
    outputs = list(found) if isinstance(found, (list, tuple)) else [found]
    for ours, theirs in zip(outputs, wanted, strict=True):
        assert np.shape(ours) == theirs.shape
        size = max(1.0, float(np.abs(theirs).max()))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE * size)


def optimized(model: gj.Model, inputs: Any) -> Any:
    """What the program makes of the inputs that the `INFERENCE` passes give."""
    exe = gj.jit(model)
    if exe.graph.updates:
        return exe.step(model.variables["state"], inputs).outputs
    return exe(inputs)


def check_equal(ours: gj.Model, other: gj.Model) -> None:
    """The same arrays, in the same order."""
    for array, same in zip(ours.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(array, same)


def test_all_archives_are_there() -> None:
    assert len(CASES) == MODELS
    assert {case.writer for case in CASES} == set(SAYS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.writer}-{case.name}")
def test_what_the_writer_computed(case: Case, tmp_path: Path) -> None:
    """As loaded from one file, and from two after the `INFERENCE` passes."""
    path = unpacked(case, tmp_path)
    x, wanted = recorded(case, path)
    inputs = x if len(x) > 1 else x[0]
    model, parts = whole(case, path), in_parts(case, path)
    check_equal(model, parts)
    check(optimized(parts, inputs), wanted)
    check(model.predict(inputs, batch_size=len(x[0])), wanted)
    assert model.provenance is not None
    assert model.provenance.writer == SAYS[case.writer]


@pytest.mark.parametrize(("writer", "name"), RELOADED)
def test_it_goes_through_a_file_of_ours(writer: str, name: str, tmp_path: Path) -> None:
    (case,) = [each for each in CASES if each[:2] == (writer, name)]
    path = unpacked(case, tmp_path)
    model = whole(case, path)
    model.save(tmp_path / "again.gjit")
    again = gj.load(tmp_path / "again.gjit")
    assert again.graph == model.graph
    assert again.provenance == model.provenance
    check_equal(model, again)


TAGGED = [case for case in CASES if "tagged.yaml" in case.endings]


@pytest.mark.parametrize("case", TAGGED, ids=lambda case: f"{case.writer}-{case.name}")
def test_yaml_that_names_code_is_refused(case: Case, tmp_path: Path) -> None:
    """They wrote numbers of NumPy, and tf.keras its lists, as calls to be made."""
    path = unpacked(case, tmp_path)
    with pytest.raises(FormatError, match=r"python/object/apply.*is never read"):
        gj.keras.load_model(Path(f"{path}.tagged.yaml"), backend=case.backend)


def test_a_merge_ends_the_masks_of_its_chains(tmp_path: Path) -> None:
    """Keras 1 computed the LSTM behind it over all steps, and so it is here."""
    (case,) = [each for each in CASES if each.name == "seqmerge_rnn"]
    model = whole(case, unpacked(case, tmp_path))
    assert model.provenance is not None
    ends = "Merge 'merge_3': the mask of Sequential ends there"
    assert sum(note.startswith(ends) for note in model.provenance.notes) == 1


def test_states_last_cell_first_are_not_written_for_keras(tmp_path: Path) -> None:
    (case,) = [each for each in CASES if each[:2] == STACKED]
    model = whole(case, unpacked(case, tmp_path))
    with pytest.raises(FormatError, match="the states of its last cell come first"):
        gj.keras.save_model(model, tmp_path / "again.keras")
    assert not (tmp_path / "again.keras").exists()
