"""Transposed convolutions: lengths, what Keras 1 asks for, and what is refused."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

import graphjit.layers as L  # noqa: N812
from graphjit import config
from graphjit.capture.layer import LAYERS, Layer
from graphjit.capture.tracer import capture
from graphjit.errors import CaptureError, GraphJitError, ShapeError
from graphjit.ir import Graph
from graphjit.ops.conv.transpose_op import ConvTransposeOp
from tests.graphs import evaluate, random_inputs, variables_for
from tests.profiles import examples

FIRST = "channels_first"


def graph_of(layer: Layer, *shape: int | None) -> Graph:
    x = L.Input(shape, dtype=layer.dtype or "float32", name="x")
    return capture([x], [layer(x)], "one").graph


def crops_of(layer: Layer, *shape: int | None) -> tuple[tuple[int, int], ...]:
    ops = [node.op for node in graph_of(layer, *shape).nodes]
    (op,) = [op for op in ops if isinstance(op, ConvTransposeOp)]
    return op.crops


@pytest.mark.parametrize(
    "layer", [L.Conv1DTranspose, L.Conv2DTranspose, L.Conv3DTranspose]
)
def test_the_order_of_arguments_is_the_documents(layer: type[Layer]) -> None:
    order = """filters kernel_size strides padding data_format activation use_bias
    kernel_initializer bias_initializer kernel_regularizer bias_regularizer
    activity_regularizer kernel_constraint bias_constraint""".split()
    parameters = inspect.signature(layer).parameters.values()
    assert [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY] == order


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_aliases(rank: int) -> None:
    layer = getattr(L, f"Conv{rank}DTranspose")
    assert getattr(L, f"Convolution{rank}DTranspose") is layer
    assert LAYERS.get(f"Convolution{rank}DTranspose") is layer


def test_the_configured_data_format_is_the_default() -> None:
    config.set_image_data_format(FIRST)
    assert L.Conv2DTranspose(4, 3).data_format == FIRST
    assert L.Conv2DTranspose(4, 3)(L.Input((3, 8, 9))).shape == (None, 4, 10, 11)
    assert L.Conv1DTranspose(4, 3)(L.Input((3, 8))).shape == (None, 4, 10)


def test_kernels_have_the_filters_before_the_channels() -> None:
    layer = L.Conv2DTranspose(5, (3, 2))
    graph_of(layer, 8, 9, 4)
    shapes = {name: cell.param.type.shape for name, cell in layer.cells.items()}
    assert shapes == {"kernel": (3, 2, 5, 4), "bias": (5,)}


# --- lengths --------------------------------------------------------------------------


def documented_length(
    i: int, k: int, s: int, rate: int, padding: str, more: Any
) -> int:
    """Keras 2's lengths; with output_padding those of its later releases."""
    k = k + (k - 1) * (rate - 1)
    if more is None:
        return {
            "valid": i * s + max(k - s, 0),
            "same": i * s,
            "full": i * s - (s + k - 2),
        }[padding]
    p = {"same": k // 2, "valid": 0, "full": k - 1}[padding]
    return (i - 1) * s + k - 2 * p + more


@examples(150)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 4)),
    st.integers(1, 3),
    st.sampled_from(["valid", "same", "full"]),
    st.booleans(),
    st.data(),
)
def test_lengths_are_the_documented_ones(
    sizes: tuple[int, int, int],
    rate: int,
    padding: str,
    padded: bool,
    data: st.DataObject,
) -> None:
    i, k, s = sizes
    rate = 1 if s != 1 else rate
    more = data.draw(st.integers(0, s - 1)) if padded else None
    wanted = documented_length(i, k, s, rate, padding, more)
    if wanted < 1:
        reject()
    layer = L.Conv1DTranspose(
        2, k, s, padding, "channels_last", output_padding=more, dilation_rate=rate
    )
    assert layer(L.Input((i, 3))).shape == (None, wanted, 2)
    unknown = layer(L.Input((None, 3))).shape
    assert unknown == (None, None, 2)


def test_a_named_length_keeps_its_name() -> None:
    y = L.Conv1DTranspose(4, 3, padding="same")(L.Input(("time", 3)))
    assert y.type.shape == ("batch", "time", 4)


def test_output_padding_adds_behind() -> None:
    plain = crops_of(L.Conv1DTranspose(2, 3, 3, output_padding=0), 5, 2)
    more = crops_of(L.Conv1DTranspose(2, 3, 3, output_padding=2), 5, 2)
    assert (plain, more) == (((0, 0),), ((0, -2),))
    same = L.Conv1DTranspose(2, 4, 3, "same", output_padding=1)
    assert crops_of(same, 5, 2) == ((1, 2),)


def test_it_is_what_a_convolution_does_to_gradients() -> None:
    """Of a strided convolution with explicit pads, whose kernel it takes as it is."""
    settings: dict[str, Any] = {"strides": (2, 3), "padding": ((1, 0), (1, 2))}
    forward = graph_of(
        L.Conv2D(3, (3, 4), **settings, use_bias=False, name="c", dtype="float64"),
        *(8, 9, 2),
    )
    (output,) = forward.outputs
    y = forward.types()[output.value].shape
    layer = L.Conv2DTranspose(
        2,
        (3, 4),
        **settings,
        output_size=(8, 9),
        use_bias=False,
        name="t",
        dtype="float64",
    )
    back = graph_of(layer, *(d for d in y[1:] if isinstance(d, int)))
    kernel = variables_for(forward)["params"]["c"]["kernel"]
    (x,) = random_inputs(forward)
    (g,) = random_inputs(back, seed=3)
    variables = {"params": {"t": {"kernel": kernel}}, "state": {}}
    found = evaluate(back, variables, [g])["output t"]

    def result(x: Any) -> Any:
        from graphjit.lower import lower

        return lower(forward)({"c": {"kernel": kernel}}, {}, x).outputs

    with jax.enable_x64(True):
        (wanted,) = jax.vjp(result, x)[1](g)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13)


