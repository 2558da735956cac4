"""Steps with layers that Keras 1 had and later ones dropped."""

from __future__ import annotations

import graphjit.layers as L  # noqa: N812
from graphjit.capture.tensor import Tensor
from tests.steps.maker import Maker, Steps

__all__ = ["STEPS"]


def highway(m: Maker, x: Tensor) -> Tensor | None:
    layer = m.make(
        L.Highway,
        m.one_of("tanh", "relu", "linear"),
        m.chance(80),
        **m.weights("kernel", "bias"),
    )
    return m.call(layer, x)


def maxout(m: Maker, x: Tensor) -> Tensor | None:
    layer = m.make(
        L.MaxoutDense,
        m.number(1, 5),
        m.number(1, 4),
        m.chance(80),
        **m.weights("kernel", "bias"),
    )
    return m.call(layer, x)


def cosine(m: Maker, x: Tensor) -> Tensor | None:
    """With another vector of the same size; sigmoids keep both off zero."""
    small = m.call(m.make(L.Activation, "sigmoid"), x)
    alike = [t for t in m.pool if t.shape == x.shape]
    other = m.call(m.make(L.Activation, "sigmoid"), m.one_of(*alike))
    return m.call(m.make(L.Cosine), *m.shuffled([small, other]))


STEPS: Steps = {highway: (2, (2,)), maxout: (1, (2,)), cosine: (2, (2,))}
