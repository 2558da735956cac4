"""A graph compiled for a platform, with its weights bound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace as replaced
from typing import Any, Final

import jax
import numpy as np
from jax.core import Tracer

from graphjit.buckets import (
    Call,
    batch_sizes,
    calls_of,
    filled,
    gathered,
    on_device,
    tied_rows,
)
from graphjit.cost import Cost, cost_of
from graphjit.data import bind_inputs, free_batch, rows_per_call
from graphjit.errors import DataError
from graphjit.host_arithmetic import HostOrCompiled
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
from graphjit.passes.base import PassLog
from graphjit.passes.prologue import split_prologue
from graphjit.program_options import Program, chosen_option
from graphjit.ready_inputs import ready_inputs
from graphjit.report import report
from graphjit.tuning import Tuning
from graphjit.variables import device_copy, flatten, leaf, nest
from graphjit.warming import known_shape, row_shapes, warm_inputs

__all__ = ["Executable"]

_NUMPY: Final[Any] = np.ndarray


class Executable:
    """One jitted function over a flat tuple of packed weights; no Python per node.

    Made by `graphjit.jit`. The prologue (folded, reshaped, packed weights) runs once
    per set of weights, at `rebind`. Batches of every size run through few programs
    where no row of the results depends on another (see `graphjit.buckets`).

    Attributes:
        graph: The main graph, without its prologue.
        prologue: The graph that packs the weights.
        log: What each pass did and refused.
        target: The platform it was compiled for.
        ids: Which inputs hold ids, and in which range.
        tuning: The measured kernels it uses; None where the rules alone chose.
        option: The compiler options it is compiled with; None: as XLA does by itself.
        sizes: The batch sizes it compiles for; None: every size it is given.
        draws: Whether its calls draw random numbers, and need a key.
    """

    def __init__(
        self,
        source: Graph,
        optimized: Graph,
        log: PassLog,
        target: str,
        tuning: Tuning | None = None,
        buckets: bool | Sequence[int] = True,
    ) -> None:
        self.prologue, self.graph = split_prologue(optimized)
        self.log = log
        self.target = target
        self.tuning = tuning
        self._source = source
        updated = {update.param for update in self.graph.updates}
        packed = {output.name for output in self.prologue.outputs}
        self._state = [p for p in self.graph.params if p.name in updated]
        order = [update.param for update in self.graph.updates]
        self._updates = [order.index(p.name) for p in self._state]
        self._direct = [p for p in self.graph.params if p.name not in updated | packed]
        self._weights: tuple[jax.Array, ...] | None = None
        self.draws = uses_rng(self.graph)
        self.ids = id_ranges(source)
        self._pack = HostOrCompiled(self._run_prologue, target)
        self.option, self._why = chosen_option(self.graph, target, tuning)
        flat = _positional(self.graph, updated, packed)
        self._main: Callable[..., tuple[jax.Array, ...]] = (
            jax.jit(flat) if self.option is None else Program(flat, self.option)
        )
        self.sizes = batch_sizes(self.graph, buckets)
        self._ready = ready_inputs(self.graph.inputs, self.ids)
        self._free_inputs = [
            replaced(entry, type=free_batch(entry.type)) for entry in self.graph.inputs
        ]
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
        ready, numpy = self._ready, _NUMPY
        if ready is None or self.graph.updates or self.draws:
            return self._checked_call
        main, checked, count = self._main, self._checked_call, len(self.graph.outputs)
        own = None if self.sizes is None else self.sizes.own
        wide, alone = is_wide(self.graph), len(self.graph.inputs) == 1
        # A call of a small net takes 20 us, and what is below 3 of them: so shapes of
        # device arrays that once went through all of it are known from then on.
        known: set[Any] = set()
        dtype: Any = None
        device: Any = None

        def call(x: Any) -> Any:
            nonlocal device, dtype
            if type(x) is device and x.shape in known and x.dtype == dtype:
                results = main(self._weights, (), (x,), None)
                return results[0] if count == 1 else list(results[:count])
            weights, arrays = self._weights, ready(x)
            if arrays is None or weights is None:
                return checked(x)
            if own is not None and arrays[0].shape[0] not in own:
                with x64_scope(self.graph):
                    return one_or_list(self._outputs(arrays))
            # As `_unshared` does.
            copies = tuple([a.copy() if isinstance(a, numpy) else a for a in arrays])
            if wide:
                with jax.enable_x64(True):
                    results = main(weights, (), copies, None)
            else:
                results = main(weights, (), copies, None)
                if alone and not self.ids and not isinstance(x, (numpy, Tracer)):
                    device, dtype = x.__class__, x.dtype
                    known.add(x.shape)
            return results[0] if count == 1 else list(results[:count])

        return call

    def _checked_call(self, x: Any) -> Any:
        if self.graph.updates:
            names = ", ".join(update.param for update in self.graph.updates)
            raise DataError(
                f"graph {self.graph.name!r} has state that changes ({names})",
                hint="use exe.step(state, x), which returns the new state",
            )
        if self.sizes is None:
            return one_or_list(self._run({}, x, None).outputs)
        self._bound()
        with x64_scope(self.graph):
            arrays = bind_inputs(self.graph.inputs, x, self.ids)
            return one_or_list(self._outputs(arrays))

    def _outputs(self, arrays: Sequence[Any]) -> list[jax.Array]:
        """The outputs, for a batch of any size."""
        rows, count = arrays[0].shape[0], len(self.graph.outputs)
        traced = any(isinstance(array, Tracer) for array in arrays)
        calls = calls_of(None if traced else self.sizes, rows, max(rows, 1))
        if calls == [Call(0, rows, rows)]:
            inputs = tuple(map(_unshared, arrays))
            return list(self._main(self._weights, (), inputs, None)[:count])
        on_host = [np.asarray(array) for array in arrays]
        # Views need no copies here: all is read before this returns.
        results = [
            self._main(self._weights, (), _rows_of(on_host, call), None)[:count]
            for call in calls
        ]
        hosts = gathered(results, [call.rows for call in calls])
        return [on_device(h, r) for h, r in zip(hosts, results[0], strict=True)]

    def in_batches(
        self,
        x: Any,
        batch_size: int | None = None,
        held: Sequence[Any] = (),
        key: Any = None,
    ) -> tuple[list[np.ndarray[Any, Any]], Sequence[Any]]:
        """The outputs for all of `x` as NumPy arrays, and the state after.

        Args:
            x: As for `__call__`, with any number of rows.
            batch_size: Rows per call; None for 32, or the model's fixed batch.
            held: The state that calls update, in the order of `state_names`.
            key: A JAX key, where the graph draws random numbers: every call has its
                own, folded from it.

        Raises:
            DataError: The data does not fit.
        """
        if key is None:
            self._no_key()
        weights, main, held = self._bound(), self._main, tuple(held)
        outputs = len(self.graph.outputs)
        with x64_scope(self.graph):
            arrays = bind_inputs(self._free_inputs, x, self.ids)
            if self.target == "cpu":  # the same memory, and slices cost no dispatch
                arrays = [np.asarray(array) for array in arrays]
            rows = arrays[0].shape[0]
            size = rows_per_call(self.graph.inputs, batch_size, rows)
            calls = calls_of(self.sizes, rows, size)
            parts: list[Sequence[Any]] = []
            for number, call in enumerate(calls):
                drawn = None if key is None else jax.random.fold_in(key, number)
                # No copies: the caller waits until all is read.
                results = main(weights, held, _rows_of(arrays, call), drawn)
                parts.append(results[:outputs])
                held = self.state_after(results[outputs:])
            joined = gathered(parts, [call.rows for call in calls])
            # One part alone is the result itself, which nobody may write to.
            return [h if h.flags.writeable else h.copy() for h in joined], held

    @property
    def state_names(self) -> list[str]:
        """The params that calls update, in order."""
        return [param.name for param in self._state]

    def state_after(self, updates: Sequence[Any]) -> tuple[Any, ...]:
        """The new state in the order of `state_names`, from updates in the graph's."""
        return tuple([updates[at] for at in self._updates])

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
        self._bound()
        with x64_scope(self.graph):
            inputs = tuple(map(_unshared, bind_inputs(self.graph.inputs, x, self.ids)))
            held = tuple(_unshared(leaf(state, p.name, "state")) for p in self._state)
            if rng is None:
                self._no_key()
            key = rng_key(rng) if self.draws else None
            return self.run(held, inputs, key)

    def run(self, held: Sequence[Any], inputs: Sequence[Any], key: Any = None) -> Flat:
        """Everything the graph gives, for arrays that fit and that nobody changes.

        Args:
            held: The state that is updated, in the order of `state_names`.
            inputs: Arrays in input order.
            key: A JAX key, where the graph draws random numbers.
        """
        results = self._main(self._bound(), tuple(held), tuple(inputs), key)
        return _unpacked(self.graph, results)

    def _bound(self) -> tuple[jax.Array, ...]:
        if self._weights is None:
            raise DataError(
                f"no weights are bound to graph {self.graph.name!r}",
                hint="call exe.rebind(variables) first",
            )
        return self._weights

    def _no_key(self) -> None:
        if self.draws:
            raise DataError(
                "the graph draws random numbers: rng is needed",
                hint="use exe.step(state, x, rng=0); state is {} where none changes",
            )

    def warm(
        self, batch_sizes: int | Iterable[int] = 1, shapes: Any = None
    ) -> Executable:
        """Compile for these batch sizes now, so that no call has to wait for it.

        Every size given has a program of its own from then on.

        Args:
            batch_sizes: The sizes.
            shapes: Where inputs have dims that are not known: the shape of a row, a
                tuple; for several inputs a list in input order or a dict by name.

        Returns:
            This executable.

        Raises:
            DataError: A size is no count or does not fit, or a dim is not known.
        """
        given = [batch_sizes] if isinstance(batch_sizes, int) else list(batch_sizes)
        weights, inputs = self._bound(), self.graph.inputs
        held = tuple(map(known_shape, self._state))
        rows = row_shapes(inputs, shapes)
        with x64_scope(self.graph):
            key = jax.random.key(0) if self.draws else None
            for size in given:
                batch = warm_inputs(inputs, rows, size)
                program: Any = self._main
                program.lower(weights, held, batch, key).compile()
                if self.sizes is not None:
                    self.sizes.own.add(size)
        return self

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

    def explain(self, batch_size: int = 1) -> str:
        """What passes did and refused and why, the kernels, the cost.

        Args:
            batch_size: The batch that the cost is counted for.
        """
        return report(
            self._source,
            self.graph,
            self.log,
            f"graph {self._source.name!r} for {self.target}",
            batch_size,
            prologue=self.prologue,
            programs=self._explain_programs(),
            tuning=self.tuning,
        )

    def _explain_programs(self) -> list[str]:
        lines: list[str] = []
        if self.sizes is None:
            why = tied_rows(self.graph) or "as asked for"
            lines += [f"batch sizes: a program for each ({why})"]
        else:
            few = ", ".join(str(size) for size in self.sizes.sizes if size <= 1024)
            others = "others are cut or filled up"
            lines += [f"batch sizes: programs for {few}, …; {others}"]
        if self.option is not None:
            lines += [f"compiled with {self.option.name} ({self._why})"]
        return lines


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


def _rows_of(arrays: Iterable[Any], call: Call) -> tuple[Any, ...]:
    """The rows of a call: views where it takes no more than there are."""
    start, count, size = call
    if size == count:
        return tuple([array[start : start + count] for array in arrays])
    return tuple([filled(array, start, size) for array in arrays])


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
