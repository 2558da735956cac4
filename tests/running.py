"""Running graphs in tests: random variables and inputs, every result by name.

`tests.graphs` documents and exports these.
"""

from __future__ import annotations

import contextlib
import math
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from graphjit.ir import Graph, Param
from graphjit.lower import lower, x64_scope
from graphjit.types import is_floating
from graphjit.variables import nest


def _gamma(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)


def _kernel(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    fan_in = math.prod(shape[:-1]) or 1
    return rng.normal(0.0, 1.2 / math.sqrt(fan_in), shape)


#: How a variable is drawn, by the last part of its name.
SLOTS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Any]] = {
    "kernel": _kernel,
    "gamma": _gamma,
    "moving_mean": lambda rng, shape: rng.normal(0.3, 0.8, shape),
    "moving_variance": lambda rng, shape: rng.uniform(0.3, 2.5, shape),
    "variance": lambda rng, shape: rng.uniform(0.3, 2.5, shape),
}


def _drawn(param: Param, seed: int, dtype: str | None) -> Any:
    rng = np.random.default_rng([seed, zlib.crc32(param.name.encode())])
    shape = tuple(int(dim or 0) for dim in param.type.shape)
    slot = param.name.rsplit("/", 1)[-1]
    draw = SLOTS.get(slot, lambda rng, shape: rng.normal(0.1, 0.5, shape))
    return np.asarray(draw(rng, shape)).astype(dtype or param.type.dtype)


def _collected(graph: Graph, array_of: Callable[[Param], Any]) -> dict[str, Any]:
    collections: dict[str, dict[str, Any]] = {"params": {}, "state": {}}
    for param in graph.params:
        collections[param.collection][param.name] = array_of(param)
    return {name: nest(flat) for name, flat in collections.items()}


def variables_for(
    graph: Graph, seed: int = 0, dtype: str | None = None
) -> dict[str, Any]:
    """Random variables that hide nothing (see the module's text)."""
    return _collected(graph, lambda param: _drawn(param, seed, dtype))


def random_inputs(
    graph: Graph, seed: int = 0, batch: int = 3, sizes: Mapping[str, int] | None = None
) -> list[Any]:
    """Random data for every input, in input order."""
    known = {"batch": batch, **(sizes or {})}
    rng = np.random.default_rng([seed, 101])
    arrays: list[Any] = []
    for entry in graph.inputs:
        shape = tuple(
            known[dim] if isinstance(dim, str) else 5 if dim is None else dim
            for dim in entry.type.shape
        )
        if is_floating(entry.type.dtype):
            array = rng.normal(0.3, 1.1, shape)
        elif entry.type.dtype == "bool":
            array = rng.random(shape) < 0.7
        else:
            array = rng.integers(0, 5, shape)
        arrays.append(array.astype(entry.type.dtype))
    return arrays


def _as_list(items: Any) -> list[Any]:
    return list(items) if isinstance(items, list) else [items]


def _flat(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{path}{key}"
        if isinstance(value, Mapping):
            found.update(_flat(value, f"{name}/"))
        else:
            found[name] = value
    return found


def evaluate(
    graph: Graph,
    variables: Mapping[str, Any] | None = None,
    inputs: Sequence[Any] | None = None,
    rng: int | None = 0,
    seed: int = 0,
    batch: int = 3,
    jit: bool = True,
    options: Mapping[str, Any] | None = None,
) -> dict[str, np.ndarray[Any, Any]]:
    """Every result of a graph, by name."""
    variables = variables_for(graph, seed) if variables is None else variables
    inputs = random_inputs(graph, seed, batch) if inputs is None else list(inputs)
    x = inputs if len(inputs) != 1 else inputs[0]
    function: Any = lower(graph)
    if jit:
        given = dict(options) if options else None
        function = jax.jit(function, compiler_options=given)
    with x64_scope(graph):
        step = function(variables["params"], variables["state"], x, rng)
        return _by_name(graph, step)


def evaluate_together(
    graphs: Sequence[Graph], rng: int | None = 0, seed: int = 0, batch: int = 3
) -> list[dict[str, np.ndarray[Any, Any]]]:
    """`evaluate` of graphs with the same inputs, as one program."""
    inputs = random_inputs(graphs[0], seed, batch)
    arrays = {_key(p): _drawn(p, seed, None) for g in graphs for p in g.params}

    def all_of_them(arrays: Mapping[str, Any], inputs: list[Any]) -> list[Any]:
        x = inputs if len(inputs) != 1 else inputs[0]
        given = [_collected(g, lambda p: arrays[_key(p)]) for g in graphs]
        return [
            lower(graph)(variables["params"], variables["state"], x, rng)
            for graph, variables in zip(graphs, given, strict=True)
        ]

    with contextlib.ExitStack() as scopes:
        for graph in graphs:
            scopes.enter_context(x64_scope(graph))
        steps = jax.jit(all_of_them)(arrays, inputs)
        return [_by_name(g, step) for g, step in zip(graphs, steps, strict=True)]


def _key(param: Param) -> str:
    return f"{param.name} {param.type}"


def _by_name(graph: Graph, step: Any) -> dict[str, np.ndarray[Any, Any]]:
    """What a lowered graph returned, by name."""
    results: dict[str, Any] = {}
    pairs = zip(_as_list(step.outputs), _as_list(step.masks), strict=True)
    for output, (value, mask) in zip(graph.outputs, pairs, strict=True):
        results[f"output {output.name}"] = value
        if mask is not None:
            results[f"mask {output.name}"] = mask
    # In the graph's order: a compiled function sorts its dictionaries.
    state = _flat(step.state)
    results |= {f"state {p.name}": state[p.name] for p in graph.params if p.is_state}
    results |= {f"loss {v.name}": step.losses[v.name] for v in graph.losses}
    return {name: np.asarray(value) for name, value in results.items()}


def same_results(
    found: Mapping[str, Any],
    wanted: Mapping[str, Any],
    tolerance: float = 1e-9,
    only: str = "",
) -> None:
    """Assert that two dicts of `evaluate` agree."""
    names = [name for name in wanted if name.startswith(only)]
    received = [name for name in found if name.startswith(only)]
    assert received == names, f"expected {names}, received {received}"
    for name in names:
        a, b = np.asarray(found[name]), np.asarray(wanted[name])
        assert a.shape == b.shape, name
        assert a.dtype == b.dtype, name
        assert np.isfinite(b.astype(np.float64)).all(), name
        scale = max(1.0, float(np.max(np.abs(b), initial=0.0)))
        np.testing.assert_allclose(
            a.astype(np.float64),
            b.astype(np.float64),
            rtol=0,
            atol=tolerance * scale,
            err_msg=name,
        )


def layer_names(graph: Graph) -> Counter[str]:
    """How often each layer class stands in the layer table."""
    return Counter(call.cls for call in graph.layers)
