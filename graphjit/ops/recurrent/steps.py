"""The maths of one step of each recurrent kind, and of a run over time.

Sources: Hochreiter and Schmidhuber (1997) with forget gates (Gers et al., 1999); Cho et
al. (2014, arXiv:1406.1078), and for the GRU with the reset gate after the product the
first version of that paper (arXiv:1406.1078v1), which cuDNN follows. Weights lie as
Keras 2 has them: gates side by side, i f c o for LSTM, z r h for GRU.

Dropout follows Gal and Ghahramani (arXiv:1512.05287): one mask for a whole sequence,
the same at every step. A mask has an axis for the gates: of size 1 where all gates
share it, else one entry for each gate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp

from graphjit.ops.base import Array
from graphjit.ops.bias import with_bias

__all__ = [
    "Activate",
    "Masked",
    "States",
    "Step",
    "gru_step",
    "lstm_gates",
    "lstm_step",
    "project",
    "run_steps",
    "simple_rnn_step",
]

States: TypeAlias = tuple[Array, ...]
#: An activation function.
Activate: TypeAlias = Callable[[Array], Array]
#: (projected input of this step, states) -> new states; the first one is the output.
Step: TypeAlias = Callable[[Array, States], States]
#: What a masked step shows: the state as it is kept; the output before it, beginning
#: with zeros; zeros.
Masked: TypeAlias = Literal["state", "previous", "zeros"]


def project(
    x: Array, kernel: Array, bias: Array | None, drop: Array | None, gates: int
) -> Array:
    """x @ kernel + bias for every gate, with x dropped for each gate as `drop` says.

    Shapes:
        x: (n, …, c)   kernel: (c, gates * u)   bias: (gates * u,)
        drop: (n, 1, c) or (n, gates, c)  ->  (n, …, gates * u)
    """
    if drop is None:
        y = jnp.matmul(x, kernel)
    else:
        n, count, channels = drop.shape
        between = (1,) * (x.ndim - 2)
        if count == 1:
            y = jnp.matmul(x * jnp.reshape(drop, (n, *between, channels)), kernel)
        else:
            spread = x[..., None, :] * jnp.reshape(drop, (n, *between, gates, channels))
            split = jnp.reshape(kernel, (channels, gates, -1))
            y = jnp.einsum("...gc,cgu->...gu", spread, split)
            y = jnp.reshape(y, (*x.shape[:-1], kernel.shape[1]))
    return with_bias(y, bias)


def simple_rnn_step(
    activate: Activate, recurrent: Array, bias: Array | None, drop: Array | None
) -> Step:
    """h = activate(z + h U), z with the bias in it."""
    del bias

    def step(z: Array, states: States) -> States:
        (h,) = states
        return (activate(z + project(h, recurrent, None, drop, 1)),)

    return step


def gru_step(
    activate: Activate,
    gate: Activate,
    recurrent: Array,
    bias: Array | None,
    drop: Array | None,
    reset_after: bool,
) -> Step:
    """h = z h + (1 - z) activate(...), with the reset gate before or after U.

    Before: activate(x + (r h) U). After: activate(x + r (h U + b)), `bias` being b.
    """
    units = recurrent.shape[0]
    wide = drop is not None and drop.shape[1] > 1
    drop_gates = drop[:, :2] if drop is not None and wide else drop
    drop_h = None if drop is None else drop[:, -1]

    def step(x: Array, states: States) -> States:
        (h,) = states
        x_z, x_r, x_h = jnp.split(x, 3, axis=-1)
        if reset_after:
            inner = project(h, recurrent, bias, drop, 3)
        else:
            inner = project(h, recurrent[:, : 2 * units], None, drop_gates, 2)
        z = gate(x_z + inner[..., :units])
        r = gate(x_r + inner[..., units : 2 * units])
        if reset_after:
            candidate = r * inner[..., 2 * units :]
        else:
            kept = h if drop_h is None else h * drop_h
            candidate = jnp.matmul(r * kept, recurrent[:, 2 * units :])
        return (z * h + (1 - z) * activate(x_h + candidate),)

    return step


def lstm_step(
    activate: Activate,
    gate: Activate,
    recurrent: Array,
    bias: Array | None,
    drop: Array | None,
) -> Step:
    """The gates of `lstm_gates` on z + h U, z with the bias in it."""
    del bias

    def step(z: Array, states: States) -> States:
        h, c = states
        total = z + project(h, recurrent, None, drop, 4)
        return lstm_gates(activate, gate, total, c)

    return step


def lstm_gates(activate: Activate, gate: Activate, z: Array, c: Array) -> States:
    """c = f c + i activate(g), h = o activate(c), from z = (i, f, g, o).

    Shapes:
        z: (n, …, 4 * u)   c: (n, …, u)  ->  h, c: (n, …, u)
    """
    i, f, g, o = jnp.split(z, 4, axis=-1)
    c = gate(f) * c + gate(i) * activate(g)
    return gate(o) * activate(c), c


def run_steps(
    step: Step,
    z: Array,
    states: States,
    mask: Array | None,
    *,
    masked: Masked,
    return_sequences: bool,
    backwards: bool,
    unroll: bool,
) -> tuple[Array, States]:
    """Run `step` over time.

    A masked step keeps every state. With `backwards` time runs from its end, and the
    outputs stand in the order in which they were made.

    Shapes:
        z: (n, t, …)   states: (n, u)   mask: bool (n, t)
        ->  outputs: (n, t, u), or the last one (n, u);  states: (n, u)
    """
    shows_state = mask is None or masked == "state"
    carried = () if shows_state else (jnp.zeros_like(states[0]),)

    def body(
        held: tuple[States, States], at: Sequence[Array]
    ) -> tuple[tuple[States, States], Array | None]:
        old, shown = held
        new = step(at[0], old)
        if len(at) > 1:
            valid = at[1][:, None]
            fresh = new[0]
            pairs = zip(new, old, strict=True)
            new = tuple(jnp.where(valid, ours, before) for ours, before in pairs)
            if shown:
                other = shown[0] if masked == "previous" else jnp.zeros_like(fresh)
                shown = (jnp.where(valid, fresh, other),)
        y = shown[0] if shown else new[0]
        return (new, shown), y if return_sequences else None

    over = (z,) if mask is None else (z, mask)
    (last, shown), outputs = jax.lax.scan(
        body,
        (states, carried),
        tuple(jnp.swapaxes(x, 0, 1) for x in over),
        reverse=backwards,
        unroll=unroll,
    )
    if outputs is None:
        return (shown[0] if shown else last[0]), last
    if backwards:
        outputs = jnp.flip(outputs, 0)
    return jnp.swapaxes(outputs, 0, 1), last
