"""Steps with embeddings, norms of each sample, and activations with weights."""

from __future__ import annotations

from typing import Any

import graphjit.layers as L  # noqa: N812
from graphjit.capture.layer import Layer
from graphjit.capture.tensor import Tensor
from tests.steps.maker import MOST_ELEMENTS, Maker, Step, Steps, elements, rank_of

__all__ = ["DRAWING", "STEPS"]


def _axes(m: Maker, x: Tensor) -> Any:
    """One axis behind the batch, or a few in any order, from either end."""
    rank = rank_of(x)
    chosen = m.shuffled(range(1, rank))[: m.number(1, rank - 1)]
    signed = [axis - rank if m.chance(50) else axis for axis in chosen]
    return signed[0] if len(signed) == 1 and m.chance(70) else signed


def _affine(m: Maker) -> dict[str, Any]:
    return {
        "epsilon": m.one_of(1e-3, 0.02, 0.3),
        "center": m.chance(70),
        "scale": m.chance(70),
    }


def sample_norm(m: Maker, x: Tensor) -> Tensor | None:
    if m.chance(40):
        epsilon = m.one_of(1e-2, 0.1)
        return m.call(m.make(L.RMSNormalization, _axes(m, x), epsilon), x)
    scaled = m.chance(20)
    layer = m.make(L.LayerNormalization, _axes(m, x), rms_scaling=scaled, **_affine(m))
    return m.call(layer, x)


def group_norm(m: Maker, x: Tensor) -> Tensor | None:
    first = rank_of(x) == 4 and m.format_of(x) == "channels_first"
    axis = 1 if first else m.one_of(-1, -1, 1)
    channels = int(x.shape[axis] or 1)
    groups = m.one_of(-1, *(g for g in (1, 2, 3) if channels % g == 0))
    return m.call(m.make(L.GroupNormalization, groups, axis, **_affine(m)), x)


def unit_norm(m: Maker, x: Tensor) -> Tensor | None:
    """Of numbers away from 0, where a length of 0 would be blown up."""
    away = m.call(m.make(L.Activation, "sigmoid"), x)
    away = m.call(m.make(L.ReLU, None, 0.1, 0.3), away) if m.chance(20) else away
    moved = m.call(m.make(L.Rescaling, 1.5, 0.4), away)
    return m.call(m.make(L.UnitNormalization, _axes(m, x)), moved)


def norm_mode(m: Maker, x: Tensor) -> Tensor | None:
    """Keras 1's other modes: each row by itself; the batch's statistics always."""
    mode = m.one_of(1, 2) if rank_of(x) == 2 else 2
    return m.call(m.make(L.BatchNormalization, mode=mode, epsilon=0.02), x)


def fixed_activation(m: Maker, x: Tensor) -> Tensor | None:
    cls, setting = m.one_of(
        (L.LeakyReLU, m.one_of(0.0, 0.1, 0.3)),
        (L.ELU, m.one_of(1.0, 0.5)),
        (L.ThresholdedReLU, m.one_of(0.0, 0.4)),
    )
    return m.call(m.make(cls, setting), x)


def learned_activation(m: Maker, x: Tensor) -> Tensor | None:
    axes = m.shuffled(range(1, rank_of(x)))[: m.number(0, rank_of(x) - 1)]
    cls: type[Layer] = m.one_of(L.PReLU, L.ParametricSoftplus, L.SReLU)
    return m.call(m.make(cls, shared_axes=axes or None), x)


def _ids(m: Maker, x: Tensor, count: int) -> Tensor:
    """Floats from 0 to `count`; their whole parts are ids."""
    between = m.call(m.make(L.Activation, "sigmoid"), x)
    return m.call(m.make(L.Rescaling, count - 0.01), between)


def embedding(m: Maker, x: Tensor, dropout: float = 0.0) -> Tensor | None:
    if rank_of(x) > 3 or elements(x) * 3 > MOST_ELEMENTS:
        return None
    count = m.number(1, 6)
    ids = _ids(m, x, count)
    layer = m.make(
        L.Embedding,
        count,
        m.number(1, 3),
        dropout=dropout,
        **m.weights("embeddings"),
    )
    return m.call(layer, ids)


def embedding_that_drops(m: Maker, x: Tensor) -> Tensor | None:
    return embedding(m, x, dropout=0.4)


def masked(m: Maker, x: Tensor) -> Tensor | None:
    """A mask from an embedding to layers that carry it, up to one that ends it."""
    if rank_of(x) > 2 or elements(x) * 3 > MOST_ELEMENTS:
        return None
    count = m.number(2, 5)
    ids = _ids(m, x, count)
    pair = []
    for _ in range(2):
        steps = _bare(m, L.Embedding, count, 3, mask_zero=m.chance(80))(ids)
        for _ in range(m.number(0, 3)):
            steps = _carrier(m)(steps)
        pair.append(steps)
    if m.chance(50):
        pair[0] = _bare(m, m.one_of(L.Add, L.Average, L.Maximum))(list(pair))
    if m.chance(30):
        pair[1] = _bare(m, L.Concatenate, m.one_of(1, 2))([pair[1], pair[1]])
    if pair[0].shape[-1] != pair[1].shape[-1]:
        pair[0] = pair[1]
    return m.call(m.make(L.Dot, 2), *pair)


def _bare(m: Maker, cls: type[Layer], *args: Any, **settings: Any) -> Layer:
    """A layer without a name, and whose calls are not kept: it passes a mask on."""
    return cls(*args, dtype=m.dtype, **settings)


def _carrier(m: Maker) -> Layer:
    axis = m.one_of(-1, -1, 1)
    return m.one_of(
        _bare(m, L.BatchNormalization, axis, epsilon=0.1, masked=m.chance(80)),
        _bare(m, L.LayerNormalization, epsilon=0.1),
        _bare(m, L.PReLU, shared_axes=1),
        _bare(m, L.ELU),
    )


ANY = (2, 3, 4)
STEPS: Steps = {
    sample_norm: (3, ANY),
    group_norm: (1, ANY),
    unit_norm: (1, ANY),
    norm_mode: (1, ANY),
    fixed_activation: (2, ANY),
    learned_activation: (2, ANY),
    embedding: (2, (2, 3)),
    embedding_that_drops: (1, (2,)),
    masked: (1, (2,)),
}
DRAWING: frozenset[Step] = frozenset({embedding_that_drops})
