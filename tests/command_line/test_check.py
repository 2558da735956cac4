from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import graphjit as gj
from graphjit.capture.layer import LAYERS
from graphjit_cli import main
from tests.command_line import files

MODEL = files.FOLDER / "small.gjit"


def damaged(tmp_path: Path, *positions: int) -> str:
    data = bytearray(MODEL.read_bytes())
    for at in positions:
        data[at] ^= 1
    path = tmp_path / "m.gjit"
    path.write_bytes(data)
    return str(path)


def test_a_good_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(MODEL)]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == f"{MODEL}: good"
    assert lines[0] == f"  format: gjit 1, written by graphjit {gj.__version__}"
    assert lines[1].endswith("header and tensors match their hashes")
    assert lines[2] == "  graph: 4 ops and 4 weights (27 parameters), verified"


def test_every_damaged_tensor_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The last tensor is out/bias, of 8 bytes; the one before ends 64 bytes earlier.
    path = damaged(tmp_path, -1, -64 - 8 + 1)
    assert main(["check", path]) == 1
    lines = capsys.readouterr().out.splitlines()
    wrong = "is corrupted: its bytes do not match its hash"
    assert lines[0] == f"{path}: not good"
    assert f"  wrong: tensor 'out/bias' {wrong}" in lines
    assert f"  wrong: tensor 'out/kernel' {wrong}" in lines
    assert main(["check", path, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["good"]
    assert [p["message"].split("'")[1] for p in found["problems"]] == [
        "out/kernel",
        "out/bias",
    ]


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "not a gjit file: it begins with"),
        (100, "the header is corrupted: its bytes do not match its hash"),
    ],
)
def test_a_damaged_header(
    at: int, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", damaged(tmp_path, at)]) == 1
    assert text in capsys.readouterr().out


def test_a_truncated_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.gjit"
    path.write_bytes(MODEL.read_bytes()[:-1])
    assert main(["check", str(path)]) == 1
    assert "wrong: truncated: expected " in capsys.readouterr().out


def test_keras_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [str(files.FOLDER / "model.json")]
    given += ["--weights", str(files.FOLDER / "weights.h5")]
    assert main(["check", *given]) == 0
    text = capsys.readouterr().out
    assert "model.json: good" in text
    assert "  origin: written by tf.keras 2.15.0 (tensorflow)" in text
    broken = tmp_path / "model.json"
    broken.write_text(files.small().to_json().replace('"Dense"', '"Tense"'))
    assert main(["check", str(broken), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["good"], found["kind"]) == (False, "keras")
    assert "Tense: 'hidden', 'out'" in found["problems"][0]["details"][0]
    assert "in Python" in found["problems"][0]["hint"]


def test_what_is_no_model_is_not_good_and_what_is_not_there_is_trouble(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    assert main(["check", str(tmp_path / "photo.jpg")]) == 1
    assert "it looks like a JPEG image" in capsys.readouterr().out
    assert main(["check", str(tmp_path / "none.gjit")]) == 2
    given = [str(MODEL), "--config", str(MODEL)]
    assert main(["check", *given]) == 2
    assert "--config: a .gjit file has" in capsys.readouterr().err


def test_layers_that_are_not_known_here_are_noted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(LAYERS, "_entries", dict(LAYERS._entries))

    @gj.register("elsewhere>Same")
    class Same(gj.layers.ReLU):
        """A class of another program's."""

    x = gj.Input((3,), name="x")
    path = tmp_path / "m.gjit"
    gj.Model(x, Same(name="same")(x)).save(path)
    assert main(["check", str(path)]) == 0
    assert "not registered here" not in capsys.readouterr().out
    monkeypatch.undo()
    assert main(["check", str(path)]) == 0
    assert "some layers are of classes that are not registered here" in (
        capsys.readouterr().out
    )


def test_numbers_that_are_not_finite_are_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = files.small()
    weights = model.get_weights()
    weights[1][:] = [np.nan, np.inf, 0.0]
    model.set_weights(weights)
    model.save(tmp_path / "m.gjit")
    assert main(["check", str(tmp_path / "m.gjit")]) == 0
    text = capsys.readouterr().out
    assert "note: weight 'hidden/bias': 2 numbers are not finite" in text
