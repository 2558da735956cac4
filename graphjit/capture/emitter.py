"""What a layer writes its ops into when it is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from graphjit.builder import Builder
from graphjit.capture.layer import Cell, Layer, layer_name
from graphjit.capture.tensor import Call, Tensor, user_location
from graphjit.constraints import Constraint
from graphjit.errors import CaptureError, ShapeError
from graphjit.initializers import Initializer
from graphjit.ir import Graph, Param, Value
from graphjit.narrow import sequence_of
from graphjit.ops.base import Op
from graphjit.ops.elementwise import Cast
from graphjit.ops.penalty import Penalty
from graphjit.regularizers import Regularizer
from graphjit.types import Dim, TensorType, is_floating

__all__ = ["Emitter", "add_call", "call_layer", "input_tensor"]


class Emitter:
    """Collects the fragment of one call; declares params in the layer's cells."""

    def __init__(self, layer: Layer, title: str) -> None:
        self.layer = layer
        self.builder = Builder(title)
        self.dtype: str = layer.dtype or "float32"
        self._title = title
        self._prefix = ""
        self._declared: dict[tuple[Layer, str], Cell] = {}

    def inside(self, part: Layer, prefix: str) -> Emitter:
        """An emitter for a layer that is part of this one (see `Layer.parts`).

        It adds to the same fragment; the part's params are called ``prefix/slot``.
        """
        emitter = Emitter(part, layer_name(part))
        emitter.builder = self.builder
        emitter._prefix = f"{self._prefix}{prefix}/"
        emitter._declared = self._declared
        return emitter

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

    def type_of(self, value: Value) -> TensorType:
        return self.builder.type_of(value)

    def known_dim(self, value: Value, axis: int, what: str) -> int:
        """The dim of `value` at `axis`, which the layer needs as a number."""
        type_ = self.type_of(value)
        dim = type_.shape[axis]
        if isinstance(dim, int):
            return dim
        raise ShapeError(
            f"{self._title}: {what} (axis {axis % type_.rank}) must be known, the "
            f"input is {type_}",
            hint="give the full shape to Input, or reshape to known dims first",
        )

    def check_rank(self, value: Value, *ranks: int) -> None:
        """Refuse an input whose rank is none of `ranks`."""
        type_ = self.type_of(value)
        if type_.rank not in ranks:
            wanted = " or ".join(map(str, ranks))
            message = f"expected an input of rank {wanted}, received rank {type_.rank}"
            raise ShapeError(f"{self._title}: {message}: {type_}")

    def check_least_rank(self, value: Value, least: int) -> None:
        """Refuse an input of a rank below `least`."""
        type_ = self.type_of(value)
        if type_.rank < least:
            message = (
                f"expected an input of rank >= {least}, received rank {type_.rank}"
            )
            raise ShapeError(f"{self._title}: {message}: {type_}")

    def axis(self, value: Value, axis: int) -> int:
        """`axis` counted from the front."""
        rank = self.type_of(value).rank
        if not -rank <= axis < rank:
            message = f"axis {axis} does not fit an input of rank {rank}"
            raise ShapeError(f"{self._title}: {message}")
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
    ) -> Value:
        """A variable that calls update and training does not differentiate."""
        type_ = TensorType(tuple(shape), dtype or self.dtype)
        return self._cell(
            Param(slot, type_, initializer, collection="state", trainable=False)
        )

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
                f"{self._title}: {param.name!r} has shape {cell.param.type.shape} from "
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


def call_layer(layer: Layer, inputs: Any, **kwargs: Any) -> Any:
    """Apply a layer to a tensor or a list of tensors."""
    if kwargs:
        unknown = next(iter(kwargs))
        raise CaptureError(f"{layer_name(layer)}: unknown call argument {unknown!r}")
    tensors = _tensors(layer, inputs)
    fragment = _emit(layer, tensors)
    outputs = add_call(layer, tensors, fragment)
    return outputs[0] if len(outputs) == 1 else outputs


def add_call(layer: Layer, tensors: Sequence[Tensor], fragment: Graph) -> list[Tensor]:
    """Append a call to the layer's list and return its outputs."""
    call = Call(layer, len(layer.calls), tuple(tensors), fragment, loc=user_location())
    types = fragment.types()
    for index, output in enumerate(fragment.outputs):
        mask_type = None if output.mask is None else types[output.mask]
        call.outputs.append(Tensor(types[output.value], call, index, mask_type))
    layer._calls.append(call)  # pyright: ignore[reportPrivateUsage]
    return list(call.outputs)


def _tensors(layer: Layer, inputs: Any) -> list[Tensor]:
    items = sequence_of(inputs)
    given = [inputs] if items is None else items
    for item in given:
        if not isinstance(item, Tensor):
            raise CaptureError(
                f"{layer_name(layer)}: expected a tensor or a list of tensors, "
                f"received {type(item).__name__}",
                hint="start from graphjit.Input(shape)",
            )
    if not given:
        raise CaptureError(f"{layer_name(layer)}: expected tensors, received none")
    return given


def _emit(layer: Layer, tensors: Sequence[Tensor]) -> Graph:
    emitter = Emitter(layer, layer_name(layer))
    builder = emitter.builder
    builder.loc = user_location()
    if layer.name is not None:
        builder.prefix = f"{layer.name}/"
    values: list[Value] = []
    masks: list[Value | None] = []
    for index, tensor in enumerate(tensors):
        values.append(builder.input(f"x{index}", tensor.type))
        source = tensor.call.layer.name
        if source is not None:
            builder.labels[values[-1]] = f"%{source}"
        mask = None
        if tensor.mask_type is not None:
            mask = builder.input(f"mask{index}", tensor.mask_type)
        masks.append(mask)
    given = [_autocast(emitter, value) for value in values]
    returned = layer.emit(emitter, *given)
    outputs = [returned] if isinstance(returned, Value) else list(returned)
    carried = layer.emit_masks(emitter, given, masks, outputs)
    regularizer = layer.activity_regularizer_or_none
    for index, (value, mask) in enumerate(zip(outputs, carried, strict=True)):
        builder.output(f"y{index}", value, mask)
        if regularizer is not None:
            builder.loss(f"activity{index}", emitter(Penalty(regularizer), value))
    return emitter.finish()


def _autocast(emitter: Emitter, value: Value) -> Value:
    """Floating inputs come in the layer's dtype, as Keras casts them."""
    dtype = emitter.type_of(value).dtype
    if is_floating(dtype) or emitter.layer.casts_integers:
        return emitter.cast(value)
    return value


def input_tensor(layer: Layer, type_: TensorType) -> Tensor:
    """The one output of an input layer."""
    builder = Builder("input")
    builder.output("y0", builder.input("x0", type_))
    return add_call(layer, (), builder.build())[0]
