"""Products in a narrow float type, around weights and results that keep theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphjit.builder import Rewriter
from graphjit.cost import size_bytes
from graphjit.errors import PassError, ShapeError
from graphjit.ir import Graph, Node, Value
from graphjit.ops.base import Kernel, ReadsIds, ScalesOutput
from graphjit.ops.elementwise import Cast
from graphjit.ops.precision import KeepsPrecision
from graphjit.passes.base import Entry, Pass
from graphjit.passes.constants import constants_of
from graphjit.types import DTYPE_BYTES, TensorType, is_floating

__all__ = ["MixedPrecision"]


@dataclass(frozen=True, slots=True)
class MixedPrecision(Pass):
    """op(x, k) -> op(cast(x), cast(k)), from the first op with weights on.

    Not exact, so never run unless asked for: with bfloat16 a result is right to two or
    three digits. Params, state, losses and outputs keep their types, and so do the ops
    with the trait `KeepsPrecision` (norms, softmax, loops, casts), those on weights
    alone and those before any op with weights. Integers and masks stay as they are.

    Run it behind the folds and before the kernels are chosen:
    ``(*INFERENCE, MixedPrecision(), SelectKernels())``.

    Attributes:
        dtype: "bfloat16"; or any floating type narrower than the graph's.
    """

    dtype: str = "bfloat16"

    def rewrite(self, graph: Graph, entry: Entry) -> Graph:
        if not is_floating(self.dtype):
            raise PassError(
                f"MixedPrecision: dtype: expected a floating type, got {self.dtype!r}"
            )
        state = _State(graph, self.dtype, entry)
        for node in graph.nodes:
            state.visit(node)
        new = state.finish()
        if new is not graph:
            before, after = state.before_bytes, state.after_bytes
            count = f"{state.narrowed} of {len(graph.nodes)} ops in {self.dtype}"
            entry.did(graph.name, f"{count}, {before:,} -> {after:,} bytes a row")
        return new


class _State:
    """One run of the pass over one graph."""

    def __init__(self, graph: Graph, dtype: str, entry: Entry) -> None:
        self.graph = graph
        self.dtype = dtype
        self.entry = entry
        self.rewriter = Rewriter(graph)
        self.types = graph.types()
        self.constant = constants_of(graph)
        #: Old values that an op with weights stands before.
        self.behind: set[Value] = set()
        self.casts: dict[tuple[Value, str], Value] = {}
        #: Of the narrowed nodes: how many, and the size of their results.
        self.narrowed = self.before_bytes = self.after_bytes = 0

    def visit(self, node: Node) -> None:
        """Add the node, in the narrow type where that is its place."""
        if node.value in self.constant:
            self.rewriter.keep(node)
            return
        reads = [v for v in node.operands if v is not None]
        starts = isinstance(node.op, ScalesOutput)
        if starts or not self.behind.isdisjoint(reads):
            self.behind.update(node.values())
        if node.value not in self.behind or not self._narrow(node):
            self._wide(node)

    def finish(self) -> Graph:
        """The new graph, with results in the types they had."""
        for value in dict.fromkeys(self.graph.results()):
            new = self.rewriter.lookup(value)
            wanted = self.types[value].dtype
            if self.rewriter.type_of(new).dtype != wanted:
                self.rewriter.replace(value, self._cast(new, wanted))
        return self.rewriter.finish()

    def _wide(self, node: Node) -> None:
        """Add the node as it was captured."""
        types = [None if v is None else self.types[v] for v in node.operands]
        self.rewriter.keep(node, operands=self._operands(node, types))

    def _narrow(self, node: Node) -> bool:
        """Add the node in the narrow type; whether that can be."""
        stages = (node.op, *node.epilogue)
        if any(isinstance(op, (KeepsPrecision, ReadsIds)) for op in stages):
            return False
        dtypes = {self._dtype(v) for v in node.operands if v is not None}
        floats = {dtype for dtype in dtypes if is_floating(dtype)}
        if not floats or not all(d == self.dtype or self._is_wide(d) for d in floats):
            return False
        types = [
            None if v is None else self._narrowed(self.types[v]) for v in node.operands
        ]
        try:
            node.op.infer(*types)
        except ShapeError as error:
            self.entry.refuse(node.name, f"not in {self.dtype}: {error.message}")
            return False
        kernel = self._kernel(node, types)
        operands = self._operands(node, types)
        new = self.rewriter.keep(node, operands=operands, kernel=kernel)
        self.narrowed += 1
        self.before_bytes += sum(map(size_bytes, node.types))
        self.after_bytes += sum(map(size_bytes, new.types))
        return True

    def _operands(
        self, node: Node, types: Sequence[TensorType | None]
    ) -> tuple[Value | None, ...]:
        """The node's operands in the new graph, cast to these types."""
        self.rewriter.at(node)
        return tuple(
            None
            if value is None or type_ is None
            else self._cast(self.rewriter.lookup(value), type_.dtype)
            for value, type_ in zip(node.operands, types, strict=True)
        )

    def _kernel(self, node: Node, types: Sequence[TensorType | None]) -> str:
        """The chosen kernel, where it computes the narrow op as well."""
        chosen: list[Kernel] = [k for k in node.op.kernels if k.name == node.kernel]
        return node.kernel if chosen and chosen[0].can(node.op, types) else ""

    def _cast(self, value: Value, dtype: str) -> Value:
        """A value of the new graph in a type; each cast is made once."""
        if self.rewriter.type_of(value).dtype == dtype:
            return value
        if (value, dtype) not in self.casts:
            name = f"{value.node}/{dtype}"
            self.casts[value, dtype] = self.rewriter(Cast(dtype), value, name=name)
        return self.casts[value, dtype]

    def _narrowed(self, type_: TensorType) -> TensorType:
        if not self._is_wide(type_.dtype):
            return type_
        return TensorType(type_.shape, self.dtype)

    def _is_wide(self, dtype: str) -> bool:
        wider = DTYPE_BYTES[dtype] > DTYPE_BYTES[self.dtype]
        return is_floating(dtype) and wider

    def _dtype(self, value: Value) -> str:
        """The element type an old value had."""
        return self.types[value].dtype
