"""From a graph to one pure JAX function."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp

from graphjit.bodies import bodies_of
from graphjit.data import bind_inputs
from graphjit.errors import DataError, ShapeError
from graphjit.id_ranges import id_ranges
from graphjit.ir import Graph, Node, Value, infer_node
from graphjit.narrow import sequence_of
from graphjit.ops.base import Array, Op, Random
from graphjit.types import TensorType
from graphjit.variables import flatten, nest

__all__ = [
    "Flat",
    "Step",
    "is_wide",
    "lower",
    "lower_flat",
    "rng_key",
    "uses_rng",
    "x64_scope",
]


class Step(NamedTuple):
    """What one application of a graph gives.

    Attributes:
        outputs: One array, or a list for several outputs.
        state: The new state, nested by layer name.
        losses: Scalars added to the training loss, by name.
        masks: Shaped like `outputs`; None where an output has no mask.
    """

    outputs: Any
    state: dict[str, Any]
    losses: dict[str, Array]
    masks: Any


class Flat(NamedTuple):
    """The results of a flat lowered graph, in the graph's own order."""

    outputs: tuple[Array, ...]
    masks: tuple[Array | None, ...]
    updates: tuple[Array, ...]
    losses: tuple[Array, ...]


class LoweredFlat(Protocol):
    """(params, inputs, key) -> `Flat`, everything positional."""

    def __call__(
        self, params: Sequence[Any], inputs: Sequence[Any], key: Any = None
    ) -> Flat: ...


class Lowered(Protocol):
    """(params, state, x, rng) -> `Step`."""

    def __call__(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        rng: Any = None,
    ) -> Step: ...


Environment: TypeAlias = dict[Value, Any]


def lower(graph: Graph) -> Lowered:
    """The pure function of a graph, by the plain lowerings and chosen kernels.

    jit, grad, jvp, vmap, checkpoint and shard_map work on it. Nothing is bound:
    weights go in as nested dictionaries, as `Model.init` gives them.

    Args:
        graph: Any verified graph.

    Returns:
        ``f(params, state, x, rng=None) -> Step``; `x` is an array, or a list or tuple
        in input order, or a dict by input name; `rng` an int or a JAX key, needed
        when the graph draws random numbers.
    """
    flat = lower_flat(graph)
    entries = graph.params
    ids = id_ranges(graph)

    def lowered(
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        rng: Any = None,
    ) -> Step:
        with x64_scope(graph):
            variables = flatten({"params": params, "state": state}, entries)
            arrays = bind_inputs(graph.inputs, x, ids)
            key = None if rng is None else rng_key(rng)
            result = flat([variables[p.name] for p in entries], arrays, key)
            new_state = {p.name: variables[p.name] for p in entries if p.is_state}
            for update, value in zip(graph.updates, result.updates, strict=True):
                new_state[update.param] = value
            losses = {
                loss.name: value
                for loss, value in zip(graph.losses, result.losses, strict=True)
            }
            return Step(
                one_or_list(result.outputs),
                nest(new_state),
                losses,
                one_or_list(result.masks),
            )

    return lowered


def lower_flat(graph: Graph) -> LoweredFlat:
    """The pure function of a graph over flat sequences, in the graph's own order.

    ``f(params, inputs, key) -> Flat``. No checks, no dictionaries: what executables
    and the train step call.
    """

    def run(params: Sequence[Any], inputs: Sequence[Any], key: Any = None) -> Flat:
        env: Environment = {}
        for param, array in zip(graph.params, params, strict=True):
            env[param.value] = jnp.asarray(array)
        for entry, array in zip(graph.inputs, inputs, strict=True):
            env[entry.value] = jnp.asarray(array)
        run_nodes(graph.nodes, env, key)
        return Flat(
            tuple(env[output.value] for output in graph.outputs),
            tuple(None if o.mask is None else env[o.mask] for o in graph.outputs),
            tuple(env[update.value] for update in graph.updates),
            tuple(env[loss.value] for loss in graph.losses),
        )

    return run


