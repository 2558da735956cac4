"""One step of each recurrent kind, and its gradient in terms of what it made.

The gradient of a step is a product of two kinds of numbers: slopes at the step's own
values, which are known for all steps before the loop backwards begins (`factors`), and
what comes from the steps behind it. So the loop carries little more than one product
with the recurrent kernel, and the weights' gradients are one product each after it.

Source of the formulas: the chain rule on those of `steps`, which see.

Shapes:
    z: (n, gates * u), a step's input times the kernel   states: (n, u) each
    a name in capitals, and what `factors` and `gradients` take: (t, n, …), all steps
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from graphjit.ops.base import Array, Op
from graphjit.ops.elementwise import Sigmoid, Tanh
from graphjit.ops.recurrent.kinds import function_of
from graphjit.ops.recurrent.slopes import slope_of
from graphjit.ops.recurrent.steps import States, project

__all__ = ["GRUAfter", "GRUBefore", "LSTMSteps", "SimpleSteps", "Steps", "Weights"]

Arrays: TypeAlias = tuple[Array, ...]


class Weights(NamedTuple):
    """What is the same at every step.

    Shapes:
        recurrent: (u, gates * u)   bias, state_bias: (gates * u,)
        drop: (n, 1 or gates, u)
    """

    recurrent: Array
    bias: Array | None
    state_bias: Array | None
    drop: Array | None


#: (z, states) -> new states, what `factors` needs of the step
Forward: TypeAlias = Callable[[Array, States], tuple[States, Arrays]]
#: (slopes of the new states, the step's factors) -> slopes of the old states, and what
#: `gradients` needs of the step
Back: TypeAlias = Callable[[States, Arrays], tuple[States, Arrays]]


@dataclass(frozen=True, slots=True)
class Steps:
    """A recurrent kind, with its activation functions.

    Attributes:
        activation: Of the candidate; None for the identity.
        gate: Of the gates.
    """

    activation: Op | None = None
    gate: Op | None = None

    def forward(self, weights: Weights) -> Forward:
        """One step."""
        raise NotImplementedError

    def factors(
        self, saved: Arrays, before: States, after: States, weights: Weights
    ) -> Arrays:
        """What `back` needs of all steps."""
        raise NotImplementedError

    def back(self, weights: Weights) -> Back:
        """One step backwards."""
        raise NotImplementedError

    def gradients(
        self,
        kept: Arrays,
        saved: Arrays,
        factors: Arrays,
        before: States,
        weights: Weights,
    ) -> tuple[Array, Weights]:
        """The gradients of Z and of the weights."""
        raise NotImplementedError


def _plus(x: Array, bias: Array | None) -> Array:
    return x if bias is None else x + bias


def _back_project(
    recurrent: Array, drop: Array | None, gates: int
) -> Callable[[Array], Array]:
    """The gradient of `project(h, recurrent, None, drop, gates)` to h."""
    if drop is None or drop.shape[1] == 1:
        turned = recurrent.T  # once, before the loop
        if drop is None:
            return lambda dz: jnp.matmul(dz, turned)
        shared = drop[:, 0]
        return lambda dz: jnp.matmul(dz, turned) * shared
    split = jnp.reshape(recurrent, (recurrent.shape[0], gates, -1))

    def back(dz: Array) -> Array:
        apart = jnp.reshape(dz, (dz.shape[0], gates, -1))
        return jnp.sum(jnp.einsum("ngv,ugv->ngu", apart, split) * drop, 1)

    return back


def _project_all(h: Array, recurrent: Array, drop: Array | None, gates: int) -> Array:
    """`project` for all steps, as one product where it can be."""
    if drop is None:
        flat = jnp.matmul(jnp.reshape(h, (-1, h.shape[-1])), recurrent)
        return jnp.reshape(flat, (*h.shape[:2], -1))

    def of_step(at: Array) -> Array:
        return project(at, recurrent, None, drop, gates)

    return jax.vmap(of_step)(h)


def _linear_gradients(
    weights: Weights, h: Array, dz: Array, dinner: Array, gates: int
) -> Weights:
    """The weights' gradients where z + bias and h U + state_bias are all there is."""

    def products(recurrent: Array, drop: Array | None) -> Array:
        return _project_all(h, recurrent, drop, gates)

    pull: Any = jax.vjp(products, weights.recurrent, weights.drop)[1]  # pyright: ignore[reportUnknownVariableType]
    recurrent, drop = pull(dinner)
    bias = None if weights.bias is None else jnp.sum(dz, (0, 1))
    state_bias = None if weights.state_bias is None else jnp.sum(dinner, (0, 1))
    return Weights(recurrent, bias, state_bias, drop)


