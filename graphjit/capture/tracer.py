"""Capture: the fragments of a model's calls, inlined into one graph."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from typing import Any, ClassVar, Final

from graphjit.bodies import bodies_of
from graphjit.builder import Builder
from graphjit.capture.call_arguments import filled
from graphjit.capture.cell import Cell
from graphjit.capture.input_layer import InputLayer
from graphjit.capture.layer import Layer
from graphjit.capture.naming import layer_names
from graphjit.capture.ordering import ordered_calls
from graphjit.capture.tensor import Call, Tensor
from graphjit.errors import CaptureError
from graphjit.ir import (
    NO_CALL,
    Config,
    Graph,
    LayerCall,
    Ref,
    Value,
)
from graphjit.ops.base import Op, Random, with_fields
from graphjit.types import BATCH
from graphjit.verify import verify

__all__ = ["ROOT", "Captured", "SubModel", "capture"]


#: The path of the layer table's last row, which is the model itself.
ROOT: Final = "/"


class SubModel(Layer):
    """A layer that is itself a captured model: inlined under a name scope."""

    stem = "model"
    #: What the layer table and configurations call the class.
    written_class: ClassVar[str] = "Functional"

    @classmethod
    def class_name(cls) -> str:
        return cls.written_class

    @property
    def captured(self) -> Captured:
        """What the model is made of."""
        raise NotImplementedError

    def build_for(self, shape: Sequence[Any]) -> None:
        """Build the model for an input of this shape, if it is not known yet."""

    @classmethod
    def rebuilt(
        cls, config: Any, make: Callable[[Mapping[str, Any]], Layer]
    ) -> SubModel:
        """A new model of a configuration in our form, its layers made by `make`."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Captured:
    """What a model is made of.

    Attributes:
        graph: The training graph.
        cells: For every param the cell that holds its value.
        layers: The model's layers in Keras's order.
        names: The layers' names in this model, in the same order.
    """

    graph: Graph
    cells: dict[str, Cell]
    layers: tuple[Layer, ...]
    names: tuple[str, ...]


@dataclass(slots=True)
class _Scope:
    """What is known of one layer while a model is captured."""

    path: str
    calls: int = 0


@dataclass(slots=True)
class _Tracer:
    builder: Builder
    values: dict[Tensor, tuple[Value, Value | None]] = field(
        default_factory=dict["Tensor", "tuple[Value, Value | None]"]
    )
    refs: dict[Tensor, Ref] = field(default_factory=dict["Tensor", "Ref"])
    cells: dict[str, Cell] = field(default_factory=dict[str, "Cell"])
    known: dict[int, str] = field(default_factory=dict[int, str])
    state: dict[str, Value] = field(default_factory=dict[str, "Value"])


def capture(
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    name: str,
    written_class: str = SubModel.written_class,
) -> Captured:
    """The graph that computes `outputs` from `inputs`.

    Raises:
        CaptureError: An output depends on an Input that is not among `inputs`; two
            layers or two inputs have one name; an input is given twice.
    """
    _check_tensors(inputs, "inputs")
    _check_tensors(outputs, "outputs")
    if len(set(inputs)) != len(inputs):
        raise CaptureError(f"model {name!r}: an input is given twice")
    calls = ordered_calls(inputs, outputs, name)
    starts = _input_layers(inputs, calls)
    ends = {tensor.call for tensor in inputs}
    layers: list[Layer] = []
    for call in calls:
        if call in ends:
            layers += [starts[tensor] for tensor in inputs if tensor.call is call]
        else:
            layers.append(call.layer)
    layers = list(dict.fromkeys(layers))
    names = layer_names(layers)
    tracer = _Tracer(Builder(name))
    for tensor in inputs:
        _add_input(tracer, tensor, starts[tensor], names[starts[tensor]])
    scopes = {layer: _Scope(names[layer]) for layer in layers}
    for call in calls:
        if call not in ends:
            _inline(tracer, call, scopes[call.layer])
    builder = tracer.builder
    taken: set[str] = set()
    for at, tensor in enumerate(outputs):
        if tensor not in tracer.values:
            raise CaptureError(
                f"model {name!r}: output {tensor!r} comes from the call whose other "
                "result is an input of the model",
                hint="make all results of that call inputs",
            )
        value, mask = tracer.values[tensor]
        owner = starts.get(tensor, tensor.call.layer)
        output = _output_name(taken, names[owner], at)
        taken.add(output)
        builder.output(output, value, mask)
    for param, value in tracer.state.items():
        builder.update(param, value)
    graph = _with_outputs(builder.build(), outputs, tracer, written_class)
    verify(graph)
    return Captured(
        graph, tracer.cells, tuple(layers), tuple(names[layer] for layer in layers)
    )


