"""A model with calls of all kinds, for tests of texts and files."""

from __future__ import annotations

import graphjit as gj
import graphjit.layers as L  # noqa: N812

__all__ = ["every_call"]


def every_call() -> gj.Model:
    """Shared layers, nested models, states, named inputs, arguments, two outputs."""
    x, y = gj.Input((4, 3), name="x"), gj.Input((5, 3), name="y")
    first = gj.Input((3,), name="in")
    inner = gj.Model(first, L.Dense(3, name="d")(first), name="inner")
    chain = gj.Sequential([L.Dense(3, input_shape=(3,), name="c")], name="chain")
    attended = L.MultiHeadAttention(1, 2, name="mha")(x, y, use_causal_mask=True)
    _, h, c = L.LSTM(2, return_state=True, name="one")(attended)
    out = L.LSTM(3, name="two")(y, initial_state=None)
    again = L.LSTM(2, name="three")(y, initial_state=[h, c])
    summed = L.Add(name="add")([inner(out), chain(inner(chain(out)))])
    return gj.Model([x, y], [summed, again], name="every_call")
