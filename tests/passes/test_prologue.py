from __future__ import annotations

import numpy as np

import graphjit as gj
from graphjit.ops.elementwise import Add, Multiply
from graphjit.passes import INFERENCE, run, split_prologue
from graphjit.types import TensorType
from graphjit.variables import flatten
from tests.passes.build import graph_of, ir, kinds, param
from tests.passes.values import random_data, random_variables


def folded() -> gj.Graph:
    x = gj.Input((7, 8, 3), name="x")
    h = gj.layers.Conv2D(4, 3, name="c")(x)
    h = gj.layers.ReLU()(gj.layers.BatchNormalization(name="n")(h))
    return run(graph_of(x, gj.layers.Dense(2, name="d")(h)), INFERENCE)[0]


def test_moves_what_depends_on_params_only() -> None:
    graph = folded()
    prologue, main = split_prologue(graph)
    assert kinds(main) == ["conv", "dense"]
    assert prologue.inputs == ()
    packed = [output.name for output in prologue.outputs]
    assert [p.name for p in main.params] == ["d/kernel", "d/bias", *packed]
    gj.verify(prologue)
    gj.verify(main)


def test_the_two_together_compute_the_same() -> None:
    graph = folded()
    prologue, main = split_prologue(graph)
    variables, data = random_variables(graph), random_data(graph)
    flat = flatten(variables, graph.params)
    made = gj.lower(prologue)(variables["params"], variables["state"], []).outputs
    weights = dict(zip((o.name for o in prologue.outputs), made, strict=True))
    tree = gj.lower(main)
    nested = {"params": {}, "state": {}}
    for entry in main.params:
        *path, slot = entry.name.split("/")
        branch = nested[entry.collection]
        for part in path:
            branch = branch.setdefault(part, {})
        branch[slot] = weights.get(entry.name, flat.get(entry.name))
    result = tree(nested["params"], nested["state"], data).outputs
    expected = gj.lower(graph)(variables["params"], variables["state"], data).outputs
    np.testing.assert_array_equal(result, expected)


def test_updated_state_is_not_a_weight() -> None:
    b = ir()
    x = b.input("x", TensorType((4,), "float32"))
    w = b.param(param("w", 4))
    s = b.param(param("s", 4, collection="state", trainable=False))
    scaled = b(Multiply(), w, w, name="ww")
    mixed = b(Multiply(), s, w, name="sw")
    b.update("s", b(Add(), s, x, name="new"))
    b.output("y", b(Add(), x, scaled, mixed, name="y"))
    prologue, main = split_prologue(b.build())
    assert [node.name for node in prologue.nodes] == ["ww"]
    assert [node.name for node in main.nodes] == ["sw", "new", "y"]
    assert [p.name for p in main.params] == ["w", "s", "ww"]


def test_nothing_to_move() -> None:
    x = gj.Input((4,), name="x")
    graph = graph_of(x, gj.layers.ReLU()(x))
    prologue, main = split_prologue(graph)
    assert main is graph
    assert prologue.nodes == ()
    assert prologue.outputs == ()


def test_an_output_of_params_alone_is_packed() -> None:
    b = ir()
    b.input("x", TensorType(("batch",), "float32"))
    w = b.param(param("w", 4))
    b.output("y", b(Multiply(), w, w, name="ww"))
    prologue, main = split_prologue(b.build())
    assert [node.name for node in prologue.nodes] == ["ww"]
    assert main.nodes == ()
    gj.verify(main)
