"""Measuring the kernels of a model's own ops on this device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from graphjit.bodies import bodies_of
from graphjit.builder import Builder
from graphjit.ir import Graph, Node
from graphjit.lower import lower_flat, x64_scope
from graphjit.stopwatch import device_name, medians_ms
from graphjit.tuning import Choice, Tuning, at_batch, key_of
from graphjit.types import TensorType, is_floating

__all__ = ["autotune"]

#: A kernel replaces the rules' choice where it is this much faster.
LEAST_GAIN = 1.1


def autotune(
    graph: Graph, batch_size: int, platform: str, budget_s: float = 0.5
) -> Tuning:
    """Measure, for every op of a graph that has several lowerings, which is fastest.

    Each op is run alone, compiled, on random data of its types, the candidates in
    turns. One that is not at least 1.1 times faster than what the graph has changes
    nothing.

    Args:
        graph: An optimized graph, kernels chosen by the rules.
        batch_size: For which batches.
        platform: The platform JAX runs on.
        budget_s: About how many seconds one op may take, compiling left out.

    Returns:
        A choice for each op on certain types; none for an op with an unknown length.
    """
    choices: dict[tuple[str, tuple[str, ...]], Choice] = {}
    for node, types in _nodes(graph):
        known = [at_batch(type_, batch_size) for type_ in types]
        key = key_of(node.op, known)
        if key in choices or not all(t is None or _is_known(t) for t in known):
            continue
        names = [k.name for k in node.op.kernels if k.can(node.op, known)]
        if not names:
            continue
        times = _measured(node, known, ("", *names), budget_s)
        usual, best = times[node.kernel], min(times, key=lambda name: times[name])
        if usual < LEAST_GAIN * times[best]:
            best = node.kernel
        choices[key] = Choice(*key, best, usual / times[best])
    device = device_name()
    return Tuning(platform, device, batch_size, tuple(choices.values()))


def _nodes(graph: Graph) -> Iterator[tuple[Node, list[TensorType | None]]]:
    """Nodes with several lowerings and their operands' types, those of bodies too."""
    types = graph.types()
    for node in graph.nodes:
        if node.op.kernels:
            yield node, [None if v is None else types[v] for v in node.operands]
        for _, body in bodies_of(node.op):
            yield from _nodes(body)


def _is_known(type_: TensorType) -> bool:
    return all(isinstance(dim, int) for dim in type_.shape)


def _measured(
    node: Node,
    types: Sequence[TensorType | None],
    names: Sequence[str],
    budget_s: float,
) -> dict[str, float]:
    """Median times in ms of the node by each lowering."""
    rng = np.random.default_rng(0)
    graphs = {name: _alone(node, name, types) for name in names}
    with x64_scope(graphs[""]):
        arrays = [
            jax.device_put(_data(rng, type_)) for type_ in types if type_ is not None
        ]
        programs = {name: _compiled(graph, arrays) for name, graph in graphs.items()}
        return medians_ms(programs, budget_s)


def _alone(node: Node, kernel: str, types: Sequence[TensorType | None]) -> Graph:
    """A graph of that node by itself."""
    builder = Builder("alone")
    values = [
        None if t is None else builder.input(f"in{at}", t) for at, t in enumerate(types)
    ]
    results = builder.node(node.op, values, epilogue=node.epilogue, kernel=kernel)
    for at, value in enumerate(results):
        builder.output(f"out{at}", value)
    return builder.build()


def _data(rng: np.random.Generator, type_: TensorType) -> Any:
    shape: Any = type_.shape
    if is_floating(type_.dtype):
        return jax.numpy.asarray(rng.normal(size=shape), type_.dtype)
    if type_.dtype == "bool":
        return np.ones(shape, bool)
    return np.zeros(shape, type_.dtype)


def _compiled(graph: Graph, arrays: Sequence[Any]) -> Callable[[], Any]:
    flat = lower_flat(graph)

    def outputs(given: Sequence[Any]) -> Any:
        return flat((), given).outputs

    compiled: Any = jax.jit(outputs).lower(arrays).compile()
    return lambda: compiled(arrays)
