"""The IR: frozen values, compared by structure, asked a few questions."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from graphjit.builder import Builder
from graphjit.errors import ShapeError, VerifyError
from graphjit.initializers import Zeros
from graphjit.ir import (
    NO_CALL,
    Config,
    Graph,
    Input,
    LayerCall,
    Loc,
    Loss,
    Node,
    Output,
    Param,
    Ref,
    Update,
    Value,
    infer_node,
)
from graphjit.ops.base import OPS
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.ops.dense import DenseOp
from graphjit.ops.elementwise import Add, Relu, Tanh
from graphjit.printer import print_node
from graphjit.types import TensorType

X = TensorType(("batch", 3))


def small(name: str = "small") -> Graph:
    """y = relu(x @ kernel), with an update and a loss."""
    builder = Builder(name)
    x = builder.input("x", X)
    kernel = builder.param(Param("d/kernel", TensorType((3, 3)), Zeros()))
    count = builder.param(Param("d/count", TensorType(()), collection="state"))
    product = builder(DenseOp(), x, kernel, name="d/dense")
    y = builder(Relu(), product, name="d/relu")
    builder.output("d", y)
    builder.update("d/count", count)
    builder.loss("d/l", count)
    return builder.build()


VALUES: list[Any] = [
    Value("x"),
    Input("x", X),
    Param("p", X),
    Node("n", Relu(), (Value("x"),), (X,)),
    Output("o", Value("x")),
    Update("s", Value("x")),
    Loss("l", Value("x")),
    Ref(0),
    LayerCall("a", "a", "Dense", Config()),
    Config((("a", 1),)),
    Loc("f.py", 3),
    small(),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda v: type(v).__name__)
def test_everything_is_frozen_slotted_and_hashable(value: Any) -> None:
    first = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field"):
        setattr(value, first, None)
    assert not hasattr(value, "__dict__")
    assert hash(value) == hash(dataclasses.replace(value))
    assert value == dataclasses.replace(value)


@pytest.mark.parametrize("kind", OPS)
def test_ops_are_frozen_and_slotted(kind: str) -> None:
    cls = OPS.get(kind)
    assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__dict__" not in dir(cls)
    assert cls.kind == kind


def test_graphs_are_compared_by_structure() -> None:
    assert small() == small()
    assert hash(small()) == hash(small())
    assert small() != small("other")
    graph = small()
    changed = dataclasses.replace(graph.nodes[1], op=Tanh())
    assert graph.replace(nodes=(graph.nodes[0], changed)) != graph


def test_the_users_line_is_not_compared() -> None:
    node = small().nodes[0]
    assert dataclasses.replace(node, loc=Loc("a.py", 1)) == node
    assert "a.py" not in repr(dataclasses.replace(node, loc=Loc("a.py", 1)))


def test_provenance_is_compared() -> None:
    node = small().nodes[0]
    assert dataclasses.replace(node, call=3) != node
    assert node.call == NO_CALL


def test_values_print_with_their_index() -> None:
    assert str(Value("a/b")) == "%a/b"
    assert str(Value("a/b", 2)) == "%a/b#2"
    assert str(Loc("f.py", 3)) == "f.py:3"


# --- numbers that Python takes for equal ----------------------------------------------


def test_configs_tell_numbers_apart_that_compare_equal() -> None:
    spellings = [1, 1.0, True, 0, 0.0, -0.0, False]
    configs = {Config.freeze({"a": value}) for value in spellings}
    assert len(configs) == len(spellings)
    assert Config.freeze({"a": [1]}) != Config.freeze({"a": [True]})
    assert Config.freeze({"a": {"b": 0.0}}) != Config.freeze({"a": {"b": -0.0}})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Relu(0.0), Relu(-0.0)),
        (Relu(1.0), Relu(1)),
        (Relu(1.0), Relu(True)),
        (ConvOp((1, 1)), ConvOp((1, True))),
    ],
)
def test_texts_tell_attributes_apart_that_compare_equal(one: Any, other: Any) -> None:
    # Dataclasses compare fields with ==; passes that look for equal nodes compare
    # texts as well.
    nodes = [Node("n", op, (Value("x"),), (X,)) for op in (one, other)]
    assert nodes[0] == nodes[1]
    assert print_node(nodes[0]) != print_node(nodes[1])


# --- configurations -------------------------------------------------------------------


def test_config_there_and_back() -> None:
    data = {"a": [1, [2.5, None]], "b": {"c": "d", "e": []}, "f": True}
    config = Config.freeze(data)
    assert config.thaw() == data
    assert config.thaw() is not config.thaw()
    assert Config.freeze(config.thaw()) == config
    assert Config.freeze({"a": (1, 2)}).thaw() == {"a": [1, 2]}


def test_thawed_data_is_the_callers_own() -> None:
    config = Config.freeze({"a": [1]})
    config.thaw()["a"].append(2)
    assert config.thaw() == {"a": [1]}


# --- questions ------------------------------------------------------------------------


def test_types_of_every_value() -> None:
    table = small().types()
    assert table[Value("x")] == X
    assert table[Value("d/kernel")] == TensorType((3, 3))
    assert table[Value("d/relu")] == TensorType(("batch", 3))
    assert len(table) == 5


def test_results_are_outputs_masks_updates_losses() -> None:
    graph = small()
    masked = graph.replace(outputs=(Output("o", Value("d/relu"), Value("x")),))
    names = [value.node for value in masked.results()]
    assert names == ["d/relu", "x", "d/count", "d/count"]


def test_users_once_per_operand() -> None:
    builder = Builder()
    x = builder.input("x", X)
    twice = builder(Add(), x, x, name="twice")
    builder(Relu(), x, name="dead")
    builder.output("y", twice)
    users = builder.build().users()
    assert [node.name for node in users[x]] == ["twice", "twice", "dead"]
    assert twice not in users


def test_counting_kinds() -> None:
    assert small().count("relu") == 1
    assert small().count("conv") == 0


def test_nodes_know_their_values() -> None:
    node = Node("n", Relu(), (), (X, X))
    assert list(node.values()) == [Value("n"), Value("n", 1)]
    assert node.value == Value("n")


# --- errors of a node -----------------------------------------------------------------


def test_shape_errors_say_which_node_and_operands() -> None:
    image = TensorType(("batch", 3, 224, 224))
    kernel = TensorType((7, 7, 3, 64))
    with pytest.raises(ShapeError) as caught:
        infer_node(
            "stem/conv",
            ConvOp((2, 2)),
            [Value("image"), Value("stem/kernel")],
            [image, kernel],
            loc=Loc("examples/resnet.py", 41),
        )
    assert str(caught.value) == (
        "conv 'stem/conv': kernel wants 3 input channels, x has 224\n"
        "  x      %image       : float32[batch, 3, 224, 224]   read as NHWC, "
        "channels = axis 3\n"
        "  kernel %stem/kernel : float32[7, 7, 3, 64]          HWIO\n"
        "  at examples/resnet.py:41\n"
        '  hint: the input looks channels_first; say data_format="channels_first"'
    )


def test_labels_stand_for_values_in_errors() -> None:
    with pytest.raises(ShapeError, match=r"x0 the image : float32\[2\]"):
        infer_node(
            "n",
            Add(),
            [Value("x0"), Value("x1")],
            [TensorType((2,)), TensorType((3,))],
            labels={Value("x0"): "the image"},
        )


def test_a_wrong_number_of_operands() -> None:
    text = r"^relu 'n': 2 operands do not fit: .*infer\(\) takes 2 positional arguments"
    with pytest.raises(VerifyError, match=text):
        infer_node("n", Relu(), [Value("x"), Value("x")], [X, X])


def test_the_epilogue_is_inferred() -> None:
    types = infer_node("n", Relu(), [Value("x")], [X], epilogue=[Tanh(), Relu()])
    assert types == (X,)
