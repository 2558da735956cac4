"""A user's function with settings, as an op."""

from __future__ import annotations

from typing import Any, TypeAlias

from graphjit.errors import ShapeError
from graphjit.functions import Function
from graphjit.narrow import sequence_of
from graphjit.ops.base import (
    Array,
    Becomes,
    MixesRows,
    Op,
    Result,
    added,
    register_op,
    with_fields,
)
from graphjit.ops.precision import KeepsPrecision
from graphjit.types import TensorType

__all__ = ["LambdaOp", "Plain", "Setting"]

Plain: TypeAlias = bool | int | float | str | None
#: A keyword argument that a file can hold.
Setting: TypeAlias = bool | int | float | str | tuple[Plain, ...] | None


@register_op("lambda", roles=("x*",))
class LambdaOp(Op, MixesRows, KeepsPrecision):
    """fn(x, …settings), of the types recorded when it was captured.

    Operands are `inputs` tensors, then their masks where `masks` says that the function
    takes them: "second" as its second argument, "keyword" as ``mask=``. Several tensors
    are one list, or one argument each with `spread`. `training` is passed on where it
    is not None; in inference as False, unless `always`. Nothing is known of the
    function: it may mix rows, so no batch is padded for it.

    Shapes:
        x0, x1, …, mask0, mask1, …: any  ->  `types`
    """

    fn: Function
    types: tuple[TensorType, ...]
    arguments: tuple[tuple[str, Setting], ...] = ()
    inputs: int = 1
    masks: str = ""
    training: bool | None = None
    spread: bool = False
    always: bool = added(default=False)

    def infer(self, *operands: TensorType | None) -> tuple[TensorType, ...]:
        return self.types

    def call(self, *operands: Array | None) -> Any:
        """What the function returns for the operands."""
        xs = list(operands[: self.inputs])
        found = list(operands[self.inputs :])
        masks = found + [None] * (self.inputs - len(found))
        settings: dict[str, Any] = dict(self.arguments)
        if self.training is not None:
            settings["training"] = self.training
        given: list[Any] = xs if self.spread else [xs if len(xs) > 1 else xs[0]]
        if self.masks:
            mask = masks if len(masks) > 1 else masks[0]
            if self.masks == "keyword":
                settings["mask"] = mask
            else:
                given.append(mask)
        return self.fn.fn(*given, **settings)

    def lower(self, *operands: Array | None) -> Any:
        returned = self.call(*operands)
        items = sequence_of(returned)
        results = [returned] if items is None else items
        results = [result for result in results if result is not None]
        for result, type_ in zip(results, self.types, strict=False):
            self._check(result, type_)
        return returned if items is None else results

    def _check(self, result: Any, type_: TensorType) -> None:
        """A file may say one type and have a function that returns another."""
        shape = tuple(result.shape)
        fits = len(shape) == type_.rank and all(
            not isinstance(dim, int) or dim == found
            for dim, found in zip(type_.shape, shape, strict=False)
        )
        if not fits:
            message = f"expected {type_}, the function returned shape {shape}"
            raise ShapeError(f"{self.fn.name}: {message}")

    def to_inference(self) -> Becomes | None:
        if not self.training or self.always:
            return None
        op = with_fields(self, training=False)
        count = self.inputs * (2 if self.masks else 1)
        results = tuple(Result(index) for index in range(len(self.types)))
        return Becomes(op, tuple(range(count)), results)
