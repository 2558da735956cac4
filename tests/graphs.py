"""Random models and graphs, for properties of passes, and what it takes to run them.

For a property of a pass, in one place::

    from tests.graphs import evaluate, models, same_results

    @examples(40)
    @given(models())
    def test_my_pass_keeps_results(captured):
        before = captured.graph                       # the training graph, float64
        after = MyPass()(before)
        same_results(evaluate(after), evaluate(before))      # at 1e-9

Signatures:

``models(most=12, dtype="float64", dropout=True, dead=True)`` -> strategy of `Captured`
    A model of up to `most` - 2 steps (a step is a layer or a few), of 1 to 3 inputs
    and 1 to 3 outputs. `dropout=False` leaves the random layers out,
    `dead=False` the nodes that nobody reads.
``random_model(draw, most, dtype, dropout, dead)`` -> `Captured`
    The same inside a composite strategy. `Captured` has graph, cells, layers, names.
``random_tensors(draw, most, dtype, dropout)`` -> (maker, inputs, outputs)
    The tensors such a model is captured from; `maker.pool` holds all of them.
``with_dead_nodes(rng, graph)`` -> `Graph`
    The graph with nodes that read values inside it and that nobody reads; `rng` is a
    `random.Random`.
``elementwise_graphs(dtype="float64")`` -> strategy of `Graph`
    Without layers: random arithmetic on inputs and params, epilogues among it.
``variables_for(graph, seed=0, dtype=None)`` -> ``{"params": …, "state": …}``
    NumPy arrays: positive variances that are not 1, means that are not 0, gammas of
    both signs, weights that keep values near 1. Of each param's dtype, or of `dtype`.
``random_inputs(graph, seed=0, batch=3, sizes=None)`` -> list of arrays, in input order
    `sizes` gives numbers for named dims; an unknown dim is 5.
``evaluate(graph, variables=None, inputs=None, rng=0, seed=0, batch=3, jit=True, …)``
    A dict of every result as a NumPy array, by ``output NAME``, ``mask NAME``, ``state
    PARAM`` and ``loss NAME``; variables and inputs drawn from `seed` unless given.
    Compiled whole, which for one call is three times faster than op by op; `options`
    are the compiler's.
``evaluate_together(graphs, rng=0, seed=0, batch=3)``
    The same for each of several graphs with equal inputs, from one program: what they
    share is compiled once, and params of the same name and type have the same values.
``same_results(found, wanted, tolerance=1e-9, only="")``
    Asserts that two such dicts have the same keys (those that begin with `only`), and
    values whose difference is small next to the largest element.
``layer_names(graph)`` -> the classes in the layer table, counted.

The models have what hides bugs when it is left out: both data formats in one model,
strides, dilation, groups, h != w, "same" and "valid", norms on axis 1, right behind an
input, before a dense or a convolution, with neither gamma nor beta, layers called twice
(norms too), outputs in the middle that are read on, an output given twice, an input
that is an output, inputs that nothing reads, values with dead readers, penalties.
"""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import strategies as st

from graphjit.builder import Builder
from graphjit.capture.tensor import Tensor
from graphjit.capture.tracer import Captured, capture
from graphjit.ir import Graph, Node, Param, Value
from graphjit.ops import elementwise as ew
from graphjit.ops.base import Op
from graphjit.types import TensorType, is_floating
from graphjit.verify import verify
from tests.running import (
    evaluate,
    evaluate_together,
    layer_names,
    random_inputs,
    same_results,
    variables_for,
)
from tests.steps import (
    attention,
    conv,
    early,
    first,
    learned,
    merging,
    recurrent,
    residual,
    shaping,
)
from tests.steps.maker import Maker, Step, Steps, rank_of

__all__ = [
    "elementwise_graphs",
    "evaluate",
    "evaluate_together",
    "layer_names",
    "models",
    "random_inputs",
    "random_model",
    "random_tensors",
    "same_results",
    "variables_for",
    "with_dead_nodes",
]

SEEDS = st.integers(0, 2**32 - 1)

#: Every step there is.
STEPS: Steps = {
    **first.STEPS,
    **conv.STEPS,
    **early.STEPS,
    **attention.STEPS,
    **learned.STEPS,
    **merging.STEPS,
    **recurrent.STEPS,
    **residual.STEPS,
    **shaping.STEPS,
}
#: Those that draw random numbers.
DRAWING: frozenset[Step] = frozenset(
    {
        first.dropout,
        *attention.DRAWING,
        *learned.DRAWING,
        *recurrent.DRAWING,
        *residual.DRAWING,
        *shaping.DRAWING,
    }
)


# --- models ---------------------------------------------------------------------------


def _steps(rank: int, drawing: bool) -> list[Step]:
    """The steps for a tensor of this rank, each as often as it is tried."""
    return [
        step
        for step, (count, ranks) in STEPS.items()
        if rank in ranks and (drawing or step not in DRAWING)
        for _ in range(count)
    ]


