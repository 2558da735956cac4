"""What a graph costs: operations, and bytes read and written."""

from __future__ import annotations

from dataclasses import dataclass

from graphjit.ir import Graph
from graphjit.types import BATCH, DTYPE_BYTES, TensorType

__all__ = ["Cost", "cost_of", "size_bytes"]


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one run.

    Attributes:
        flops: Floating-point operations; a multiply-add counts as two.
        weight_bytes: Size of all params.
        activation_bytes: Size of all inputs and results, each counted once.
    """

    flops: int
    weight_bytes: int
    activation_bytes: int

    @property
    def bytes(self) -> int:
        """Weights and activations together: the least that moves through memory."""
        return self.weight_bytes + self.activation_bytes


def cost_of(graph: Graph, batch_size: int = 1) -> Cost:
    """The cost of one run at a batch size; unknown dims count as 1."""

    def bound(type_: TensorType) -> TensorType:
        dims = (batch_size if dim == BATCH else dim for dim in type_.shape)
        return type_.with_shape(dim if isinstance(dim, int) else 1 for dim in dims)

    types = {value: bound(type_) for value, type_ in graph.types().items()}
    flops = 0
    for node in graph.nodes:
        operands = [None if v is None else types[v] for v in node.operands]
        results = [types[value] for value in node.values()]
        flops += node.op.flops(operands, results)
        flops += sum(stage.flops(results[:1], results[:1]) for stage in node.epilogue)
    params = {param.value for param in graph.params}
    weights = sum(size_bytes(types[value]) for value in params)
    rest = sum(size_bytes(types[v]) for v in types if v not in params)
    return Cost(flops, weights, rest)


def size_bytes(type_: TensorType) -> int:
    """The size of one value; dims that are not numbers count as 1."""
    size = DTYPE_BYTES[type_.dtype]
    for dim in type_.shape:
        size *= dim if isinstance(dim, int) else 1
    return size
