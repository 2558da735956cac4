from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphjit as gj
from graphjit_cli import main
from tests.command_line import files

MODEL = str(files.FOLDER / "small.gjit")


def ran(tmp_path: Path, arrays: dict[str, Any], *more: str) -> tuple[int, Path]:
    given, target = tmp_path / "given.npz", tmp_path / "y.npz"
    np.savez(given, **arrays)
    arguments = ["--input", str(given), "--output", str(target), *more]
    return main(["run", MODEL, *arguments]), target


def wanted(arrays: dict[str, Any]) -> Any:
    return gj.load(MODEL).predict({key: arrays[key] for key in "ab"})


def test_outputs_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = files.inputs(7, "float64")
    code, target = ran(tmp_path, arrays, "--batch-size", "3")
    assert code == 0
    assert capsys.readouterr().out == (
        "input 'a': cast from float64 to float32\n"
        "input 'b': cast from float64 to float32\n"
        "out: float32 (7, 2)\n"
    )
    with np.load(target, allow_pickle=False) as found:
        assert found.files == ["out"]
        np.testing.assert_allclose(found["out"], wanted(arrays), atol=1e-6)
    first = target.read_bytes()
    assert ran(tmp_path, arrays, "--batch-size", "3")[0] == 0
    assert target.read_bytes() == first


def test_arrays_without_names_go_in_order(tmp_path: Path) -> None:
    arrays = files.inputs()
    code, target = ran(tmp_path, {"arr_0": arrays["a"], "arr_1": arrays["b"]})
    assert code == 0
    with np.load(target) as found:
        np.testing.assert_allclose(found["out"], wanted(arrays), atol=1e-6)


def test_an_npy_file_is_one_array(tmp_path: Path) -> None:
    x = gj.Input((3,), name="x", dtype="bfloat16")
    gj.Model(x, gj.layers.ReLU(name="file")(x)).save(tmp_path / "m.gjit")
    np.save(tmp_path / "x.npy", np.array([[-1.0, 0.5, 2.0]]))
    arguments = ["--input", str(tmp_path / "x.npy"), "--output", str(tmp_path / "y")]
    assert main(["run", str(tmp_path / "m.gjit"), *arguments]) == 0
    # bfloat16 is no type of NumPy's files, and "file" no name for numpy.savez.
    with np.load(tmp_path / "y") as found:
        assert found["file"].dtype == np.float32
        np.testing.assert_array_equal(found["file"], [[0.0, 0.5, 2.0]])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"c": np.ones(1)}, "not an input: 'c'"),
        ({"b": None}, "missing: 'b'"),
        ({"b": None, "B": np.ones((5, 2))}, "hint: 'B' may be 'b'"),
        ({"a": np.ones((5, 3))}, "input 'a': expected float32[batch, 4], received"),
        ({"a": np.ones((6, 4))}, "input 'b': axis 0 (batch) is 5, but input 'a' has"),
        ({"a": np.ones((5, 4), complex)}, "received dtype complex128"),
        ({"a": np.full((5, 4), "1")}, "expected numbers (float32[batch, 4]), received"),
        ({"a": np.array([{"evil": 1}])}, "expected an .npz file of arrays: Object arr"),
    ],
)
def test_arrays_that_do_not_fit(
    changes: dict[str, Any],
    text: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arrays = {**files.inputs(), **changes}
    arrays = {key: value for key, value in arrays.items() if value is not None}
    code, target = ran(tmp_path, arrays)
    assert code == 2
    assert text in capsys.readouterr().err
    assert not target.exists()


def encrypted(data: bytes) -> bytes:
    """An archive that says of its first member that a password is needed."""
    changed = bytearray(data)
    changed[6] |= 1
    at = changed.index(b"PK\x01\x02")
    changed[at + 8] |= 1
    return bytes(changed)


def not_npz() -> list[Any]:
    pickled = io.BytesIO()
    np.savez(pickled, a=np.array([print], object))
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    cut = io.BytesIO()
    np.savez(cut, **files.inputs())
    return [
        (b"", "expected an .npz file of arrays"),
        (b"no arrays", "expected an .npz file of arrays"),
        (b"\x80\x04N.", "expected an .npz file of arrays"),
        (pickled.getvalue(), "expected an .npz file of arrays"),
        (cut.getvalue()[:-30], "expected an .npz file of arrays"),
        (encrypted(cut.getvalue()), "expected an .npz file of arrays: File 'a.npy' is"),
        (empty.getvalue(), "its arrays are not the model's inputs"),
    ]


@pytest.mark.parametrize(("content", "text"), not_npz())
def test_inputs_that_are_no_arrays(
    content: bytes, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "x.npz"
    given.write_bytes(content)
    target = str(tmp_path / "y.npz")
    assert main(["run", MODEL, "--input", str(given), "--output", target]) == 2
    err = capsys.readouterr().err
    assert text in err
    assert "Traceback" not in err


def test_a_target_that_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = str(files.FOLDER / "x.npz")
    for target, text in (
        (given, "--output: expected another file than --input"),
        (str(tmp_path), "expected a file to write, received a folder"),
        (str(tmp_path / "none" / "y.npz"), "there is no folder"),
    ):
        assert main(["run", MODEL, "--input", given, "--output", target]) == 2
        assert text in capsys.readouterr().err
    os.mkfifo(tmp_path / "pipe")
    arguments = ["--input", given, "--output", str(tmp_path / "pipe")]
    assert main(["run", MODEL, *arguments]) == 2
    assert "pipe: expected a regular file to write" in capsys.readouterr().err
    for missing in ("none.npz", "."):
        arguments = ["--input", str(tmp_path / missing), "--output", "y.npz"]
        assert main(["run", MODEL, *arguments]) == 2
    err = capsys.readouterr().err
    assert "none.npz: No such file or directory" in err
    assert "expected an .npz file, received a folder" in err
