from __future__ import annotations

import json
import shutil

import pytest

from graphjit.command_line.output import file_size, line_length
from graphjit_cli import main
from tests.command_line import files

FILE = str(files.FOLDER / "small.gjit")


def test_a_table_with_inputs_and_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", FILE]) == 0
    text = capsys.readouterr().out
    assert "│ hidden (Dense)     │ (None, 3)    │     15 │ a            │" in text
    assert "Trainable params: 27" in text
    assert text.endswith(
        "inputs:\n  a : float32[batch, 4]\n  b : float32[batch, 2]\n"
        "outputs:\n  out : float32[batch, 2]\n"
    )


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    config = str(files.FOLDER / "model.json")
    assert main(["summary", config, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == config
    assert (found["name"], found["writer"]) == ("small", "tf.keras 2.15.0")
    assert found["notes"] == ["no weights were given: they are fresh ones"]
    assert found["inputs"][1] == {"name": "b", "dtype": "float32", "shape": [None, 2]}
    assert found["parameters"] == {"total": 27, "trainable": 27, "non_trainable": 0}
    assert found["layers"][2] == {
        "name": "hidden",
        "class": "Dense",
        "inside": None,
        "outputs": [{"dtype": "float32", "shape": [None, 3]}],
        "weights": ["hidden/kernel", "hidden/bias"],
        "connected_to": ["a"],
    }


def test_tables_are_as_wide_as_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert line_length() > 1000  # no terminal: nothing is cut
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert line_length() == shutil.get_terminal_size().columns


def test_sizes() -> None:
    assert [file_size(n) for n in (0, 999, 1000, 2_500_000, 10**13)] == [
        "0 bytes",
        "999 bytes",
        "1.0 kB",
        "2.5 MB",
        "10000.0 GB",
    ]
