"""Embedding: rows of a table looked up by id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import jax.numpy as jnp

from graphjit.capture.arguments import Unfit, arg, boolean, fraction, optional, size
from graphjit.capture.emitter import Emitter
from graphjit.capture.first_input import FirstInput
from graphjit.capture.layer import LAYERS, Layer
from graphjit.constraints import Constraint
from graphjit.errors import ShapeError
from graphjit.initializers import Initializer
from graphjit.ir import Value
from graphjit.layout import Layout
from graphjit.narrow import sequence_of
from graphjit.ops import weights
from graphjit.ops.base import (
    Array,
    Op,
    Permuted,
    ReadsIds,
    register_op,
)
from graphjit.ops.dropout import DropoutOp
from graphjit.ops.elementwise import Cast
from graphjit.ops.shape import Reshape
from graphjit.ops.wide_sums import rows_of
from graphjit.regularizers import Regularizer
from graphjit.types import Dim, TensorType, is_floating

__all__ = ["Embedding", "EmbeddingOp"]


def _in_32_bits(ids: Array, count: int) -> Array:
    """Ids as JAX reads them; -1 for one that would be another in 32 bits."""
    if ids.dtype == jnp.int32:
        return ids
    if ids.dtype.itemsize < 4:
        return ids.astype(jnp.int32)  # `count` may be more than they can say
    past = (ids < 0) | (ids >= count)
    return jnp.where(past, -1, ids.astype(jnp.int32))


@register_op("embedding", roles=("ids", "table"))
class EmbeddingOp(Op, ReadsIds):
    """table[ids]: a row for every id; NaN where an id is below 0 or past the table.

    Ids given as data are checked before they come here (see `graphjit.id_ranges`); a
    NaN tells of one that was computed, where an id moved into the table would hide it.

    Shapes:
        ids: (n, …)   table: (count, width)  ->  (n, …, width)
    """

    def infer(self, ids: TensorType, table: TensorType) -> TensorType:
        if is_floating(ids.dtype) or ids.dtype == "bool":
            raise ShapeError(f"ids: expected whole numbers, received {ids}")
        if table.rank != 2 or not is_floating(table.dtype):
            raise ShapeError(f"table: expected a matrix of floats, received {table}")
        return TensorType((*ids.shape, table.shape[1]), table.dtype)

    def lower(self, ids: Array, table: Array) -> Array:
        ids = _in_32_bits(ids, table.shape[0])
        return rows_of(table, ids)

    def id_count(self, types: Sequence[TensorType | None]) -> int | None:
        table = types[1]
        count = None if table is None else table.shape[0]
        return count if isinstance(count, int) else None

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        rank = len(layout.perm)
        if types[0] is None or types[0].rank != rank:
            return None
        inner = (*layout.inner, None) if layout.inner else ()
        return Permuted(
            self,
            (layout, Layout.plain(2)),
            (Layout((*layout.perm, rank), inner),),
        )

    def flops(self, operands: object, results: object) -> int:
        return 0


# --- which inputs are ids ---------------------------------------------------------


# --- the layer --------------------------------------------------------------------


def _input_length(value: Any) -> int | tuple[int | None, ...]:
    """An int, or one for every axis behind the batch, None where it is free."""
    items = sequence_of(value)
    try:
        if items is None:
            return size(value)
        return tuple(optional(size)(item) for item in items)
    except Unfit:
        raise Unfit("an int >= 1, or a tuple of them and None") from None


@LAYERS.register("Embedding")
class Embedding(Layer):
    """A vector for every id: row id of a learned matrix.

    Ids are whole numbers from 0 to input_dim - 1; of floats the whole part counts.
    Data out of that range is refused with a DataError. Where ids are computed inside
    the model, one out of range gives a row of NaN.

    Shapes:
        x: (n, …) ids   embeddings: (input_dim, output_dim)  ->  (n, …, output_dim)

    Args:
        input_dim: How many ids there are, the largest one + 1.
        output_dim: Size of a vector.
        embeddings_initializer: Of the matrix.
        embeddings_regularizer: Penalty on the matrix.
        activity_regularizer: Penalty on the output.
        embeddings_constraint: Projection of the matrix after each update.
        mask_zero: Whether id 0 stands for padding, which is masked.
        input_length: The input's length, or all its dims without the batch, where
            they are constant.
        dropout: In training, the fraction of ids whose vectors are zeroed in a whole
            batch; the others are scaled by 1 / (1 - dropout) (arXiv:1512.05287).
    """

    #: Ids stay as they come: in a narrow float type two of them could become one.
    casts_floats: ClassVar[bool] = False
    renamed = {
        "init": "embeddings_initializer",
        "W_regularizer": "embeddings_regularizer",
        "W_constraint": "embeddings_constraint",
    }

    input_dim: int = arg(converter=size)
    output_dim: int = arg(converter=size)
    embeddings_initializer: Initializer = arg(
        default="uniform", converter=weights.initializer
    )
    embeddings_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    activity_regularizer: Regularizer | None = arg(
        default=None, converter=weights.regularizer
    )
    embeddings_constraint: Constraint | None = arg(
        default=None, converter=weights.constraint
    )
    mask_zero: bool = arg(default=False, converter=boolean)
    input_length: int | tuple[int | None, ...] | None = arg(
        default=None, converter=optional(_input_length)
    )
    dropout: float = arg(default=0.0, converter=fraction, kw_only=True, ours=True)

    @property
    def first_input(self) -> FirstInput:
        """Ids as whole numbers: of `input_length`, or rows of any length."""
        told = super().first_input
        length = self.input_length
        dims = length if isinstance(length, tuple) else (length,)
        return FirstInput(told.shape or (told.batch, *dims), told.dtype or "int32")

    def emit(self, emitter: Emitter, *inputs: Value) -> Value:
        (x,) = inputs
        ids = self._ids(emitter, x)
        table = emitter.param(
            "embeddings",
            (self.input_dim, self.output_dim),
            self.embeddings_initializer,
            self.embeddings_regularizer,
            self.embeddings_constraint,
        )
        if 0 < self.dropout < 1:
            # One draw for a row, not for an element.
            table = emitter(DropoutOp(self.dropout, 0, (None, 1)), table)
        return emitter(EmbeddingOp(), ids, table)

    def emit_masks(
        self,
        emitter: Emitter,
        inputs: Sequence[Value],
        masks: Sequence[Value | None],
        outputs: Sequence[Value],
    ) -> Sequence[Value | None]:
        none = super().emit_masks(emitter, inputs, masks, outputs)
        if not self.mask_zero:
            return none
        return [emitter(Cast("bool"), self._ids(emitter, inputs[0]))]

    def _ids(self, emitter: Emitter, x: Value) -> Value:
        """The input as whole numbers, of the dims that `input_length` says."""
        type_ = emitter.type_of(x)
        wanted = self._dims(emitter, type_)
        shape = tuple(dim if isinstance(dim, int) else -1 for dim in wanted)
        # More than one free dim cannot be told apart, so they stay as they are.
        if wanted != type_.shape[1:] and shape.count(-1) <= 1:
            x = emitter(Reshape(shape), x)
        whole = not is_floating(type_.dtype) and type_.dtype != "bool"
        return x if whole else emitter(Cast("int32"), x)

    def _dims(self, emitter: Emitter, x: TensorType) -> tuple[Dim, ...]:
        """The input's dims behind the batch, with those of `input_length` filled in."""
        dims = x.shape[1:]
        if self.input_length is None:
            return dims
        given = self.input_length
        wanted = (given,) if isinstance(given, int) else given
        pairs = list(zip(dims, wanted, strict=False))
        clash = any(isinstance(d, int) and w is not None and d != w for d, w in pairs)
        if len(wanted) != len(dims) or clash:
            message = f"input_length is {given}, the input has shape {x.user_shape()}"
            raise ShapeError(f"{emitter.title}: {message}")
        return tuple(d if isinstance(d, int) or w is None else w for d, w in pairs)