@dataclass(frozen=True, slots=True)
class SimpleSteps(Steps):
    """h' = act(z + b + h U)."""

    def forward(self, weights: Weights) -> Forward:
        activate = function_of(self.activation)

        def step(z: Array, states: States) -> tuple[States, Arrays]:
            inner = project(states[0], weights.recurrent, None, weights.drop, 1)
            return (activate(_plus(z + inner, weights.bias)),), ()

        return step

    def factors(
        self, saved: Arrays, before: States, after: States, weights: Weights
    ) -> Arrays:
        slope = slope_of(self.activation)(after[0])
        return (jnp.broadcast_to(slope, after[0].shape).astype(after[0].dtype),)

    def back(self, weights: Weights) -> Back:
        back_project = _back_project(weights.recurrent, weights.drop, 1)

        def step(slopes: States, factors: Arrays) -> tuple[States, Arrays]:
            dz = slopes[0] * factors[0]
            return (back_project(dz),), (dz,)

        return step

    def gradients(
        self,
        kept: Arrays,
        saved: Arrays,
        factors: Arrays,
        before: States,
        weights: Weights,
    ) -> tuple[Array, Weights]:
        (dz,) = kept
        return dz, _linear_gradients(weights, before[0], dz, dz, 1)


@dataclass(frozen=True, slots=True)
class LSTMSteps(Steps):
    """The gates i, f, g, o of z + b + h U; c' = f c + i g; h' = o act(c')."""

    def forward(self, weights: Weights) -> Forward:
        activate = function_of(self.activation)

        def step(z: Array, states: States) -> tuple[States, Arrays]:
            h, c = states
            inner = project(h, weights.recurrent, None, weights.drop, 4)
            gates = self._gates(_plus(z + inner, weights.bias))
            i, f, g, o = jnp.split(gates, 4, axis=-1)
            c = f * c + i * g
            return (o * activate(c), c), (gates,)

        return step

    def _gates(self, z: Array) -> Array:
        """The activated gates side by side.

        With sigmoid(x) = (tanh(x / 2) + 1) / 2 one loop without branches makes all
        four; XLA:CPU takes half as long for the whole step so.
        """
        if self.activation == Tanh() and self.gate == Sigmoid():
            units = z.shape[-1] // 4
            scale = np.repeat(np.asarray([0.5, 0.5, 1, 0.5], z.dtype), units)
            shift = np.repeat(np.asarray([0.5, 0.5, 0, 0.5], z.dtype), units)
            return jnp.tanh(z * scale) * scale + shift
        gate, activate = function_of(self.gate), function_of(self.activation)
        i, f, g, o = jnp.split(z, 4, axis=-1)
        return jnp.concatenate([gate(i), gate(f), activate(g), gate(o)], -1)

    def factors(
        self, saved: Arrays, before: States, after: States, weights: Weights
    ) -> Arrays:
        i, f, g, o = jnp.split(saved[0], 4, axis=-1)
        shown = function_of(self.activation)(after[1])
        gate, activate = slope_of(self.gate), slope_of(self.activation)
        own = [g * gate(i), before[1] * gate(f), i * activate(g), shown * gate(o)]
        return o * activate(shown), f, jnp.concatenate(own, -1)

    def back(self, weights: Weights) -> Back:
        back_project = _back_project(weights.recurrent, weights.drop, 4)

        def step(slopes: States, factors: Arrays) -> tuple[States, Arrays]:
            dh, dc = slopes
            to_c, f, own = factors
            dc = dc + dh * to_c
            dz = jnp.concatenate([dc, dc, dc, dh], -1) * own
            return (back_project(dz), dc * f), (dz,)

        return step

    def gradients(
        self,
        kept: Arrays,
        saved: Arrays,
        factors: Arrays,
        before: States,
        weights: Weights,
    ) -> tuple[Array, Weights]:
        (dz,) = kept
        return dz, _linear_gradients(weights, before[0], dz, dz, 4)


@dataclass(frozen=True, slots=True)
class _GRUSteps(Steps):
    """h' = z h + (1 - z) g, from the gates z, r and the candidate g."""

    def _gates(self, x: Array) -> Array:
        """The activated gates z and r side by side; see `LSTMSteps`."""
        if self.gate == Sigmoid():
            return jnp.tanh(x * 0.5) * 0.5 + 0.5
        return function_of(self.gate)(x)


