"""The examples of `docs/command-line.md` are run, and print what it says."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

import pytest

from graphjit_cli import main
from tests.conftest import ROOT

DOCUMENT = (ROOT / "docs" / "command-line.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MATCHING = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def commands(block: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with what it prints."""
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [
        (command, output) for command, _, output in (p.partition("\n") for p in parts)
    ]


def test_the_examples(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(DOCUMENT)
    for code in [text for kind, text in blocks if kind == "python"]:
        exec(compile(code, "docs/command-line.md", "exec"), {})
    pairs = [p for kind, text in blocks if kind == "console" for p in commands(text)]
    used: set[str] = set()
    for command, wanted in pairs:
        program, *arguments = shlex.split(command)
        assert program == "graphjit"
        code = main(arguments)
        out, err = capsys.readouterr()
        differs = arguments[0] == "diff" and "differ\n" in wanted
        assert (code, err) == (int(differs), ""), command
        assert doctest.OutputChecker().check_output(wanted, out, MATCHING), out
        used.add(arguments[0])
    assert used == {"convert", "summary", "explain", "run", "check", "diff"}
