"""A user's JAX function as an op."""

from __future__ import annotations

from typing import Any

from graphjit.functions import Function
from graphjit.ops.base import Array, MixesRows, Op, register_op
from graphjit.ops.precision import KeepsPrecision
from graphjit.types import TensorType

__all__ = ["FunctionOp"]


@register_op("function", roles=("x*",))
class FunctionOp(Op, MixesRows, KeepsPrecision):
    """fn(x0, x1, …), of the type recorded when it was captured.

    Nothing is known of the function: it may mix rows, so no batch is padded for it.

    Shapes:
        x0, x1, …: any  ->  `type`
    """

    fn: Function
    type: TensorType

    def infer(self, *xs: TensorType | None) -> TensorType:
        return self.type

    def lower(self, *xs: Array) -> Any:
        return self.fn.fn(*xs)