# --- Keras 1's Deconvolution2D --------------------------------------------------------


@pytest.mark.parametrize(
    ("given_shape", "strides", "padding", "size"),
    [
        ((3, 12, 12), 1, "valid", (14, 14)),
        ((3, 12, 12), 2, "valid", (25, 25)),
        ((3, 12, 12), 2, "valid", (26, 25)),
        ((3, 12, 12), 2, "same", (24, 23)),
        ((3, 12, 12), 2, "full", (21, 22)),
    ],
)
def test_the_output_size_may_be_given(
    given_shape: Any, strides: int, padding: str, size: Any
) -> None:
    layer = L.Conv2DTranspose(3, 3, strides, padding, FIRST, output_size=size)
    assert layer(L.Input(given_shape)).shape == (None, 3, *size)


def test_extra_rows_of_a_valid_one_come_last_and_get_only_the_bias() -> None:
    layer = L.Conv1DTranspose(2, 2, 3, output_size=16, name="t", dtype="float64")
    graph = graph_of(layer, 5, 3)
    bias = variables_for(graph)["params"]["t"]["bias"]
    found = evaluate(graph)["output t"]
    assert crops_of(layer, 5, 3) == ((0, -2),)
    alone = [
        np.array_equal(found[:, t], np.broadcast_to(bias, (3, 2))) for t in (14, 15)
    ]
    assert all(alone)


def test_the_front_of_a_same_one_is_half_of_what_is_cut() -> None:
    for size, crops in ((10, (1, 1)), (9, (1, 2))):
        layer = L.Conv1DTranspose(2, 4, 2, "same", output_size=size)
        assert crops_of(layer, 5, 3) == (crops,)


def test_the_setting_is_not_in_a_plain_config() -> None:
    config = L.Conv2DTranspose(3, 3).get_config()
    assert "output_size" not in config
    assert config["output_padding"] is None
    made = L.Conv2DTranspose(3, 3, output_size=14)
    assert made.get_config()["output_size"] == [14, 14]


# --- errors ---------------------------------------------------------------------------


def image() -> Any:
    return L.Input((12, 12, 3))


ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "strides and dilation": (
        lambda: L.Conv2DTranspose(4, 3, 2, dilation_rate=2),
        "Conv2DTranspose: dilation_rate: expected 1 where strides are not 1, received "
        "(2, 2)",
    ),
    "output padding": (
        lambda: L.Conv2DTranspose(4, 3, (2, 3), output_padding=2),
        "Conv2DTranspose: output_padding: expected less than strides (2, 3), received "
        "(2, 2)",
    ),
    "negative output padding": (
        lambda: L.Conv1DTranspose(4, 3, 2, output_padding=-1),
        "Conv1DTranspose: output_padding: expected an int >= 0, received -1",
    ),
    "output padding and size": (
        lambda: L.Conv1DTranspose(4, 3, 2, output_padding=1, output_size=9),
        "Conv1DTranspose: output_padding: expected None where output_size is given, "
        "received (1,)",
    ),
    "causal": (
        lambda: L.Conv1DTranspose(4, 3, padding="causal"),
        "Conv1DTranspose: padding: expected one of 'valid', 'same', 'full', or a pair "
        "of ints >= 0 per spatial axis, received 'causal'",
    ),
    "a size out of reach": (
        lambda: L.Conv2DTranspose(4, 3, (3, 1), output_size=(36, 15))(image()),
        "Conv2DTranspose: output_size: expected 14 for a length of 12 (axis 2), "
        "received 15",
    ),
    "a size out of reach of strides": (
        lambda: L.Conv2DTranspose(4, 3, 2, output_size=27)(image()),
        "Conv2DTranspose: output_size: expected 25 or 26 for a length of 12 (axis 1), "
        "received 27",
    ),
    "a same size out of reach": (
        lambda: L.Conv2DTranspose(4, 3, 2, "same", output_size=25)(image()),
        "Conv2DTranspose: output_size: expected 23 or 24 for a length of 12 (axis 1), "
        "received 25",
    ),
    "a full size out of reach": (
        lambda: L.Conv2DTranspose(4, 3, 2, "full", output_size=23)(image()),
        "Conv2DTranspose: output_size: expected 21 or 22 for a length of 12 (axis 1), "
        "received 23",
    ),
    "a size of an unknown length": (
        lambda: L.Conv1DTranspose(4, 3, 2, output_size=9)(L.Input((None, 3))),
        "Conv1DTranspose: with output_size a length (axis 1) must be known, the input "
        "is float32[batch, ?, 3]",
    ),
    "nothing left": (
        lambda: L.Conv1DTranspose(4, 5, padding="full")(L.Input((4, 3))),
        "conv_transpose 'conv_transpose': crops (4, 4) leave nothing of a length of 4 "
        "(axis 1)",
    ),
    "rank": (
        lambda: L.Conv3DTranspose(4, 3)(image()),
        "Conv3DTranspose: expected an input of rank 5, received rank 4: "
        "float32[batch, 12, 12, 3]",
    ),
    "unknown channels": (
        lambda: L.Conv2DTranspose(4, 3)(L.Input((8, 8, None))),
        "Conv2DTranspose: the channel axis (axis 3) must be known, the input is "
        "float32[batch, 8, 8, ?]",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    make, text = ERRORS[name]
    with pytest.raises(GraphJitError, match=f"^{re.escape(text)}") as caught:
        make()
    assert isinstance(caught.value, (CaptureError, ShapeError))
