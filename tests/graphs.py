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
``evaluate(graph, variables=None, inputs=None, rng=0, seed=0, batch=3, jit=True)``
    A dict of every result as a NumPy array, by ``output NAME``, ``mask NAME``, ``state
    PARAM`` and ``loss NAME``; variables and inputs drawn from `seed` unless given.
    Compiled whole, which for one call is three times faster than op by op.
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

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from hypothesis import strategies as st

import graphjit.layers as L  # noqa: N812
from graphjit.builder import Builder
from graphjit.capture.layer import Layer
from graphjit.capture.tensor import Tensor
from graphjit.capture.tracer import Captured, capture
from graphjit.ir import Graph, Node, Param, Value
from graphjit.ops import elementwise as ew
from graphjit.ops.base import Op
from graphjit.types import TensorType, is_floating
from graphjit.verify import verify
from tests.running import (
    evaluate,
    layer_names,
    random_inputs,
    same_results,
    variables_for,
)

__all__ = [
    "elementwise_graphs",
    "evaluate",
    "layer_names",
    "models",
    "random_inputs",
    "random_model",
    "random_tensors",
    "same_results",
    "variables_for",
    "with_dead_nodes",
]

T = TypeVar("T")
SEEDS = st.integers(0, 2**32 - 1)

#: Elements per row that a tensor may have before layers that enlarge it stop.
MOST_ELEMENTS = 300
# fmt: off
ACTIVATIONS = (
    "linear", "relu", "relu", "relu", "relu6", "leaky_relu", "sigmoid", "tanh", "elu",
    "selu", "softplus", "softsign", "silu", "gelu", "mish", "hard_sigmoid", "hard_silu",
)
# fmt: on
FORMATS = ("channels_last", "channels_first")


@dataclass
class Maker:
    """A model in the making.

    Attributes:
        pool: The tensors made so far, oldest first.
        formats: For images where their channels are.
        calls: Layers called so far, with the shapes they were called on.
    """

    rng: random.Random
    dtype: str
    pool: list[Tensor] = field(default_factory=list)
    formats: dict[Tensor, str] = field(default_factory=dict)
    calls: list[tuple[Layer, tuple[Any, ...]]] = field(default_factory=list)

    def one_of(self, *choices: T) -> T:
        return self.rng.choice(choices)

    def number(self, least: int, most: int) -> int:
        return self.rng.randint(least, most)

    def chance(self, percent: int) -> bool:
        return self.rng.random() * 100 < percent

    def shuffled(self, items: Iterable[T]) -> list[T]:
        found = list(items)
        self.rng.shuffle(found)
        return found

    def some_tensor(self) -> Tensor:
        """Often the newest, so that models become deep."""
        return self.pool[-1] if self.chance(60) else self.one_of(*self.pool)

    def format_of(self, x: Tensor) -> str:
        return self.formats.get(x, "channels_last")

    def image(self, x: Tensor) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        dims = x.type.shape[1:]
        if self.format_of(x) == "channels_first":
            dims = (*dims[1:], dims[0])
        height, width, channels = (int(dim or 0) for dim in dims)
        return height, width, channels

    def input(self, shape: Sequence[int], data_format: str | None = None) -> Tensor:
        tensor = L.Input(tuple(shape), dtype=self.dtype)
        self.pool.append(tensor)
        if data_format is not None:
            self.formats[tensor] = data_format
        return tensor

    def call(self, layer: Layer, *inputs: Tensor, keep: bool = True) -> Tensor:
        """Call a layer; an image keeps its data format unless the rank changes."""
        output = layer(inputs[0] if len(inputs) == 1 else list(inputs))
        self.calls.append((layer, tuple(x.shape for x in inputs)))
        self.pool.append(output)
        if len(output.shape) == 4 and keep:
            self.formats[output] = self.format_of(inputs[0])
        return output

    def make(self, cls: type[Layer], *args: Any, **settings: Any) -> Layer:
        if self.chance(15):
            settings["name"] = f"named_{len(self.calls)}"
        return cls(*args, dtype=self.dtype, **settings)

    def weights(self, *slots: str) -> dict[str, Any]:
        """Now and then a penalty or a constraint."""
        found: dict[str, Any] = {}
        if self.chance(10):
            found[f"{self.one_of(*slots)}_regularizer"] = self.one_of("l1", "l2")
        if self.chance(5):
            found[f"{slots[0]}_constraint"] = "max_norm"
        if self.chance(8):
            found["activity_regularizer"] = "l2"
        return found