@dataclass(frozen=True, slots=True)
class GRUAfter(_GRUSteps):
    """g = act(x_g + r (h U_g + state_bias)): the reset gate after the product."""

    def forward(self, weights: Weights) -> Forward:
        activate = function_of(self.activation)
        units = weights.recurrent.shape[0]

        def step(x: Array, states: States) -> tuple[States, Arrays]:
            (h,) = states
            recurrent, drop = weights.recurrent, weights.drop
            inner = project(h, recurrent, weights.state_bias, drop, 3)
            x = _plus(x, weights.bias)
            gates = self._gates((x + inner)[:, : 2 * units])
            z, r = jnp.split(gates, 2, axis=-1)
            inner_g = inner[:, 2 * units :]
            g = activate(x[:, 2 * units :] + r * inner_g)
            return (z * h + (1 - z) * g,), (gates, inner_g, g)

        return step

    def factors(
        self, saved: Arrays, before: States, after: States, weights: Weights
    ) -> Arrays:
        gates, inner_g, g = saved
        z, r = jnp.split(gates, 2, axis=-1)
        gate = slope_of(self.gate)
        to_g = (1 - z) * slope_of(self.activation)(g)
        own = [(before[0] - g) * gate(z), to_g * inner_g * gate(r), to_g * r]
        return z, to_g, jnp.concatenate(own, -1)

    def back(self, weights: Weights) -> Back:
        back_project = _back_project(weights.recurrent, weights.drop, 3)

        def step(slopes: States, factors: Arrays) -> tuple[States, Arrays]:
            (dh,) = slopes
            z, _, own = factors
            dinner = jnp.concatenate([dh, dh, dh], -1) * own
            return (back_project(dinner) + dh * z,), (dinner, dh)

        return step

    def gradients(
        self,
        kept: Arrays,
        saved: Arrays,
        factors: Arrays,
        before: States,
        weights: Weights,
    ) -> tuple[Array, Weights]:
        dinner, dh = kept
        units = dh.shape[-1]
        dx = jnp.concatenate([dinner[..., : 2 * units], dh * factors[1]], -1)
        return dx, _linear_gradients(weights, before[0], dx, dinner, 3)


@dataclass(frozen=True, slots=True)
class GRUBefore(_GRUSteps):
    """g = act(x_g + (r h) U_g): the reset gate before the product."""

    def forward(self, weights: Weights) -> Forward:
        activate = function_of(self.activation)
        units = weights.recurrent.shape[0]
        to_gates = weights.recurrent[:, : 2 * units]
        to_g = weights.recurrent[:, 2 * units :]
        drop_gates, drop_h = _drops(weights.drop)

        def step(x: Array, states: States) -> tuple[States, Arrays]:
            (h,) = states
            x = _plus(x, weights.bias)
            inner = project(h, to_gates, None, drop_gates, 2)
            gates = self._gates(x[:, : 2 * units] + inner)
            z, r = jnp.split(gates, 2, axis=-1)
            kept = h if drop_h is None else h * drop_h
            g = activate(x[:, 2 * units :] + jnp.matmul(r * kept, to_g))
            return (z * h + (1 - z) * g,), (gates, g)

        return step

    def factors(
        self, saved: Arrays, before: States, after: States, weights: Weights
    ) -> Arrays:
        gates, g = saved
        z, r = jnp.split(gates, 2, axis=-1)
        gate = slope_of(self.gate)
        _, drop_h = _drops(weights.drop)
        to_g = (1 - z) * slope_of(self.activation)(g)
        to_r, to_h = before[0] * gate(r), r
        if drop_h is not None:
            to_r, to_h = to_r * drop_h, to_h * drop_h
        return z, to_g, (before[0] - g) * gate(z), to_r, to_h

    def back(self, weights: Weights) -> Back:
        units = weights.recurrent.shape[0]
        drop_gates, _ = _drops(weights.drop)
        to_gates = weights.recurrent[:, : 2 * units]
        back_gates = _back_project(to_gates, drop_gates, 2)
        back_g = _back_project(weights.recurrent[:, 2 * units :], None, 1)

        def step(slopes: States, factors: Arrays) -> tuple[States, Arrays]:
            (dh,) = slopes
            z, to_g, to_z, to_r, to_h = factors
            dg = dh * to_g
            dreset = back_g(dg)  # of r * h
            dgates = jnp.concatenate([dh * to_z, dreset * to_r], -1)
            dx = jnp.concatenate([dgates, dg], -1)
            return (back_gates(dgates) + dreset * to_h + dh * z,), (dx,)

        return step

    def gradients(
        self,
        kept: Arrays,
        saved: Arrays,
        factors: Arrays,
        before: States,
        weights: Weights,
    ) -> tuple[Array, Weights]:
        (dx,) = kept
        (h,) = before
        r = jnp.split(saved[0], 2, axis=-1)[1]
        units = h.shape[-1]

        def products(recurrent: Array, drop: Array | None) -> Array:
            drop_gates, drop_h = _drops(drop)
            gates = _project_all(h, recurrent[:, : 2 * units], drop_gates, 2)
            held = h if drop_h is None else h * drop_h
            g = _project_all(r * held, recurrent[:, 2 * units :], None, 1)
            return jnp.concatenate([gates, g], -1)

        pull: Any = jax.vjp(products, weights.recurrent, weights.drop)[1]  # pyright: ignore[reportUnknownVariableType]
        recurrent, drop = pull(dx)
        bias = None if weights.bias is None else jnp.sum(dx, (0, 1))
        return dx, Weights(recurrent, bias, None, drop)


def _drops(drop: Array | None) -> tuple[Array | None, Array | None]:
    """What the gates' product drops, and what the candidate's does (`gru_step`)."""
    if drop is None:
        return None, None
    return (drop[:, :2] if drop.shape[1] > 1 else drop), drop[:, -1]
