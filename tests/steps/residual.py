"""Steps with what stands beside the layers: ends of residual blocks, functions."""

from __future__ import annotations

import graphjit.layers as L  # noqa: N812
from graphjit.capture.tensor import Tensor
from tests.steps.maker import Maker, Steps, rank_of

__all__ = ["DRAWING", "STEPS"]


def layer_scale(m: Maker, x: Tensor) -> Tensor | None:
    last = x.shape[-1]
    if not isinstance(last, int):
        return None
    return m.call(m.make(L.LayerScale, m.one_of(0.5, 1.5), last), x)


def scaled_sum(m: Maker, x: Tensor) -> Tensor | None:
    alike = [t for t in m.pool if t.shape == x.shape]
    layer = m.make(L.CustomScaleLayer, m.one_of(0.2, -1.5))
    return m.call(layer, *m.shuffled([x, m.one_of(*alike)]))


def depth(m: Maker, x: Tensor) -> Tensor | None:
    return m.call(m.make(L.StochasticDepth, m.one_of(0.3, 0.6)), x)


def operation(m: Maker, x: Tensor) -> Tensor | None:
    """A function that becomes an op, and ones that stay functions."""
    axis = m.number(1, rank_of(x) - 1)
    name, arguments = m.one_of(
        ("negative", {}),
        ("multiply", {"operands": [None, 0.5]}),
        ("clip", {"x_min": -1.0, "x_max": 1.0}),
        ("flip", {"axis": axis}),
        ("sum", {"axis": axis, "keepdims": True}),
    )
    return m.call(m.make(L.Operation, name, arguments), x)


STEPS: Steps = {
    layer_scale: (1, (2, 3, 4)),
    scaled_sum: (1, (2, 3, 4)),
    depth: (1, (2, 3, 4)),
    operation: (2, (2, 3, 4)),
}
#: Those that draw random numbers.
DRAWING = frozenset({depth})
