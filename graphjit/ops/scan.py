"""A loop over an axis, with its body as a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from graphjit.errors import ShapeError
from graphjit.ir import Graph, Node
from graphjit.ops.base import Array, Op, register_op
from graphjit.ops.precision import KeepsPrecision
from graphjit.ops.wide_sums import loop_constants
from graphjit.types import Dim, TensorType, unify_dim, unify_shapes

__all__ = ["Scan", "body_flops", "check_fits"]


@register_op("scan", roles=("operand*",))
class Scan(Op, KeepsPrecision):
    """Run `body` once for every index along `axis` of the sequences.

    Operands are `carries` start values, then `sequences` arrays that are cut along
    `axis`, then constants. The body takes (carries, slices, constants) and returns
    (new carries, slices of the results). Results are the last carries, then the
    slices stacked along `axis`.

    Shapes:
        carry: (n, …)   sequence: (n, t, …) for axis 1   constant: any
        ->  carry: (n, …)   stacked: (n, t, …)
    """

    body: Graph
    carries: int
    sequences: int
    axis: int = 1
    reverse: bool = False

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        given = [type_ for type_ in types if type_ is not None]
        expected = len(self.body.inputs)
        if len(given) != expected or len(types) != expected:
            raise ShapeError(f"body takes {expected} operands, received {len(types)}")
        if self.sequences < 1:
            raise ShapeError("expected at least one sequence, received none")
        if self.axis < 0:
            raise ShapeError(f"expected axis >= 0, received {self.axis}")
        split = self.carries + self.sequences
        length: Dim = None
        inner: list[TensorType] = list(given[: self.carries])
        for type_ in given[self.carries : split]:
            if type_.rank <= self.axis:
                raise ShapeError(f"no axis {self.axis} in a sequence of type {type_}")
            length = unify_dim(length, type_.shape[self.axis])
            shape = type_.shape[: self.axis] + type_.shape[self.axis + 1 :]
            inner.append(type_.with_shape(shape))
        inner += given[split:]
        for entry, type_ in zip(self.body.inputs, inner, strict=True):
            check_fits(f"body input %{entry.name}", entry.type, type_)
        table = self.body.types()
        outputs = [table[output.value] for output in self.body.outputs]
        if len(outputs) < self.carries:
            raise ShapeError(f"body has {len(outputs)} outputs, {self.carries} carries")
        for at, start in enumerate(given[: self.carries]):
            check_fits(f"carry {at}", start, outputs[at])
        results = list(given[: self.carries])
        for type_ in outputs[self.carries :]:
            dims = type_.shape
            if len(dims) < self.axis:
                raise ShapeError(f"no axis {self.axis} to stack {type_} along")
            shape = (*dims[: self.axis], length, *dims[self.axis :])
            results.append(type_.with_shape(shape))
        return tuple(results)

    def lower(self, *arrays: Array, run: Callable[..., Any]) -> tuple[Array, ...]:
        split = self.carries + self.sequences
        carries = arrays[: self.carries]
        sequences = [
            jnp.moveaxis(x, self.axis, 0) for x in arrays[self.carries : split]
        ]
        constants = loop_constants(arrays[split:])

        def step(
            state: tuple[Array, tuple[Array, ...]], slices: Sequence[Array]
        ) -> tuple[tuple[Array, tuple[Array, ...]], tuple[Array, ...]]:
            index, held = state
            results = run(self.body, (*held, *slices, *constants()), step=index)
            new = tuple(results[: self.carries])
            return (index + 1, new), tuple(results[self.carries :])

        start = (jnp.zeros((), jnp.int32), tuple(carries))
        (_, last), stacked = jax.lax.scan(
            step, start, tuple(sequences), reverse=self.reverse
        )
        return (*last, *(jnp.moveaxis(y, 0, self.axis) for y in stacked))

    def flops(
        self, operands: Sequence[TensorType | None], results: Sequence[TensorType]
    ) -> int:
        sequence = operands[self.carries]
        steps = sequence.shape[self.axis] if sequence is not None else 1
        return (steps if isinstance(steps, int) else 1) * body_flops(self.body)


def body_flops(graph: Graph) -> int:
    """Floating-point operations of one run of a graph; unknown dims count once."""
    types = graph.types()
    return sum(_node_flops(node, types) for node in graph.nodes)


def _node_flops(node: Node, types: dict[Any, TensorType]) -> int:
    operands = [None if v is None else types[v] for v in node.operands]
    total = node.op.flops(operands, node.types)
    return total + sum(op.flops(node.types[:1], node.types[:1]) for op in node.epilogue)


def check_fits(what: str, wanted: TensorType, found: TensorType) -> None:
    """Refuse a type that is not the one a body states.

    Raises:
        ShapeError: Shape or dtype differ.
    """
    try:
        unify_shapes(wanted.shape, found.shape)
    except ShapeError as error:
        message = f"{what}: expected {wanted}, received {found}: {error.message}"
        raise ShapeError(message) from None
    if wanted.dtype != found.dtype:
        raise ShapeError(f"{what}: expected {wanted}, received {found}")
