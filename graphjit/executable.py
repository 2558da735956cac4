"""A graph compiled for a platform, with its weights bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace as replaced
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from graphjit.autotune import autotune as measure_kernels
from graphjit.cost import Cost, cost_of
from graphjit.data import bind_inputs
from graphjit.errors import CaptureError, DataError, expected
from graphjit.id_ranges import id_ranges
from graphjit.ir import Graph, Param
from graphjit.lower import (
    Flat,
    Step,
    is_wide,
    lower_flat,
    one_or_list,
    rng_key,
    uses_rng,
    x64_scope,
)
from graphjit.passes.base import Pass, PassLog
from graphjit.passes.pipeline import INFERENCE, current_platform, run
from graphjit.passes.prologue import split_prologue
from graphjit.passes.select_kernels import SelectKernels
from graphjit.tuning import Tuning
from graphjit.types import BATCH
from graphjit.variables import device_copy, flatten, leaf, nest

__all__ = ["Executable", "compile_graph"]


class Executable:
    """One jitted function over a flat tuple of packed weights; no Python per node.

    Made by `graphjit.jit`. The prologue (folded, reshaped, packed weights) runs once
    per set of weights, at `rebind`.

    Attributes:
        graph: The main graph, without its prologue.
        prologue: The graph that packs the weights.
        log: What each pass did and refused.
        target: The platform it was compiled for.
        ids: Which inputs hold ids, and in which range.
        tuning: The measured kernels it uses; None where the rules alone chose.
    """

    def __init__(
        self,
        source: Graph,
        optimized: Graph,
        log: PassLog,
        target: str,
        tuning: Tuning | None = None,
    ) -> None:
        self.prologue, self.graph = split_prologue(optimized)
        self.log = log
        self.target = target
        self.tuning = tuning
        self._source = source
        updated = {update.param for update in self.graph.updates}
        packed = {output.name for output in self.prologue.outputs}
        self._state = [p for p in self.graph.params if p.name in updated]
        self._direct = [p for p in self.graph.params if p.name not in updated | packed]
        self._weights: tuple[jax.Array, ...] | None = None
        self._needs_key = uses_rng(self.graph)
        self.ids = id_ranges(source)
        self._pack: Callable[..., tuple[Any, ...]] = jax.jit(self._run_prologue)
        self._main: Callable[..., tuple[jax.Array, ...]] = jax.jit(
            _positional(self.graph, updated, packed)
        )
        self._call = self._fast_call()

    # --- weights --------------------------------------------------------------------

    def rebind(self, variables: Mapping[str, Any]) -> Executable:
        """Pack another set of weights; compiled programs are kept.

        Args:
            variables: ``{"params": …, "state": …}`` as `Model.init` gives them. They
                are copied where they could change (NumPy arrays).

        Returns:
            This executable.

        Raises:
            DataError: An entry is missing or has another shape.
        """
        flat = flatten(variables, self._source.params)
        with x64_scope(self.graph):
            arrays = {p.name: _owned(p, flat[p.name]) for p in self._source.params}
            inputs = [arrays[p.name] for p in self.prologue.params]
            packed = self._pack(inputs) if self.prologue.outputs else ()
        self._weights = (*(arrays[p.name] for p in self._direct), *packed)
        return self

    def _run_prologue(self, arrays: Sequence[Any]) -> tuple[Any, ...]:
        return lower_flat(self.prologue)(arrays, ()).outputs

    # --- running --------------------------------------------------------------------

    def __call__(self, x: Any) -> Any:
        """The outputs for `x`: one array, or a list for several outputs.

        Raises:
            DataError: The data does not fit, no weights are bound, or the graph has
                state that changes (use `step`).
        """
        return self._call(x)

    def _fast_call(self) -> Callable[[Any], Any]:
        """`__call__` with as little Python as can be when data fits at once."""
        graph = self.graph
        if len(graph.inputs) != 1 or graph.updates or self._needs_key or self.ids:
            return self._checked_call
        type_ = graph.inputs[0].type
        tail = type_.shape[1:]
        free = type_.shape[:1] == (BATCH,) and all(isinstance(dim, int) for dim in tail)
        if not free or is_wide(graph):
            return self._checked_call
        dtype = np.dtype(type_.dtype) if type_.dtype != "bfloat16" else jnp.bfloat16
        numpy: Any = np.ndarray
        main, checked, count = self._main, self._checked_call, len(graph.outputs)
        rank = type_.rank

        def call(x: Any) -> Any:
            weights = self._weights
            writable = isinstance(x, numpy)  # NumPy first: asking JAX takes longer
            if not (writable or isinstance(x, jax.Array)):
                return checked(x)
            if weights is None or x.dtype != dtype:
                return checked(x)
            shape = x.shape
            if len(shape) != rank or shape[1:] != tail:
                return checked(x)
            given = x.copy() if writable else x  # as `_unshared` does
            results = main(weights, (), (given,), None)
            return results[0] if count == 1 else list(results[:count])

        return call

    def _checked_call(self, x: Any) -> Any:
        if self.graph.updates:
            names = ", ".join(update.param for update in self.graph.updates)
            raise DataError(
                f"graph {self.graph.name!r} has state that changes ({names})",
                hint="use exe.step(state, x), which returns the new state",
            )
        return one_or_list(self._run({}, x, None).outputs)

    def step(self, state: Mapping[str, Any], x: Any, rng: Any = None) -> Step:
        """One pure application: outputs and new state, nothing kept.

        Args:
            state: The state the graph updates, nested by layer name.
            x: As for `__call__`.
            rng: An int or a JAX key, where the graph draws random numbers.
        """
        result = self._run(state, x, rng)
        new = {
            update.param: value
            for update, value in zip(self.graph.updates, result.updates, strict=True)
        }
        names = [loss.name for loss in self.graph.losses]
        return Step(
            one_or_list(result.outputs),
            nest(new),
            dict(zip(names, result.losses, strict=True)),
            one_or_list(result.masks),
        )

    def _run(self, state: Mapping[str, Any], x: Any, rng: Any) -> Flat:
        if self._weights is None:
            raise DataError(
                f"no weights are bound to graph {self.graph.name!r}",
                hint="call exe.rebind(variables) first",
            )
        with x64_scope(self.graph):
            inputs = tuple(map(_unshared, bind_inputs(self.graph.inputs, x, self.ids)))
            held = tuple(_unshared(leaf(state, p.name, "state")) for p in self._state)
            key = None
            if self._needs_key:
                if rng is None:
                    raise DataError("the graph draws random numbers: rng is needed")
                key = rng_key(rng)
            return _unpacked(self.graph, self._main(self._weights, held, inputs, key))

    # --- reports --------------------------------------------------------------------

    def cost(self, batch_size: int = 1) -> Cost:
        """FLOPs and bytes of one call at a batch size; unknown dims count as 1."""
        return cost_of(self.graph, batch_size)

    @property
    def flops(self) -> int:
        """Floating-point operations for a batch of one."""
        return self.cost().flops

    @property
    def bytes(self) -> int:
        """Bytes of weights and activations for a batch of one."""
        return self.cost().bytes

    def explain(self) -> str:
        """Per pass what it did and refused and why; op counts before and after."""
        before = Counter(node.op.kind for node in self._source.nodes)
        after = Counter(node.op.kind for node in self.graph.nodes)
        cost = self.cost()
        lines = [
            f"graph {self._source.name!r} for {self.target}",
            f"ops: {sum(before.values())} -> {sum(after.values())} "
            f"(and {len(self.prologue.nodes)} in the prologue, run once)",
            f"transposes: {before['transpose']} -> {after['transpose']}",
            f"batch of 1: {cost.flops:,} FLOPs, {cost.weight_bytes:,} bytes of "
            f"weights, {cost.activation_bytes:,} bytes of activations",
            "",
            str(self.log),
            "",
            *([] if self.tuning is None else [str(self.tuning), ""]),
            "kind: before -> after",
        ]
        for kind in sorted(before | after):
            lines.append(f"    {kind}: {before[kind]} -> {after[kind]}")
        return "\n".join(lines)


def compile_graph(
    graph: Graph,
    target: str | None = None,
    passes: Sequence[Pass] | None = None,
    *,
    autotune: bool = False,
    batch_size: int = 1,
    tuning: Tuning | None = None,
) -> Executable:
    """An executable of a graph, with no weights bound yet.

    Args:
        graph: A captured (training) graph.
        target: The platform; None for the one JAX runs on.
        passes: What to run; None for `INFERENCE`.
        autotune: Measure the kernels of this graph's ops on this device.
        batch_size: The batch size that `autotune` measures at.
        tuning: What was measured before.

    Raises:
        CaptureError: `autotune` is asked for another platform than JAX's.
    """
    chosen = target or current_platform()
    sequence = INFERENCE if passes is None else passes
    if autotune:
        if chosen != current_platform():
            here = repr(current_platform())
            expected(CaptureError, "autotune measures here: target", here, target)
        if batch_size < 1:
            expected(CaptureError, "batch_size", "an int >= 1", batch_size)
        by_rules, _ = run(graph, sequence, target=chosen)
        tuning = measure_kernels(by_rules, batch_size, chosen)
    if tuning is not None:
        sequence = [
            replaced(p, tuning=tuning) if isinstance(p, SelectKernels) else p
            for p in sequence
        ]
    optimized, log = run(graph, sequence, target=chosen)
    return Executable(graph, optimized, log, chosen, tuning)


def _positional(
    graph: Graph, updated: set[str], packed: set[str]
) -> Callable[..., tuple[Any, ...]]:
    """The lowered graph over (weights, state, inputs, key).

    All results come in one flat tuple, which costs a tenth of a small call less than
    a nested one; `_unpacked` sorts them.
    """
    flat = lower_flat(graph)
    direct = [p.name for p in graph.params if p.name not in updated | packed]
    order = [*direct, *(p.name for p in graph.params if p.name in packed)]
    held = [p.name for p in graph.params if p.name in updated]

    def main(weights: Any, state: Any, inputs: Any, key: Any) -> tuple[Any, ...]:
        table = dict(zip(order, weights, strict=True))
        table.update(zip(held, state, strict=True))
        result = flat([table[p.name] for p in graph.params], inputs, key)
        masks = [mask for mask in result.masks if mask is not None]
        return (*result.outputs, *result.updates, *result.losses, *masks)

    main.__name__ = graph.name or "main"
    return main


def _unshared(x: Any) -> Any:
    """`x`, copied where its owner may write to it while the call is still running.

    JAX on the CPU returns before the work is done and reads aligned NumPy memory in
    place: filling one buffer again and again would change results already returned.
    """
    numpy: Any = np.ndarray
    return x.copy() if isinstance(x, numpy) else x


def _unpacked(graph: Graph, results: Sequence[Any]) -> Flat:
    """What `_positional`'s function returns, sorted."""
    left = iter(results)
    outputs = tuple(next(left) for _ in graph.outputs)
    updates = tuple(next(left) for _ in graph.updates)
    losses = tuple(next(left) for _ in graph.losses)
    masks = tuple(None if o.mask is None else next(left) for o in graph.outputs)
    return Flat(outputs, masks, updates, losses)


def _owned(param: Param, given: Any) -> jax.Array:
    """An array nobody else can change."""
    shape = getattr(given, "shape", None)
    if shape is None:
        given = np.asarray(given)
        shape = given.shape
    if tuple(shape) != param.type.shape:
        raise DataError(
            f"variable {param.name!r}: expected shape {param.type.shape}, received "
            f"{tuple(shape)}"
        )
    if isinstance(given, jax.Array):
        return given.astype(param.type.dtype)
    return device_copy(given, param.type.dtype)
