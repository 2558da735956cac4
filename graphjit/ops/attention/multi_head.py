"""MultiHeadAttention."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any

from graphjit.capture.arguments import (
    Unfit,
    arg,
    boolean,
    fraction,
    integer,
    optional,
    shape_tuple,
    size,
)
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import LAYERS, Layer
from graphjit.constraints import Constraint
from graphjit.errors import CaptureError, ShapeError
from graphjit.initializers import Initializer
from graphjit.ir import Value
from graphjit.ops import weights
from graphjit.ops.attention.layers import attention_op
from graphjit.ops.base import Op
from graphjit.ops.einsum import EinsumOp
from graphjit.ops.einsum_dense import along_axes
from graphjit.ops.elementwise import Cast, Multiply, Sigmoid
from graphjit.ops.penalty import Penalty
from graphjit.regularizers import Regularizer

__all__ = ["MultiHeadAttention"]


def _sizes(value: Any) -> tuple[int, ...]:
    """Reader of the `output_shape` argument."""
    try:
        found = shape_tuple(value)
    except Unfit:
        found = ()
    if not found or min(found) < 1:
        raise Unfit("an int >= 1 or a tuple of them")
    return found


@LAYERS.register("MultiHeadAttention")
class MultiHeadAttention(Layer):
    """Attention in several subspaces at once (arXiv:1706.03762).

    Called as ``layer(query, value)`` or ``layer(query, value, key)``; without a key the
    values are the keys too. Calls also take

    - `attention_mask`: bool, broadcastable to (n, heads, t, s), such as (n, t, s); True
      where a query may read;
    - `query_mask`, `value_mask`, `key_mask`: in place of the inputs' masks;
    - `use_causal_mask`: no query reads what comes later;
    - `return_attention_scores`: the weights as a second output, before dropout.

    The mask of the query passes on. Where a query may read nothing it reads everything
    alike; with dropout, scores or further axes it gets zeros, as in Keras.

    Shapes:
        query: (n, t, c)   value: (n, s, c_value)   key: (n, s, c_key)
        query/kernel: (c, num_heads, key_dim)   key/kernel: (c_key, num_heads, key_dim)
        value/kernel: (c_value, num_heads, value_dim), each with a bias (num_heads, dim)
        attention_output/kernel: (num_heads, value_dim, *output_shape), with a bias
        ->  (n, t, *output_shape), and (n, num_heads, t, s)
        further axes stand between n and the last; `attention_axes` are attended over.

    Args:
        num_heads: How many subspaces.
        key_dim: Size of a head for query and key.
        value_dim: Size of a head for the value; None for key_dim.
        dropout: The fraction of the weights dropped in training.
        use_bias: Whether the four projections have a bias.
        output_shape: Of the output's features; None for those of the query.
        attention_axes: The axes attended over; None for all but the first and last.
        kernel_initializer: Of the four kernels.
        bias_initializer: Of the biases.
        kernel_regularizer: Penalty on the kernels.
        bias_regularizer: Penalty on the biases.
        activity_regularizer: Penalty on the result of each projection.
        kernel_constraint: Projection of the kernels after each update.
        bias_constraint: Projection of the biases after each update.
        sliding_window: A query reads at most this far less one from its own place.
        use_gate: Whether sigmoid(query · gate/kernel + gate/bias) multiplies what is
            read (arXiv:2505.06708).
        seed: Mixed into the caller's key; None for 0.
    """

    casts_integers = True

    num_heads: int = arg(converter=size)
    key_dim: int = arg(converter=size)
    value_dim: int | None = arg(default=None, converter=optional(size))
    dropout: float = arg(default=0.0, converter=fraction)
    use_bias: bool = arg(default=True, converter=boolean)
    output_shape: tuple[int, ...] | None = arg(default=None, converter=optional(_sizes))
    attention_axes: tuple[int, ...] | None = arg(
        default=None, converter=optional(shape_tuple)
    )
    kernel_initializer: Initializer = arg(
        default="glorot_uniform", converter=weights.initializer
    )
    bias_initializer: Initializer = arg(default="zeros", converter=weights.initializer)
    kernel_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    bias_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    activity_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    kernel_constraint: Constraint | None = arg(
        default=None, converter=weights.constraint
    )
    bias_constraint: Constraint | None = arg(default=None, converter=weights.constraint)
    sliding_window: int | None = arg(
        default=None, converter=optional(size), kw_only=True
    )
    use_gate: bool = arg(default=False, converter=boolean, kw_only=True)
    seed: int | None = arg(default=None, converter=optional(integer), kw_only=True)

    @property
    def activity_regularizer_or_none(self) -> Regularizer | None:
        """None: as in Keras it is the projections that are penalized."""
        return None

    # --- emitting ---------------------------------------------------------------------

    def emit(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        emitter: Emitter,
        query: Value,
        value: Value | None = None,
        key: Value | None = None,
        *,
        attention_mask: Value | None = None,
        query_mask: Value | None = None,
        value_mask: Value | None = None,
        key_mask: Value | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Sequence[Value]:
        if value is None:
            raise CaptureError(
                f"{emitter.title}: expected query and value, received one tensor",
                hint="layer(x, x) is self-attention",
            )
        read = value if key is None else key
        axes = self._axes(emitter, query, value, read)
        own = (*emitter.masks, None, None, None)[:3]
        masks = [
            _boolean(emitter, mask, role) or default
            for role, mask, default in zip(
                ("query_mask", "value_mask", "key_mask"),
                (query_mask, value_mask, key_mask),
                own,
                strict=True,
            )
        ]
        ordered = use_causal_mask or self.sliding_window is not None
        if axes != (1,) and (ordered or any(masks)):
            message = "masks of sequences and orders of reading want attention over "
            raise ShapeError(f"{emitter.title}: {message}axis 1 alone, not {axes}")
        rank = emitter.type_of(query).rank
        zero = return_attention_scores or self.dropout > 0 or rank != 3
        op = attention_op(
            axes,
            self.dropout,
            self.seed,
            scale=1 / math.sqrt(self.key_dim),
            causal=use_causal_mask,
            window=self.sliding_window,
            zero_empty=zero,
            scores=return_attention_scores,
        )
        heads = (self.num_heads, self.key_dim)
        value_heads = (self.num_heads, self.value_dim or self.key_dim)
        projected = [
            self._project(emitter, "query", query, heads),
            self._project(emitter, "key", read, heads),
        ]
        gate = None
        if self.use_gate:
            gate = self._project(emitter, "gate", query, value_heads, bend=Sigmoid())
        projected.append(self._project(emitter, "value", value, value_heads))
        readable = _all_of(emitter, masks[1:])
        shared = _boolean(emitter, attention_mask, "attention_mask")
        taken = (*projected, None, shared, masks[0], readable)
        output, *scores = emitter.node(op, *taken)
        if gate is not None:
            output = emitter(Multiply(), output, gate)
        features = self.argument("output_shape") or (
            emitter.known_dim(query, -1, "the last axis"),
        )
        return [
            self._project(emitter, "attention_output", output, features, bound=2),
            *scores,
        ]

    def emit_masks(
        self,
        emitter: Emitter,
        inputs: Sequence[Value],
        masks: Sequence[Value | None],
        outputs: Sequence[Value],
    ) -> Sequence[Value | None]:
        return [masks[0], None][: len(outputs)]

    def _axes(
        self, emitter: Emitter, query: Value, value: Value, key: Value
    ) -> tuple[int, ...]:
        """The axes attended over, counted from the front."""
        emitter.check_least_rank(query, 3)
        rank = emitter.type_of(query).rank
        for x in (value, key):
            emitter.check_rank(x, rank)
        if self.attention_axes is None:
            return tuple(range(1, rank - 1))
        found = tuple(sorted(emitter.axis(query, axis) for axis in self.attention_axes))
        if not found or len(set(found)) < len(found) or {0, rank - 1} & set(found):
            wanted = f"different axes from 1 to {rank - 2}"
            self.refuse("attention_axes", wanted, self.attention_axes)
        return found

    def _project(
        self,
        emitter: Emitter,
        slot: str,
        x: Value,
        units: tuple[int, ...],
        bound: int = 1,
        bend: Op | None = None,
    ) -> Value:
        """The last `bound` axes of x mapped to axes of size `units`, then bent."""
        rank = emitter.type_of(x).rank
        letters = string.ascii_lowercase
        kept, summed = letters[: rank - bound], letters[rank - bound : rank]
        made = letters[rank : rank + len(units)]
        sizes = [
            emitter.known_dim(x, axis, "an axis of features")
            for axis in range(rank - bound, rank)
        ]
        initializer = along_axes(
            self.kernel_initializer,
            tuple(range(bound)),
            tuple(range(bound, bound + len(units))),
        )
        kernel = emitter.param(
            f"{slot}/kernel",
            (*sizes, *units),
            initializer,
            self.kernel_regularizer,
            self.kernel_constraint,
        )
        bias = None
        if self.use_bias:
            bias = emitter.param(
                f"{slot}/bias",
                units,
                self.bias_initializer,
                self.bias_regularizer,
                self.bias_constraint,
            )
        op = EinsumOp(f"{kept}{summed},{summed}{made}->{kept}{made}")
        y = emitter(op, x, kernel, bias, name=slot)
        if bend is not None:
            y = emitter(bend, y)
        if self.activity_regularizer is not None:
            penalty = emitter(Penalty(self.activity_regularizer), y)
            emitter.loss(f"{slot}/activity", penalty)
        return y


def _boolean(emitter: Emitter, mask: Any, role: str) -> Value | None:
    """A mask given to a call, as booleans."""
    if mask is None:
        return None
    if not isinstance(mask, Value):
        raise CaptureError(
            f"{emitter.title}: {role}: expected a tensor, received "
            f"{type(mask).__name__}",
            hint="make it an Input of the model",
        )
    if emitter.type_of(mask).dtype == "bool":
        return mask
    return emitter(Cast("bool"), mask)


def _all_of(emitter: Emitter, masks: Sequence[Value | None]) -> Value | None:
    """Where all masks are True."""
    present = list(dict.fromkeys(mask for mask in masks if mask is not None))
    if len(present) > 1:
        return emitter(Multiply(), *present)
    return present[0] if present else None
