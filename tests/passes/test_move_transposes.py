from __future__ import annotations

from collections.abc import Callable

import pytest

import graphjit as gj
from graphjit.capture.tensor import Tensor
from graphjit.passes import MoveTransposes, Simplify, ToInference, run, split_prologue
from tests.passes.build import graph_of, kinds, lines, reasons, rewritten
from tests.passes.values import assert_equal_outputs

FIRST = "channels_first"


def transposes(graph: gj.Graph) -> int:
    """How many transposes run at every call."""
    return split_prologue(graph)[1].count("transpose")


def conv(name: str, filters: int = 4, **options: object) -> gj.layers.Layer:
    return gj.layers.Conv2D(
        filters, 3, padding="same", data_format=FIRST, name=name, **options
    )


def moved(graph: gj.Graph) -> gj.Graph:
    after, _ = rewritten(MoveTransposes(), graph)
    gj.verify(after)
    assert rewritten(MoveTransposes(), after)[0] is after
    assert_equal_outputs(graph, after)
    return after


def image(channels: int = 3) -> Tensor:
    return gj.Input((channels, 6, 8), name="x")


def test_a_chain_keeps_the_transposes_at_its_ends() -> None:
    x = image()
    y = conv("b")(gj.layers.ReLU(name="r")(conv("a")(x)))
    after = moved(graph_of(x, y))
    assert lines(after) == [
        "%a/transpose = transpose(%x) {perm=(0, 2, 3, 1)}",
        "%a/conv = conv(%a/transpose, %a/kernel, %a/bias) "
        "{strides=(1, 1), padding='same'}",
        "%r/relu = relu(%a/conv)",
        "%b/conv = conv(%r/relu, %b/kernel, %b/bias) {strides=(1, 1), padding='same'}",
        "%b/transpose_1 = transpose(%b/conv) {perm=(0, 3, 1, 2)}",
    ]


