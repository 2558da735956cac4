"""Steps with recurrent layers, loops over cells, and the wrappers of time."""

from __future__ import annotations

from typing import Any

import graphjit.layers as L  # noqa: N812
from graphjit.capture.layer import Layer
from graphjit.capture.tensor import Tensor
from tests.steps.maker import Maker, Steps, elements, rank_of

__all__ = ["DRAWING", "STEPS"]

#: What keeps states small, however often they go round.
BOUNDED = ("tanh", "sigmoid", "softsign", "hard_sigmoid")
KINDS = ("SimpleRNN", "GRU", "LSTM")
MOST_STEPS = 40


def _settings(m: Maker, kind: str, rate: float) -> dict[str, Any]:
    """Of a layer and of its cell alike."""
    found: dict[str, Any] = {
        "activation": m.one_of(*BOUNDED),
        "use_bias": m.chance(80),
        "dropout": rate,
        "recurrent_dropout": m.one_of(0.0, rate),
    }
    if kind != "SimpleRNN":
        found["recurrent_activation"] = m.one_of(*BOUNDED)
        found["implementation"] = m.one_of(1, 2)
    if kind == "GRU":
        found["reset_after"] = m.chance(50)
    return found


def _time(m: Maker) -> dict[str, Any]:
    return {
        "return_sequences": m.chance(60),
        "go_backwards": m.chance(30),
        "unroll": m.chance(20),
    }


def _layer(m: Maker, rate: float, kind: str = "", **time: Any) -> Layer:
    kind = kind or m.one_of(*KINDS)
    penalties = m.weights("kernel", "recurrent", "bias")
    settings = {**_settings(m, kind, rate), **penalties, **(time or _time(m))}
    return m.make(getattr(L, kind), m.number(1, 4), **settings)


def _cell(m: Maker, rate: float) -> Layer:
    kind = m.one_of(*KINDS)
    cls = getattr(L, f"{kind}Cell")
    return cls(m.number(1, 4), dtype=m.dtype, **_settings(m, kind, rate))


def _short(x: Tensor) -> bool:
    return int(x.shape[1] or 0) <= MOST_STEPS


def recurrent(m: Maker, x: Tensor, rate: float = 0.0) -> Tensor | None:
    """Layers of every kind, one after the other."""
    if not _short(x):
        return None
    *before, last = m.shuffled(KINDS)
    for kind in before:
        settings = {**_time(m), "return_sequences": True}
        x = m.call(_layer(m, rate, kind, **settings), x)
    return m.call(_layer(m, rate, last), x)


def any_cell(m: Maker, x: Tensor, rate: float = 0.0) -> Tensor | None:
    if not _short(x):
        return None
    cells = [_cell(m, rate) for _ in range(m.one_of(1, 1, 2))]
    cell = cells[0] if len(cells) == 1 else L.StackedRNNCells(cells, dtype=m.dtype)
    return m.call(m.make(L.RNN, cell, **_time(m)), x)


def bidirectional(m: Maker, x: Tensor, rate: float = 0.0) -> Tensor | None:
    if not _short(x):
        return None
    mode = m.one_of("concat", "sum", "mul", "ave")
    return m.call(m.make(L.Bidirectional, _layer(m, rate), mode), x)


def masked(m: Maker, x: Tensor, rate: float = 0.0) -> Tensor | None:
    """Masks that begin and end here: other layers might not carry one."""
    if not _short(x):
        return None
    y = m.make(L.Masking, m.one_of(0.0, 0.3))(x)
    if m.chance(50):
        y = m.make(L.Bidirectional, _layer(m, rate, return_sequences=True))(y)
    if m.chance(30):
        y = m.make(L.TimeDistributed, L.Dense(2, dtype=m.dtype))(y)
    return m.call(_layer(m, rate, return_sequences=False), y)


def looping(m: Maker, x: Tensor) -> Tensor | None:
    return m.one_of(any_cell, bidirectional, masked)(m, x)


def distributed(m: Maker, x: Tensor, rate: float = 0.0) -> Tensor | None:
    """Rows of an image are steps to a layer of vectors, or of sequences."""
    inner: Layer = L.Dense(m.number(1, 4), m.one_of(*BOUNDED), dtype=m.dtype)
    if rank_of(x) == 4 and m.chance(60):
        sequences = m.chance(50)
        inner = _layer(m, rate, return_sequences=sequences)
    elif rank_of(x) == 4 and m.chance(50):
        inner = L.Conv1D(m.number(1, 3), 1, dtype=m.dtype)
    elif m.chance(30):
        inner = L.BatchNormalization(dtype=m.dtype)
    return m.call(m.make(L.TimeDistributed, inner), x, keep=False)


def conv_lstm(m: Maker, x: Tensor, rate: float = 0.0) -> Tensor | None:
    """Over the rows of an image, which may be images or volumes of one row each."""
    if elements(x) > 150:
        return None
    rows, width, channels = (int(dim or 0) for dim in x.shape[1:])
    rank = m.one_of(1, 1, 2, 3)
    layer = m.make(
        getattr(L, f"ConvLSTM{rank}D"),
        m.number(1, 2),
        (1,) * (rank - 1) + (m.number(1, min(2, width)),),
        padding=m.one_of("valid", "same"),
        data_format="channels_last",
        activation=m.one_of(*BOUNDED),
        recurrent_activation=m.one_of(*BOUNDED),
        dropout=rate,
        recurrent_dropout=rate,
        return_sequences=rank == 1 and m.chance(50),
        go_backwards=m.chance(30),
    )
    if rank > 1:
        shape = (rows, *(1,) * (rank - 1), width, channels)
        x = m.make(L.Reshape, shape)(x)
    y = layer(x)
    if rank < 3:
        m.pool.append(y)
        return y
    return m.call(m.make(L.Flatten, "channels_last"), y)


def dropping(m: Maker, x: Tensor) -> Tensor | None:
    """One of the others, with dropout."""
    steps = [recurrent, any_cell, bidirectional, masked]
    if rank_of(x) == 4:
        steps = [distributed, conv_lstm]
    return m.one_of(*steps)(m, x, m.one_of(0.2, 0.5))


SEQUENCES, IMAGES = (3,), (4,)
STEPS: Steps = {
    recurrent: (1, SEQUENCES),
    looping: (2, SEQUENCES),
    distributed: (1, (3, 4)),
    conv_lstm: (1, IMAGES),
    dropping: (1, (3, 4)),
}
DRAWING = frozenset({dropping})
