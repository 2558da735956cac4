"""The checker: every invariant, broken once, with the text that says so."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import given

from graphjit.builder import Builder
from graphjit.capture.tracer import Captured
from graphjit.errors import ShapeError, VerifyError
from graphjit.ir import (
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
)
from graphjit.ops.base import Op
from graphjit.ops.batch_norm import BatchNorm
from graphjit.ops.conv.conv_op import ConvOp
from graphjit.ops.dense import DenseOp
from graphjit.ops.elementwise import Add, Relu, Tanh
from graphjit.ops.scan import Scan
from graphjit.types import TensorType
from graphjit.verify import verify
from tests.conformance.table import scan_body
from tests.graphs import models
from tests.profiles import examples

X = TensorType(("batch", 3))
VECTOR = TensorType((3,))


def chain(length: int) -> Graph:
    """x, then relus n0, n1, …"""
    names = ["x", *(f"n{at}" for at in range(length))]
    nodes = tuple(
        Node(name, Relu(), (Value(before),), (X,))
        for before, name in itertools.pairwise(names)
    )
    return Graph(
        inputs=(Input("x", X),), nodes=nodes, outputs=(Output("y", Value(names[-1])),)
    )


def node(op: Op, *operands: Value | None, **more: Any) -> Graph:
    """A graph of inputs x and v (a vector) and one node n."""
    settings: dict[str, Any] = {"types": (X,), **more}
    return Graph(
        inputs=(Input("x", X), Input("v", VECTOR)),
        nodes=(Node("n", op, operands, **settings),),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Unregistered(Op):
    kind: ClassVar[str] = "unregistered"

    def infer(self, x: TensorType) -> TensorType:
        return x


# --- what holds -----------------------------------------------------------------------


@examples(60)
@given(models())
def test_captured_graphs_verify_and_are_returned(captured: Captured) -> None:
    assert verify(captured.graph) is captured.graph


def test_an_empty_graph() -> None:
    assert verify(Graph()) == Graph()


def test_a_long_chain_needs_no_recursion() -> None:
    graph = chain(10_000)
    assert verify(graph) is graph


# --- inputs and params ----------------------------------------------------------------

STATE = Param("s", VECTOR, collection="state")

ENTRIES: dict[str, tuple[Graph, str]] = {
    "empty name": (
        Graph(inputs=(Input("", X),)),
        r"^an input or param has an empty name$",
    ),
    "twice": (
        Graph(inputs=(Input("x", X),), params=(Param("x", VECTOR),)),
        r"^the name 'x' is used twice$",
    ),
    "dtype": (
        Graph(inputs=(Input("x", TensorType((1,), "float8")),)),
        r"^%x: unknown dtype 'float8'$",
    ),
    "param dtype": (
        Graph(params=(Param("k", TensorType((1,), "object")),)),
        r"^%k: unknown dtype 'object'$",
    ),
    "collection": (
        Graph(params=(Param("k", VECTOR, collection="buffers"),)),
        r"^%k: unknown collection 'buffers'$",
    ),
    "param dims": (
        Graph(params=(Param("k", TensorType((3, None))),)),
        r"^%k: a param's dims are numbers, float32\[3, \?\]$",
    ),
    "negative param dims": (
        Graph(params=(Param("k", TensorType((3, -1))),)),
        r"^%k: a param's dims are numbers, float32\[3, -1\]$",
    ),
    "named param dims": (
        Graph(params=(Param("k", TensorType(("batch", 1))),)),
        r"^%k: a param's dims are numbers, float32\[batch, 1\]$",
    ),
}

# --- nodes ----------------------------------------------------------------------------

x, v = Value("x"), Value("v")

NODES: dict[str, tuple[Graph, str]] = {
    "empty name": (
        Graph(inputs=(Input("x", X),), nodes=(Node("", Relu(), (Value("x"),), (X,)),)),
        r"^node 0 \(relu\) has an empty name$",
    ),
    "twice": (
        Graph(inputs=(Input("x", X),), nodes=(Node("x", Relu(), (Value("x"),), (X,)),)),
        r"^relu 'x': the name 'x' is used twice\n",
    ),
    "op": (
        node(Unregistered(), x),
        r"^unregistered 'n': op 'unregistered' is not registered\n",
    ),
    "trailing": (
        node(DenseOp(), x, v, None),
        r"^dense 'n': the last operand is left out; strip it instead\n",
    ),
    "undefined": (
        node(Relu(), Value("z")),
        r"^relu 'n': %z is read before it is defined\n",
    ),
    "itself": (
        node(Relu(), Value("n")),
        r"^relu 'n': %n is read before it is defined\n",
    ),
    "no such result": (
        node(Relu(), Value("x", 1)),
        r"^relu 'n': %x#1 is read before it is defined\n",
    ),
    "type": (
        node(Relu(), v),
        r"^relu 'n': it states \(float32\[batch, 3\]\) but computes \(float32\[3\]\)",
    ),
    "no type": (
        node(Relu(), x, types=()),
        r"^relu 'n': it states \(\) but computes \(float32\[batch, 3\]\)\n",
    ),
    "dtype": (
        node(Relu(), x, types=(TensorType(("batch", 3), "bfloat16"),)),
        r"it states \(bfloat16\[batch, 3\]\) but computes \(float32\[batch, 3\]\)\n",
    ),
    "operands": (
        node(Relu(), x, x),
        r"^relu 'n': 2 operands do not fit: .*infer\(\) takes 2 positional",
    ),
    "epilogue": (
        node(Relu(), x, epilogue=(DenseOp(),)),
        r"^relu 'n': epilogue 'dense' is not unary elementwise\n",
    ),
    "binary epilogue": (
        node(Relu(), x, epilogue=(Add(),)),
        r"^relu 'n': epilogue 'add' is not unary\n",
    ),
    "kernel": (
        node(Relu(), x, kernel="fast"),
        r"^relu 'n': op 'relu' has no kernel 'fast'\n",
    ),
    "call": (
        node(Relu(), x, call=0),
        r"^relu 'n': call 0 is not a row of the layer table \(0 rows\)\n",
    ),
    "negative call": (
        node(Relu(), x, call=-2),
        r"^relu 'n': call -2 is not a row of the layer table \(0 rows\)\n",
    ),
}

# --- results --------------------------------------------------------------------------

SCALAR = Param("l", TensorType(()), collection="state")


def results(**fields: Any) -> Graph:
    return Graph(
        inputs=(Input("x", X), Input("m", TensorType(("batch",), "bool"))),
        params=(STATE, SCALAR, Param("k", VECTOR)),
        **fields,
    )


RESULTS: dict[str, tuple[Graph, str]] = {
    "output": (
        results(outputs=(Output("y", Value("z")),)),
        r"^output 'y': %z is not defined$",
    ),
    "outputs": (
        results(outputs=(Output("y", x), Output("y", x))),
        r"^two outputs are called 'y'$",
    ),
    "mask": (
        results(outputs=(Output("y", x, Value("z")),)),
        r"^mask of output 'y': %z is not defined$",
    ),
    "mask dtype": (
        results(outputs=(Output("y", x, x),)),
        r"^mask of output 'y': expected bool, received float32\[batch, 3\]$",
    ),
    "update": (
        results(updates=(Update("k", Value("k")),)),
        r"^update of %k: not a state param$",
    ),
    "updates": (
        results(updates=(Update("s", Value("k")), Update("s", Value("k")))),
        r"^state %s is updated twice$",
    ),
    "update value": (
        results(updates=(Update("s", Value("z")),)),
        r"^update of %s: %z is not defined$",
    ),
    "update type": (
        results(updates=(Update("s", x),)),
        r"^update of %s: expected float32\[3\], received float32\[batch, 3\]$",
    ),
    "update dtype": (
        results(updates=(Update("l", Value("m")),)),
        r"^update of %l: expected float32\[\], received bool\[batch\]$",
    ),
    "loss": (
        results(losses=(Loss("a", Value("z")),)),
        r"^loss 'a': %z is not defined$",
    ),
    "losses": (
        results(losses=(Loss("a", Value("l")), Loss("a", Value("l")))),
        r"^two losses are called 'a'$",
    ),
    "loss shape": (
        results(losses=(Loss("a", Value("s")),)),
        r"^loss 'a': expected a scalar, received float32\[3\]$",
    ),
}

# --- the layer table ------------------------------------------------------------------


def row(path: str, *inputs: Ref, **more: Any) -> LayerCall:
    return LayerCall(path, path, "Dense", Config(), inputs=inputs, types=(X,), **more)


LAYERS: dict[str, tuple[Graph, str]] = {
    "path": (
        Graph(layers=(row("a"), row("a"))),
        r"^layer table: two calls have the path 'a'$",
    ),
    "parent": (
        Graph(layers=(row("a", parent=1),)),
        r"^layer call 'a': no row 1 before$",
    ),
    "its own parent": (
        Graph(layers=(row("a", parent=0),)),
        r"^layer call 'a': no row 0 before$",
    ),
    "input": (
        Graph(layers=(row("a", Ref(3)),)),
        r"^layer call 'a': no row 3$",
    ),
    "itself": (
        Graph(layers=(row("a", Ref(0)),)),
        r"^layer call 'a': no row 0$",
    ),
    "result": (
        Graph(layers=(row("a", results=(Ref(-1),)),)),
        r"^layer call 'a': no row -1$",
    ),
    "tensor": (
        Graph(layers=(row("a"), row("b", Ref(0, 1)))),
        r"^layer call 'b': 'a' has no tensor 1$",
    ),
}

# --- bodies and state -----------------------------------------------------------------


def scan(body: Graph) -> Graph:
    """A scan over x of type (batch, 4, 3) with `body`."""
    builder = Builder()
    values = (
        builder.input("h", X),
        builder.input("x", TensorType(("batch", 4, 3))),
        builder.input("k", TensorType((3, 3))),
    )
    good = Scan(scan_body("float32", "batch"), carries=1, sequences=1)
    builder.node(good, values, name="loop")
    graph = builder.build()
    (loop,) = graph.nodes
    op = dataclasses.replace(good, body=body)
    return graph.replace(nodes=(dataclasses.replace(loop, op=op),))


BODY = scan_body("float32", "batch")
OUTER = dataclasses.replace(BODY.nodes[1], operands=(Value("h"), Value("x0")))

BODIES: dict[str, tuple[Graph, str]] = {
    "params": (
        scan(BODY.replace(params=(Param("k", VECTOR), Param("b", VECTOR)))),
        r"^scan 'loop': body 'body' is not closed: it has params k, b\n",
    ),
    "updates": (
        scan(BODY.replace(losses=(Loss("l", Value("h")),))),
        r"^scan 'loop': body 'body' has updates or losses\n",
    ),
    "a value from outside": (
        scan(BODY.replace(nodes=(BODY.nodes[0], OUTER, *BODY.nodes[2:]))),
        r"^in body 'body' of scan 'loop': add 'sum': %x0 is read before it is defined",
    ),
    "a shape inside": (
        scan(
            BODY.replace(
                inputs=(
                    *BODY.inputs[:2],
                    Input("kernel", TensorType((5, 3))),
                )
            )
        ),
        r"^in body 'body' of scan 'loop': dense 'moved': kernel wants 5 input channels",
    ),
}


def threaded(second: str) -> Graph:
    """Two norms, the second reading `second` as the mean."""
    builder = Builder()
    image = builder.input("x", X)
    mean, variance = (
        builder.param(Param(name, VECTOR, collection="state"))
        for name in ("mean", "variance")
    )
    _, new_mean, new_variance = builder.node(
        BatchNorm(1), [image, None, None, mean, variance], name="first"
    )
    operand = mean if second == "mean" else new_mean
    _, last, _ = builder.node(
        BatchNorm(1), [image, None, None, operand, new_variance], name="second"
    )
    builder.update("mean", last)
    return builder.build()


def test_state_is_threaded() -> None:
    assert verify(threaded("new mean"))
    text = (
        r"^batch_norm 'second': state %mean is threaded through 'first' already; read "
        r"the new value it returns\n"
    )
    with pytest.raises(VerifyError, match=text):
        verify(threaded("mean"))


BROKEN = {
    f"{group}: {name}": case
    for group, cases in {
        "entries": ENTRIES,
        "nodes": NODES,
        "results": RESULTS,
        "layers": LAYERS,
        "bodies": BODIES,
    }.items()
    for name, case in cases.items()
}


@pytest.mark.parametrize(("graph", "text"), BROKEN.values(), ids=BROKEN)
def test_broken(graph: Graph, text: str) -> None:
    with pytest.raises(VerifyError, match=text):
        verify(graph)


def test_operands_that_do_not_fit_are_a_shape_error() -> None:
    graph = node(ConvOp((1, 1)), x, v)
    with pytest.raises(ShapeError, match=r"^conv 'n': expected x of rank 4 \(NHWC\), "):
        verify(graph)


def test_the_neighbourhood_is_shown() -> None:
    graph = chain(9)
    nodes = list(graph.nodes)
    nodes[4] = dataclasses.replace(nodes[4], op=Tanh(), types=(), loc=Loc("m.py", 7))
    with pytest.raises(VerifyError, match=r"^tanh 'n4': it states") as caught:
        verify(graph.replace(nodes=tuple(nodes)))
    assert caught.value.details == (
        "  %n1 = relu(%n0) : float32[batch, 3]",
        "  %n2 = relu(%n1) : float32[batch, 3]",
        "  %n3 = relu(%n2) : float32[batch, 3]",
        "> %n4 = tanh(%n3) : ()",
        "  %n5 = relu(%n4) : float32[batch, 3]",
        "  %n6 = relu(%n5) : float32[batch, 3]",
        "  %n7 = relu(%n6) : float32[batch, 3]",
        "at m.py:7",
    )


@pytest.mark.parametrize("at", [0, 8])
def test_the_neighbourhood_at_either_end(at: int) -> None:
    graph = chain(9)
    nodes = list(graph.nodes)
    nodes[at] = dataclasses.replace(nodes[at], types=())
    with pytest.raises(VerifyError, match=rf"^relu 'n{at}': it states") as caught:
        verify(graph.replace(nodes=tuple(nodes)))
    assert len(caught.value.details) == 4


# --- mutants --------------------------------------------------------------------------


def swapped(graph: Graph) -> Graph | None:
    """Two neighbouring nodes of which the second reads the first, exchanged."""
    for at, (one, two) in enumerate(zip(graph.nodes, graph.nodes[1:], strict=False)):
        if any(operand in one.values() for operand in two.operands):
            nodes = (*graph.nodes[:at], two, one, *graph.nodes[at + 2 :])
            return graph.replace(nodes=nodes)
    return None


def without_a_node(graph: Graph) -> Graph | None:
    read = graph.users()
    for at, one in enumerate(graph.nodes):
        if one.value in read:
            return graph.replace(nodes=graph.nodes[:at] + graph.nodes[at + 1 :])
    return None


def another_dtype(graph: Graph) -> Graph | None:
    if not graph.nodes:
        return None
    first = graph.nodes[0]
    types = (TensorType(first.types[0].shape, "int8"), *first.types[1:])
    changed = dataclasses.replace(first, types=types)
    return graph.replace(nodes=(changed, *graph.nodes[1:]))


MUTANTS: list[Callable[[Graph], Graph | None]] = [
    swapped,
    without_a_node,
    another_dtype,
]


@pytest.mark.parametrize("mutate", MUTANTS)
def test_mutants_of_models_are_refused(
    mutate: Callable[[Graph], Graph | None],
) -> None:
    @examples(15)
    @given(models(dead=False))
    def refused(captured: Captured) -> None:
        mutant = mutate(captured.graph)
        if mutant is not None:
            with pytest.raises(VerifyError, match=r"(before it is defined|it states)"):
                verify(mutant)

    refused()