#: A step: extends the model from a tensor; None where it does not apply.
Step = Callable[[Maker, Tensor], "Tensor | None"]


def rank_of(x: Tensor) -> int:
    return len(x.shape)


def elements(x: Tensor) -> int:
    return math.prod(dim for dim in x.shape[1:] if dim is not None)


# --- convolution and pooling ----------------------------------------------------------


def _window(m: Maker, x: Tensor, most: int = 3) -> dict[str, Any]:
    """A window's settings that fit the image: size, strides or dilation, padding."""
    height, width, _ = m.image(x)
    padding = m.one_of("valid", "same")
    limit = (height, width) if padding == "valid" else (most, most)
    size = tuple(m.number(1, min(most, side)) for side in limit)
    strides = m.one_of((1, 1), (1, 1), (2, 1), (1, 2), (2, 3))
    return {"size": size, "strides": strides, "padding": padding}


def _dilation(m: Maker, x: Tensor, window: dict[str, Any]) -> dict[str, Any]:
    """The window's strides, or a dilation that fits in their place."""
    sides = m.image(x)[:2]
    rates = m.one_of((2, 1), (1, 2), (2, 2))
    reach = [(k - 1) * rate + 1 for k, rate in zip(window["size"], rates, strict=True)]
    fits = window["padding"] == "same" or all(
        r <= side for r, side in zip(reach, sides, strict=True)
    )
    if fits and m.chance(30):
        return {"dilation_rate": rates}
    return {"strides": window["strides"]}


def conv(m: Maker, x: Tensor) -> Tensor | None:
    if rank_of(x) != 4:
        return None
    channels = m.image(x)[2]
    groups = m.one_of(*(g for g in (1, 1, 2, 3) if channels % g == 0))
    window = _window(m, x)
    layer = m.make(
        L.Conv2D,
        groups * m.number(1, 3),
        window["size"],
        padding=window["padding"],
        data_format=m.format_of(x),
        groups=groups,
        use_bias=m.chance(70),
        activation=m.one_of(None, None, *ACTIVATIONS),
        **_dilation(m, x, window),
        **m.weights("kernel", "bias"),
    )
    return m.call(layer, x)


def depthwise(m: Maker, x: Tensor) -> Tensor | None:
    if rank_of(x) != 4:
        return None
    window = _window(m, x)
    layer = m.make(
        L.DepthwiseConv2D,
        window["size"],
        padding=window["padding"],
        depth_multiplier=1 if m.image(x)[2] > 3 else m.number(1, 2),
        data_format=m.format_of(x),
        use_bias=m.chance(70),
        activation=m.one_of(None, None, *ACTIVATIONS),
        **_dilation(m, x, window),
    )
    return m.call(layer, x)


def pool(m: Maker, x: Tensor) -> Tensor | None:
    if rank_of(x) != 4:
        return None
    window = _window(m, x)
    layer = m.make(
        m.one_of(L.MaxPooling2D, L.AveragePooling2D),
        window["size"],
        window["strides"] if m.chance(60) else None,
        window["padding"],
        m.format_of(x),
    )
    return m.call(layer, x)