def _inputs(m: Maker) -> list[Tensor]:
    """1 to 3 inputs: images of one or both formats, vectors, sequences."""
    height, width, channels = m.number(3, 6), m.number(3, 6), m.one_of(1, 2, 3, 4, 6)
    made: list[Tensor] = []
    for _ in range(m.one_of(1, 1, 2, 3)):
        kind = m.one_of("last", "last", "last", "first", "first", "vector", "sequence")
        if kind == "last":
            made.append(m.input((height, width, channels), "channels_last"))
        elif kind == "first":
            made.append(m.input((channels, height, width), "channels_first"))
        elif kind == "vector":
            made.append(m.input((m.one_of(channels, 6),)))
        else:
            made.append(m.input((height, channels)))
    return made


def _outputs(m: Maker) -> list[Tensor]:
    """The newest tensor, and others: in the middle, an input, the same one twice."""
    last = m.pool[-1]
    others = [m.one_of(*m.pool) for _ in range(m.one_of(0, 0, 1, 2))]
    return m.shuffled([last, *others])


def random_tensors(
    draw: st.DrawFn, most: int = 12, dtype: str = "float64", dropout: bool = True
) -> tuple[Maker, list[Tensor], list[Tensor]]:
    """Inputs and outputs of a model, and what made them.

    One number decides each step: hypothesis leaves steps out when it shrinks, and does
    not spend its examples on equal steps.
    """
    first, last, *steps = draw(st.lists(SEEDS, min_size=4, max_size=most, unique=True))
    maker = Maker(random.Random(first), dtype)
    inputs = _inputs(maker)
    for seed in steps:
        maker.rng.seed(seed)
        x = maker.some_tensor()
        maker.one_of(*_steps(rank_of(x), dropout))(maker, x)
    maker.rng.seed(last)
    return maker, inputs, _outputs(maker)


def random_model(
    draw: st.DrawFn,
    most: int = 12,
    dtype: str = "float64",
    dropout: bool = True,
    dead: bool = True,
) -> Captured:
    """A random model (see the module's text)."""
    maker, inputs, outputs = random_tensors(draw, most, dtype, dropout)
    captured = capture(inputs, outputs, "random")
    if dead and maker.chance(40):
        graph = with_dead_nodes(maker.rng, captured.graph)
        captured = replace(captured, graph=graph)
    return captured


@st.composite
def models(
    draw: st.DrawFn,
    most: int = 12,
    dtype: str = "float64",
    dropout: bool = True,
    dead: bool = True,
) -> Captured:
    """Random models as a strategy."""
    return random_model(draw, most, dtype, dropout, dead)


def with_dead_nodes(rng: random.Random, graph: Graph) -> Graph:
    """The graph with one to three nodes that nobody reads, each behind its operand."""
    nodes = list(graph.nodes)
    for number in range(rng.randint(1, 3)):
        readable = [at for at, node in enumerate(nodes) if is_float(node.types[0])]
        if not readable:
            break
        at = rng.choice(readable)
        source = nodes[at]
        op, count = rng.choice([(ew.Relu(), 1), (ew.Negate(), 1), (ew.Multiply(), 2)])
        dead = Node(
            f"dead_{number}",
            op,
            (source.value,) * count,
            source.types[:1],
            call=source.call,
        )
        nodes.insert(at + 1, dead)
    return verify(graph.replace(nodes=tuple(nodes)))


def is_float(type_: TensorType) -> bool:
    return is_floating(type_.dtype)


# --- graphs without layers ------------------------------------------------------------

_UNARY: tuple[Op, ...] = (
    ew.Relu(),
    ew.Relu(0.2, 1.5),
    ew.Tanh(),
    ew.Sigmoid(),
    ew.Negate(),
    ew.Elu(0.5),
)
_BINARY: tuple[Op, ...] = (ew.Add(), ew.Multiply(), ew.Subtract(), ew.Maximum())


@st.composite
def elementwise_graphs(draw: st.DrawFn, dtype: str = "float64") -> Graph:
    """Arithmetic on inputs and params, with broadcasting, epilogues, dead nodes."""
    builder = Builder("arithmetic")
    shapes = st.sampled_from([("batch", 4), ("batch", 1)])
    pool: list[Value] = [
        builder.input(f"in{at}", TensorType(draw(shapes), dtype))
        for at in range(draw(st.integers(1, 2)))
    ]
    for at in range(draw(st.integers(0, 2))):
        type_ = TensorType(draw(st.sampled_from([(4,), (1,)])), dtype)
        pool.append(builder.param(Param(f"layer{at}/kernel", type_)))
    for _ in range(draw(st.integers(1, 8))):
        some = st.sampled_from(pool)
        op = draw(st.sampled_from(_UNARY + _BINARY))
        operands = [draw(some) for _ in range(1 if op in _UNARY else 2)]
        epilogue = draw(st.lists(st.sampled_from(_UNARY), max_size=2))
        pool.extend(builder.node(op, operands, epilogue=tuple(epilogue)))
    for at, value in enumerate(draw(st.lists(st.sampled_from(pool), min_size=1))):
        builder.output(f"out{at}", value)
    return verify(builder.build())
