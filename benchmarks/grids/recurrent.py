"""Recurrent layers: text and speech sizes, batches from 1 to 64, and tiny ones."""

from __future__ import annotations

from benchmarks.grids.spot import Data, Spot, floats
from graphjit.ops.base import Op
from graphjit.ops.elementwise import HardSigmoid, Sigmoid, Tanh
from graphjit.ops.recurrent.sequence_ops import GRUOp, LSTMOp, SimpleRNNOp

__all__ = ["SPOTS"]

_SEQUENCES = {"return_sequences": True}


def _op(kind: str, **settings: object) -> Op:
    if kind == "lstm":
        return LSTMOp(Tanh(), recurrent_activation=Sigmoid(), **settings)
    if kind == "lstm hard":
        return LSTMOp(Tanh(), recurrent_activation=HardSigmoid(), **settings)
    if kind == "rnn":
        return SimpleRNNOp(Tanh(), **settings)
    after = kind == "gru after"
    gates = {"recurrent_activation": Sigmoid(), "reset_after": after}
    return GRUOp(Tanh(), **gates, **settings)


def _spot(
    kind: str,
    rows: int,
    steps: int,
    channels: int,
    units: int,
    *,
    masked: bool = False,
    last: bool = False,
) -> Spot:
    op = _op(kind, return_sequences=not last)
    columns = {"l": 4, "g": 3, "r": 1}[kind[0]] * units
    bias = (2, columns) if kind == "gru after" else (columns,)
    data: list[Data | None] = [
        floats(rows, steps, channels),
        floats(channels, columns, size=channels**-0.5),
        floats(units, columns, size=units**-0.5),
        floats(*bias, size=0.1),
    ]
    if masked:
        states = 2 if kind[0] == "l" else 1
        data += [*[None] * states, Data((rows, steps), "bool")]
    tags = f"{' masked' if masked else ''}{' last' if last else ''}"
    name = f"{kind}{tags} b{rows} t{steps} {channels}->{units}"
    return Spot(name, op, tuple(data))


SPOTS = [
    *(_spot("lstm", b, 100, 128, 128) for b in (1, 8, 32)),
    *(_spot("lstm", b, 20, 32, 32) for b in (1, 32)),
    _spot("lstm", 32, 50, 300, 256),
    _spot("lstm", 64, 28, 28, 64, last=True),
    _spot("lstm", 8, 400, 40, 64),
    _spot("lstm", 4, 8, 6, 4),
    _spot("lstm", 32, 100, 128, 128, masked=True),
    _spot("lstm", 32, 100, 128, 128, last=True),
    _spot("lstm hard", 32, 100, 128, 128),
    *(
        _spot(kind, b, 100, 128, 128)
        for kind in ("gru after", "gru before", "rnn")
        for b in (1, 8, 32)
    ),
    *(_spot(kind, 32, 20, 32, 32) for kind in ("gru after", "gru before", "rnn")),
    *(_spot(kind, 4, 8, 6, 4) for kind in ("gru after", "gru before", "rnn")),
    _spot("gru after", 32, 50, 300, 256),
    _spot("gru after", 32, 100, 128, 128, masked=True),
    _spot("rnn", 32, 100, 128, 128, masked=True),
]