BETWEEN: dict[str, Callable[[Tensor], Tensor]] = {
    "norm": lambda h: gj.layers.BatchNormalization(axis=1)(h),
    "norm_over_rows": lambda h: gj.layers.BatchNormalization(axis=2)(h),
    "pool": lambda h: gj.layers.MaxPooling2D(data_format=FIRST)(h),
    "pad": lambda h: gj.layers.ZeroPadding2D(((1, 2), (3, 0)), data_format=FIRST)(h),
    "upsample": lambda h: gj.layers.UpSampling2D((2, 3), data_format=FIRST)(h),
    "concat": lambda h: gj.layers.Concatenate(1)([h, gj.layers.ReLU()(h)]),
    "residual": lambda h: gj.layers.Add()([h, gj.layers.ReLU()(h)]),
    "softmax": lambda h: gj.layers.Softmax(axis=1)(h),
    "dropout": lambda h: gj.layers.Dropout(0.4, noise_shape=(None, None, 1, None))(h),
    "scaled": lambda h: gj.layers.Multiply()(
        [h, gj.layers.GlobalAveragePooling2D(FIRST, keepdims=True)(h)]
    ),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_moves_through(name: str) -> None:
    x = image()
    y = conv("b")(BETWEEN[name](conv("a")(x)))
    assert transposes(moved(graph_of(x, y))) == 2


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_a_flatten_goes_into_the_weights_behind_it(data_format: str) -> None:
    x = image()
    h = gj.layers.Flatten(data_format=data_format)(conv("a")(x))
    h = gj.layers.ReLU()(gj.layers.BatchNormalization()(h))
    h = gj.layers.Dense(5, activation="softmax")(h)
    graph, _ = run(graph_of(x, h), [ToInference()])
    assert transposes(moved(graph)) == 1


def test_a_flatten_that_is_read_in_order_is_put_in_order() -> None:
    x = image()
    h = gj.layers.Flatten(data_format="channels_last")(conv("a")(x))
    graph = graph_of(x, [h, gj.layers.Dense(5)(h)])
    assert transposes(moved(graph)) <= 2


def test_global_pooling_takes_any_order() -> None:
    x = image()
    h = gj.layers.GlobalMaxPooling2D(data_format=FIRST)(conv("a")(x))
    assert transposes(moved(graph_of(x, gj.layers.Dense(5)(h)))) == 1


def test_residual_blocks_with_shared_skips() -> None:
    x = image()
    h = conv("stem")(x)
    for block in range(3):
        y = gj.layers.BatchNormalization(axis=1)(conv(f"a{block}")(h))
        h = gj.layers.ReLU()(gj.layers.Add()([h, y]))
    h = gj.layers.GlobalAveragePooling2D(data_format=FIRST)(h)
    assert transposes(moved(graph_of(x, h))) == 1


def test_an_image_output_in_the_middle_costs_one_transpose() -> None:
    x = image()
    h = gj.layers.ReLU(name="r")(conv("a")(x))
    after = moved(graph_of(x, [h, conv("b")(h)]))
    assert transposes(after) == 3


def test_a_skip_from_the_input_is_transposed_with_it() -> None:
    x = image(4)
    y = conv("b")(gj.layers.Add()([conv("a")(x), x]))
    assert transposes(moved(graph_of(x, y))) == 2


def test_training_statistics_and_dropout_stay_the_same() -> None:
    x = image()
    h = gj.layers.BatchNormalization(axis=1, name="n")(conv("a")(x))
    h = gj.layers.Dropout(0.5, name="d")(h)
    after = moved(graph_of(x, conv("b")(h)))
    assert transposes(after) == 2
    assert [update.param for update in after.updates] == [
        "n/moving_mean",
        "n/moving_variance",
    ]


def test_a_merged_axis_norm_that_trains_updates_in_order() -> None:
    x = image()
    h = gj.layers.Flatten(data_format="channels_last")(conv("a")(x))
    h = gj.layers.BatchNormalization(name="n")(h)
    after = moved(graph_of(x, gj.layers.Dense(5)(h)))
    # The image, and the statistics on their way in and out: vectors, not images.
    shapes = [n.types[0].shape for n in after.nodes if n.op.kind == "transpose"]
    assert sum("batch" in shape for shape in shapes) == 1


def test_permute_between_denses_is_left_alone() -> None:
    x = gj.Input((5, 7), name="x")
    h = gj.layers.Dense(4)(x)
    h = gj.layers.Permute((2, 1), name="p")(h)
    graph = graph_of(x, gj.layers.Dense(3)(h))
    after, entry = rewritten(MoveTransposes(), graph)
    assert after is graph
    assert kinds(after).count("transpose") == 1
    assert reasons(entry) == {}


def test_refuses_what_moves_as_much() -> None:
    x = gj.Input((4, 6, 3), name="x")
    h = gj.layers.Permute((3, 1, 2), name="p")(x)
    h = gj.layers.Reshape((3, 24))(h)
    graph = graph_of(x, gj.layers.Dense(3)(h))
    after, entry = rewritten(MoveTransposes(), graph)
    assert_equal_outputs(graph, after)
    assert after is graph
    assert reasons(entry) == {"p/transpose": "no other place would move fewer elements"}


def test_a_graph_without_transposes_is_itself() -> None:
    x = gj.Input((4, 6, 3), name="x")
    graph = graph_of(x, gj.layers.Conv2D(2, 3)(x))
    assert rewritten(MoveTransposes(), graph)[0] is graph


def test_both_formats_become_the_same_program() -> None:
    def net(data_format: str) -> gj.Graph:
        axis = 1 if data_format == FIRST else 3
        x = gj.Input((3, 6, 8) if axis == 1 else (6, 8, 3), name="x")
        h = gj.layers.Conv2D(4, 3, data_format=data_format, name="a")(x)
        h = gj.layers.BatchNormalization(axis=axis, name="n")(h)
        h = gj.layers.AveragePooling2D(data_format=data_format, name="p")(h)
        h = gj.layers.Flatten(data_format=data_format, name="f")(h)
        return graph_of(x, gj.layers.Dense(5, name="d")(h))

    passes = [ToInference(), Simplify(), MoveTransposes(), Simplify()]
    last, first = (run(net(f), passes)[0] for f in ("channels_last", FIRST))
    assert [*kinds(first)] == ["transpose", *kinds(last)]


def test_a_layout_that_an_op_passes_on_moves_the_next_region_too() -> None:
    x = gj.Input((3, 1, 4, 5), name="x")
    a, b = (gj.layers.Conv3D(2, 1, data_format=FIRST, name=n) for n in "ab")
    h = b(gj.layers.ReLU()(a(x)))
    h = gj.layers.Activation("softplus")(gj.layers.Reshape((2, 4, 5))(h))
    y = gj.layers.GlobalAveragePooling2D(FIRST)(h)
    assert transposes(moved(graph_of(x, y))) == 1
