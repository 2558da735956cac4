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
import numpy as np
import pytest

from graphjit.builder import Builder
from graphjit.errors import FormatError
from graphjit.formats import container
from graphjit.formats.container import Limits
from graphjit.functions import FUNCTIONS
from graphjit.ir import Graph, Param
from graphjit.ops.shape import Upsample
from graphjit.types import TensorType
from graphjit.verify import verify
from tests.formats import samples
from tests.formats.samples import assembled, forged, header_of, tensors_of

Change = Callable[[Any], Any]


def refused(data: bytes, match: str, limits: Limits | None = None) -> FormatError:
    with pytest.raises(FormatError, match=match) as caught:
        container.decode(data, limits=limits or Limits())
    return caught.value


def file_of(name: str) -> bytes:
    graph = samples.GRAPHS[name]()
    return container.encode(graph, tensors_of(graph))


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
        archive.writestr("config.json", "{}")
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
            "kernel wants batch input chan",
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
    refused(table(1, "inputs", [[99, 0]]), "no input row 99")
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


# --- limits -----------------------------------------------------------------------


def test_a_huge_header_is_refused_by_its_length() -> None:
    data = bytearray(samples.tiny_file())
    data[1:5] = b"\xff\xff\xff\xff"
    error = refused(bytes(data), r"header: 4294967295 bytes \(limit header_bytes = 335")
    assert "limits=Limits(header_bytes=…)" in str(error)
    refused(bytes(data), "truncated", Limits(header_bytes=2**40))


@pytest.mark.parametrize(
    ("limits", "name", "text"),
    [
        (Limits(nodes=2), "digits", r"at least 10 nodes \(limit nodes = 2\)"),
        (Limits(nodes=3), "scan", r"scan 'rnn/scan'.body: graph: at least 4 nodes"),
        (Limits(tensors=1), "tiny", r"2 tensors \(limit tensors = 1\)"),
        (Limits(rank=3), "digits", r"'image': 4 axes \(limit rank = 3\)"),
        (Limits(rank=1), "tiny", r"axes \(limit rank = 1\)"),
        (Limits(name_chars=7), "tiny", r"name 'd/kernel': 8 characters"),
        (Limits(values=100), "tiny", "more than 100 values"),
        (Limits(depth=4), "tiny", "nested deeper than 4"),
        (Limits(elements=63), "digits", r"declares 64 \(limit elements = 63\)"),
        (Limits(elements=100), "digits", r"conv 'conv/conv': shape .* declares 128"),
    ],
)
def test_limits(limits: Limits, name: str, text: str) -> None:
    error = refused(file_of(name), text, limits)
    assert "if you trust the file: limits=Limits(" in str(error)


def test_a_name_may_not_be_endless() -> None:
    def change(header: Any) -> None:
        header["graph"]["nodes"][0]["name"] = "n" * 100_000
        header["graph"]["outputs"][0]["value"][0] = "n" * 100_000

    error = refused(forged(samples.tiny_file(), change), "100000 characters")
    assert len(str(error)) < 500


def test_an_activation_bomb_is_refused_and_the_limit_can_be_raised() -> None:
    """A few nodes, each of which makes the image 1024 times larger per axis."""
    builder = Builder("bomb")
    value = builder.input("x", TensorType(("batch", 4, 4, 1)))
    for _ in range(3):
        value = builder(Upsample((1, 1024, 1024, 1)), value)
    builder.output("y", value)
    graph = verify(builder.build())
    limits = Limits(elements=2**70)
    data = container.encode(graph, {}, limits=limits)
    refused(data, r"upsample 'upsample_1': shape .* declares 17592186044416 \(limit el")
    assert container.decode(data, limits=limits).graph == graph


def test_deep_nesting_is_refused_without_recursion() -> None:
    for depth in (100, 1000, 5000, 100_000):
        bomb = b"\x91" * depth + b"\xc0"
        head = b"\x86\xa6format\xa4gjit\xa7version\x01\xa8producer\xa0\xa5graph"
        rest = b"\xa7tensors\x90\xa8optional\x80"
        refused(assembled(head + bomb + rest), "nested deeper|not valid msgpack")


def test_many_small_values_are_refused_by_count() -> None:
    bomb = msgpack.packb([[{}] * 1000] * 100)
    head = b"\x86\xa6format\xa4gjit\xa7version\x01\xa8producer\xa0\xa5graph"
    data = assembled(head + bomb + b"\xa7tensors\x90\xa8optional\x80")
    refused(data, "more than 50000 values", Limits(values=50_000))
    refused(data, "graph: expected a map")


# --- msgpack ----------------------------------------------------------------------


def with_producer(raw: bytes) -> bytes:
    """A file whose header holds `raw` as the value of "producer"."""
    header, payload = header_of(samples.tiny_file())
    marker = "PRODUCER"
    header["producer"] = marker
    packed = msgpack.packb(header).replace(msgpack.packb(marker), raw)
    return assembled(packed, payload, 24)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\x82\xa1a\x01\xa1a\x02", "header: the key 'a' stands twice"),
        (b"\x81\x01\x02", "not valid msgpack: int is not allowed for map key"),
        (b"\x81\xc4\x01a\x02", "a key is no string: b'a'"),
        (b"\xc7\x00\x05", "msgpack extension type 5 is not allowed"),
        (b"\xd6\xff\0\0\0\0", "a Timestamp cannot stand in a file"),
        (b"\xd4\x01\x00", "msgpack extension type 1 is not allowed"),
        (b"\xa1\xff", "a string is not UTF-8: invalid start byte"),
        (b"\xa3\xed\xa0\x80", "a string is not UTF-8"),
        (b"\xd9\x01x", "expected the shortest msgpack encoding"),
        (b"\xca\x3f\x80\0\0", "expected the shortest msgpack encoding"),
        (b"\xd1\0\x01", "expected the shortest msgpack encoding"),
        (b"\xc1", "not valid msgpack"),
        (b"\xdd\xff\xff\xff\xff", "not valid msgpack"),
        (b"\xdf\xff\xff\xff\xff", "not valid msgpack"),
        (b"\xa0\xc0", "not valid msgpack"),
        (b"", "not valid msgpack"),
        (b"\xa1x\xa1y\xc0", "not valid msgpack"),
        (b"\xa1x", None),
    ],
    ids=repr,
)
def test_msgpack_is_strict(raw: bytes, text: str | None) -> None:
    if text is None:
        assert container.decode(with_producer(raw)).producer == "x"
        return
    refused(with_producer(raw), text)


def test_the_key_of_a_field_is_not_taken_twice() -> None:
    header, payload = header_of(samples.tiny_file())
    packed = msgpack.packb(header)
    assert packed[0] == 0x86
    packed = b"\x87" + packed[1:] + b"\xa7version\x01"
    refused(assembled(packed, payload, 24), "header: the key 'version' stands twice")


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


def test_an_empty_axis_hides_nothing() -> None:
    graph = Graph(params=(Param("w", TensorType((0, 2**40))),))
    with pytest.raises(FormatError, match=r"declares 1099511627776"):
        container.encode(graph, {"w": np.empty((0, 2**40), np.float32)})