def run_nodes(nodes: Sequence[Node], env: Environment, key: Any) -> None:
    """Run nodes in order, adding their results to `env`."""
    for node in nodes:
        operands = [None if v is None else env[v] for v in node.operands]
        results = _apply(node, operands, key)
        for index, result in enumerate(results):
            env[Value(node.name, index)] = result


def _apply(node: Node, operands: Sequence[Any], key: Any) -> tuple[Any, ...]:
    op = node.op
    extra: dict[str, Any] = {}
    if isinstance(op, Random):
        if key is None:
            raise DataError(
                f"{op.kind} {node.name!r} draws random numbers: rng is needed",
                hint="pass rng=0, or a JAX key",
            )
        extra["key"] = jax.random.fold_in(key, op.seed)
    if bodies_of(op):
        extra["run"] = _body_runner(key)
    with jax.named_scope(node.name):
        try:
            returned: Any = _lowering(op, node.kernel)(*operands, **extra)
        except (TypeError, ValueError) as error:
            _check_types(node, operands, error)
            raise
        results: list[Any] = sequence_of(returned) or [returned]
        for stage in node.epilogue:
            results[0] = stage.lower(results[0])
    return tuple(results)


def _check_types(node: Node, operands: Sequence[Any], cause: Exception) -> None:
    """Raise what the op says of these arrays: their open dims may not fit together."""
    types = [None if a is None else TensorType(a.shape, a.dtype.name) for a in operands]
    try:
        infer_node(node.name, node.op, node.operands, types, loc=node.loc)
    except ShapeError as misfit:
        raise DataError(
            misfit.message,
            details=misfit.details,
            hint="the sizes of this data, where the model leaves dims open, do not fit",
        ) from cause


def _lowering(op: Op, kernel: str) -> Callable[..., Any]:
    if not kernel:
        return op.lower
    chosen = next(k for k in op.kernels if k.name == kernel)
    return lambda *operands, **extra: chosen.lower(op, *operands, **extra)


def _body_runner(key: Any) -> Callable[..., tuple[Any, ...]]:
    """How an op runs a body graph: ``run(body, arrays, step=None)``."""

    def run(body: Graph, arrays: Sequence[Any], step: Any = None) -> tuple[Any, ...]:
        inner = key
        if key is not None and step is not None:
            inner = jax.random.fold_in(key, step)
        return lower_flat(body)((), arrays, inner).outputs

    return run


def rng_key(rng: Any) -> Any:
    """A JAX key from an int, a key, or an old-style uint32 key.

    Raises:
        DataError: It is none of these.
    """
    if isinstance(rng, int):
        return jax.random.key(rng)
    dtype = getattr(rng, "dtype", None)
    if dtype is None:
        raise DataError(f"rng: expected an int or a JAX key, received {rng!r}")
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return rng
    if jnp.issubdtype(dtype, jnp.integer) and rng.ndim == 0:
        return jax.random.key(rng)
    return jax.random.wrap_key_data(rng)  # pyright: ignore[reportUnknownVariableType]


def uses_rng(graph: Graph) -> bool:
    """Whether a graph draws random numbers, bodies included."""
    return any(
        isinstance(node.op, Random) or any(uses_rng(b) for _, b in bodies_of(node.op))
        for node in graph.nodes
    )


def x64_scope(graph: Graph) -> contextlib.AbstractContextManager[Any]:
    """64-bit types exist inside it, where the graph has any."""
    if is_wide(graph):
        return jax.enable_x64(True)
    return contextlib.nullcontext()


def is_wide(graph: Graph) -> bool:
    """Whether a graph has 64-bit types."""
    wide = ("float64", "int64", "uint64")
    return any(
        entry.type.dtype in wide for entry in (*graph.inputs, *graph.params)
    ) or any(type_.dtype in wide for node in graph.nodes for type_ in node.types)


def one_or_list(items: Sequence[Any]) -> Any:
    """The only item, or a list of them."""
    return items[0] if len(items) == 1 else list(items)
