"""Activity regularization: a scalar penalty on a layer's output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import jax.numpy as jnp

from graphjit.errors import ShapeError
from graphjit.layout import Layout
from graphjit.ops.base import Array, MixesRows, Op, Permuted, register_op
from graphjit.ops.precision import KeepsPrecision
from graphjit.regularizers import L1, L1L2, L2, Regularizer
from graphjit.types import DTYPE_BYTES, TensorType

__all__ = ["Penalty"]


@register_op("penalty", roles=("x", "row_mask"))
class Penalty(Op, MixesRows, KeepsPrecision):
    """The regularizer's penalty on x: a plain sum, not a mean over the batch.

    Shapes:
        x: (n, …)   row_mask: bool (n,)  ->  ()
    """

    row_mask: ClassVar[int | None] = 1

    regularizer: Regularizer

    def infer(self, x: TensorType, row_mask: TensorType | None = None) -> TensorType:
        if row_mask is not None and (row_mask.rank != 1 or row_mask.dtype != "bool"):
            raise ShapeError(f"row_mask: expected bool[batch], received {row_mask}")
        return TensorType((), _sum_dtype(x.dtype))

    def lower(self, x: Array, row_mask: Array | None = None) -> Array:
        if row_mask is not None:
            valid = jnp.reshape(row_mask, row_mask.shape + (1,) * (x.ndim - 1))
            x = jnp.where(valid, x, 0)
        return self.regularizer.penalty(x).astype(_sum_dtype(x.dtype.name))

    def masks_rows(self) -> bool:
        # A row of zeros costs nothing under a sum of |x| and x²; of another
        # regularizer nothing is known.
        return isinstance(self.regularizer, (L1, L2, L1L2))

    def permuted(
        self, layout: Layout, types: Sequence[TensorType | None]
    ) -> Permuted | None:
        if layout.perm[0] != 0 or not self.masks_rows():
            return None
        return Permuted(self, (layout, Layout((0,)))[: len(types)], (Layout(()),))


def _sum_dtype(dtype: str) -> str:
    """The element type of a penalty: float32 at least, as regularizers give it."""
    return dtype if DTYPE_BYTES[dtype] >= 4 else "float32"
