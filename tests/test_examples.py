"""Every example runs, at small size, and says what it promises."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name: str) -> ModuleType:
    """An example as a module, without running it."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_digits(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    accuracy = example("digits").main(epochs=4, path=tmp_path / "digits.gjit")
    printed = capsys.readouterr().out
    assert accuracy > 0.9
    assert "%conv2/conv = conv(" in printed
    assert "norm2/batch_norm: into conv2/conv" in printed
    assert "maximum difference of the channels_first twin: 0.0" in printed
    assert printed.rstrip().endswith("maximum difference after reload: 0.0")
    assert (tmp_path / "digits.gjit").exists()


def test_every_example_has_a_test() -> None:
    tested = {name.removeprefix("test_") for name in globals()}
    assert {path.stem for path in EXAMPLES.glob("*.py")} <= tested
