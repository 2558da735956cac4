from __future__ import annotations

import graphjit as gj
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.ops.elementwise import Relu
from graphjit.ops.shape import Pad
from graphjit.passes import FoldPadding
from graphjit.types import TensorType
from tests.passes.build import graph_of, ir, kinds, param, reasons, rewritten

IMAGE = TensorType(("batch", 7, 9, 3), "float32")


def test_folds_into_every_convolution_that_reads_it() -> None:
    x = gj.Input((7, 9, 3), name="x")
    pad = gj.layers.ZeroPadding2D(((0, 1), (2, 3)), name="p")(x)
    a = gj.layers.Conv2D(4, 3, strides=2, name="a")(pad)
    b = gj.layers.DepthwiseConv2D(3, strides=2, name="b")(pad)
    after, _ = rewritten(FoldPadding(), graph_of(x, [a, b]))
    assert "pad" not in kinds(after)
    convs = [node.op for node in after.nodes if isinstance(node.op, ConvOp)]
    assert [op.padding for op in convs] == [((0, 1), (2, 3))] * 2
    assert rewritten(FoldPadding(), after)[0] is after


def test_adds_to_the_convolutions_own_padding() -> None:
    x = gj.Input((7, 9, 3), name="x")
    pad = gj.layers.ZeroPadding2D(((0, 1), (2, 3)), name="p")(x)
    y = gj.layers.Conv2D(4, (3, 2), padding="same", name="a")(pad)
    after, _ = rewritten(FoldPadding(), graph_of(x, y))
    (op,) = [node.op for node in after.nodes]
    assert isinstance(op, ConvOp)
    assert op.padding == ((1, 2), (2, 4))


def test_strided_same_counts_from_the_padded_length() -> None:
    x = gj.Input((7, 9, 3), name="x")
    pad = gj.layers.ZeroPadding2D(1, name="p")(x)
    graph = graph_of(x, gj.layers.Conv2D(4, 3, 2, padding="same", name="a")(pad))
    after, _ = rewritten(FoldPadding(), graph)
    assert kinds(after) == ["conv"]
    assert after.nodes[0].types == graph.nodes[-1].types


def test_refuses_strided_same_over_unknown_lengths() -> None:
    x = gj.Input((None, None, 3), name="x")
    pad = gj.layers.ZeroPadding2D(1, name="p")(x)
    graph = graph_of(x, gj.layers.Conv2D(4, 3, 2, padding="same", name="a")(pad))
    after, entry = rewritten(FoldPadding(), graph)
    assert after is graph
    assert reasons(entry) == {
        "p/pad": "conv 'a/conv': its own padding depends on an unknown length"
    }


def test_refuses_beside_a_reader_that_does_not_pad() -> None:
    x = gj.Input((7, 9, 3), name="x")
    pad = gj.layers.ZeroPadding2D(1, name="p")(x)
    a = gj.layers.Conv2D(4, 3, name="a")(pad)
    graph = graph_of(x, [a, gj.layers.MaxPooling2D(name="m")(pad)])
    after, entry = rewritten(FoldPadding(), graph)
    assert after is graph
    assert reasons(entry) == {"p/pad": "max_pool 'm/max_pool': it does not pad"}


def test_refuses_a_padded_result_of_the_graph() -> None:
    x = gj.Input((7, 9, 3), name="x")
    pad = gj.layers.ZeroPadding2D(1, name="p")(x)
    graph = graph_of(x, [pad, gj.layers.Conv2D(4, 3, name="a")(pad)])
    after, entry = rewritten(FoldPadding(), graph)
    assert after is graph
    assert reasons(entry) == {"p/pad": "the padded value is a result of the graph"}


def _padded(pad: Pad, epilogue: tuple[Relu, ...] = ()) -> gj.Graph:
    b = ir()
    x = b.input("x", IMAGE)
    k = b.param(param("k", 3, 3, 3, 2))
    (p,) = b.node(pad, [x], name="p", epilogue=epilogue)
    b.output("y", b(ConvOp((1, 1)), p, k, name="c"))
    return b.build()


def test_refuses_other_values_axes_and_epilogues() -> None:
    ones = Pad(((0, 0), (1, 1), (1, 1), (0, 0)), value=1.0)
    _, entry = rewritten(FoldPadding(), _padded(ones))
    assert reasons(entry) == {
        "p": "conv 'c': the convolution pads with 0, not with 1.0"
    }
    batch = Pad(((1, 0), (1, 1), (1, 1), (0, 0)))
    _, entry = rewritten(FoldPadding(), _padded(batch))
    assert reasons(entry) == {"p": "conv 'c': the batch or the channels are padded"}
    plain = Pad(((0, 0), (1, 1), (1, 1), (0, 0)))
    _, entry = rewritten(FoldPadding(), _padded(plain, (Relu(),)))
    assert reasons(entry) == {"p": "the padded value has an epilogue"}
