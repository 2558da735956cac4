"""Files of every released version load for ever, and mean what they meant."""

from __future__ import annotations

from pathlib import Path

import msgpack
import numpy as np
import pytest

from graphjit.formats import container
from graphjit.lower import lower
from graphjit.variables import flatten
from tests.formats.golden.make_v1 import nested
from tests.formats.samples import header_of

FOLDER = Path(__file__).resolve().parent / "golden"
PATH = FOLDER / "v1_digits.gjit"


@pytest.mark.parametrize("mmap", [False, True])
def test_v1_digits_computes_what_was_recorded(mmap: bool) -> None:
    contents = container.load(PATH, mmap=mmap)
    recorded = np.load(FOLDER / "v1_digits.npz")
    variables = nested(contents.graph, dict(contents.tensors))
    done = lower(contents.graph)(**variables, x=recorded["images"])
    found = {"images": recorded["images"], "outputs": done.outputs}
    found |= {f"loss {name}": value for name, value in done.losses.items()}
    state = [param for param in contents.graph.params if param.is_state]
    for name, value in flatten({"state": done.state}, state).items():
        found[f"state {name}"] = value
    assert sorted(found) == sorted(recorded.files)
    for name, wanted in recorded.items():
        np.testing.assert_allclose(found[name], wanted, rtol=2e-5, atol=2e-6)


def test_v1_digits_is_the_graph_it_was() -> None:
    contents = container.load(PATH)
    assert contents.producer == "graphjit 0.1.0"
    assert contents.optional == {"note": {"made by": "tests/formats/golden/make_v1.py"}}
    graph = contents.graph
    kinds = {node.op.kind for node in graph.nodes}
    assert kinds >= {"conv", "batch_norm", "relu", "add", "max_pool", "dense", "tanh"}
    assert [graph.count(kind) for kind in ("conv", "batch_norm", "dense")] == [3, 2, 2]
    assert [len(graph.updates), len(graph.losses)] == [2, 1]
    paths = [call.path for call in graph.layers]
    assert {"stem", "block", "block@1", "block@1/conv2d", "digit"} <= set(paths)


def test_v1_digits_is_written_as_it_was() -> None:
    """Version 1 stays version 1: the same contents are the same bytes."""
    contents = container.load(PATH)
    data = container.encode(contents.graph, contents.tensors, contents.optional)
    (old, payload), (new, new_payload) = header_of(PATH.read_bytes()), header_of(data)
    old["producer"] = new["producer"]
    assert msgpack.packb(old) == msgpack.packb(new)
    assert payload == new_payload


def test_the_golden_files_are_small() -> None:
    sizes = [path.stat().st_size for path in FOLDER.glob("v1_digits.*")]
    assert len(sizes) == 2
    assert sum(sizes) < 100_000