def global_pool(m: Maker, x: Tensor) -> Tensor | None:
    if rank_of(x) != 4:
        return None
    cls = m.one_of(L.GlobalAveragePooling2D, L.GlobalMaxPooling2D)
    keepdims = m.chance(40)
    pooled = m.call(m.make(cls, m.format_of(x), keepdims), x)
    if keepdims and m.chance(60):
        return m.call(m.make(L.Multiply), x, pooled)
    return pooled


# --- norms, activations, randomness ---------------------------------------------------


def norm(m: Maker, x: Tensor) -> Tensor | None:
    if rank_of(x) < 2:
        return None
    usual = 1 if rank_of(x) == 4 and m.format_of(x) == "channels_first" else -1
    layer = m.make(
        L.BatchNormalization,
        axis=usual if m.chance(80) else m.number(1, rank_of(x) - 1),
        momentum=m.one_of(0.99, 0.9, 0.5),
        epsilon=m.one_of(1e-3, 0.02, 0.3),
        center=m.chance(80),
        scale=m.chance(80),
    )
    return m.call(layer, x)


def activation(m: Maker, x: Tensor) -> Tensor | None:
    return m.call(m.make(L.Activation, m.one_of(*ACTIVATIONS)), x)


def relu(m: Maker, x: Tensor) -> Tensor | None:
    top, slope = m.one_of(None, 1.5), m.one_of(0.0, 0.2)
    return m.call(m.make(L.ReLU, top, slope, m.one_of(0.0, 0.0, 0.3)), x)


def softmax(m: Maker, x: Tensor) -> Tensor | None:
    return m.call(m.make(L.Softmax, m.number(1, rank_of(x) - 1)), x)


def dropout(m: Maker, x: Tensor) -> Tensor | None:
    shared = (None, *m.one_of((None,), (1,)) * (rank_of(x) - 1))
    noise_shape = shared if m.chance(30) else None
    rate = m.one_of(0.0, 0.3, 0.5)
    return m.call(m.make(L.Dropout, rate, noise_shape, seed=m.one_of(None, 3)), x)


# --- shapes ---------------------------------------------------------------------------


def dense(m: Maker, x: Tensor) -> Tensor | None:
    layer = m.make(
        L.Dense,
        m.number(1, 5),
        activation=m.one_of(None, None, *ACTIVATIONS),
        use_bias=m.chance(70),
        **m.weights("kernel", "bias"),
    )
    return m.call(layer, x)


def flatten(m: Maker, x: Tensor) -> Tensor | None:
    if rank_of(x) < 3:
        return None
    flat = m.call(m.make(L.Flatten, m.format_of(x)), x)
    return dense(m, flat) if m.chance(60) else flat


