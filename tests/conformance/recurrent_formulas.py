"""Recurrent kinds as plain NumPy: one step after the other, gate by gate."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphjit.ops import elementwise as ew

Array = np.ndarray[Any, Any]

FUNCTIONS: dict[type[Any], Any] = {
    ew.Tanh: np.tanh,
    ew.Sigmoid: lambda x: 1 / (1 + np.exp(-x)),
    ew.HardSigmoid: lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    ew.Softsign: lambda x: x / (1 + np.abs(x)),
    type(None): lambda x: x,
}


def function(op: Any) -> Any:
    return FUNCTIONS[type(op)]


def gate_of(array: Array, gate: int, gates: int) -> Array:
    units = array.shape[-1] // gates
    return array[..., gate * units : (gate + 1) * units]


def product(x: Array, kernel: Array, drop: Array | None, gate: int, gates: int) -> Any:
    """x @ the gate's block of the kernel, x dropped for that gate."""
    if drop is not None:
        x = x * drop[:, gate if drop.shape[1] > 1 else 0]
    return x @ gate_of(kernel, gate, gates)


def one_step(op: Any, x: Array, weights: list[Any], states: list[Array], drops: Any):
    """New states from a step's input: the formulas of the documents."""
    kernel, recurrent, bias = weights
    input_drop, state_drop = drops
    act, g = function(op.activation), op.gates
    h = states[0]

    def of_x(gate: int) -> Any:
        z = product(x, kernel, input_drop, gate, g)
        if bias is None:
            return z
        return z + gate_of(bias if bias.ndim == 1 else bias[0], gate, g)

    def of_h(gate: int, reset: Any = 1.0) -> Any:
        z = product(h * reset, recurrent, state_drop, gate, g)
        if bias is not None and bias.ndim == 2:
            z = z + gate_of(bias[1], gate, g)
        return z

    if g == 1:
        return [act(of_x(0) + of_h(0))]
    inner = function(op.recurrent_activation)
    if g == 3:
        z, r = inner(of_x(0) + of_h(0)), inner(of_x(1) + of_h(1))
        again = r * of_h(2) if op.reset_after else of_h(2, r)
        return [z * h + (1 - z) * act(of_x(2) + again)]
    i, f, o = (inner(of_x(gate) + of_h(gate)) for gate in (0, 1, 3))
    c = f * states[1] + i * act(of_x(2) + of_h(2))
    return [o * act(c), c]


def split(op: Any, rest: tuple[Any, ...], behind: int) -> Any:
    count = len(op.states)
    padded = [*rest, *[None] * (count + behind - len(rest))]
    return padded[:count], padded[count:]


def cell(op: Any, x: Any, kernel: Any, recurrent: Any, bias: Any = None, *rest: Any):
    states, drops = split(op, rest, 2)
    return tuple(one_step(op, x, [kernel, recurrent, bias], states, drops))


def sequence(
    op: Any, x: Any, kernel: Any, recurrent: Any, bias: Any = None, *rest: Any
):
    states, (mask, *drops) = split(op, rest, 3)
    batch, length, _ = x.shape
    units = recurrent.shape[0]
    held = [np.zeros((batch, units)) if s is None else s for s in states]
    shown = held[0] if op.masked == "state" else np.zeros((batch, units))
    outputs = []
    for t in reversed(range(length)) if op.backwards else range(length):
        new = one_step(op, x[:, t], [kernel, recurrent, bias], held, drops)
        if mask is None:
            held, shown = new, new[0]
        else:
            valid = mask[:, t, None]
            other = np.zeros_like(shown) if op.masked == "zeros" else shown
            shown = np.where(valid, new[0], other)
            held = [np.where(valid, a, b) for a, b in zip(new, held, strict=True)]
        outputs.append(shown)
    y = np.stack(outputs, 1) if op.return_sequences else outputs[-1]
    return (y, *held)


def gates(op: Any, z: Array, c: Array) -> Any:
    act, inner = function(op.activation), function(op.recurrent_activation)
    i, f, g, o = (gate_of(z, gate, 4) for gate in range(4))
    c = inner(f) * c + inner(i) * act(g)
    return inner(o) * act(c), c
