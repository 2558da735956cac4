"""Measuring the kernels of a model's own ops, and its program, on this device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from graphjit.bodies import bodies_of
from graphjit.builder import Builder
from graphjit.ir import Graph, Node
from graphjit.lower import lower_flat, uses_rng, x64_scope
from graphjit.passes.prologue import split_prologue
from graphjit.program_options import chosen_option, known_options
from graphjit.stopwatch import device_name, medians_ms
from graphjit.tuning import PROGRAM, Choice, Tuning, at_batch, key_of
from graphjit.types import TensorType, is_floating

__all__ = ["autotune", "autotune_program"]

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


def autotune_program(graph: Graph, tuning: Tuning, budget_s: float = 2.0) -> Tuning:
    """Measure the options that XLA may compile a graph's program with.

    The whole program is run on random weights and data, with each set of options and
    without any, in turns.

    Args:
        graph: An optimized graph, with the kernels of `tuning`.
        tuning: What was measured of its ops.
        budget_s: About how many seconds it may take, compiling left out.

    Returns:
        The tuning with a choice for the program; as it was where no option may pay, or
        a length is unknown.
    """
    _, main = split_prologue(graph)
    options = known_options(main, tuning.platform)
    params = [param.type for param in main.params]
    inputs = [at_batch(entry.type, tuning.batch_size) for entry in main.inputs]
    if not options or uses_rng(main) or not all(t and _is_known(t) for t in inputs):
        return tuning
    rng = np.random.default_rng(0)
    with x64_scope(main):
        weights = [jax.device_put(_data(rng, type_)) for type_ in params]
        arrays = [jax.device_put(_data(rng, type_)) for type_ in inputs if type_]
        programs = {"": _compiled(main, arrays, weights)}
        for option in options:
            programs[option.name] = _compiled(main, arrays, weights, option.options)
        times = medians_ms(programs, budget_s)
    chosen, _ = chosen_option(main, tuning.platform)
    usual, best = chosen.name if chosen else "", min(times, key=lambda n: times[n])
    if times[usual] < LEAST_GAIN * times[best]:
        best = usual
    choice = Choice(PROGRAM, (), best, times[usual] / times[best])
    return replace(tuning, choices=(*tuning.choices, choice))


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


def _compiled(
    graph: Graph,
    arrays: Sequence[Any],
    weights: Sequence[Any] = (),
    options: Mapping[str, str] | None = None,
) -> Callable[[], Any]:
    flat = lower_flat(graph)

    def outputs(held: Sequence[Any], given: Sequence[Any]) -> Any:
        return flat(held, given).outputs

    program: Any = jax.jit(outputs, compiler_options=dict(options) if options else None)
    compiled = program.lower(weights, arrays).compile()
    return lambda: compiled(weights, arrays)
