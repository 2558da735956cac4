"""Settings: the functions, the config file, and blocks of `using`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import graphjit as gj
from graphjit import config
from graphjit.errors import CaptureError, FormatError

Write = Callable[[Any], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the config file, as text or as JSON, and forgets what was read before."""
    monkeypatch.setenv("GRAPHJIT_HOME", str(tmp_path))
    monkeypatch.setattr(config, "_process", None)
    path = tmp_path / "graphjit.json"

    def written(content: Any) -> Path:
        data = content if isinstance(content, (str, bytes)) else json.dumps(content)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return written


# --- functions ------------------------------------------------------------------------


def test_defaults_without_a_file() -> None:
    assert config.image_data_format() == "channels_last"
    assert config.image_dim_ordering() == "tf"
    assert config.floatx() == "float32"
    assert config.epsilon() == 1e-7
    assert config.backend() == "jax"


def test_the_data_format_is_one_setting_under_two_names() -> None:
    config.set_image_dim_ordering("th")
    assert config.image_data_format() == "channels_first"
    config.set_image_data_format("channels_last")
    assert config.image_dim_ordering() == "tf"


@pytest.mark.parametrize(
    ("setter", "value", "text"),
    [
        (
            config.set_image_data_format,
            "channel_last",
            r"^image_data_format: expected 'channels_last' or 'channels_first', "
            r"received 'channel_last'\n  hint: did you mean 'channels_last'\?$",
        ),
        (
            config.set_image_dim_ordering,
            "channels_first",
            r"^image_dim_ordering: expected 'tf' or 'th', received 'channels_first'",
        ),
        (
            config.set_floatx,
            "int32",
            r"^floatx: expected one of \('bfloat16', 'float16', 'float32', "
            r"'float64'\), received 'int32'",
        ),
        (config.set_floatx, None, r"^floatx: expected one of .*, received None$"),
        *(
            (
                config.set_epsilon,
                value,
                rf"^epsilon: expected a number between 0 and 1, received {value!r}$",
            )
            for value in (0, 1.0, "1e-7", True, None, float("nan"))
        ),
    ],
)
def test_refused_values(setter: Callable[[Any], None], value: Any, text: str) -> None:
    before = config.image_data_format(), config.floatx(), config.epsilon()
    with pytest.raises(CaptureError, match=text):
        setter(value)
    assert before == (config.image_data_format(), config.floatx(), config.epsilon())


# --- the file -------------------------------------------------------------------------


def test_the_documents_file(write: Write) -> None:
    """The file document 001 shows for Theano."""
    write(
        """ {
   "epsilon": 1e-06,
   "floatx": "float64",
   "image_data_format": "channels_first",
   "backend": "theano"
 }"""
    )
    assert config.image_data_format() == "channels_first"
    assert config.image_dim_ordering() == "th"
    assert config.floatx() == "float64"
    assert config.epsilon() == 1e-6
    assert config.backend() == "theano"
    assert gj.layers.Conv2D(2, 3).data_format == "channels_first"
    assert gj.layers.Dense(2).dtype == "float64"


@pytest.mark.parametrize("name", ["tensorflow", "theano", "cntk", "jax"])
def test_backends_of_the_documents_are_accepted(write: Write, name: str) -> None:
    write({"backend": name})
    assert config.backend() == name


@pytest.mark.parametrize(
    ("content", "data_format"),
    [
        ({"image_dim_ordering": "th"}, "channels_first"),
        ({"image_dim_ordering": "tf"}, "channels_last"),
        (
            {"image_dim_ordering": "th", "image_data_format": "channels_first"},
            "channels_first",
        ),
        ({}, "channels_last"),
    ],
)
def test_the_keras_1_key(write: Write, content: Any, data_format: str) -> None:
    write(content)
    assert config.image_data_format() == data_format


def test_a_byte_order_mark_is_read_over(write: Write) -> None:
    write(b'\xef\xbb\xbf{"floatx": "float16"}')
    assert config.floatx() == "float16"


def test_a_setting_made_in_code_goes_before_the_file(write: Write) -> None:
    write({"floatx": "float64", "epsilon": 1e-3})
    config.set_floatx("bfloat16")
    assert (config.floatx(), config.epsilon()) == ("bfloat16", 1e-3)


def test_the_file_is_read_once_and_never_written(write: Write) -> None:
    path = write({"floatx": "float64"})
    assert config.floatx() == "float64"
    config.set_floatx("float16")
    assert path.read_text() == '{"floatx": "float64"}'
    path.write_text("broken")
    assert config.epsilon() == 1e-7
    assert os.listdir(path.parent) == ["graphjit.json"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ('{"floatx": "float32"', r"not valid JSON: Expecting ',' delimiter: line 1"),
        ("", r"not valid JSON: Expecting value: line 1 column 1"),
        (b"\xff\xfe", r"not valid JSON: 'utf-8' codec can't decode"),
        ("[" * 60_000, r"not valid JSON: "),
        ('{"floatx": "float32", "floatx": "float64"}', r"key 'floatx' stands twice$"),
        (["float32"], r"expected a JSON object, received a list$"),
        ({"flaotx": "float32"}, r"unknown setting 'flaotx'\n  hint: did you mean "),
        ({"cpus": 3}, r"unknown setting 'cpus'\n  hint: known are image_data_format, "),
        ({"floatx": "float8"}, r"floatx: expected one of .*, received 'float8'"),
        ({"floatx": 32}, r"floatx: expected one of .*, received 32$"),
        ({"epsilon": "1e-7"}, r"epsilon: expected a number between 0 and 1, received "),
        ('{"epsilon": NaN}', r"epsilon: expected a number between 0 and 1, received n"),
        ({"backend": "mxnet"}, r"backend: expected one of .*, received 'mxnet'$"),
        ({"image_data_format": "th"}, r"image_data_format: expected 'channels_last' "),
        ({"image_dim_ordering": "tw"}, r"image_dim_ordering: expected 'tf' or 'th', "),
        (
            {"image_dim_ordering": "th", "image_data_format": "channels_last"},
            r"image_data_format and image_dim_ordering are two names of one setting: "
            r"expected the same format, received 'channels_last' and 'th' "
            r"\(channels_first\)$",
        ),
        (" " * 70_000, r"expected at most 65536 bytes of settings$"),
    ],
    ids=range(17),
)
def test_broken_files_are_named(write: Write, content: Any, text: str) -> None:
    path = write(content)
    for _ in range(2):  # a broken file stays an error
        with pytest.raises(FormatError, match=text) as caught:
            config.floatx()
        assert str(caught.value).startswith(f"{path}: ")
    with pytest.raises(FormatError, match=text):
        config.set_epsilon(1e-3)


