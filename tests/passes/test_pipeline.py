from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest

import graphjit as gj
from graphjit.builder import Rewriter
from graphjit.errors import PassError
from graphjit.ir import Graph, Output
from graphjit.ops.elementwise import Relu, Tanh
from graphjit.ops.scan import Scan
from graphjit.passes import INFERENCE, TRAINING, FuseEpilogue, Pass, run
from graphjit.passes.base import Entry
from graphjit.types import TensorType
from tests.passes.build import graph_of, ir, lines


def small() -> Graph:
    x = gj.Input((4,), name="x")
    return graph_of(x, gj.layers.ReLU(name="r")(gj.layers.Dense(3, name="d")(x)))


@dataclass(frozen=True, slots=True)
class Renames(Pass):
    def rewrite(self, graph: Graph, entry: Entry) -> Graph:
        return graph.replace(outputs=(Output("other", graph.outputs[0].value),))


@dataclass(frozen=True, slots=True)
class Copies(Pass):
    def rewrite(self, graph: Graph, entry: Entry) -> Graph:
        return graph.replace()


@dataclass(frozen=True, slots=True)
class Breaks(Pass):
    def rewrite(self, graph: Graph, entry: Entry) -> Graph:
        return graph.replace(nodes=graph.nodes[:-1])


@dataclass(frozen=True, slots=True)
class Grows(Pass):
    def rewrite(self, graph: Graph, entry: Entry) -> Graph:
        rewriter = Rewriter(graph)
        for node in graph.nodes:
            kept = rewriter.keep(node)
        rewriter.replace(node.value, rewriter(Tanh(), kept.value))
        return rewriter.finish()


def test_the_contract_is_checked() -> None:
    with pytest.raises(PassError, match=r"Renames changed the outputs: expected .'r'"):
        run(small(), [Renames()])
    with pytest.raises(PassError, match="Copies changed nothing, yet returned a new"):
        run(small(), [Copies()])
    with pytest.raises(PassError, match="Breaks made an invalid graph: output 'r'"):
        run(small(), [Breaks()])
    with pytest.raises(PassError, match="Grows is not idempotent on graph 'test'"):
        run(small(), [Grows()], strict=True)
    run(small(), [Grows()])


def test_the_log_tells_what_was_done_and_why_not() -> None:
    graph, log = run(small(), INFERENCE)
    assert [entry.name.split("(")[0] for entry in log.entries] == [
        "ToInference",
        "Simplify",
        "MoveTransposes",
        "FoldPadding",
        "FoldNorm",
        "FuseEpilogue",
        "Simplify",
        "SelectKernels",
        "PackWeights",
    ]
    assert "FuseEpilogue: 2 -> 1 ops\n    r/relu: epilogue of d/dense" in str(log)
    assert log.of("FuseEpilogue")[0].changed
    assert log.refusals() == []
    assert run(graph, INFERENCE)[0] is graph


def test_pipelines_are_plain_tuples_of_frozen_passes() -> None:
    for pipeline in (INFERENCE, TRAINING):
        assert isinstance(pipeline, tuple)
        for pass_ in pipeline:
            assert dataclasses.is_dataclass(pass_)
            assert hash(pass_) == hash(dataclasses.replace(pass_))


def test_bodies_are_rewritten_first() -> None:
    inner = ir("cell")
    h = inner.input("h", TensorType(("batch", 3), "float32"))
    x = inner.input("x", TensorType(("batch", 3), "float32"))
    total = inner(gj.ops.elementwise.Add(), h, x, name="sum")
    new = inner(Relu(), total, name="new")
    inner.output("h", new)
    b = ir()
    start = b.input("start", TensorType(("batch", 3), "float32"))
    steps = b.input("steps", TensorType(("batch", None, 3), "float32"))
    last, *_ = b.node(Scan(inner.build(), 1, 1), [start, steps], name="loop")
    b.output("y", last)
    after, log = run(b.build(), [FuseEpilogue()], strict=True)
    body = after.nodes[0].op.body
    assert lines(body) == ["%sum = add(%h, %x) |> relu"]
    assert log.entries[0].done == [("new", "epilogue of sum")]
