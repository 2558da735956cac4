"""Random variables and data for graphs, and their comparison in float64."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

import graphjit as gj
from graphjit.builder import Rewriter
from graphjit.ir import Graph
from graphjit.ops.elementwise import Cast
from graphjit.types import TensorType, is_floating
from graphjit.variables import nest


def in_float64(graph: Graph) -> Graph:
    """The graph with every floating type 64 bits wide."""

    def wide(type_: TensorType) -> TensorType:
        return TensorType(type_.shape, "float64") if is_floating(type_.dtype) else type_

    inputs = tuple(dataclasses.replace(e, type=wide(e.type)) for e in graph.inputs)
    params = tuple(dataclasses.replace(p, type=wide(p.type)) for p in graph.params)
    rewriter = Rewriter(graph.replace(inputs=inputs, params=params))
    for node in graph.nodes:
        op = node.op
        if isinstance(op, Cast) and is_floating(op.dtype):
            op = Cast("float64")
        rewriter.keep(node, op=op, operands=node.operands)
    return rewriter.finish()


def random_variables(graph: Graph, seed: int = 0) -> dict[str, Any]:
    """Values that hide nothing: non-unit variances, means and gammas of both signs."""
    rng = np.random.default_rng(seed)
    flat: dict[str, dict[str, Any]] = {"params": {}, "state": {}}
    for param in graph.params:
        shape = [dim for dim in param.type.shape if isinstance(dim, int)]
        value = rng.normal(0.2, 0.7, shape)
        if "variance" in param.name:
            value = rng.uniform(0.3, 2.5, shape)
        flat[param.collection][param.name] = value.astype(param.type.dtype)
    return {name: nest(values) for name, values in flat.items()}


def random_data(graph: Graph, rows: int = 3, seed: int = 1) -> list[Any]:
    rng = np.random.default_rng(seed)
    arrays: list[Any] = []
    for entry in graph.inputs:
        shape = [rows, *(d if isinstance(d, int) else 7 for d in entry.type.shape[1:])]
        arrays.append(rng.normal(0.1, 1.0, shape).astype(entry.type.dtype))
    return arrays


def assert_equal_outputs(before: Graph, after: Graph, tolerance: float = 1e-9) -> None:
    """Both graphs compute the same in float64: outputs, state and losses."""
    before, after = in_float64(before), in_float64(after)
    variables, data = random_variables(before), random_data(before)
    arguments = (variables["params"], variables["state"], data, 0)
    old, new = gj.lower(before)(*arguments), gj.lower(after)(*arguments)
    assert jax.tree.structure(old) == jax.tree.structure(new)
    for a, b in zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=True):
        assert a.shape == b.shape
        scale = max(1.0, float(np.max(np.abs(a), initial=0.0)))
        np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance * scale)
