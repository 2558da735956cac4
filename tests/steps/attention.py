"""Steps with attention and EinsumDense."""

from __future__ import annotations

from typing import Any

import graphjit.layers as L  # noqa: N812
from graphjit.capture.tensor import Tensor
from tests.steps.maker import ACTIVATIONS, Maker, Steps, rank_of

__all__ = ["DRAWING", "STEPS"]


def _read_by(m: Maker, x: Tensor) -> list[Tensor]:
    """What x may read: a value, and now and then a key, of its features."""
    fits = [t for t in m.pool if rank_of(t) == 3 and t.shape[-1] == x.shape[-1]]
    value = m.one_of(*fits)
    alike = [t for t in fits if t.shape[1] == value.shape[1]]
    return [value, m.one_of(*alike)] if m.chance(30) else [value]


def attention(m: Maker, x: Tensor, dropout: float = 0.0) -> Tensor | None:
    mode = m.one_of("dot", "concat")
    layer = m.make(L.Attention, m.chance(50), mode, dropout)
    return m.call(layer, x, *_read_by(m, x))


def additive(m: Maker, x: Tensor, dropout: float = 0.0) -> Tensor | None:
    layer = m.make(L.AdditiveAttention, m.chance(70), dropout)
    return m.call(layer, x, *_read_by(m, x))


def multi_head(m: Maker, x: Tensor, dropout: float = 0.0) -> Tensor | None:
    values = [t for t in m.pool if rank_of(t) == rank_of(x)]
    axes: Any = None
    if rank_of(x) == 4:
        values = [t for t in values if t.shape[2] == x.shape[2]]
        axes = m.one_of(1, (1,))
    layer = m.make(
        L.MultiHeadAttention,
        m.number(1, 2),
        m.number(1, 3),
        m.one_of(None, 2),
        dropout,
        m.chance(70),
        attention_axes=axes,
        use_gate=m.chance(20),
        sliding_window=2 if m.chance(20) else None,
        **m.weights("kernel", "bias"),
    )
    return m.call(layer, x, m.one_of(*values))


def attention_dropout(m: Maker, x: Tensor) -> Tensor | None:
    return m.one_of(attention, additive, multi_head)(m, x, m.one_of(0.3, 0.5))


def einsum_dense(m: Maker, x: Tensor) -> Tensor | None:
    settings: dict[str, Any] = {"activation": m.one_of(None, *ACTIVATIONS)}
    if rank_of(x) == 3 and m.chance(50):
        equation, axes = "abc,bd->adc", m.one_of("d", "c", "dc", None)
        sizes: Any = (m.number(1, 4), None)
    else:
        equation, axes = "...x,xy->...y", m.one_of("y", None)
        sizes = m.number(1, 5)
    settings |= m.weights("kernel", "bias")
    layer = m.make(L.EinsumDense, equation, sizes, bias_axes=axes, **settings)
    return m.call(layer, x)


STEPS: Steps = {
    attention: (3, (3,)),
    additive: (3, (3,)),
    multi_head: (2, (3, 4)),
    attention_dropout: (1, (3,)),
    einsum_dense: (2, (2, 3, 4)),
}
#: Those that draw random numbers.
DRAWING = frozenset({attention_dropout})