def reshape(m: Maker, x: Tensor) -> Tensor | None:
    *dims, last = (int(dim or 0) for dim in x.shape[1:])
    if len(dims) == 2:
        target = m.one_of((dims[0] * dims[1], last), (dims[0], -1), (-1, last))
    elif len(dims) == 1:
        target = m.one_of((dims[0], 1, last), (-1,), (last, dims[0]))
    else:
        divisor = next((f for f in (2, 3, 5) if last % f == 0), 1)
        target = m.one_of((divisor, last // divisor), (1, 1, last))
    return m.call(m.make(L.Reshape, target), x, keep=False)


def permute(m: Maker, x: Tensor) -> Tensor | None:
    if rank_of(x) < 3:
        return None
    if rank_of(x) == 4 and m.chance(70):
        first = m.format_of(x) == "channels_first"
        moved = m.call(m.make(L.Permute, (2, 3, 1) if first else (3, 1, 2)), x)
        m.formats[moved] = FORMATS[0] if first else FORMATS[1]
        return moved
    dims = m.shuffled(range(1, rank_of(x)))
    return m.call(m.make(L.Permute, dims), x)


def pad(m: Maker, x: Tensor) -> Tensor | None:
    if rank_of(x) != 4 or elements(x) > MOST_ELEMENTS:
        return None
    padding = m.one_of(1, (0, 1), ((1, 0), (0, 2)), ((2, 0), (1, 1)))
    padded = m.call(m.make(L.ZeroPadding2D, padding, m.format_of(x)), x)
    return conv(m, padded) if m.chance(60) else padded


def upsample(m: Maker, x: Tensor) -> Tensor | None:
    if rank_of(x) != 4 or elements(x) * 2 > MOST_ELEMENTS:
        return None
    size = m.one_of((1, 2), (2, 1), (2, 2))
    return m.call(m.make(L.UpSampling2D, size, m.format_of(x)), x)


# --- several tensors ------------------------------------------------------------------


def merge(m: Maker, x: Tensor) -> Tensor | None:
    """x with tensors of its shape, or with something made of it."""
    alike = [t for t in m.pool if t.shape == x.shape and t is not x]
    others = [m.one_of(*alike)] if alike else []
    if not others or m.chance(30):
        made = m.one_of(norm, activation, relu)(m, x)
        others.append(x if made is None else made)
    tensors = m.shuffled([x, *others])
    return m.call(m.make(m.one_of(L.Add, L.Add, L.Multiply)), *tensors)


def concatenate(m: Maker, x: Tensor) -> Tensor | None:
    if elements(x) > MOST_ELEMENTS:
        return None
    axis = m.number(1, rank_of(x) - 1)

    def off_axis(t: Tensor) -> Any:
        return (*t.shape[:axis], None, *t.shape[axis + 1 :])

    alike = [t for t in m.pool if rank_of(t) == rank_of(x)]
    fits = [t for t in alike if off_axis(t) == off_axis(x)]
    others = [m.one_of(*fits) for _ in range(m.number(1, 2))]
    signed = axis if m.chance(50) else axis - rank_of(x)
    return m.call(m.make(L.Concatenate, signed), x, *others)


def again(m: Maker, x: Tensor) -> Tensor | None:
    """Call a layer a second time: the one thing that shares weights and state."""
    known = [(layer, shapes) for layer, shapes in m.calls if x.shape in shapes]
    with_weights = [call for call in known if call[0].cells] or known
    if not with_weights:
        return None
    layer, shapes = m.one_of(*with_weights)
    inputs = [
        x if shape == x.shape else m.one_of(*(t for t in m.pool if t.shape == shape))
        for shape in shapes
    ]
    return m.call(layer, *inputs)


def norm_and_neighbours(m: Maker, x: Tensor) -> Tensor | None:
    """What folding looks for: a norm before or behind a layer with weights."""
    weighted = m.one_of(conv, depthwise, dense) if rank_of(x) == 4 else dense
    steps = m.one_of((weighted, norm, relu), (norm, weighted), (weighted, norm))
    for step in steps:
        made = step(m, x)
        x = x if made is None else made
    return x


IMAGES, MANY, ANY = (4,), (3, 4), (2, 3, 4)
#: How often each step is tried, and on tensors of which rank.
STEPS: dict[Step, tuple[int, tuple[int, ...]]] = {
    norm_and_neighbours: (4, ANY),
    conv: (4, IMAGES),
    norm: (3, ANY),
    merge: (3, ANY),
    again: (4, ANY),
    depthwise: (3, IMAGES),
    pool: (3, IMAGES),
    activation: (1, ANY),
    relu: (1, ANY),
    concatenate: (2, ANY),
    pad: (2, IMAGES),
    dense: (2, ANY),
    flatten: (1, MANY),
    permute: (2, MANY),
    reshape: (1, ANY),
    upsample: (2, IMAGES),
    global_pool: (1, IMAGES),
    dropout: (2, ANY),
    softmax: (1, ANY),
}


# --- models ---------------------------------------------------------------------------


def _steps(rank: int, drawing: bool) -> list[Step]:
    """The steps for a tensor of this rank, each as often as it is tried."""
    return [
        step
        for step, (count, ranks) in STEPS.items()
        if rank in ranks and (drawing or step is not dropout)
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
