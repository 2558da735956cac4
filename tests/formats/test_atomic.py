"""Saving leaves the old file or the new one, whatever happens in the middle."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphjit.errors import FormatError
from graphjit.formats import container
from graphjit.formats.atomic import replacing
from tests.formats import samples


class Unreadable:
    """An array that fails when its elements are asked for."""

    shape = (5,)
    dtype = np.dtype("bool")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("the device is gone")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.gjit"
    container.save(path, samples.tiny(), samples.tensors_of(samples.tiny()))
    return path


def new_tensors() -> dict[str, Any]:
    return samples.tensors_of(samples.tiny(), seed=1)


def unchanged(path: Path) -> None:
    assert path.read_bytes() == samples.tiny_file()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_failure_while_writing(path: Path) -> None:
    tensors = {**new_tensors(), "d/on": Unreadable()}
    with pytest.raises(RuntimeError, match="the device is gone"):
        container.save(path, samples.tiny(), tensors)
    unchanged(path)


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="not a regular file, and so not replaced"):
        container.save(pipe, samples.tiny(), new_tensors())
    assert pipe.is_fifo()
    assert [entry.name for entry in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failure_of_the_system(
    function: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match="No space left"):
        container.save(path, samples.tiny(), new_tensors())
    monkeypatch.undo()
    unchanged(path)


def test_a_refusal_writes_nothing(path: Path) -> None:
    with pytest.raises(FormatError, match="is no param of the graph"):
        container.save(path, samples.tiny(), {**new_tensors(), "x": np.zeros(1)})
    unchanged(path)


_KILLED = """
import os, signal, sys
from graphjit.formats import container
from tests.formats import samples

def die(*_): os.kill(os.getpid(), signal.SIGKILL)

class Deadly:
    shape, dtype = (5,), samples.np.dtype("bool")
    def __array__(self, *_, **__): die()

path, graph = sys.argv[1], samples.tiny()
old, new = samples.tiny_file(), samples.tensors_of(graph, seed=1)
container.save(path, graph, samples.tensors_of(graph))

def writing(): container.save(path, graph, {**new, "d/on": Deadly()})
def syncing():
    os.fsync = die
    container.save(path, graph, new)
def renaming():
    os.replace = die
    container.save(path, graph, new)
def renamed():
    replace = os.replace
    os.replace = lambda *names: (replace(*names), die())
    container.save(path, graph, new)

for step, wanted in [(writing, old), (syncing, old), (renaming, old),
                     (renamed, container.encode(graph, new))]:
    child = os.fork()
    if not child:
        step()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL, step
    assert open(path, "rb").read() == wanted, step
    container.load(path)
print("survived")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_killed_at_any_moment(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _KILLED, str(tmp_path / "model.gjit")],
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "survived\n", done.stderr


def test_the_mode_of_the_old_file_is_kept_and_a_new_one_follows_umask(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    before = os.umask(0o027)
    try:
        with replacing(path) as file:
            file.write(b"1")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    with replacing(path) as file:
        file.write(b"2")
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    assert path.read_bytes() == b"2"


def test_behind_a_link_the_target_is_replaced(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    link = folder / "link.gjit"
    link.symlink_to(path)
    container.save(link, samples.tiny(), new_tensors())
    assert link.is_symlink()
    found = container.load(path).tensors
    assert samples.same_tensors(found, new_tensors())


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        container.save(tmp_path / "nowhere" / "m.gjit", samples.tiny(), new_tensors())
