"""Measuring kernels, and keeping what was measured. No test looks at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

import graphjit as gj
from graphjit import autotune
from graphjit.errors import CaptureError, FormatError
from graphjit.formats.tuning_section import decode_tuning, encode_tuning
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.ops.elementwise import Add
from graphjit.ops.scan import Scan
from graphjit.passes import SelectKernels
from graphjit.tuning import Choice, Tuning
from graphjit.types import TensorType
from tests.passes.build import ir, param, reasons, rewritten

L = gj.layers
SHIFTED = "depthwise_shifted"


def net() -> gj.Model:
    x = gj.Input((9, 8, 4), name="x")
    h = L.DepthwiseConv2D(3, name="a", activation="relu")(x)
    return gj.Model(x, L.DepthwiseConv2D(2, name="b")(h), name="net")


def kernels(exe: gj.Executable) -> dict[str, str]:
    return {node.name: node.kernel for node in exe.graph.nodes}


def test_the_fastest_is_chosen(clock: dict[str, float]) -> None:
    clock.update({"": 1.0, SHIFTED: 4.0})
    model = net()
    assert kernels(gj.jit(model))["a/conv"] == SHIFTED
    exe = gj.jit(model, autotune=True, batch_size=3)
    assert kernels(exe)["a/conv"] == kernels(exe)["b/conv"] == ""
    tuning = exe.tuning
    assert tuning is not None
    assert (tuning.platform, tuning.batch_size) == ("cpu", 3)
    assert [choice.gain for choice in tuning.choices] == [4.0, 4.0]
    assert "float32[3, 9, 8, 4]" in exe.explain()
    assert "plain, 4.00x" in exe.explain()
    data = np.random.default_rng(0).normal(size=(2, 9, 8, 4)).astype("float32")
    np.testing.assert_allclose(exe(data), gj.jit(model)(data), atol=1e-5)


def test_a_small_gain_changes_nothing(clock: dict[str, float]) -> None:
    clock.update({"": 1.0, SHIFTED: 1.05})
    exe = gj.jit(net(), autotune=True)
    assert set(kernels(exe).values()) >= {SHIFTED}
    assert exe.tuning is not None
    assert {choice.kernel for choice in exe.tuning.choices} == {SHIFTED}


def test_it_is_passed_back_in_and_kept_with_the_model(
    clock: dict[str, float], tmp_path: Path
) -> None:
    clock.update({"": 1.0, SHIFTED: 4.0})
    model = net()
    tuning = gj.jit(model, autotune=True).tuning
    again = gj.jit(model, tuning=tuning)
    assert kernels(again)["a/conv"] == ""
    assert again.tuning is tuning
    before = model.executable()
    model.tuning = tuning
    assert model.executable() is not before
    assert kernels(model.executable())["a/conv"] == ""
    model.save(tmp_path / "net.gjit")
    loaded = gj.load(tmp_path / "net.gjit")
    assert loaded.tuning == tuning
    assert kernels(gj.jit(loaded))["a/conv"] == ""
    assert gj.to_bytes(loaded) == gj.to_bytes(model)
    model.tuning = None
    assert gj.from_bytes(gj.to_bytes(model)).tuning is None


def test_ops_inside_a_body_are_measured(clock: dict[str, float]) -> None:
    clock.update({"": 1.0, SHIFTED: 4.0})
    step = ir("step")
    carry = step.input("carry", TensorType(("batch", 9, 8, 4)))
    x = step.input("x", TensorType(("batch", 9, 8, 4)))
    kernel = step.input("kernel", TensorType((3, 3, 1, 4)))
    made = step(ConvOp((1, 1), "same", groups=4), x, kernel)
    step.output("carry", step(Add(), carry, made))
    graph = ir()
    start = graph.input("start", TensorType(("batch", 9, 8, 4)))
    xs = graph.input("xs", TensorType(("batch", 5, 9, 8, 4)))
    weight = graph.param(param("c/kernel", 3, 3, 1, 4))
    graph.output("y", graph(Scan(step.build(), 1, 1), start, xs, weight))
    exe = gj.jit(graph.build(), autotune=True, batch_size=2)
    assert exe.tuning is not None
    (choice,) = exe.tuning.choices
    assert choice.operands[0] == "float32[2, 9, 8, 4]"
    (loop,) = exe.graph.nodes
    assert isinstance(loop.op, Scan)
    assert {node.kernel for node in loop.op.body.nodes} == {""}


def test_what_has_an_unknown_length_is_left_to_the_rules(
    clock: dict[str, float],
) -> None:
    clock.update({"": 1.0, SHIFTED: 4.0})
    x = gj.Input((None, 8, 4), name="x")
    exe = gj.jit(gj.Model(x, L.DepthwiseConv2D(3, name="a")(x)), autotune=True)
    assert exe.tuning is not None
    assert exe.tuning.choices == ()
    assert kernels(exe) == {"a/conv": SHIFTED}


def test_another_platform() -> None:
    with pytest.raises(CaptureError, match="target: expected 'cpu', received 'tpu'"):
        gj.jit(net(), target="tpu", autotune=True)
    graph = net().graph
    tuning = Tuning("tpu", "a device", 1)
    after, entry = rewritten(SelectKernels("cpu", tuning=tuning), graph)
    assert [n.kernel for n in after.nodes if n.op.kernels] == [SHIFTED] * 2
    assert reasons(entry) == {
        "net": "Tuning('tpu', 'a device', batch of 1, 0 choices) is not for 'cpu'"
    }


def test_batch_size_is_a_number_of_rows() -> None:
    with pytest.raises(CaptureError, match="batch_size: expected an int >= 1, rec"):
        gj.jit(net(), autotune=True, batch_size=0)


def test_a_kernel_that_is_unknown_here_is_refused() -> None:
    graph = net().graph
    node = next(node for node in graph.nodes if node.name == "a/conv")
    types = [graph.types()[v] for v in node.operands if v is not None]
    op, operands = autotune.key_of(
        node.op, [autotune.at_batch(type_, 1) for type_ in types]
    )
    tuning = Tuning("cpu", "here", 1, (Choice(op, operands, "from_the_future", 2.0),))
    after, entry = rewritten(SelectKernels("cpu", tuning=tuning), graph)
    assert [n.kernel for n in after.nodes if n.op.kernels] == [SHIFTED] * 2
    assert reasons(entry) == {"a/conv": "the tuning's 'from_the_future' cannot do it"}


CHOICE = Choice("conv(groups=4)", ("float32[1, 9, 8, 4]", "_"), "k", 1.5)
TUNING = Tuning("cpu", "here", 8, (CHOICE,))


def test_the_section_there_and_back() -> None:
    packed = msgpack.packb(encode_tuning(TUNING))
    assert decode_tuning(msgpack.unpackb(packed)) == TUNING


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, r"optional.tuning.batch_size: expected an int >= 1"),
        ({"device": 3}, r"optional.tuning.device: expected a string, received 3"),
        ({"choices": {}}, r"optional.tuning.choices: expected a list"),
        ({"choices": [{}]}, r"choices\[0\]: field 'gain' is missing"),
        ({"extra": 1}, r"optional.tuning: unknown field 'extra'"),
        (
            {"choices": [{"gain": -1.0, "kernel": "", "op": "", "operands": []}]},
            r"choices\[0\].gain: expected a number above 0, received -1.0",
        ),
        (
            {"choices": [{"gain": 1.0, "kernel": "", "op": "", "operands": [1]}]},
            r"choices\[0\].operands\[0\]: expected a string, received 1",
        ),
    ],
)
def test_a_section_that_is_not_one(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        decode_tuning({**encode_tuning(TUNING), **change})
