from __future__ import annotations

from pathlib import Path

import pytest

import graphjit as gj
from graphjit_cli import main


@pytest.fixture
def net(tmp_path: Path) -> str:
    """Convolutions with kernels for the CPU, one of them frozen, and a norm."""
    x = gj.Input((8, 8, 4), name="x")
    h = gj.layers.DepthwiseConv2D(3, name="deep")(x)
    h = gj.layers.BatchNormalization(name="norm")(h)
    h = gj.layers.Conv2D(4, 1, name="frozen", trainable=False)(h)
    model = gj.Model(x, gj.layers.ReLU(name="relu")(h), name="net")
    model.save(tmp_path / "net.gjit")
    return str(tmp_path / "net.gjit")


def test_inference(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", net, "--target", "cpu"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("graph 'net' for cpu\nops: 5 -> 2 ")
    assert "norm/batch_norm: into deep/conv" in text
    assert "deep/conv: depthwise_shifted (" in text
    assert "kernels\n    conv: 1 depthwise_shifted, 1 pointwise_dot" in text
    one = next(line for line in text.splitlines() if line.startswith("batch of 1:"))
    assert main(["explain", net, "--target", "cpu", "--batch-size", "10"]) == 0
    text = capsys.readouterr().out
    assert "SelectKernels(target='cpu', batch_hint=10)" in text
    flops = int(one.split()[3].replace(",", ""))
    assert f"batch of 10: {10 * flops:,} FLOPs" in text


def test_training(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", net, "--training", "--target", "tpu"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("graph 'net' in training for tpu\nops: 5 -> 4\n")
    assert "Freeze(names=('frozen',))" in text
    assert "SelectKernels(target='tpu', training=True): nothing done" in text
    assert "deep/conv: refused, depthwise_shifted is not for 'tpu'" in text
    assert "batch_norm: 1 -> 1" in text