def _with_outputs(
    graph: Graph, outputs: Sequence[Tensor], tracer: _Tracer, written_class: str
) -> Graph:
    """The graph with its own row in the layer table, which names its outputs."""
    refs = tuple(tracer.refs[tensor] for tensor in outputs)
    types = tuple(tensor.type for tensor in outputs)
    config = Config.freeze({"name": graph.name})
    row = LayerCall(ROOT, ROOT, written_class, config, results=refs, types=types)
    return graph.replace(layers=(*graph.layers, row))


def _check_tensors(tensors: Sequence[object], what: str) -> None:
    if not tensors:
        raise CaptureError(f"a model needs {what}, received none")
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            received = type(tensor).__name__
            raise CaptureError(
                f"a model's {what} are tensors, received {received}",
                hint="start from graphjit.Input(shape) and call layers on it",
            )


# --- inlining -------------------------------------------------------------------


def _output_name(taken: set[str], layer: str, position: int) -> str:
    name = layer
    while name in taken:
        name = f"{layer}_{position}"
        position += 1
    return name


def _input_layers(
    inputs: Sequence[Tensor], calls: Sequence[Call]
) -> dict[Tensor, InputLayer]:
    """The input layer of every input; a new one where the model begins inside."""
    ends = {tensor.call for tensor in inputs}
    called = {call.layer for call in calls if call not in ends}
    found: dict[Tensor, InputLayer] = {}
    for tensor in inputs:
        layer = tensor.call.layer
        if isinstance(layer, InputLayer):
            found[tensor] = layer
            continue
        name = layer.name
        if name is not None and tensor.index:
            name = f"{name}_{tensor.index}"
        if name is not None and layer in called:
            name = f"{name}_input"
        shape = [None if dim == BATCH else dim for dim in tensor.type.shape]
        found[tensor] = InputLayer(batch_shape=shape, dtype=tensor.dtype, name=name)
    return found


def _add_input(tracer: _Tracer, tensor: Tensor, layer: InputLayer, name: str) -> None:
    builder = tracer.builder
    value = builder.input(name, tensor.type)
    mask = None
    if tensor.mask_type is not None:
        mask = builder.input(f"{name}/mask", tensor.mask_type)
    tracer.values[tensor] = (value, mask)
    tracer.refs[tensor] = Ref(len(builder.layers))
    config = Config.freeze({**layer.get_config(), "name": name})
    builder.layers.append(
        LayerCall(name, name, "InputLayer", config, types=(tensor.type,))
    )


def _inline(tracer: _Tracer, call: Call, scope: _Scope) -> None:
    """Add one call's fragment to the graph, under the scope of its layer."""
    builder, layer = tracer.builder, call.layer
    number = scope.calls
    scope.calls += 1
    path = scope.path if number == 0 else f"{scope.path}@{number}"
    row = len(builder.layers)
    params = _param_names(tracer, call, scope.path)
    is_model = isinstance(layer, SubModel)
    config = {"name": scope.path} if is_model else layer.get_config()
    written_class = layer.written_class if is_model else layer.class_name()
    config["name"] = scope.path
    types = tuple(tensor.type for tensor in call.outputs)
    inputs = tuple(tracer.refs[tensor] for tensor in call.inputs)
    entry = LayerCall(
        path,
        scope.path,
        written_class,
        Config.freeze(config),
        call=number,
        inputs=inputs,
        results=_inner_results(call.fragment, row + 1) if is_model else (),
        types=types,
        params=() if is_model else tuple(params.values()),
        arguments=_written_arguments(call),
    )
    builder.layers.append(entry)
    if is_model:
        _append_table(
            builder, call.fragment, row, path, scope.path, number, inputs, params
        )
    _inline_nodes(tracer, call, path, row, params, is_model)
    for tensor in call.outputs:
        tracer.refs[tensor] = Ref(row, tensor.index)


def _written_arguments(call: Call) -> Config:
    """The call's arguments for the layer table: ``{"tensor": i}`` for a tensor."""

    def written(index: int) -> dict[str, int]:
        return {"tensor": index}

    arguments = call.given.arguments
    return Config.freeze({k: filled(v, written) for k, v in arguments.items()})


