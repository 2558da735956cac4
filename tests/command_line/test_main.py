"""The command as a whole: help, exit codes, errors, streams."""

from __future__ import annotations

import errno
import importlib.metadata
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import graphjit as gj
import graphjit_cli
from graphjit.command_line.failures import told
from graphjit_cli import acts, main
from tests.command_line import files
from tests.conftest import ROOT

COMMANDS = ("convert", "summary", "explain", "run", "check", "diff")
QUIET = {**os.environ, "JAX_PLATFORMS": "cpu"}


def python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=QUIET,
        check=False,
        **options,
    )


def test_help_has_commands_examples_and_exit_codes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for word in (*COMMANDS, "examples:", "exit codes:"):
        assert word in text
    assert max(map(len, text.splitlines())) <= 88


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"graphjit {command} " in text.split("examples:")[1]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"graphjit {gj.__version__}\n"


def test_help_imports_neither_jax_nor_graphjit() -> None:
    code = (
        "import sys; from graphjit_cli import main\n"
        "codes = [main(['--help']), main(['run', '--help']), main(['--version'])]\n"
        "heavy = ['jax', 'numpy', 'graphjit', 'h5py', 'rich']\n"
        "print(codes, [name for name in heavy if name in sys.modules])"
    )
    done = python("-c", code)
    assert done.stdout.splitlines()[-1] == "[0, 0, 0] []"


def test_python_m_graphjit_is_the_command() -> None:
    done = python("-m", "graphjit", "summary", "no such file.gjit")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "graphjit: error: no such file.gjit: No such file or directory\n"
    )


def test_the_script_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"graphjit": "graphjit_cli:main"}
    assert callable(graphjit_cli.main)
    assert importlib.metadata.version("graphjit") == project["version"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "arguments are required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["run", "m.gjit"], "arguments are required: --input, --output"),
        (["explain", "m", "--batch-size", "0"], "expected an int >= 1, received '0'"),
        (["explain", "m", "--target", "npu"], "invalid choice: 'npu'"),
        (["diff", "a", "b", "--tolerance", "nan"], "expected a number >= 0"),
        (["diff", "a", "b", "--tolerance=-1"], "expected a number >= 0"),
        (["check", "a", "--limit", "rank"], "expected NAME=N, received 'rank'"),
        (["summary", "a", "--js"], "unrecognized arguments: --js"),
    ],
)
def test_wrong_usage_is_trouble(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("model.gjit", None, "model.gjit: No such file or directory"),
        ("model.gjit", b"", "model.gjit: not a gjit file: it is empty"),
        ("model.h5", b"", "neither a gjit file nor one of Keras: it is empty"),
        ("model.h5", "größe".encode("latin-1"), "Keras: it begins with b'gr\\xf6"),
        ("image.png", b"\x89PNG\r\n\x1a\n", "one of Keras: it looks like a PNG image"),
        ("model.pkl", b"\x80\x04\x95", "a Python pickle, which is never read"),
        ("model.h5", b"\x89HDF\r\n\x1a\n", "model.h5: corrupted HDF5: "),
        ("model.json", b'{"class_name": 1', "model.json: not valid JSON"),
        ("model.yaml", b"a: !!python/name:os.system", "model.yaml: YAML: the tag"),
    ],
)
def test_no_traceback_for_a_file_that_is_no_model(
    name: str,
    content: bytes | None,
    text: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert main(["summary", str(path)]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("graphjit: error: ")
    assert text in err
    assert "Traceback" not in err
    assert out == ""


def test_folders_and_pipes_are_no_models(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["summary", str(tmp_path)]) == 2
    assert "expected a file, received a folder" in capsys.readouterr().err
    os.mkfifo(tmp_path / "pipe")
    assert main(["summary", str(tmp_path / "pipe")]) == 2
    assert "pipe: expected a regular file" in capsys.readouterr().err


def test_unknown_layers_are_named_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.json"
    path.write_text(files.small().to_json().replace('"Dense"', '"Tense"'))
    assert main(["convert", str(path), str(tmp_path / "m.gjit")]) == 2
    err = capsys.readouterr().err
    assert "Tense: 'hidden', 'out'" in err
    assert "in Python: gj.keras.load_model(path, custom_layers=" in err
    assert not (tmp_path / "m.gjit").exists()


def test_hints_are_in_the_words_of_the_command_line(tmp_path: Path) -> None:
    wanted = {
        "say backend='tensorflow', or backend='theano'": (
            "say --backend tensorflow, or --backend theano"
        ),
        "if you trust the file: limits=Limits(rank=…)": (
            "if you trust the file: --limit rank=N"
        ),
    }
    for hint, said in wanted.items():
        text = told(gj.errors.FormatError("wrong", hint=hint))
        assert text == f"wrong\n  hint: {said}"


def test_limits_can_be_raised(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(files.FOLDER / "small.gjit")
    assert main(["summary", path, "--limit", "depth=2"]) == 2
    assert "--limit depth=N" in capsys.readouterr().err
    assert main(["summary", path, "--limit", "depth=100"]) == 0
    capsys.readouterr()
    assert main(["summary", path, "--limit", "dept=100"]) == 2
    assert "did you mean 'depth'?" in capsys.readouterr().err


# --- how it ends --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (KeyboardInterrupt(), 130, "graphjit: interrupted\n"),
        (MemoryError(), 2, "there is not enough memory"),
        (PermissionError(errno.EACCES, "Permission denied", "m.gjit"), 2, "m.gjit: Pe"),
        (ImportError("HDF5 files need h5py: pip install 'graphjit[keras]'"), 2, "h5py"),
        (OSError("no number, no name"), 2, "error: no number, no name"),
        (ZeroDivisionError("ours"), 70, "please report it"),
        (ImportError("no such module"), 70, "please report it"),
    ],
)
def test_exit_codes(
    error: BaseException,
    code: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(given: object) -> int:
        raise error

    monkeypatch.setattr(acts, "summary", fail)
    assert main(["summary", "m.gjit"]) == code
    err = capsys.readouterr().err
    assert text in err
    assert ("Traceback" in err) == (code == 70)


def test_nobody_reads_the_output() -> None:
    """As in ``graphjit … | head -1``: no traceback, and no complaint at the end."""
    script = "import sys; from graphjit_cli import main; sys.exit(main(['--version']))"
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "wb") as nobody:
        done = subprocess.run(
            [sys.executable, "-c", script],
            stdout=nobody,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("settings", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_colour_on_a_terminal_alone(
    settings: dict[str, str],
    coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    main(["summary", "no such file"])
    assert ("\x1b[1;31m" in capsys.readouterr().err) == coloured
    monkeypatch.undo()
    main(["summary", "no such file"])
    assert "\x1b" not in capsys.readouterr().err


def test_names_cannot_command_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "d\x1b[2J[/red]\u202e"
    small = files.small(name=name)
    small.save(tmp_path / "m.gjit")
    for command in (["summary"], ["explain"], ["check"]):
        assert main([*command, str(tmp_path / "m.gjit")]) == 0
    assert main(["summary", str(tmp_path / "m\x1b.gjit")]) == 2
    text = "".join(capsys.readouterr())
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "d\\x1b[2J[/red]\\u202e (Dense)" in text
