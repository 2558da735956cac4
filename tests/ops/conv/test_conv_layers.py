"""Conv1D, Conv2D and Conv3D: what the documents state, and what is refused."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphjit.layers as L  # noqa: N812
from graphjit import config
from graphjit.capture.layer import LAYERS, Layer
from graphjit.capture.tracer import capture
from graphjit.errors import CaptureError, ShapeError
from graphjit.ir import Graph
from graphjit.ops.conv.conv_op import ConvOp
from tests.graphs import evaluate, random_inputs, variables_for

LAST, FIRST = "channels_last", "channels_first"
SHARED = """activation use_bias kernel_initializer bias_initializer kernel_regularizer
bias_regularizer activity_regularizer kernel_constraint bias_constraint""".split()


def graph_of(layer: Layer, *shape: int | None) -> Graph:
    x = L.Input(shape, dtype=layer.dtype or "float32", name="x")
    return capture([x], [layer(x)], "one").graph


def op_of(layer: Layer, *shape: int | None) -> ConvOp:
    (op,) = [n.op for n in graph_of(layer, *shape).nodes if isinstance(n.op, ConvOp)]
    return op


def positional(layer: type[Layer]) -> list[str]:
    parameters = inspect.signature(layer).parameters.values()
    return [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]


# --- arguments ------------------------------------------------------------------------

WINDOW = ["filters", "kernel_size", "strides", "padding"]


@pytest.mark.parametrize(
    ("layer", "order"),
    [
        (L.Conv1D, [*WINDOW, "dilation_rate", *SHARED]),
        (L.Conv2D, [*WINDOW, "data_format", "dilation_rate", *SHARED]),
        (L.Conv3D, [*WINDOW, "data_format", "dilation_rate", *SHARED]),
    ],
)
def test_the_order_of_arguments_is_the_documents(
    layer: type[Layer], order: list[str]
) -> None:
    assert positional(layer) == order


def test_the_fifth_argument_of_conv1d_is_the_dilation() -> None:
    assert L.Conv1D(4, 3, 1, "causal", 2).dilation_rate == (2,)
    assert L.Conv2D(4, 3, 1, "same", FIRST).data_format == FIRST


@pytest.mark.parametrize("value", [2, (2,), [2], np.int64(2)])
def test_ints_tuples_and_lists_say_the_same(value: Any) -> None:
    sizes = {"kernel_size": value, "strides": value}
    for layer, rank in ((L.Conv1D, 1), (L.Conv2D, 2), (L.Conv3D, 3)):
        made = layer(4, **sizes)
        assert made.kernel_size == made.strides == (2,) * rank
        assert layer(4, 3, dilation_rate=value).dilation_rate == (2,) * rank


def test_one_size_per_axis() -> None:
    assert L.Conv3D(4, [3, 2, 1], strides=(1, 2, 3)).strides == (1, 2, 3)
    assert L.Conv2D(4, (3, 2)).kernel_size == (3, 2)


@pytest.mark.parametrize("name", ["Same", "VALID", "cAuSaL", "FULL"])
def test_padding_is_said_in_any_case(name: str) -> None:
    assert L.Conv1D(4, 3, padding=name).padding == name.lower()


def test_the_channels_of_sequences_are_last_whatever_is_configured() -> None:
    config.set_image_data_format(FIRST)
    assert L.Conv1D(4, 3)(L.Input((10, 32))).shape == (None, 8, 4)
    assert L.Conv1D(4, 3, data_format=None)(L.Input((32, 10))).shape == (None, 4, 8)
    assert L.Conv3D(4, 3)(L.Input((2, 5, 6, 7))).shape == (None, 4, 3, 4, 5)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_aliases(rank: int) -> None:
    layer = getattr(L, f"Conv{rank}D")
    assert getattr(L, f"Convolution{rank}D") is layer
    assert LAYERS.get(f"Convolution{rank}D") is layer


def test_only_what_is_not_keras_stays_out_of_a_plain_config() -> None:
    config = L.Conv1D(4, 3, strides=2).get_config()
    assert config["kernel_size"] == [3]
    assert config["strides"] == [2]
    assert config["data_format"] == LAST
    assert "strided_dilation" not in config
    made = L.Conv2D(4, 3, strides=2, dilation_rate=3, strided_dilation=True)
    assert made.get_config()["strided_dilation"] is True


def test_explicit_padding_goes_through_a_config() -> None:
    config = L.Conv2D(4, 3, padding=((1, 0), (2, 3))).get_config()
    assert config["padding"] == [[1, 0], [2, 3]]
    assert L.Conv2D.from_config(config).padding == ((1, 0), (2, 3))


# --- shapes the documents state -------------------------------------------------------

SHAPES: list[tuple[Layer, tuple[Any, ...], tuple[Any, ...]]] = [
    (L.Conv1D(64, 3, padding="same"), (10, 32), (10, 64)),
    (L.Conv1D(32, 3, padding="same"), (10, 64), (10, 32)),
    (L.Conv1D(64, 3, dilation_rate=2, padding="same"), (10, 32), (10, 64)),
    (L.Conv1D(64, 3), (None, 128), (None, 64)),
    (L.Conv1D(64, 3, padding="causal"), ("time", 128), (None, 64)),
    (L.Conv1D(64, 3, padding="full"), (10, 32), (12, 64)),
    (L.Conv1D(64, 3, padding="full", dilation_rate=2), (10, 32), (14, 64)),
    (L.Conv1D(64, 3, 2, "full"), (10, 32), (6, 64)),
    (L.Conv1D(64, 4, 3, "causal"), (10, 32), (4, 64)),
    (
        L.Conv2D(64, 3, padding="same", data_format=FIRST),
        (3, 256, 256),
        (64, 256, 256),
    ),
    (L.Conv2D(32, 3, padding="same"), (256, 256, 64), (256, 256, 32)),
    # The kernel covers 3 + (3 - 1) * (2 - 1) = 5 rows.
    (
        L.Conv2D(64, 3, dilation_rate=2, data_format=FIRST),
        (3, 256, 256),
        (64, 252, 252),
    ),
    (L.Conv2D(8, (3, 2), padding="full"), (7, 6, 3), (9, 7, 8)),
    (L.Conv2D(8, 3, padding=((1, 1), (0, 2))), (7, 6, 3), (7, 6, 8)),
    (L.Conv2D(8, 3, strides=2, padding="same"), (None, 7, 3), (None, 4, 8)),
    (L.Conv3D(8, 3), (10, 12, 14, 1), (8, 10, 12, 8)),
    (L.Conv3D(8, 3, padding="same", data_format=FIRST), (3, 4, 5, 6), (8, 4, 5, 6)),
    (L.Conv3D(8, (1, 2, 3), (1, 2, 1), "full"), (4, 5, 6, 2), (4, 3, 8, 8)),
]


@pytest.mark.parametrize(
    ("layer", "given", "wanted"),
    [pytest.param(*row, id=f"{row[0]}{row[1]}") for row in SHAPES],
)
def test_shapes(layer: Layer, given: Any, wanted: Any) -> None:
    assert layer(L.Input(given)).shape == (None, *wanted)


def test_a_named_length_keeps_its_name() -> None:
    for padding in ("same", "causal"):
        y = L.Conv1D(4, 3, padding=padding)(L.Input(("time", 3)))
        assert y.type.shape == ("batch", "time", 4)


# --- padding --------------------------------------------------------------------------


def test_causal_and_full_are_zeros_around_the_input() -> None:
    causal = L.Conv1D(4, 3, padding="causal", dilation_rate=3)
    assert op_of(causal, 9, 2).padding == ((6, 0),)
    full = L.Conv2D(4, (3, 2), padding="full", dilation_rate=(1, 2))
    assert op_of(full, 9, 8, 2).padding == ((2, 2), (2, 2))
    assert op_of(L.Conv2D(4, 3, padding="same"), 9, 8, 2).padding == "same"


@pytest.mark.parametrize("settings", [{}, {"dilation_rate": 2}, {"strides": 2}])
def test_causal_outputs_see_no_later_input(settings: dict[str, Any]) -> None:
    graph = graph_of(L.Conv1D(3, 3, padding="causal", name="c", **settings), 9, 2)
    x = random_inputs(graph)[0]
    later = x.copy()
    later[:, 5:] += 1
    (name,) = [f"output {output.name}" for output in graph.outputs]
    found = [evaluate(graph, inputs=[data])[name] for data in (x, later)]
    equal = [np.array_equal(found[0][:, t], found[1][:, t]) for t in range(5)]
    seen = 5 if "strides" not in settings else 3  # outputs up to input 4
    assert all(equal[:seen])
    assert not np.array_equal(found[0], found[1])


def test_full_is_every_window_that_touches_the_input() -> None:
    """The formula of a full convolution: NumPy's, which flips the kernel."""
    layer = L.Conv1D(1, 3, padding="full", use_bias=False, dtype="float64", name="c")
    graph = graph_of(layer, 6, 1)
    kernel = variables_for(graph)["params"]["c"]["kernel"]
    (x,) = random_inputs(graph)
    found = evaluate(graph, inputs=[x])["output c"]
    for row, wanted in zip(found[..., 0], x[..., 0], strict=True):
        np.testing.assert_allclose(row, np.convolve(wanted, kernel[::-1, 0, 0]))