def _param_names(tracer: _Tracer, call: Call, path: str) -> dict[str, str]:
    """For the fragment's params their names in the model; declare the new ones."""
    cells = _cells_of(call.layer)
    names: dict[str, str] = {}
    for param in call.fragment.params:
        cell = cells[param.name]
        name = tracer.known.get(id(cell))
        if name is None:
            name = f"{path}/{param.name}"
            if name in tracer.cells:
                raise CaptureError(f"two params are called {name!r}")
            tracer.known[id(cell)] = name
            tracer.cells[name] = cell
            tracer.builder.param(replaced(param, name=name))
        names[param.name] = name
    return names


def _cells_of(layer: Layer) -> dict[str, Cell]:
    return layer.captured.cells if isinstance(layer, SubModel) else layer.cells


def _inner_results(fragment: Graph, offset: int) -> tuple[Ref, ...]:
    """Which rows, once appended from `offset` on, make the nested model's outputs."""
    results = fragment.layers[-1].results
    return tuple(Ref(ref.call + offset, ref.index) for ref in results)


def _append_table(
    builder: Builder,
    fragment: Graph,
    row: int,
    path: str,
    layer_path: str,
    number: int,
    inputs: Sequence[Ref],
    params: dict[str, str],
) -> None:
    """Append a nested model's rows (but its own last one), moved under `path`."""
    offset = row + 1
    sources = iter(inputs)
    per_call = Counter(inner.layer for inner in fragment.layers)
    for inner in fragment.layers[:-1]:
        refs = tuple(Ref(ref.call + offset, ref.index) for ref in inner.inputs)
        top = inner.parent == NO_CALL
        if top and inner.cls == "InputLayer":
            refs = (next(sources),)
        builder.layers.append(
            LayerCall(
                f"{path}/{inner.path}",
                f"{layer_path}/{inner.layer}",
                inner.cls,
                inner.config,
                inner.call + number * per_call[inner.layer],
                row if top else inner.parent + offset,
                refs,
                tuple(Ref(ref.call + offset, ref.index) for ref in inner.results),
                inner.types,
                tuple(params[name] for name in inner.params),
                inner.arguments,
            )
        )


def _inline_nodes(
    tracer: _Tracer,
    call: Call,
    path: str,
    row: int,
    params: dict[str, str],
    is_model: bool,
) -> None:
    builder, fragment = tracer.builder, call.fragment
    local: dict[Value, Value] = {}
    entries = iter(fragment.inputs)
    for tensor in call.inputs:
        value, mask = tracer.values[tensor]
        local[next(entries).value] = value
        if tensor.mask_type is not None and mask is not None:
            local[next(entries).value] = mask
    for param in fragment.params:
        name = params[param.name]
        local[param.value] = tracer.state.get(name, Value(name))
    for node in fragment.nodes:
        results = builder.node(
            _reseeded(node.op, f"{path}/{node.name}"),
            [None if v is None else local[v] for v in node.operands],
            name=f"{path}/{node.name}",
            epilogue=node.epilogue,
            call=row + 1 + node.call if is_model else row,
            loc=node.loc or call.loc,
        )
        local.update(zip(node.values(), results, strict=True))
    for update in fragment.updates:
        tracer.state[params[update.param]] = local[update.value]
    for loss in fragment.losses:
        builder.loss(f"{path}/{loss.name}", local[loss.value])
    for tensor, output in zip(call.outputs, fragment.outputs, strict=True):
        mask = None if output.mask is None else local[output.mask]
        tracer.values[tensor] = (local[output.value], mask)


def _reseeded(op: Op, path: str) -> Op:
    """The op with the seed of its random draws made its own by where it stands."""
    changes: dict[str, Any] = {}
    if isinstance(op, Random):
        text = f"{op.seed}:{path}".encode()
        digest = hashlib.blake2b(text, digest_size=4).digest()
        changes["seed"] = int.from_bytes(digest, "little") >> 1
    for name, body in bodies_of(op):
        nodes = [
            replaced(n, op=_reseeded(n.op, f"{path}/{n.name}")) for n in body.nodes
        ]
        if any(
            new.op is not old.op for new, old in zip(nodes, body.nodes, strict=True)
        ):
            changes[name] = body.replace(nodes=tuple(nodes))
    if not changes:
        return op
    return with_fields(op, **changes)
