"""Steps with merges of several tensors."""

from __future__ import annotations

import graphjit.layers as L  # noqa: N812
from graphjit.capture.tensor import Tensor
from tests.steps.maker import MOST_ELEMENTS, Maker, Steps, elements, rank_of

__all__ = ["STEPS"]


def _partner(m: Maker, x: Tensor) -> Tensor:
    """A tensor of x's shape: another one, or one made of it."""
    alike = [t for t in m.pool if t.shape == x.shape and t is not x]
    if alike and m.chance(70):
        return m.one_of(*alike)
    return m.call(m.make(L.Activation, m.one_of("tanh", "softsign", "relu")), x)


def elementwise(m: Maker, x: Tensor) -> Tensor | None:
    tensors = m.shuffled([x, _partner(m, x)])
    layer = m.make(m.one_of(L.Average, L.Maximum, L.Minimum, L.Subtract))
    return m.call(layer, *tensors)


def broadcast(m: Maker, x: Tensor) -> Tensor | None:
    """With one of a lower rank, which gets axes of 1 behind the batch."""
    fits = [t for t in m.pool if rank_of(t) == 2 and t.shape[-1] == x.shape[-1]]
    if not fits:
        return None
    layer = m.make(m.one_of(L.Add, L.Average, L.Maximum, L.Minimum))
    return m.call(layer, *m.shuffled([x, m.one_of(*fits)]))


def dot(m: Maker, x: Tensor) -> Tensor | None:
    """Of numbers from 0 to 1, so that they do not grow without end."""
    axis = m.number(1, rank_of(x) - 1)
    small = m.call(m.make(L.Activation, "sigmoid"), x)
    fits = [
        (t, at)
        for t in m.pool
        for at in range(1, rank_of(t))
        if t.shape[at] == x.shape[axis]
        and elements(t) * elements(x) < MOST_ELEMENTS * int(x.shape[axis] or 1) ** 2
        and rank_of(t) + rank_of(x) <= 7
    ]
    if not fits:
        return None
    other, at = m.one_of(*fits)
    if other is not small:
        other = m.call(m.make(L.Activation, "sigmoid"), other)
    signed = (axis - rank_of(x) if m.chance(50) else axis, at)
    layer = m.make(L.Dot, axis if axis == at else signed, m.chance(30))
    return m.call(layer, small, other, keep=False)


MANY, ANY = (3, 4), (2, 3, 4)
STEPS: Steps = {elementwise: (3, ANY), broadcast: (1, MANY), dot: (1, ANY)}