# --- strides with dilation ------------------------------------------------------------

BOTH = {"strides": 2, "dilation_rate": 3}


@pytest.mark.parametrize("layer", [L.Conv1D, L.Conv2D, L.Conv3D])
def test_strides_and_dilation_at_once_are_refused(layer: type[Layer]) -> None:
    text = r": dilation_rate: expected 1 where strides are not 1, received \(3"
    with pytest.raises(CaptureError, match=f"^{layer.__name__}{text}"):
        layer(4, 2, **BOTH)
    layer(4, 2, strides=2, dilation_rate=1)
    layer(4, 2, strides=1, dilation_rate=3)


def test_keras_1_takes_both() -> None:
    """Strides step over the outputs of the dilated convolution."""
    plain = L.Conv2D(3, 2, dilation_rate=3, name="c", dtype="float64")
    both = L.Conv2D(3, 2, **BOTH, strided_dilation=True, name="c", dtype="float64")
    graphs = [graph_of(layer, 9, 8, 2) for layer in (plain, both)]
    data = random_inputs(graphs[0])
    dense, sparse = (evaluate(graph, inputs=data)["output c"] for graph in graphs)
    np.testing.assert_allclose(sparse, dense[:, ::2, ::2], rtol=1e-12)


# --- groups ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "shape"), [(L.Conv1D, (9, 6)), (L.Conv3D, (3, 4, 5, 6))]
)
def test_groups_are_convolutions_side_by_side(
    layer: type[Layer], shape: tuple[int, ...]
) -> None:
    grouped = graph_of(layer(4, 2, groups=2, name="c", dtype="float64"), *shape)
    variables = variables_for(grouped)["params"]["c"]
    (x,) = random_inputs(grouped)
    found = evaluate(grouped, inputs=[x])["output c"]
    single = graph_of(layer(2, 2, name="c", dtype="float64"), *shape[:-1], 3)
    for at in (0, 1):
        params = {
            "kernel": variables["kernel"][..., 2 * at : 2 * at + 2],
            "bias": variables["bias"][2 * at : 2 * at + 2],
        }
        inputs = [x[..., 3 * at : 3 * at + 3]]
        part = evaluate(single, {"params": {"c": params}, "state": {}}, inputs)
        np.testing.assert_allclose(
            found[..., 2 * at : 2 * at + 2], part["output c"], rtol=1e-12, atol=1e-14
        )


