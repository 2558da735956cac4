"""Recurrent layers that save their gates for a backward pass of their own.

Differentiating a loop makes a second one that does, at every step, all that the chain
rule says: for the weights too, whose gradients it sums up step by step. Here the
forward loop keeps what `step_gradients` needs; the loop backwards has one product, and
the weights' gradients are one product each for all steps. Time is the first axis
inside, so that a step is one piece of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from graphjit.ops.base import Array, Kernel, Op, Rule
from graphjit.ops.elementwise import Sigmoid, Tanh
from graphjit.ops.recurrent.slopes import has_slope
from graphjit.ops.recurrent.step_gradients import (
    GRUAfter,
    GRUBefore,
    LSTMSteps,
    SimpleSteps,
    Steps,
    Weights,
)
from graphjit.ops.recurrent.steps import Masked, States, project
from graphjit.types import TensorType

__all__ = ["GRU_SAVED_GATES", "LSTM_SAVED_GATES", "SIMPLE_SAVED_STATES"]


class _Way(NamedTuple):
    """How a sequence is run: its steps, and whether all its states are wanted."""

    steps: Steps
    sequences: bool


class _Operands(NamedTuple):
    """What a sequence is run on, time first.

    Shapes:
        z: (t, n, gates * u)   states: (n, u) each   mask: bool (t, n, 1)
    """

    z: Array
    weights: Weights
    states: States
    mask: Array | None


class _Residuals(NamedTuple):
    """What the forward pass keeps; `states` and `saved` of all steps."""

    operands: _Operands
    states: States
    saved: tuple[Array, ...]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _run(way: _Way, operands: _Operands) -> tuple[Array | None, States]:
    """The states h of all steps, where they are wanted, and the last states."""
    last, (outputs, _, _) = _scan(way, operands, save=False)
    return outputs, last


def _scan(
    way: _Way, operands: _Operands, *, save: bool
) -> tuple[States, tuple[Any, Any, Any]]:
    """The last states; and h, the other states and `saved` of all steps, or None."""
    step = way.steps.forward(operands.weights)

    def body(old: States, at: tuple[Array, Array | None]) -> tuple[States, Any]:
        z, valid = at
        new, saved = step(z, old)
        if valid is not None:
            pairs = zip(new, old, strict=True)
            new = tuple(jnp.where(valid, ours, before) for ours, before in pairs)
        shown = new[0] if save or way.sequences else None
        return new, (shown, *((new[1:], saved) if save else (None, None)))

    return jax.lax.scan(body, operands.states, (operands.z, operands.mask))


def _forward(
    way: _Way, operands: _Operands
) -> tuple[tuple[Array | None, States], _Residuals]:
    last, (first, others, saved) = _scan(way, operands, save=True)
    outputs = first if way.sequences else None
    return (outputs, last), _Residuals(operands, (first, *others), saved)


def _backward(
    way: _Way, residuals: _Residuals, slopes: tuple[Array | None, States]
) -> tuple[_Operands]:
    (_, weights, states, mask), after, saved = residuals
    # Two slices rather than one: there may be no step at all.
    before = tuple(
        jnp.concatenate([start[None], every])[:-1]
        for start, every in zip(states, after, strict=True)
    )
    factors = way.steps.factors(saved, before, after, weights)
    step = way.steps.back(weights)

    def body(
        at_new: States, at: tuple[Array | None, Array | None, Any]
    ) -> tuple[States, Any]:
        dy, valid, given = at
        if dy is not None:
            at_new = (at_new[0] + dy, *at_new[1:])
        if valid is None:
            return step(at_new, given)
        at_old, kept = step(tuple(jnp.where(valid, d, 0) for d in at_new), given)
        passed = [jnp.where(valid, 0, d) for d in at_new]
        return tuple(a + b for a, b in zip(at_old, passed, strict=True)), kept

    outputs, last = slopes
    over = (outputs, mask, factors)
    first, kept = jax.lax.scan(body, last, over, reverse=True)
    dz, dweights = way.steps.gradients(kept, saved, factors, before, weights)
    return (_Operands(dz, dweights, first, None),)


_run.defvjp(_forward, _backward)


def _lower(
    steps_of: Callable[[Any], Steps],
    op: Any,
    x: Array,
    kernel: Array,
    recurrent: Array,
    bias: Array | None = None,
    *rest: Array | None,
) -> tuple[Array, ...]:
    """A recurrent op over a sequence.

    Shapes:
        as `sequence_ops` has them: x: (n, t, c)  ->  (n, t, u) or (n, u), states (n, u)
    """
    dtype = x.dtype
    wide = jnp.dtype("float32") if dtype.itemsize < 4 else dtype
    x, kernel, recurrent = (array.astype(wide) for array in (x, kernel, recurrent))
    bias, *others = (_widened(array, wide) for array in (bias, *rest))
    count = len(op.states)
    padded = [*others, *[None] * (count + 3 - len(others))]
    mask, input_drop, drop = padded[count:]
    zeros = jnp.zeros((x.shape[0], recurrent.shape[0]), wide)
    states = tuple(zeros if state is None else state for state in padded[:count])
    # With time turned round here, outputs come in the order in which they are made.
    x = _time_first(x, op.backwards)
    valid = None if mask is None else _time_first(mask[..., None], op.backwards)
    z = _projected(x, kernel, input_drop, op.gates)
    input_bias, state_bias = op.split_bias(bias)
    weights = Weights(recurrent, input_bias, state_bias, drop)
    way = _Way(steps_of(op), op.return_sequences)
    found: Any = _run(way, _Operands(z, weights, states, valid))
    outputs, last = found
    y = _shown(outputs, last[0], valid, op.masked)
    if op.return_sequences:
        y = jnp.swapaxes(y, 0, 1)
    return tuple(result.astype(dtype) for result in (y, *last))


def _widened(array: Array | None, dtype: Any) -> Array | None:
    """A float array in another dtype; a mask as it is."""
    return array if array is None or array.dtype == bool else array.astype(dtype)


def _time_first(x: Array, backwards: bool) -> Array:
    x = jnp.swapaxes(x, 0, 1)
    return jnp.flip(x, 0) if backwards else x


def _projected(x: Array, kernel: Array, drop: Array | None, gates: int) -> Array:
    """x @ kernel at all steps, as one product.

    Shapes:
        x: (t, n, c)   drop: (n, 1 or gates, c)  ->  (t, n, gates * u)
    """
    if drop is not None and drop.shape[1] > 1:

        def of_step(at: Array) -> Array:
            return project(at, kernel, None, drop, gates)

        return jax.vmap(of_step)(x)
    if drop is not None:
        x = x * drop[:, 0]
    flat = jnp.matmul(jnp.reshape(x, (-1, x.shape[-1])), kernel)
    return jnp.reshape(flat, (*x.shape[:2], kernel.shape[1]))


def _shown(
    outputs: Array | None, last: Array, mask: Array | None, masked: Masked
) -> Array:
    """What steps show; a masked one has kept the state of the last step that is not.

    Shapes:
        outputs: (t, n, u)   last: (n, u)   mask: bool (t, n, 1)  ->  as given
    """
    if mask is None or masked == "state":
        return last if outputs is None else outputs
    # What came before is shown from the first valid step on.
    seen = mask if masked == "zeros" else jax.lax.associative_scan(jnp.logical_or, mask)
    if outputs is not None:
        return jnp.where(seen, outputs, 0)
    return jnp.where(seen[-1], last, 0) if seen.shape[0] else jnp.zeros_like(last)


# --- the kernels ------------------------------------------------------------------


def _lstm(op: Any) -> Steps:
    return LSTMSteps(op.activation, op.recurrent_activation)


def _gru(op: Any) -> Steps:
    steps = GRUAfter if op.reset_after else GRUBefore
    return steps(op.activation, op.recurrent_activation)


def _simple(op: Any) -> Steps:
    return SimpleSteps(op.activation)


def _can(op: Any, types: Sequence[TensorType | None]) -> bool:
    functions: Sequence[Op | None] = op.functions()
    return all(has_slope(function) for function in functions)


def _without_mask(op: Any, types: Sequence[TensorType | None], least: int) -> bool:
    """Whether no step is masked, and there are at least so many units."""
    place = 4 + len(op.states)
    masked = len(types) > place and types[place] is not None
    return not masked and _has_units(types, least)


def _has_units(types: Sequence[TensorType | None], least: int) -> bool:
    recurrent = types[2]
    units = None if recurrent is None else recurrent.shape[0]
    return isinstance(units, int) and units >= least


def _gates_in_one(op: Any, types: Sequence[TensorType | None]) -> bool:
    """Whether one loop makes all gates of an LSTM, and it is not tiny."""
    usual = op.activation == Tanh() and op.recurrent_activation == Sigmoid()
    return usual and _without_mask(op, types, 16)


def _reset_before(op: Any, types: Sequence[TensorType | None]) -> bool:
    return not op.reset_after and _without_mask(op, types, 16)


def _gru_trains(op: Any, types: Sequence[TensorType | None]) -> bool:
    return _has_units(types, 64 if op.reset_after else 16)


LSTM_SAVED_GATES = Kernel(
    name="saved_gates",
    can=_can,
    lower=partial(_lower, _lstm),
    rules=(
        Rule(
            "cpu",
            "forward + gradients, t 8-400, 4-256 units: 1.1-3.9x, median 1.7x; "
            "2 cores, b32 t100 128 units: 49 -> 24 ms",
            training=True,
        ),
        Rule(
            "cpu",
            "forward, tanh and sigmoid, no mask: b8-b64 1.3-2.5x, b1 1.1-1.3x; "
            "4 units 0.8x, with a mask or hard gates 1.1x",
            _gates_in_one,
            training=False,
        ),
    ),
)

GRU_SAVED_GATES = Kernel(
    name="saved_gates",
    can=_can,
    lower=partial(_lower, _gru),
    rules=(
        Rule(
            "cpu",
            "forward + gradients, b1-b32 t50-100, 128-256 units: reset after 1.2-1.9x, "
            "before 1.3-5.3x; 32 units 1.1-1.3x and 1.4x",
            _gru_trains,
            training=True,
        ),
        Rule(
            "cpu",
            "forward, reset before, b1-b32, 32-128 units: 1.5-2.2x; after: 1.1x",
            _reset_before,
            training=False,
        ),
    ),
)

SIMPLE_SAVED_STATES = Kernel(
    name="saved_states",
    can=_can,
    lower=partial(_lower, _simple),
    rules=(
        Rule(
            "cpu",
            "forward + gradients, b1-b32 t8-100, 4-128 units: 1.1-1.6x, median 1.4x; "
            "forward alone 1.0x",
            training=True,
        ),
    ),
)
