"""Attention and AdditiveAttention: one query sequence reads one value sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphjit.capture.arguments import (
    arg,
    boolean,
    choice,
    fraction,
    integer,
    optional,
)
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.errors import CaptureError, ShapeError
from graphjit.initializers import GlorotUniform, Ones
from graphjit.ir import Value
from graphjit.ops.attention.attention_op import AttentionDropoutOp, AttentionOp
from graphjit.ops.elementwise import Cast, Multiply
from graphjit.ops.shape import Reshape

__all__ = ["AdditiveAttention", "Attention", "attention_op"]


def attention_op(
    axes: tuple[int, ...], dropout: float, seed: int | None, **settings: Any
) -> AttentionOp | AttentionDropoutOp:
    """The op with or without dropout; Keras draws nothing at either end."""
    if 0 < dropout < 1:
        return AttentionDropoutOp(axes, dropout, seed or 0, **settings)
    return AttentionOp(axes, **settings)


class _Attention(Layer):
    """What the two have in common: inputs, masks, the reading."""

    casts_integers = True

    def scored(
        self, emitter: Emitter, query: Value, key: Value
    ) -> tuple[Value, Value, Value | None]:
        """Query, key and weight as the op takes them."""
        raise NotImplementedError

    def settings(self) -> tuple[bool, float, int | None]:
        """Whether scores are additive, the rate of dropout, its seed."""
        raise NotImplementedError

    def emit(
        self,
        emitter: Emitter,
        *inputs: Value,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Sequence[Value]:
        if len(inputs) not in (2, 3):
            raise CaptureError(
                f"{emitter.title}: expected [query, value] or [query, value, key], "
                f"received {len(inputs)} tensors"
            )
        query, value = inputs[:2]
        key = inputs[2] if len(inputs) > 2 else value
        for x in inputs:
            emitter.check_least_rank(x, 3)
        query_mask, value_mask = (*emitter.masks, None, None)[:2]
        axis = emitter.type_of(query).rank - 2
        if axis > 1 and (query_mask or value_mask):
            message = "masks want inputs of rank 3"
            raise ShapeError(
                f"{emitter.title}: {message}, received {emitter.type_of(query)}"
            )
        additive, dropout, seed = self.settings()
        op = attention_op(
            (axis,),
            dropout,
            seed,
            additive=additive,
            causal=use_causal_mask,
            scores=return_attention_scores,
        )
        scaled, read, weight = self.scored(emitter, query, key)
        operands = (scaled, read, value, weight, None, None, value_mask)
        output, *scores = emitter.node(op, *operands)
        if query_mask is not None:
            column = emitter(Reshape((1,), keep=2), query_mask)
            kept = emitter(Cast(emitter.type_of(output).dtype), column)
            output = emitter(Multiply(), output, kept)
        return [output, *scores]

    def emit_masks(
        self,
        emitter: Emitter,
        inputs: Sequence[Value],
        masks: Sequence[Value | None],
        outputs: Sequence[Value],
    ) -> Sequence[Value | None]:
        return [masks[0], None][: len(outputs)]


@LAYERS.register("Attention")
class Attention(_Attention):
    """Values read by softmax(query · key), as Luong does (arXiv:1508.04025).

    Called on ``[query, value]`` or ``[query, value, key]``; without a key the values
    are the keys too. Calls take `use_causal_mask` (no reading of what comes later) and
    `return_attention_scores` (the weights as a second output, before dropout). The
    mask of the value says what may be read; where it leaves nothing, everything is read
    alike. The mask of the query zeroes the output and passes on.

    Shapes:
        query: (n, t, d)   value: (n, s, v)   key: (n, s, d)   scale,
        concat_score_weight: ()   ->  (n, t, v), and (n, t, s)

    Args:
        use_scale: Whether a weight scales the scores.
        score_mode: "dot" for query · key, "concat" for sum(tanh(query + key)).
        dropout: The fraction of the weights dropped in training.
        seed: Mixed into the caller's key; None for 0.
    """

    use_scale: bool = arg(default=False, converter=boolean)
    score_mode: str = arg(default="dot", converter=choice("dot", "concat"))
    dropout: float = arg(default=0.0, converter=fraction)
    seed: int | None = arg(default=None, converter=optional(integer))

    def settings(self) -> tuple[bool, float, int | None]:
        return self.score_mode == "concat", self.dropout, self.seed

    def scored(
        self, emitter: Emitter, query: Value, key: Value
    ) -> tuple[Value, Value, Value | None]:
        additive = self.score_mode == "concat"
        if self.use_scale:
            scale = emitter.param("scale", (), Ones())
            query = emitter(Multiply(), query, scale)
            if additive:
                key = emitter(Multiply(), key, scale)
        if not additive:
            return query, key, None
        return query, key, emitter.param("concat_score_weight", (), Ones())


@LAYERS.register("AdditiveAttention")
class AdditiveAttention(_Attention):
    """Values read by softmax(sum(scale * tanh(query + key))) (arXiv:1409.0473).

    Called as `Attention` is.

    Shapes:
        query: (n, t, d)   value: (n, s, v)   key: (n, s, d)   scale: (d,)
        ->  (n, t, v), and (n, t, s)

    Args:
        use_scale: Whether each feature has a weight.
        dropout: The fraction of the weights dropped in training.
        seed: Mixed into the caller's key; None for 0.
    """

    use_scale: bool = arg(default=True, converter=boolean)
    dropout: float = arg(default=0.0, converter=fraction)
    seed: int | None = arg(default=None, converter=optional(integer))

    def settings(self) -> tuple[bool, float, int | None]:
        return True, self.dropout, self.seed

    def scored(
        self, emitter: Emitter, query: Value, key: Value
    ) -> tuple[Value, Value, Value | None]:
        if not self.use_scale:
            return query, key, None
        features = emitter.known_dim(query, -1, "the last axis")
        return query, key, emitter.param("scale", (features,), GlorotUniform())