# --- errors ---------------------------------------------------------------------------

ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "causal in two axes": (
        lambda: L.Conv2D(4, 3, padding="causal"),
        "Conv2D: padding: expected one of 'valid', 'same', 'full', or a pair of ints "
        ">= 0 per spatial axis, received 'causal'",
    ),
    "too few pads": (
        lambda: L.Conv2D(4, 3, padding=((1, 1),)),
        "Conv2D: padding: expected one of 'valid', 'same', 'full', or a pair of ints "
        ">= 0 per spatial axis, received ((1, 1),)",
    ),
    "a negative pad": (
        lambda: L.Conv1D(4, 3, padding=((-1, 1),)),
        "Conv1D: padding: expected one of 'valid', 'same', 'causal', 'full', or a pair "
        "of ints >= 0 per spatial axis, received ((-1, 1),)",
    ),
    "two sizes in one axis": (
        lambda: L.Conv1D(4, (3, 3)),
        "Conv1D: kernel_size: expected an int >= 1, received (3, 3)",
    ),
    "two sizes in three axes": (
        lambda: L.Conv3D(4, 3, strides=(1, 2)),
        "Conv3D: strides: expected an int >= 1 or 3 of them, received (1, 2)",
    ),
    "a dilation of 0": (
        lambda: L.Conv1D(4, 3, dilation_rate=0),
        "Conv1D: dilation_rate: expected an int >= 1, received 0",
    ),
    "another format": (
        lambda: L.Conv3D(4, 3, data_format="th"),
        "Conv3D: data_format: expected 'channels_last' or 'channels_first', received "
        "'th'",
    ),
    "groups and filters": (
        lambda: L.Conv1D(4, 3, groups=3),
        "Conv1D: groups: expected a divisor of 4 filters, received 3",
    ),
    "groups and channels": (
        lambda: L.Conv3D(4, 1, groups=2)(L.Input((4, 4, 4, 3))),
        "Conv3D: groups: expected a divisor of 3 channels, received 2",
    ),
    "a name of Keras 1": (
        lambda: L.Conv1D(4, filter_length=3),
        "Conv1D: unknown argument 'filter_length'\n  hint: it is called 'kernel_size' "
        "here; graphjit.keras1 has the old spelling",
    ),
    "rank": (
        lambda: L.Conv1D(4, 3)(L.Input((8, 8, 3))),
        "Conv1D: expected an input of rank 3, received rank 4: float32[batch, 8, 8, 3]",
    ),
    "unknown channels": (
        lambda: L.Conv1D(4, 3)(L.Input((8, None))),
        "Conv1D: the channel axis (axis 2) must be known, the input is "
        "float32[batch, 8, ?]\n  hint: give the full shape: Input(shape), or "
        "input_shape or input_length to the first layer",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    make, text = ERRORS[name]
    with pytest.raises((CaptureError, ShapeError), match=f"^{re.escape(text)}"):
        make()


def test_a_kernel_that_does_not_fit() -> None:
    with pytest.raises(
        ShapeError, match=r"a window of 5 does not fit a length of 4 \(axis 1\)"
    ):
        L.Conv1D(4, 5)(L.Input((4, 3)))
