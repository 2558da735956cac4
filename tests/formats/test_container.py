"""The file: what goes in comes out, equal contents are equal bytes, nothing else is."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import msgpack
import numpy as np
import pytest

import graphjit as gj
from graphjit.errors import FormatError
from graphjit.formats import container, payload
from graphjit.formats.container import Limits
from graphjit.ir import Graph, Loc, Param
from graphjit.types import TensorType
from tests.formats import samples
from tests.formats.samples import same_tensors, tensors_of

EACH_GRAPH = pytest.mark.parametrize("name", list(samples.GRAPHS))


# --- there and back ---------------------------------------------------------------


@EACH_GRAPH
def test_bytes_round_trip(name: str) -> None:
    graph = samples.GRAPHS[name]()
    tensors = tensors_of(graph)
    contents = container.decode(container.encode(graph, tensors))
    assert contents.graph == graph
    assert repr(contents.graph) == repr(graph)  # 1 is not 1.0, True is not 1
    assert str(contents.graph) == str(graph)
    assert same_tensors(contents.tensors, tensors)
    assert contents.optional == {}
    assert contents.producer.startswith("graphjit")


@EACH_GRAPH
def test_file_round_trip(name: str, tmp_path: Path) -> None:
    graph = samples.GRAPHS[name]()
    tensors = tensors_of(graph)
    path = tmp_path / "model.gjit"
    container.save(path, graph, tensors)
    assert path.read_bytes() == container.encode(graph, tensors)
    for mmap in (False, True):
        contents = container.load(path, mmap=mmap)
        assert contents.graph == graph
        assert same_tensors(contents.tensors, tensors)


@EACH_GRAPH
def test_reading_and_writing_again_gives_the_same_bytes(name: str) -> None:
    graph = samples.GRAPHS[name]()
    data = container.encode(graph, tensors_of(graph), {"x": [1, {"b": 1, "a": 2}]})
    contents = container.decode(data)
    again = container.encode(contents.graph, contents.tensors, contents.optional)
    assert again == data


def test_the_inference_graph_of_a_model_is_a_graph_too() -> None:
    x = gj.Input((8, 8, 3))
    h = gj.layers.Conv2D(4, 3, activation="relu")(x)
    h = gj.layers.BatchNormalization()(h)
    model = gj.Model(x, gj.layers.Dense(2)(gj.layers.Flatten()(h)))
    graph, _ = gj.passes.run(model.graph, gj.passes.INFERENCE)
    contents = container.decode(container.encode(graph, tensors_of(graph)))
    assert contents.graph == graph


def test_where_the_user_wrote_it_is_not_saved() -> None:
    graph = samples.digits()
    assert any(node.loc is not None for node in graph.nodes)
    data = container.encode(graph, tensors_of(graph))
    assert Path(__file__).name.encode() not in data
    assert b"samples.py" not in data
    nodes = tuple(
        dataclasses.replace(n, loc=Loc("elsewhere.py", 7)) for n in graph.nodes
    )
    moved = graph.replace(nodes=nodes)
    assert container.encode(moved, tensors_of(graph)) == data
    assert all(node.loc is None for node in container.decode(data).graph.nodes)


def test_loaded_arrays_own_their_memory() -> None:
    data = bytearray(samples.tiny_file())
    tensors = container.decode(memoryview(data)).tensors
    before = tensors["d/kernel"].copy()
    data[:] = bytes(len(data))
    assert np.array_equal(tensors["d/kernel"], before)
    assert tensors["d/kernel"].flags.writeable
    assert tensors["d/kernel"].flags.owndata


def test_jax_arrays_and_arrays_in_any_order_can_be_written() -> None:
    types = {"a": TensorType((2, 3), "bfloat16"), "b": TensorType((2, 3), "float32")}
    graph = Graph(params=tuple(Param(name, type_) for name, type_ in types.items()))
    values = np.arange(6.0, dtype=np.float32).reshape(3, 2)
    plain = np.ascontiguousarray(values.T)
    tensors = {"a": jnp.asarray(plain, jnp.bfloat16), "b": plain}
    data = container.encode(graph, tensors)
    for other in (values.T, plain.astype(">f4"), jnp.asarray(plain)):
        assert container.encode(graph, {"b": other, "a": tensors["a"]}) == data
    assert container.decode(data).tensors["a"].dtype == jnp.bfloat16


def test_every_tensor_is_aligned_and_is_a_msgpack_binary() -> None:
    graph = samples.every_dtype()
    tensors = tensors_of(graph)
    data = container.encode(graph, tensors)
    stream = msgpack.Unpacker(max_buffer_size=len(data))
    stream.feed(data)
    packed, digest, *rest = list(stream)
    assert len(digest) == 32
    header = msgpack.unpackb(packed)
    binaries = [item for item in rest if item is not None]
    assert binaries == [tensors[row["name"]].tobytes() for row in header["tensors"]]
    _, start = samples.header_of(data)
    first = len(data) - len(start)
    for row in header["tensors"]:
        assert (first + row["offset"]) % 64 == 0


# --- equal contents, equal bytes --------------------------------------------------


def test_order_without_meaning_leaves_no_trace() -> None:
    graph = samples.digits()
    tensors = tensors_of(graph)
    one = container.encode(graph, tensors, {"a": {"x": 1, "y": (2,)}, "b": None})
    backwards = dict(reversed(tensors.items()))
    two = container.encode(graph, backwards, {"b": None, "a": {"y": [2], "x": 1}})
    assert one == two


def test_another_process_writes_the_same_bytes() -> None:
    script = (
        "import hashlib, sys\n"
        "from graphjit.formats import container\n"
        "from tests.formats import samples\n"
        "g = samples.nested()\n"
        "data = container.encode(g, samples.tensors_of(g))\n"
        "sys.stdout.write(hashlib.sha256(data).hexdigest())\n"
        "assert 'pickle' not in vars(container)\n"
    )
    found = {run_python(script, PYTHONHASHSEED=seed) for seed in ("1", "2")}
    assert len(found) == 1


def run_python(script: str, **environment: str) -> str:
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


# --- optional sections ------------------------------------------------------------


def test_optional_sections_are_plain_data() -> None:
    sections = {"tuning": [["conv", 1.5, None, True, b"\0"]], "future": {"k": "é"}}
    data = container.encode(samples.tiny(), tensors_of(samples.tiny()), sections)
    assert container.decode(data).optional == sections


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ({1: 2}, "optional.x: key: expected a string, received 1"),
        ({"a": object()}, "a object cannot stand in a file"),
        (np.float64(1), "a float64 cannot stand in a file"),
        (2**70, "msgpack cannot hold it"),
        ("\ud800", "msgpack cannot hold it"),
    ],
)
def test_other_data_in_a_section_is_refused(section: Any, text: str) -> None:
    graph = samples.tiny()
    with pytest.raises(FormatError, match=text):
        container.encode(graph, tensors_of(graph), {"x": section})


# --- what cannot be saved ---------------------------------------------------------


def refused(graph: Graph, tensors: dict[str, Any], match: str) -> None:
    with pytest.raises(FormatError, match=match):
        container.encode(graph, tensors)


def test_tensors_must_be_the_graphs() -> None:
    graph = samples.tiny()
    good = tensors_of(graph)
    kernel, on = good["d/kernel"], good["d/on"]
    refused(graph, {"d/on": on}, "param 'd/kernel': expected a tensor, received none")
    refused(graph, {**good, "d/kernal": kernel}, "tensor 'd/kernal' is no param")
    refused(graph, {**good, "d/kernal": kernel}, "did you mean 'd/kernel'")
    wanted = r"tensor 'd/kernel': expected float32\[3, 2\], received "
    refused(graph, {**good, "d/kernel": kernel.T}, wanted + r"float32\[2, 3\]")
    wide = kernel.astype(np.float64)
    refused(graph, {**good, "d/kernel": wide}, wanted + r"float64\[3, 2\]")
    refused(graph, {**good, "d/kernel": kernel.tolist()}, wanted + "list")
    objects = kernel.astype(object)
    refused(graph, {**good, "d/kernel": objects}, wanted + r"object\[3, 2\]")


def test_a_graph_that_does_not_verify_is_not_written() -> None:
    graph = samples.tiny().replace(nodes=())
    refused(graph, tensors_of(graph), "does not verify: output 'y': %d is not defined")


def test_an_unregistered_function_is_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    x = gj.Input((4,), name="x")
    y = gj.layers.Dense(3, activation=lambda v: v * v, name="d")(x)
    graph = gj.Model(x, y).graph
    path = tmp_path / "model.gjit"
    with pytest.raises(FormatError, match=r"graph.nodes\[1\] 'd/function'") as caught:
        container.save(path, graph, tensors_of(graph))
    assert "(function).fn: the function '<lambda>' has no name in files" in str(
        caught.value
    )
    assert '@gj.register("name")' in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_callable_initializer_is_refused_naming_the_param() -> None:
    x = gj.Input((4,), name="x")
    zeros = gj.initializers.get(lambda shape, dtype: np.zeros(shape, dtype))
    layer = gj.layers.BatchNormalization(name="n")
    graph = gj.Model(x, layer(x)).graph
    params = (dataclasses.replace(graph.params[0], initializer=zeros),)
    graph = graph.replace(params=params + graph.params[1:])
    refused(graph, tensors_of(graph), r"graph.params\[0\] 'n/gamma'.initializer: FromC")


def test_the_writer_keeps_the_readers_limits() -> None:
    graph = samples.tiny()
    for limits, text in [
        (Limits(nodes=0), "at least 1 nodes"),
        (Limits(header_bytes=100), "header"),
        (Limits(depth=3), "nested deeper than 3"),
    ]:
        with pytest.raises(FormatError, match=text):
            container.encode(graph, tensors_of(graph), limits=limits)


# --- large tensors ----------------------------------------------------------------


@pytest.mark.parametrize("segment", [64, 128, 1024])
def test_a_long_tensor_is_several_binaries(
    segment: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(payload, "SEGMENT_BYTES", segment)
    graph = Graph(
        params=(
            Param("a", TensorType((100,), "float32")),
            Param("b", TensorType((0,), "bool")),
            Param("c", TensorType((129,), "int8")),
        )
    )
    tensors = tensors_of(graph)
    path = tmp_path / "model.gjit"
    container.save(path, graph, tensors)
    for mmap in (False, True):
        assert same_tensors(container.load(path, mmap=mmap).tensors, tensors)
    stream = msgpack.Unpacker()
    stream.feed(path.read_bytes())
    binaries = [item for item in list(stream)[2:] if item is not None]
    assert max(map(len, binaries)) <= segment
    assert b"".join(binaries) == b"".join(t.tobytes() for t in tensors.values())


def test_the_longest_binary_fits_a_msgpack_length() -> None:
    assert payload.SEGMENT_BYTES % 64 == 0
    assert payload.SEGMENT_BYTES <= 2**32 - 1
    ((one,), two) = payload.lay_out([5, 2**33])
    assert (one.offset, one.size, one.gap) == (0, 5, 5)
    assert [segment.offset % 64 for segment in two] == [0, 0, 0]
    assert sum(segment.size for segment in two) == 2**33
    assert two[1].gap == two[2].gap == 64


def test_saving_makes_no_copy_of_the_tensors(tmp_path: Path) -> None:
    size = 2**24
    graph = Graph(params=(Param("w", TensorType((size,), "uint8")),))
    tensors = {"w": np.zeros(size, np.uint8)}
    tracemalloc.start()
    try:
        container.save(tmp_path / "w.gjit", graph, tensors)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size / 8


# --- mapped files -----------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.gjit"
    container.save(path, samples.digits(), tensors_of(samples.digits()))
    return path


def test_mapped_tensors_are_aligned_read_only_views(path: Path) -> None:
    tensors = container.load(path, mmap=True).tensors
    wanted = tensors_of(samples.digits())
    assert list(tensors) == list(wanted)
    assert len(tensors) == len(wanted)
    assert "conv/kernel" in tensors
    assert "conv/colonel" not in tensors
    for name, array in tensors.items():
        assert not array.flags.owndata
        assert not array.flags.writeable
        assert array.ctypes.data % 64 == 0
        assert tensors[name] is array
    with pytest.raises(ValueError, match="cannot set WRITEABLE"):
        tensors["conv/kernel"].flags.writeable = True


def test_a_mapped_view_outlives_what_it_came_from(path: Path) -> None:
    kernel = container.load(path, mmap=True).tensors["conv/kernel"]
    other = {n: np.zeros_like(t) for n, t in tensors_of(samples.digits()).items()}
    container.save(path, samples.digits(), other)
    assert np.array_equal(kernel, tensors_of(samples.digits())["conv/kernel"])


def test_a_mapped_tensor_is_verified_at_its_first_touch(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(FormatError, match="tensor 'digit/bias' is corrupted"):
        container.load(path)
    tensors = container.load(path, mmap=True).tensors
    assert tensors["conv/kernel"].shape == (3, 3, 1, 4)
    for _ in range(2):
        with pytest.raises(FormatError, match=r"model\.gjit: tensor 'digit/bias' "):
            tensors["digit/bias"]
    with pytest.raises(KeyError, match="nothing"):
        tensors["nothing"]
