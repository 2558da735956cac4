from __future__ import annotations

import graphjit as gj
from graphjit.ops.base import Rule
from graphjit.ops.elementwise import Relu
from graphjit.passes import SelectKernels, run
from tests.passes.build import graph_of, rewritten


def graph() -> gj.Graph:
    x = gj.Input((8, 8, 4), name="x")
    h = gj.layers.DepthwiseConv2D(3, name="dw")(x)
    return graph_of(x, gj.layers.Conv2D(4, 3, groups=2, name="c")(h))


def test_depthwise_on_cpu_is_shifted() -> None:
    after, entry = rewritten(SelectKernels(target="cpu"), graph())
    kernels = {node.name: node.kernel for node in after.nodes}
    assert kernels["dw/conv"] == "depthwise_shifted"
    assert any("23x" in text for name, text in entry.done if name == "dw/conv")
    assert rewritten(SelectKernels(target="cpu"), after)[0] is after


def test_other_platforms_keep_the_plain_lowering() -> None:
    after, entry = rewritten(SelectKernels(target="gpu"), graph())
    assert all(node.kernel == "" for node in after.nodes)
    refused = {(refusal.node, refusal.reason) for refusal in entry.refused}
    assert ("dw/conv", "depthwise_shifted is not for 'gpu'") in refused
    # Kernels that could not do it are not worth a word.
    assert ("dw/conv", "pointwise_dot is not for 'gpu'") not in refused


def test_a_choice_for_one_platform_is_taken_back_for_another() -> None:
    cpu, _ = run(graph(), [SelectKernels(target="cpu")])
    gpu, _ = run(cpu, [SelectKernels(target="gpu")])
    assert gpu == graph()


def test_the_pipeline_fills_in_the_platform() -> None:
    after, log = run(graph(), [SelectKernels()], target="gpu")
    assert after == graph()
    assert log.entries[0].name == "SelectKernels(target='gpu')"


def test_rules_for_training_hold_in_training_alone() -> None:
    def rule(training: bool | None) -> Rule:
        return Rule("cpu", "1x", training=training)

    for training in (False, True):
        assert rule(training).holds(Relu(), [], "cpu", training)
        assert not rule(training).holds(Relu(), [], "cpu", not training)
        assert rule(None).holds(Relu(), [], "cpu", training)
        assert not rule(None).holds(Relu(), [], "gpu", training)
