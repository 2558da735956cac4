"""What the passes do with transposed, separable and locally connected layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import graphjit as gj
import graphjit.layers as L  # noqa: N812
from graphjit.capture.layer import Layer
from graphjit.ops.conv.transpose_op import ConvTransposeOp
from graphjit.passes import (
    INFERENCE,
    FoldNorm,
    FoldPadding,
    MoveTransposes,
    Simplify,
    ToInference,
    run,
    split_prologue,
)
from tests.passes.build import graph_of, kinds, reasons, rewritten
from tests.passes.values import assert_equal_outputs

FIRST = "channels_first"
IMAGE, STEPS = (7, 8, 6), (9, 6)


def inference(inputs: Any, outputs: Any) -> gj.Graph:
    return run(graph_of(inputs, outputs), [ToInference()])[0]


def norm(**options: Any) -> Layer:
    return L.BatchNormalization(name="n", epsilon=0.013, **options)


LAYERS: dict[str, tuple[Callable[[], Layer], tuple[int, ...]]] = {
    "transposed": (lambda: L.Conv2DTranspose(5, (3, 2), 2, name="l"), IMAGE),
    "transposed_same": (
        lambda: L.Conv2DTranspose(5, 3, (2, 1), "same", use_bias=False, name="l"),
        IMAGE,
    ),
    # Rows between the windows get the bias alone, and so the norm of it.
    "transposed_far": (lambda: L.Conv1DTranspose(5, 2, 4, name="l"), STEPS),
    "transposed_point": (lambda: L.Conv2DTranspose(5, 1, name="l"), IMAGE),
    "transposed_full": (
        lambda: L.Conv2DTranspose(5, 3, padding="full", name="l"),
        IMAGE,
    ),
    "separable": (
        lambda: L.SeparableConv2D(5, 3, depth_multiplier=2, name="l"),
        IMAGE,
    ),
    "local": (lambda: L.LocallyConnected2D(5, (3, 2), (1, 2), name="l"), IMAGE),
    "local_plain": (
        lambda: L.LocallyConnected1D(4, 3, use_bias=False, name="l"),
        STEPS,
    ),
    "conv1d": (lambda: L.Conv1D(5, 3, 2, name="l"), STEPS),
    "conv3d": (lambda: L.Conv3D(4, 2, groups=2, name="l"), (4, 3, 5, 6)),
    "atrous": (
        lambda: L.Conv2D(4, 2, 2, dilation_rate=3, strided_dilation=True, name="l"),
        IMAGE,
    ),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
def test_a_norm_after_folds(name: str, options: dict[str, bool]) -> None:
    make, shape = LAYERS[name]
    x = L.Input(shape, name="x")
    graph = inference(x, norm(**options)(make()(x)))
    after, entry = rewritten(FoldNorm(), graph)
    assert "batch_norm_inference" not in kinds(after)
    assert entry.done[0][0] == "n/batch_norm"
    assert rewritten(FoldNorm(), after)[0] is after
    assert_equal_outputs(graph, after)


BEFORE = [
    "transposed_point",
    "transposed_full",
    "separable",
    "local",
    "local_plain",
    "conv1d",
    "conv3d",
    "atrous",
]


@pytest.mark.parametrize("name", BEFORE)
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
def test_a_norm_before_folds(name: str, options: dict[str, bool]) -> None:
    make, shape = LAYERS[name]
    x = L.Input(shape, name="x")
    graph = inference(x, make()(norm(**options)(x)))
    after, _ = rewritten(FoldNorm(), graph)
    assert "batch_norm_inference" not in kinds(after)
    assert rewritten(FoldNorm(), after)[0] is after
    assert_equal_outputs(graph, after)


@pytest.mark.parametrize("name", ["transposed", "transposed_same", "transposed_far"])
def test_a_norm_before_stays_where_parts_of_the_kernel_are_seen(name: str) -> None:
    make, shape = LAYERS[name]
    x = L.Input(shape, name="x")
    graph = inference(x, make()(norm()(x)))
    after, entry = rewritten(FoldNorm(), graph)
    assert after is graph
    why = "not every element of the result sees the whole kernel"
    assert reasons(entry) == {"n/batch_norm": f"l/conv_transpose: {why}"}


def test_causal_zeros_keep_a_norm_before() -> None:
    x = L.Input(STEPS, name="x")
    graph = inference(x, L.Conv1D(4, 3, padding="causal", name="l")(norm()(x)))
    after, entry = rewritten(FoldNorm(), graph)
    assert after is graph
    why = "l/conv: the convolution pads with zeros, the norm shifts them"
    assert reasons(entry) == {"n/batch_norm": why}


# --- pads -----------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_pad_folds_into_a_transposed_convolution(padding: str) -> None:
    x = L.Input(IMAGE, name="x")
    padded = L.ZeroPadding2D(((0, 1), (2, 3)), name="p")(x)
    y = L.Conv2DTranspose(4, (3, 4), (2, 3), padding, name="l")(padded)
    graph = graph_of(x, y)
    after, _ = rewritten(FoldPadding(), graph)
    assert kinds(after) == ["conv_transpose"]
    (op,) = [node.op for node in after.nodes]
    assert isinstance(op, ConvTransposeOp)
    assert (
        op.crops
        == {
            "valid": ((0, -2), (-6, -9)),
            "same": ((0, -1), (-6, -8)),
        }[padding]
    )
    assert_equal_outputs(graph, after)


def test_a_locally_connected_layer_keeps_its_pad() -> None:
    x = L.Input(IMAGE, name="x")
    padded = L.ZeroPadding2D(1, name="p")(x)
    graph = graph_of(x, L.LocallyConnected2D(4, 3, name="l")(padded))
    after, entry = rewritten(FoldPadding(), graph)
    assert after is graph
    why = "locally_connected 'l/locally_connected': it does not pad"
    assert reasons(entry) == {"p/pad": why}


# --- channels first -------------------------------------------------------------------

CHAINS: dict[str, tuple[Callable[[str], Layer], tuple[int, ...]]] = {
    "transposed": (
        lambda n: L.Conv2DTranspose(4, 3, 2, "same", FIRST, name=n),
        (3, 6, 5),
    ),
    "separable": (
        lambda n: L.SeparableConv2D(4, 3, 1, "same", FIRST, name=n),
        (3, 6, 5),
    ),
    "local": (
        lambda n: L.LocallyConnected2D(4, 2, data_format=FIRST, name=n),
        (3, 6, 5),
    ),
    "conv1d": (
        lambda n: L.Conv1D(4, 3, padding="causal", data_format=FIRST, name=n),
        (3, 9),
    ),
    "conv3d": (
        lambda n: L.Conv3D(4, 3, padding="same", data_format=FIRST, name=n),
        (3, 4, 6, 5),
    ),
    "conv3d_transposed": (
        lambda n: L.Conv3DTranspose(4, 2, data_format=FIRST, name=n),
        (3, 4, 6, 5),
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_keeps_the_transposes_at_its_ends(name: str) -> None:
    make, shape = CHAINS[name]
    x = L.Input(shape, name="x")
    y = make("b")(L.ReLU()(L.BatchNormalization(axis=1)(make("a")(x))))
    graph = graph_of(x, y)
    after, _ = rewritten(MoveTransposes(), graph)
    assert rewritten(MoveTransposes(), after)[0] is after
    main = split_prologue(rewritten(Simplify(), after)[0])[1]
    assert main.count("transpose") == 2
    assert_equal_outputs(graph, after)


@pytest.mark.parametrize("name", CHAINS)
def test_the_norm_of_a_chain_folds_in_the_pipeline(name: str) -> None:
    make, shape = CHAINS[name]
    x = L.Input(shape, name="x")
    y = make("b")(L.ReLU()(L.BatchNormalization(axis=1)(make("a")(x))))
    graph = graph_of(x, y)
    after, _ = run(graph, INFERENCE, target="cpu", strict=True)
    assert "batch_norm_inference" not in kinds(after)
    assert "relu" not in kinds(after)
    assert_equal_outputs(inference(x, y), after)
