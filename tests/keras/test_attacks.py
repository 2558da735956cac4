"""The attacks of ``security.md`` that concern Keras's files: one file each, by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import graphjit as gj
from graphjit.errors import GraphJitError
from tests.keras.attacks import configurations, hdf5_files, zip_files
from tests.keras.attacks.base import Attack, good_h5, secret_folder, trained_h5

ATTACKS: dict[str, Attack] = {
    **hdf5_files.ATTACKS,
    **zip_files.ATTACKS,
    **configurations.ATTACKS,
}
ROOT = Path(__file__).resolve().parents[2]
#: What reading any of these files may cost: a few of them cost a second.
MOST_CPU_S = 20.0
MOST_CHARS = 10_000
pytestmark = pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")


def check(attack: Attack, path: Path) -> None:
    if attack.text is None:
        model = gj.keras.load_model(path)
        np.testing.assert_array_equal(model.get_weights()[0], np.ones((3, 2)))
        return
    with pytest.raises(GraphJitError, match=attack.text) as caught:
        gj.keras.load_model(path)
    text = str(caught.value)
    assert text.encode(), "every text can be printed"
    assert len(text) < MOST_CHARS
    assert "is malformed" not in text, "a check foresaw it"


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(name: str, tmp_path: Path) -> None:
    path = ATTACKS[name].make(tmp_path)
    begun = time.process_time()
    check(ATTACKS[name], path)
    assert time.process_time() - begun < MOST_CPU_S


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is a service of Linux")
def test_no_file_runs_code_or_opens_another(tmp_path: Path) -> None:
    """All attacks in one process that notes what is opened, imported and run."""
    elsewhere, first = secret_folder(tmp_path), tmp_path / "first"
    first.mkdir()
    good_h5(first / "good.h5")
    zip_files.archive(first / "good.keras")
    training = {"loss": "mse", "optimizer_config": {"class_name": "SGD", "config": {}}}
    trained_h5(training)(first)
    (first / "good.yaml").write_text("class_name: Sequential\nconfig: []\n")
    (first / "good.json").write_text('{"class_name": "Dens", "config": {}}')
    files: list[str] = []
    for at, attack in enumerate(ATTACKS.values()):
        folder = tmp_path / str(at)
        folder.mkdir()
        (folder / "elsewhere").symlink_to(elsewhere)
        files.append(str(attack.make(folder)))
    command = [sys.executable, "-m", "tests.keras.attacks.watched"]
    done = subprocess.run(
        [*command, str(elsewhere), str(first), *files],
        cwd=ROOT,
        env={**os.environ, "GRAPHJIT_HOME": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == len(ATTACKS)
    errors = [name for name in vars(gj.errors) if name.endswith("Error")]
    for name, line in zip(ATTACKS, lines, strict=True):
        assert line["reached"] == [], name
        assert line["outcome"] in (*errors, "a model"), name