def test_a_folder_in_the_files_place(write: Write, tmp_path: Path) -> None:
    (tmp_path / "graphjit.json").mkdir()
    with pytest.raises(FormatError, match=r"graphjit\.json: cannot be read: "):
        config.floatx()


def test_importing_reads_nothing(tmp_path: Path) -> None:
    (tmp_path / "graphjit.json").write_text("broken")
    code = (
        "import graphjit as gj\n"
        "try:\n    gj.layers.Dense(2)\n"
        "except gj.errors.FormatError as error:\n    print(error.message)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "GRAPHJIT_HOME": str(tmp_path)},
    )
    assert done.stdout.startswith(f"{tmp_path / 'graphjit.json'}: not valid JSON: ")


@pytest.mark.parametrize(
    ("environment", "windows", "path"),
    [
        ({"GRAPHJIT_HOME": "/a", "HOME": "/b"}, False, "/a/graphjit.json"),
        ({"HOME": "/b"}, False, "/b/.graphjit/graphjit.json"),
        ({"GRAPHJIT_HOME": "", "HOME": "/b"}, False, "/b/.graphjit/graphjit.json"),
        ({"USERPROFILE": "/c", "HOME": "/b"}, True, "/c/.graphjit/graphjit.json"),
        ({"GRAPHJIT_HOME": "/a", "USERPROFILE": "/c"}, True, "/a/graphjit.json"),
    ],
)
def test_where_the_file_lies(
    environment: dict[str, str], windows: bool, path: str
) -> None:
    assert config.config_path(environment, windows) == Path(path)


def test_without_a_home_there_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert config.config_path({}) is None
    monkeypatch.setattr("graphjit.config_file.config_path", lambda: None)
    monkeypatch.setattr(config, "_process", None)
    assert config.floatx() == "float32"


# --- using ----------------------------------------------------------------------------


def test_a_block_has_settings_of_its_own() -> None:
    with config.using(image_data_format="channels_first", floatx="float64"):
        conv = gj.layers.Conv2D(2, 3)
        x = gj.Input((3, 8, 9))
        assert (conv.data_format, conv.dtype, x.dtype) == (
            "channels_first",
            "float64",
            "float64",
        )
        assert config.epsilon() == 1e-7
    assert config.floatx() == "float32"
    # Resolved when the layer was made.
    assert conv(x).shape == (None, 2, 6, 7)
    assert gj.layers.Conv2D(2, 3).data_format == "channels_last"


def test_blocks_nest() -> None:
    with config.using(floatx="float64", epsilon=1e-3):
        with config.using(floatx="float16", image_dim_ordering="th"):
            assert (config.floatx(), config.epsilon()) == ("float16", 1e-3)
            assert config.image_dim_ordering() == "th"
        assert (config.floatx(), config.image_dim_ordering()) == ("float64", "tf")


def test_a_block_ends_where_something_is_raised() -> None:
    with pytest.raises(KeyError, match="gone"), config.using(floatx="float64"):
        raise KeyError("gone")
    assert config.floatx() == "float32"


def test_setting_inside_a_block() -> None:
    """What the block holds lasts until its end, anything else beyond it."""
    with config.using(floatx="float64"):
        config.set_floatx("float16")
        config.set_epsilon(1e-3)
        assert config.floatx() == "float16"
    assert (config.floatx(), config.epsilon()) == ("float32", 1e-3)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"floatx": "int8"}, r"^floatx: expected one of"),
        (
            {"image_data_format": "channels_last", "image_dim_ordering": "th"},
            r"^image_data_format and image_dim_ordering are two names of one setting",
        ),
    ],
)
def test_a_block_refuses_what_the_functions_refuse(settings: Any, text: str) -> None:
    with pytest.raises(CaptureError, match=text), config.using(**settings):
        pytest.fail("the block ran")


def test_threads_do_not_see_each_others_blocks() -> None:
    inside, done = threading.Event(), threading.Event()
    seen: list[str] = []

    def other() -> None:
        with config.using(floatx="float64"):
            inside.set()
            done.wait(10)
            seen.append(config.floatx())

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10)
    assert config.floatx() == "float32"
    config.set_floatx("float16")
    done.set()
    thread.join(10)
    assert seen == ["float64"]
    assert config.floatx() == "float16"
