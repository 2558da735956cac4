"""What a layer writes its ops into when it is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from graphjit.builder import Builder, retyped
from graphjit.capture.cell import Cell
from graphjit.capture.layer import Layer, layer_name
from graphjit.constraints import Constraint
from graphjit.errors import CaptureError, ShapeError
from graphjit.functions import function_of
from graphjit.initializers import Initializer
from graphjit.ir import Graph, Param, Value
from graphjit.ops.abstract_call import traced_types
from graphjit.ops.base import Op
from graphjit.ops.elementwise import Cast
from graphjit.ops.lambda_op import LambdaOp
from graphjit.regularizers import Regularizer
from graphjit.types import Dim, TensorType

if TYPE_CHECKING:
    from graphjit.capture.tracer import SubModel

__all__ = ["Emitter"]


class Emitter:
    """Collects the fragment of one call; declares params in the layer's cells."""

    def __init__(self, layer: Layer, title: str) -> None:
        self.layer = layer
        self.builder = Builder(title)
        self.dtype: str = layer.dtype or "float32"
        self.masks: tuple[Value | None, ...] = ()
        #: Masks that `emit` made and leaves to `emit_masks`, one for every output.
        self.made_masks: list[Value | None] = []
        self.title = title
        self._prefix = ""
        self._declared: dict[tuple[Layer, str], Cell] = {}

    def inside(
        self, part: Layer, prefix: str, masks: Sequence[Value | None] = ()
    ) -> Emitter:
        """An emitter for a layer that is part of this one (see `Layer.parts`).

        It adds to the same fragment; the part's params are called ``prefix/slot``, or
        ``slot`` alone where the prefix is empty.

        Args:
            part: The layer.
            prefix: What its params are called after.
            masks: The masks of the part's inputs.
        """
        emitter = self._for_part(part)
        emitter._prefix = f"{self._prefix}{prefix}/" if prefix else self._prefix
        emitter._declared = self._declared
        emitter.masks = tuple(masks)
        return emitter

    def _for_part(self, part: Layer) -> Emitter:
        emitter = Emitter(part, layer_name(part))
        emitter.builder = self.builder
        return emitter

    def inline(self, model: SubModel, *values: Value) -> list[Value]:
        """Add a whole model's graph, applied to `values`; returns its outputs.

        The model is a part of the layer: its params keep their names, behind the
        prefix of this emitter.
        """
        graph = retyped(model.captured.graph, [self.type_of(v) for v in values])
        local = dict(zip((entry.value for entry in graph.inputs), values, strict=True))
        for param in graph.params:
            local[param.value] = self._bind(
                replace(param, name=self._prefix + param.name)
            )
        for node in graph.nodes:
            operands = [None if v is None else local[v] for v in node.operands]
            results = self.builder.node(
                node.op, operands, name=node.name, epilogue=node.epilogue
            )
            local.update(zip(node.values(), results, strict=True))
        for update in graph.updates:
            self.update(update.param, local[update.value])
        for loss in graph.losses:
            self.loss(loss.name, local[loss.value])
        return [local[output.value] for output in graph.outputs]

    def __call__(
        self, op: Op, *operands: Value | None, name: str | None = None
    ) -> Value:
        """Add a node and return its first result."""
        return self.builder.node(op, operands, name=name)[0]

    def node(
        self, op: Op, *operands: Value | None, name: str | None = None
    ) -> tuple[Value, ...]:
        """Add a node and return all its results."""
        return self.builder.node(op, operands, name=name)

    def function(
        self, fn: Callable[..., Any], *operands: Value, **settings: Any
    ) -> Value:
        """Add ``fn(*arrays, **settings)``, a function of JAX arrays; return its result.

        The function is traced to learn the type of its one result. To save a model with
        it, register it: ``@graphjit.register("name")``.

        Raises:
            CaptureError: The function fails, or does not return one array.
        """
        given = tuple(settings.items())
        op = LambdaOp(function_of(fn), (), given, inputs=len(operands), spread=True)
        title = f"{self.title}: {op.fn.name}"
        found = traced_types(
            op.call, [self.type_of(value) for value in operands], title
        )
        if not isinstance(found, TensorType):
            raise CaptureError(f"{title}: expected one array, received {found!r}")
        return self(replace(op, types=(found,)), *operands)

    def type_of(self, value: Value) -> TensorType:
        return self.builder.type_of(value)

    def known_dim(self, value: Value, axis: int, what: str) -> int:
        """The dim of `value` at `axis`, which the layer needs as a number."""
        type_ = self.type_of(value)
        dim = type_.shape[axis]
        if isinstance(dim, int):
            return dim
        raise ShapeError(
            f"{self.title}: {what} (axis {axis % type_.rank}) must be known, the "
            f"input is {type_}",
            hint="give the full shape: Input(shape), or input_shape or input_length to "
            "the first layer",
        )

    def check_rank(self, value: Value, *ranks: int) -> None:
        """Refuse an input whose rank is none of `ranks`."""
        type_ = self.type_of(value)
        if type_.rank not in ranks:
            wanted = " or ".join(map(str, ranks))
            message = f"expected an input of rank {wanted}, received rank {type_.rank}"
            raise ShapeError(f"{self.title}: {message}: {type_}")

    def check_least_rank(self, value: Value, least: int) -> None:
        """Refuse an input of a rank below `least`."""
        type_ = self.type_of(value)
        if type_.rank < least:
            message = (
                f"expected an input of rank >= {least}, received rank {type_.rank}"
            )
            raise ShapeError(f"{self.title}: {message}: {type_}")

    def axis(self, value: Value, axis: int) -> int:
        """`axis` counted from the front."""
        rank = self.type_of(value).rank
        if not -rank <= axis < rank:
            message = f"axis {axis} does not fit an input of rank {rank}"
            raise ShapeError(f"{self.title}: {message}")
        return axis % rank

    def cast(self, value: Value) -> Value:
        """`value` in the layer's dtype."""
        if self.type_of(value).dtype == self.dtype:
            return value
        return self(Cast(self.dtype), value)

    def param(
        self,
        slot: str,
        shape: Sequence[Dim],
        initializer: Initializer,
        regularizer: Regularizer | None = None,
        constraint: Constraint | None = None,
    ) -> Value:
        """A weight of the layer: declared at its first call, found again later."""
        type_ = TensorType(tuple(shape), self.dtype)
        return self._cell(
            Param(slot, type_, initializer, regularizer, constraint, "params")
        )

    def state(
        self,
        slot: str,
        shape: Sequence[Dim],
        initializer: Initializer,
        dtype: str | None = None,
        recurrent: bool = False,
    ) -> Value:
        """A variable that calls update and training does not differentiate.

        `recurrent` state is carried from batch to batch and can be reset; it is not
        among the layer's weights.
        """
        type_ = TensorType(tuple(shape), dtype or self.dtype)
        param = Param(
            slot,
            type_,
            initializer,
            collection="state",
            trainable=False,
            recurrent=recurrent,
        )
        return self._cell(param)

    def update(self, slot: str, value: Value) -> None:
        """State `slot` becomes `value` after the call."""
        self.builder.update(self._prefix + slot, value)

    def loss(self, name: str, value: Value) -> None:
        """Add a scalar to the training loss."""
        self.builder.loss(self._prefix + name, value)

    def _cell(self, param: Param) -> Value:
        cell = self.layer.own_cells.get(param.name)
        if cell is None:
            key = (self.layer, param.name)
            cell = self._declared.setdefault(key, Cell(param))
        if cell.param.type.shape != param.type.shape:
            raise ShapeError(
                f"{self.title}: {param.name!r} has shape {cell.param.type.shape} from "
                f"the layer's first call, this call needs {param.type.shape}",
                hint="a shared layer wants the same number of channels at every call",
            )
        name = self._prefix + param.name
        value = self._bind(replace(cell.param, name=name))
        self.builder.labels[value] = f"%{self.builder.prefix}{name}"
        return value

    def _bind(self, param: Param) -> Value:
        """The value of a param in the graph this emitter adds to."""
        return self.builder.param(param)

    def finish(self) -> Graph:
        """The fragment; only now do the declared cells become the layer's."""
        for (layer, slot), cell in self._declared.items():
            layer.own_cells[slot] = cell
        return self.builder.build()
