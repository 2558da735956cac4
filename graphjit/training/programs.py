"""The compiled steps of `fit`: one step per dispatch, or several where they are short.

A step of a small net takes 40 µs, handing it to JAX another 60. So several steps go
out as one loop on the device, over batches that are stacked on the host. The number of
turns is an operand: one program does any number of steps, one among them, and the
numbers are the same however steps are grouped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import jax
import numpy as np

from graphjit.cost import cost_of
from graphjit.ir import Graph
from graphjit.narrow import sequence_of
from graphjit.passes.pipeline import current_platform
from graphjit.training.state import Batch, TrainState
from graphjit.training.step import TrainStep

__all__ = ["Run", "StepProgram", "steps_per_dispatch"]

# A step's time is guessed from FLOPs and bytes (two cores), for the number of steps
# per dispatch must not depend on how busy the machine is: runs are to be repeatable.
_FLOPS_PER_S: Final = 50e9
_BYTES_PER_S: Final = 10e9
#: Dispatching costs nothing beside this.
_LONG_S: Final = 4e-3
_MOST_STEPS: Final = 32
_MOST_BYTES: Final = 1 << 20
#: XLA:CPU finds its fast convolutions outside of loops only: inside, a step of a small
#: convolutional net took 5.9 ms in the place of 0.85.
_SLOW_IN_LOOPS: Final = frozenset({"conv_general_dilated"})


def steps_per_dispatch(graph: Graph, batch: Batch) -> int:
    """How many steps of a training graph are to go out at once, by its size alone.

    Args:
        graph: The training graph.
        batch: One batch of the data.

    Returns:
        A power of two; 1 where steps are long, or off the CPU, where nothing was
        measured.
    """
    if current_platform() != "cpu":
        return 1
    cost = cost_of(graph, batch.inputs[0].shape[0])
    times = max(map(_unknown, graph.inputs, batch.inputs))
    # Forward and twice that backward; an optimizer reads and writes a few arrays for
    # every weight.
    moved = 3 * cost.activation_bytes * times + 8 * cost.weight_bytes
    step_s = 3 * cost.flops * times / _FLOPS_PER_S + moved / _BYTES_PER_S
    size = sum(array.nbytes for array in jax.tree.leaves(batch))
    most = min(_LONG_S / max(step_s, 1e-9), _MOST_BYTES / max(size, 1), _MOST_STEPS)
    return 1 << max(int(most).bit_length() - 1, 0)


def _unknown(entry: Any, array: Any) -> int:
    """How much larger an input is than `cost_of` takes it to be."""
    dims = zip(entry.type.shape[1:], array.shape[1:], strict=True)
    return int(np.prod([dim for known, dim in dims if not isinstance(known, int)]))


class Run:
    """A state on its way through an epoch: flat tuples, which cost least to hand over.

    Attributes:
        total: The sums so far.
    """

    __slots__ = ("fixed", "moving", "total")

    def __init__(self, moving: Any, fixed: Any, total: Any) -> None:
        self.moving = moving
        self.fixed = fixed
        self.total = total


class StepProgram:
    """A train step compiled; it gives away the state it is run on.

    Args:
        step: The step.

    Attributes:
        step: The step.
    """

    def __init__(self, step: TrainStep) -> None:
        self.step = step
        self._moving: Any = None
        self._fixed: Any = None
        self._can_loop: dict[Any, bool] = {}
        self._one: Any = jax.jit(self._stepped, donate_argnums=(0, 2))
        self._several: Any = jax.jit(self._looped, donate_argnums=(0, 2))

    def open(self, state: TrainState, total: Any) -> Run:
        """A run that begins at a state nobody else has."""
        moving = (state.params, state.state, state.opt_state, state.step)
        leaves, self._moving = jax.tree.flatten(moving)
        others, self._fixed = jax.tree.flatten((state.frozen, state.rng))
        return Run(tuple(leaves), tuple(others), total)

    def close(self, run: Run) -> TrainState:
        """The state that a run has come to."""
        return self._state(run.moving, run.fixed)

    def one(self, run: Run, batch: Batch) -> None:
        """One step."""
        run.moving, run.total = self._one(run.moving, run.fixed, run.total, batch)

    def several(self, run: Run, stack: Batch, count: int) -> None:
        """Steps for the first `count` batches of a stack."""
        turns = np.int32(count)
        run.moving, run.total = self._several(
            run.moving, run.fixed, run.total, stack, turns
        )

    def can_loop(self, run: Run, stack: Batch) -> bool:
        """Whether steps lose nothing in a loop. What is traced for it is kept."""
        shapes = tuple((a.shape, a.dtype.name) for a in jax.tree.leaves(stack))
        if shapes not in self._can_loop:
            self._can_loop[shapes] = self._asked(run, stack)
        return self._can_loop[shapes]

    def _asked(self, run: Run, stack: Batch) -> bool:
        given = (run.moving, run.fixed, run.total, stack, np.int32(1))
        try:
            traced = self._several.trace(*given)
        except TypeError:
            return False  # a user's optimizer whose state changes its types
        return _SLOW_IN_LOOPS.isdisjoint(_primitives(traced.jaxpr.jaxpr))

    # --- traced -------------------------------------------------------------------

    def _state(self, moving: Any, fixed: Any) -> TrainState:
        params, state, opt_state, step = jax.tree.unflatten(self._moving, moving)
        frozen, rng = jax.tree.unflatten(self._fixed, fixed)
        return TrainState(params, state, frozen, opt_state, step, rng)

    def _stepped(
        self, moving: Any, fixed: Any, total: Any, batch: Batch
    ) -> tuple[tuple[Any, ...], Any]:
        state, total = self.step.accumulating(self._state(moving, fixed), total, batch)
        new = (state.params, state.state, state.opt_state, state.step)
        return tuple(jax.tree.leaves(new)), total

    def _looped(
        self, moving: Any, fixed: Any, total: Any, stack: Batch, count: Any
    ) -> tuple[tuple[Any, ...], Any]:
        def turn(at: Any, carried: Any) -> Any:
            batch: Any = jax.tree.map(lambda array: array[at], stack)  # pyright: ignore[reportUnknownArgumentType, reportUnknownLambdaType]
            return self._stepped(carried[0], fixed, carried[1], batch)

        loop: Any = jax.lax.fori_loop  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        return loop(np.int32(0), count, turn, (moving, total))


def _primitives(jaxpr: Any) -> Iterator[str]:
    """The names of all primitives in a program, loops and calls included."""
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for value in equation.params.values():
            for item in sequence_of(value) or [value]:
                inner = getattr(item, "jaxpr", item)
                if hasattr(inner, "eqns"):
                    yield from _primitives(inner)
