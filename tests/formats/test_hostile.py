"""Files made to do harm: each row of the attack table, with hashes that are right."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from graphjit.errors import FormatError
from graphjit.formats import container
from graphjit.functions import FUNCTIONS
from tests.formats import samples
from tests.formats.samples import assembled, file_of, forged, header_of, refused

Change = Callable[[Any], Any]


def test_forging_nothing_changes_nothing() -> None:
    for name in samples.GRAPHS:
        assert forged(file_of(name), lambda header: None) == file_of(name)


# --- a pickle, a Keras file, a picture --------------------------------------------


class Trap:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/trapped",)


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        # A date of its own: the bytes, and so the test's name, are the same always.
        archive.writestr(zipfile.ZipInfo("config.json", (2020, 1, 1, 0, 0, 0)), "{}")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "it is empty"),
        (pickle.dumps(Trap()), "it looks like a Python pickle, which is never read"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "it looks like a PNG image"),
        (
            b"\x89HDF\r\n\x1a\n" + bytes(50),
            r"looks like HDF5\n.*gj.keras.load_model",
        ),
        (_zip(), r"looks like a zip archive\n.*gj.keras.load_model"),
        (b'{"class_name": "Model"}', r"looks like JSON\n.*gj.model_from_json"),
        (b"\x93NUMPY\x01\0", "it looks like a NumPy array"),
        (b"\xc6\0\0\0\x80nothing of ours", r"it begins with b'\\xc6"),
        (b"hello, world", "it begins with b'hello, world'"),
        (msgpack.packb({"format": "gjit"}), "it begins with"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_another_format_is_named(data: bytes, text: str) -> None:
    refused(data, "not a gjit file: .*" + text)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="expected a regular file"):
        container.load(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(FormatError, match="pipe: expected a regular file"):
            container.load(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError, match="absent"):
        container.load(tmp_path / "absent")


# --- code -------------------------------------------------------------------------


def test_reading_opens_nothing_and_imports_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = [file_of(name) for name in samples.GRAPHS]
    for item in data:
        container.decode(item)

    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("a reader of bytes opened or imported something")

    before = set(sys.modules)
    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", forbidden)
        patch.setattr("os.open", forbidden)
        patch.setattr("importlib.import_module", forbidden)
        for item in data:
            container.decode(item)
    assert set(sys.modules) == before


def test_a_function_is_a_registered_name_or_nothing() -> None:
    def change(name: Any) -> Change:
        def apply(header: Any) -> None:
            header["graph"]["nodes"][0]["op"]["attributes"]["fn"] = name

        return apply

    for name in ("os.system", "posix>system", "builtins.eval", "tests>twic"):
        assert name not in FUNCTIONS
        text = r"graph.nodes\[0\] 'function' \(function\).fn: no function is registered"
        refused(forged(file_of("function"), change(name)), text)
    for name in (["os", "system"], {"module": "os", "name": "system"}, b"code"):
        refused(forged(file_of("function"), change(name)), "expected a string")


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (("nodes", 0, "op", "kind"), "os.system", "op: expected a known name"),
        (("nodes", 0, "op", "kind"), "dens", "hint: did you mean 'dense'?"),
        (("nodes", 0, "op", "attributes"), {"run": "x"}, "unknown field 'run'"),
        (("nodes", 0, "op", "safe_mode"), False, "unknown field 'safe_mode'"),
        (("nodes", 0, "kernel"), "os.system", "has no kernel 'os.system'"),
        (("nodes", 0, "loc"), ["/etc/passwd", 1], "unknown field 'loc'"),
        (("nodes", 0, "call"), 0, "not a row of the layer table"),
        (("nodes", 0, "name"), 3, r"graph.nodes\[0\].name: expected a string"),
        (("nodes", 0, "name"), "", "has an empty name"),
        (("nodes", 0, "name"), "x", "the name 'x' is used twice"),
        (("nodes", 0, "operands"), [["x", 0], ["gone", 0]], "read before it is defin"),
        (
            ("nodes", 0, "operands"),
            [["x", 0], ["x", 0]],
            "kernel wants batch input",
        ),
        (("nodes", 0, "operands"), [["x", 0]] * 9, "9 operands do not fit"),
        (("nodes", 0, "operands"), [["x", -1]], "expected an int >= 0, received -1"),
        (
            ("nodes", 0, "types"),
            [["float32", ["batch", 9]]],
            "it states .* but computes",
        ),
        (("nodes", 0, "types"), [], "it states .* but computes"),
        (("nodes", 0, "epilogue"), [{"kind": "dense"}], "field 'version' is missing"),
        (("params", 0, "initializer"), "zeros", "initializer: expected a map"),
        (("params", 0, "collection"), "secrets", "unknown collection 'secrets'"),
        (("params", 0, "trainable"), 1, "expected a bool, received 1"),
        (("inputs", 0, "type", 0), "object", "expected a dtype, received 'object'"),
        (("outputs", 0, "mask"), ["x", 0], "mask of output 'y': expected bool"),
        (("updates",), [{"param": "d/kernel", "value": ["x", 0]}], "not a state param"),
        (("losses",), [{"name": "l", "value": ["x", 0]}], "expected a scalar"),
        (("extra",), 1, "graph: unknown field 'extra'"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_the_graph_is_checked(path: tuple[Any, ...], value: Any, text: str) -> None:
    def change(header: Any) -> None:
        place = header["graph"]
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    refused(forged(samples.tiny_file(), change), text)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("strides", [0, 1]),
        ("strides", [-1, -1]),
        ("strides", []),
        ("strides", [1] * 1000),
        ("dilation", [0, 0]),
        ("groups", 0),
        ("padding", "os.system"),
        ("padding", [[0, 0]]),
        ("padding", [[-(2**62), 0], [0, 0]]),
    ],
)
def test_attributes_that_no_layer_gives_are_format_errors(
    attribute: str, value: Any
) -> None:
    """Whatever `infer` raises over them, a reader raises FormatError."""

    def change(header: Any) -> None:
        node = header["graph"]["nodes"][0]
        node["op"]["attributes"][attribute] = value
        node["kernel"] = ""

    refused(forged(file_of("chosen_kernel"), change), "the graph does not verify: ")


def test_the_layer_table_is_checked() -> None:
    def table(row: int, field: str, value: Any) -> bytes:
        def change(header: Any) -> None:
            header["graph"]["layers"][row][field] = value

        return forged(file_of("nested"), change)

    refused(table(2, "parent", 2), r"layers\[2\] .*parent: expected a row before 2")
    refused(table(2, "parent", 10**6), "expected a row before 2")
    refused(table(1, "parent", -2), "expected an int >= -1, received -2")
    refused(table(1, "inputs", [[99, 0]]), "no row 99")
    refused(table(1, "results", [[0, 5]]), r"expected a tensor of the table")
    refused(table(1, "config", []), r"config: expected a map, received \[\]")
    refused(table(1, "config", {"a": b"x"}), r"config.'a': expected a bool or an int")
    refused(
        table(1, "config", {"a": [0.5, float("nan")]}), r"config.'a'\[1\]: expected"
    )
    refused(table(2, "path", "x"), "two calls have the path 'x'")
    refused(table(1, "params", [1]), r"params\[0\]: expected a string")


# --- versions ---------------------------------------------------------------------


def test_a_newer_version_is_told_apart() -> None:
    def newer(header: Any) -> Any:
        return {"format": "gjit", "version": 7, "weights": "elsewhere"}

    error = refused(forged(samples.tiny_file(), newer), "format version 7, this reader")
    assert str(error).endswith("knows 1\n  hint: a newer graphjit reads it")


@pytest.mark.parametrize("version", [0, -1, "1", 1.0, True, None])
def test_a_version_is_an_int(version: Any) -> None:
    def change(header: Any) -> None:
        header["version"] = version

    refused(forged(samples.tiny_file(), change), "version")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda h: h.update(safe_mode=False), "header: unknown field 'safe_mode'"),
        (lambda h: h.pop("producer"), "header: field 'producer' is missing"),
        (lambda h: dict(sorted(h.items(), reverse=True)), "not a gjit file"),
        (
            lambda h: {"format": h.pop("format"), "graph": h.pop("graph"), **h},
            "expected the fields in the order",
        ),
        (lambda h: h.update(producer=1), "producer: expected a string"),
        (lambda h: h.update(tensors={}), "tensors: expected a list"),
        (lambda h: h.update(optional=[]), r"optional: expected a map, received \[\]"),
        (lambda h: h.update(graph=None), "graph: expected a map, received None"),
    ],
)
def test_the_header_is_closed(change: Change, text: str) -> None:
    def apply(header: Any) -> Any:
        changed = change(header)
        return changed if isinstance(changed, dict) and "version" in changed else None

    refused(forged(samples.tiny_file(), apply), text)


def test_what_is_optional_may_be_unknown() -> None:
    def change(header: Any) -> None:
        header["optional"] = {"from_the_future": {"x": [1, float("inf")]}}

    contents = container.decode(forged(samples.tiny_file(), change))
    assert contents.graph == samples.tiny()
    assert contents.optional == {"from_the_future": {"x": [1, float("inf")]}}


# --- tensors ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("shape", [2**50, 2], r"bytes: expected 9007199254740992 for 'float32\["),
        ("shape", [2**40, 2**40], "expected 48357032784585166988247.. for"),
        ("shape", [-1], "shape: expected an int >= 0, received -1"),
        ("shape", [3.0, 2], "shape: expected an int, received 3.0"),
        ("shape", [2, 3], r"expected float32\[3, 2\], received float32\[2, 3\]"),
        ("shape", [6], r"expected float32\[3, 2\], received float32\[6\]"),
        ("shape", [0, 2**62], "declares 4611686018427387904 "),
        ("dtype", "object", "dtype: expected a dtype, received 'object'"),
        ("dtype", "V24", "dtype: expected a dtype, received 'V24'"),
        ("dtype", [["x", "O"]], "dtype: expected a dtype"),
        ("dtype", "int32", r"expected float32\[3, 2\], received int32\[3, 2\]"),
        ("bytes", 23, r"bytes: expected 24 for 'float32\[3, 2\]', received 23"),
        ("bytes", 2**70 % 2**64, "bytes: expected 24"),
        ("offset", 1, "expected offset 0, received 1"),
        ("offset", 64, "expected offset 0, received 64"),
        ("offset", 2**63, "expected offset 0, received 9223372036854775808"),
        ("offset", -64, "expected an int >= 0, received -64"),
        ("sha256", bytes(32), "tensor 'd/kernel' is corrupted"),
        ("sha256", b"", "sha256: expected 32 bytes, received b''"),
        ("sha256", "0" * 32, "sha256: expected 32 bytes"),
        ("name", "d/kernal", "'d/kernal' is no param of the graph\n.*'d/kernel'"),
        ("name", "d/on", "param 'd/kernel' has no tensor in the file"),
        ("name", 1, r"tensors\[0\]: expected a string, received 1"),
        ("url", "http://localhost/", r"tensors\[0\]: unknown field 'url'"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_the_tensor_table_is_checked(field: str, value: Any, text: str) -> None:
    header, payload = header_of(samples.tiny_file())
    header["tensors"][0][field] = value
    refused(assembled(msgpack.packb(header), payload, 24), text)


def test_overlaps_holes_and_another_order() -> None:
    def second(offset: int) -> Change:
        def change(header: Any) -> None:
            header["tensors"][1]["offset"] = offset

        return change

    for offset in (0, 24, 32, 128):
        text = f"tensor 'd/on': expected offset 64, received {offset}"
        refused(forged(samples.tiny_file(), second(offset)), text)

    def reverse(header: Any) -> None:
        header["tensors"].reverse()

    refused(forged(samples.tiny_file(), reverse), "in the graph's order")

    def twice(header: Any) -> None:
        header["tensors"].append(header["tensors"][1])

    refused(forged(samples.tiny_file(), twice), "expected one tensor for each param")


def test_petabytes_are_refused_before_they_are_allocated() -> None:
    """A graph and a table that agree on 4 PiB, in a file of 2 kB."""

    def change(header: Any) -> None:
        shape = [2**25, 2**25]
        param, row = header["graph"]["params"][0], header["tensors"][0]
        param["type"][1] = row["shape"] = shape
        row["bytes"] = 4 * 2**50
        header["graph"].update(nodes=[], outputs=[])
        header["tensors"][1]["offset"] = row["bytes"] + 64

    data = forged(samples.tiny_file(), change)
    tracemalloc.start()
    try:
        refused(data, r"truncated: expected at least \d{16} bytes, rec")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_bool_is_0_or_1() -> None:
    header, payload = header_of(samples.tiny_file())
    data = bytes([0, 1, 2, 1, 0])
    header["tensors"][1]["sha256"] = hashlib.sha256(data).digest()
    forgery = assembled(msgpack.packb(header), payload[:-5] + data, 24)
    refused(forgery, "tensor 'd/on': a bool is neither 0 nor 1")


# --- attributes and bodies ----------------------------------------------------------


def test_attributes_are_finite() -> None:
    for value in (float("nan"), float("inf"), -float("inf"), -0.0):

        def change(header: Any, value: float = value) -> None:
            node = header["graph"]["nodes"][0]
            node["epilogue"][0]["attributes"]["max_value"] = value

        text = r"graph.nodes\[0\] 'dw/conv'.epilogue\[0\] \(relu\).max_value: expected"
        refused(forged(file_of("chosen_kernel"), change), text)


def test_a_body_is_checked_as_the_graph_is() -> None:
    def change(header: Any) -> None:
        body = header["graph"]["nodes"][0]["op"]["attributes"]["body"]
        body["params"] = header["graph"]["params"]

    refused(forged(file_of("scan"), change), "body 'body' is not closed")

    def inner(header: Any) -> None:
        body = header["graph"]["nodes"][0]["op"]["attributes"]["body"]
        body["nodes"][0]["op"]["kind"] = "os.system"

    text = (
        r"graph.nodes\[0\] 'rnn/scan' \(scan\).body.nodes\[0\] 'dense': op: expected a"
    )
    refused(forged(file_of("scan"), inner), text)
