"""Every example runs, at small size, and says what it promises."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

pytestmark = pytest.mark.usefixtures("optimized")


@pytest.fixture(autouse=True)
def _examples_find_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `python examples/NAME.py` does, put their folder first on the path."""
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.delitem(sys.modules, "datasets", raising=False)


@pytest.fixture(params=["recorded", "packaged"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where data is from: the corpus, or what scikit-learn carries with it."""
    if request.param == "recorded":
        corpus = request.getfixturevalue("corpus")
        monkeypatch.setenv("GRAPHJIT_CORPUS", str(corpus))
    else:
        monkeypatch.setenv("GRAPHJIT_CORPUS", "/no/such/folder")
    return request.param


def example(name: str) -> ModuleType:
    """An example as a module, without running it."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stated(printed: str, before: str) -> float:
    """The number that the line beginning with `before` ends with."""
    (line,) = (line for line in printed.split("\n") if line.startswith(before))
    return float(line.split()[-1])


def test_digits(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    accuracy = example("digits").main(epochs=4, path=tmp_path / "digits.gjit")
    printed = capsys.readouterr().out
    assert accuracy > 0.9
    assert "%conv2/conv = conv(" in printed
    assert "norm2/batch_norm: into conv2/conv" in printed
    assert "maximum difference of the channels_first twin: 0.0" in printed
    assert printed.rstrip().endswith("maximum difference after reload: 0.0")
    assert (tmp_path / "digits.gjit").exists()


def test_speech(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    accuracy = example("speech").main(epochs=20 if source == "recorded" else 4)
    printed = capsys.readouterr().out
    assert accuracy > 0.8
    assert stated(printed, "maximum difference when padded further") < 1e-6
    assert stated(printed, "maximum difference when not padded at all") < 1e-6
    named = "JapaneseVowels" if source == "recorded" else "columns of scikit-learn"
    assert printed.startswith(named)
    assert printed.rstrip().endswith(f"test accuracy: {accuracy:.4f}")


def test_text(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    epochs = 2 if source == "recorded" else 5
    accuracy = example("text").main(epochs=epochs, filters=8, folds=2)
    printed = capsys.readouterr().out
    assert accuracy > (0.7 if source == "recorded" else 0.6)
    held_out = 5331 if source == "recorded" else 77
    assert f" of {held_out} right" in printed
    assert printed.rstrip().endswith(f"held-out accuracy: {accuracy:.4f}")


def test_siamese(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    accuracy = example("siamese").main(epochs=6, count=2000)
    printed = capsys.readouterr().out
    assert accuracy > 0.7
    assert stated(printed, "maximum difference of swapped pairs") < 1e-6
    assert printed.rstrip().endswith(f"accuracy on pairs: {accuracy:.4f}")


def test_siamese_pairs() -> None:
    labels = np.repeat(np.arange(4), 5)
    places, same = example("siamese").pairs(labels, 200, seed=3)
    first, second = places.T
    np.testing.assert_array_equal(labels[first] == labels[second], same == 1)
    assert (first != second).all()
    assert same.mean() == 0.5


def test_autoencoder(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    error, accuracy = example("autoencoder").main(
        epochs=4 if source == "recorded" else 8
    )
    printed = capsys.readouterr().out
    assert error < 0.07
    assert accuracy > 0.4
    assert stated(printed, "maximum difference of the two halves") < 1e-6
    assert printed.rstrip().endswith(f"accuracy with 200 labels: {accuracy:.4f}")


def test_characters(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    bits = example("characters").main(epochs=2, units=32, characters=20_000)
    printed = capsys.readouterr().out
    assert bits < 5.2
    assert printed.rstrip().endswith(f"bits per character held out: {bits:.3f}")


def test_characters_windows_go_on() -> None:
    x, y = example("characters").windows(np.arange(100), streams=3, steps=4)
    assert x.shape == (24, 4)
    np.testing.assert_array_equal(y, x + 1)
    by_batch = x.reshape(8, 3, 4)
    np.testing.assert_array_equal(by_batch[1:, :, 0], by_batch[:-1, :, -1] + 1)


def test_datasets(source: str) -> None:
    data = example("datasets")
    digits = data.digit_images()
    assert digits.train_x.shape[1:] == digits.test_x.shape[1:]
    assert 0 <= digits.train_x.min() <= digits.train_x.max() <= 1
    vowels, (_, texts, labels) = data.spoken_vowels(), data.sentences()
    for split in (digits, vowels):
        assert len(split.train_x) == len(split.train_y)
        assert len(split.test_x) == len(split.test_y)
        assert set(split.test_y) == set(split.train_y)
    counts = [len(digits.train_y), len(vowels.train_y), len(texts)]
    if source == "recorded":
        assert counts == [4000, 270, 10_662]
        assert {len(sequence) for sequence in vowels.train_x} <= set(range(7, 30))
    else:
        assert counts[:2] == [1437, 1437]
    assert len({len(sequence) for sequence in vowels.train_x}) > 5
    assert len(labels) == len(texts)
    assert set(labels) == {0, 1}
    # The same at every call.
    assert data.sentences()[1] == texts
    assert data.running_text() == data.running_text()


HEAD = "#made up\n@problemName p\n@timeStamps false\n@classLabel true a b\n@data\n"


def read_ts(tmp_path: Path, text: str) -> tuple[list[np.ndarray], np.ndarray]:
    path = tmp_path / "file.ts"
    path.write_bytes(text.encode())
    return example("datasets").read_ts(path)


def test_a_ts_file_is_read(tmp_path: Path) -> None:
    text = HEAD + "1,2,3:4,5,6:b\r\n\n-1e-1:+2.5:a\n"
    first, second = read_ts(tmp_path, text)[0]
    np.testing.assert_array_equal(first, [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(second, np.float32([[-0.1, 2.5]]))
    assert read_ts(tmp_path, text)[1].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "1,2:3:a\n", r"file\.ts, line 6: .*channels of one length.*\[1, 2\]"),
        (HEAD + "1,2:3,4:c\n", r"line 6: expected a label of \['a', 'b'\].*'c'"),
        (HEAD + "1,?:3,4:a\n", r"line 6: could not convert string to float: '\?'"),
        (HEAD + "1,nan:3,4:a\n", "line 6: expected finite numbers"),
        (HEAD + "a\n", "line 6: expected channels and a label with ':' between"),
        (HEAD + "1:a\n1:2:a\n", r"sequences of \[1, 2\] channels in one file"),
        (HEAD.replace("false", "true"), "line 3: time stamps are not read"),
        ("@data\n1,2:a\n", "line 2: expected a label of None, received 'a'"),
        (HEAD, r"file\.ts: there are no sequences behind '@data'"),
    ],
    ids=[
        "lengths",
        "label",
        "missing",
        "nan",
        "no channels",
        "channels",
        "time stamps",
        "no classes",
        "empty",
    ],
)
def test_what_a_ts_file_may_not_be(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_ts(tmp_path, text)


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"one \x85 and the same\n\n two\xe9\x0c \n")
    lines = example("datasets").read_lines(path)
    assert lines == ["one \x85 and the same", "two\xe9"]


def test_every_example_has_a_test() -> None:
    tested = {name.removeprefix("test_") for name in globals()}
    assert {path.stem for path in EXAMPLES.glob("*.py")} <= tested
