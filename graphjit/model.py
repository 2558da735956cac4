"""`Model`: a captured graph with variables, in its two faces.

Pure: `init`, `apply`, `step` take and return variables. Handy: the model carries
variables (its layers' cells), so that calling, `fit`, `predict` and `save` work as a
Keras user expects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from graphjit.builder import retyped
from graphjit.capture.emitter import add_call
from graphjit.capture.input_layer import InputLayer
from graphjit.capture.layer import Cell, Layer, layer_name
from graphjit.capture.model_config import call_layers, config_of
from graphjit.capture.tensor import Tensor
from graphjit.capture.tracer import Captured, SubModel, capture
from graphjit.data import batched_call
from graphjit.errors import CaptureError, DataError, ShapeError, expected
from graphjit.executable import Executable, compile_graph, device_copy
from graphjit.ir import Graph, Param
from graphjit.lower import Lowered, Step, lower, x64_scope
from graphjit.narrow import sequence_of
from graphjit.passes.base import Pass
from graphjit.passes.freeze import Freeze
from graphjit.passes.pipeline import TRAINING, run
from graphjit.passes.to_inference import ToInference
from graphjit.training.methods import Trained
from graphjit.types import BATCH, Dim, TensorType, unify_shapes
from graphjit.variables import flatten, nest

__all__ = ["Model", "jit"]


class Model(SubModel, Trained):
    """A model from input tensors to output tensors.

    Args:
        inputs: A tensor made by `Input`, or a list of them.
        outputs: A tensor, or a list of them.
        name: The model's name; "model" by default.

    Raises:
        CaptureError: The graph is disconnected, or two layers have one name.

    >>> import graphjit as gj
    >>> x = gj.Input((4,))
    >>> model = gj.Model(x, gj.layers.Dense(2)(x))
    >>> model(np.ones((3, 4))).shape
    (3, 2)
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None) -> None:
        super().__init__(name=name)
        given: list[Tensor] = sequence_of(inputs) or [inputs]
        made: list[Tensor] = sequence_of(outputs) or [outputs]
        self._assemble(given, made, capture(given, made, name or "model"))

    def _assemble(
        self, inputs: list[Tensor], outputs: list[Tensor], captured: Captured
    ) -> None:
        self._inputs = inputs
        self._outputs = outputs
        self.captured = captured
        self._executable: tuple[int, Executable] | None = None
        self._inference: Lowered | None = None
        self._training: tuple[tuple[str, ...], Graph, Lowered] | None = None

    @classmethod
    def of_graph(cls, captured: Captured) -> Model:
        """A model of a graph alone: it runs and trains, but has no layer objects."""
        graph = captured.graph
        inputs = [
            InputLayer(batch_shape=_dims(entry.type), name=entry.name).tensor()
            for entry in graph.inputs
        ]
        model = cls.__new__(cls)
        Layer.__init__(model, name=graph.name)
        model._assemble(inputs, [], captured)
        model._outputs = add_call(model, inputs, graph)
        return model

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Model:
        """A new model of the configuration that `get_config` gave; fresh weights.

        Raises:
            CaptureError: A layer class is not known, or the configuration is broken.
        """
        model = cls(*call_layers(config, cls))
        model.trainable = bool(config.get("trainable", True))
        return model

    def get_config(self) -> dict[str, Any]:
        """The configuration as plain data, in Keras 2's form."""
        return config_of(self.graph)

    # --- structure ------------------------------------------------------------------

    @property
    def graph(self) -> Graph:
        """The immutable training graph."""
        return self.captured.graph

    @property
    def cells(self) -> dict[str, Cell]:
        """The variables by param name, in the order of the graph's params."""
        return self.captured.cells

    @property
    def layers(self) -> list[Layer]:
        """The layers, in Keras's order."""
        return list(self.captured.layers)

    @property
    def inputs(self) -> list[Tensor]:
        return list(self._inputs)

    @property
    def outputs(self) -> list[Tensor]:
        return list(self._outputs)

    @property
    def input(self) -> Any:
        return _one_or_list(self._inputs)

    @property
    def output(self) -> Any:
        return _one_or_list(self._outputs)

    @property
    def input_names(self) -> list[str]:
        return [entry.name for entry in self.graph.inputs]

    @property
    def output_names(self) -> list[str]:
        return [entry.name for entry in self.graph.outputs]

    @property
    def input_shape(self) -> Any:
        """The shape of the input, or a list; None for free dims."""
        return _one_or_list([tensor.shape for tensor in self._inputs])

    @property
    def output_shape(self) -> Any:
        """The shape of the output, or a list; None for free dims."""
        return _one_or_list([tensor.shape for tensor in self._outputs])

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer called `name`, or the one at `index`."""
        names = self.captured.names
        if (name is None) == (index is None):
            raise CaptureError("get_layer: expected either a name or an index")
        if index is not None:
            if not -len(names) <= index < len(names):
                wanted = f"an index below {len(names)}"
                expected(CaptureError, "get_layer", wanted, index)
            return self.captured.layers[index]
        if name not in names:
            expected(CaptureError, "get_layer", "a layer's name", name, known=names)
        return self.captured.layers[names.index(name)]

    def count_params(self) -> int:
        """How many numbers the variables hold."""
        return sum(math.prod(_shape(param)) for param in self.graph.params)

    def summary(
        self,
        line_length: int | None = None,
        print_fn: Callable[[str], Any] | None = None,
    ) -> None:
        """Print a table of layers, shapes, params and connections."""
        from graphjit.summary import render

        frozen = self.frozen_layers()
        render(self.graph, lambda name: _covers(frozen, name), line_length, print_fn)

    # --- the pure face ----------------------------------------------------------------

    def init(self, seed: int = 0) -> dict[str, Any]:
        """Fresh variables ``{"params": …, "state": …}``, nested by layer name.

        The same seed gives the same numbers on every machine; each param's depend
        on the seed and its name alone.
        """
        with x64_scope(self.graph):
            arrays = {p.name: _drawn(p, seed) for p in self.graph.params}
        return self._nested(arrays)

    def apply(
        self,
        variables: Mapping[str, Any],
        x: Any,
        training: bool = False,
        rng: Any = None,
    ) -> Any:
        """The outputs for `x` under `variables`; pure, differentiable.

        Args:
            variables: As `init` gives them.
            x: An array; a list, tuple or dict by name for several inputs.
            training: Whether dropout drops and norms use the batch's statistics.
            rng: An int or a JAX key, where the graph draws random numbers.
        """
        return self.step(variables, x, training, rng).outputs

    def step(
        self,
        variables: Mapping[str, Any],
        x: Any,
        training: bool = False,
        rng: Any = None,
    ) -> Step:
        """Like `apply`, with the new state, the losses and the masks.

        `losses` holds activity penalties, and in training the penalties of weights,
        by name.
        """
        if not training:
            return self._inference_fn()(variables["params"], variables["state"], x)
        graph, lowered = self._training_fn()
        step = lowered(variables["params"], variables["state"], x, rng)
        penalties = weight_penalties(graph, flatten(variables, graph.params))
        return step._replace(losses={**step.losses, **penalties})

    def _inference_fn(self) -> Lowered:
        if self._inference is None:
            self._inference = lower(run(self.graph, (ToInference(),))[0])
        return self._inference

    def training_graph(self) -> Graph:
        """The graph that `fit` trains: frozen layers frozen, then TRAINING."""
        return self._training_fn()[0]

    def _training_fn(self) -> tuple[Graph, Lowered]:
        frozen = self.frozen_layers()
        if self._training is None or self._training[0] != frozen:
            passes: list[Pass] = [Freeze(frozen)] if frozen else []
            graph, _ = run(self.graph, [*passes, *TRAINING])
            self._training = (frozen, graph, lower(graph))
        return self._training[1], self._training[2]

    def frozen_layers(self) -> tuple[str, ...]:
        """Paths of the layers whose `trainable` is off now."""
        if not self.trainable:
            return self.captured.names
        found: list[str] = []
        for name, layer in zip(self.captured.names, self.captured.layers, strict=True):
            if not layer.trainable:
                found.append(name)
            elif isinstance(layer, Model):
                found += [f"{name}/{inner}" for inner in layer.frozen_layers()]
        return tuple(found)

    # --- the handy face ---------------------------------------------------------------

    @property
    def variables(self) -> dict[str, Any]:
        """The variables the model carries; assign to write them back."""
        return self._nested(self.arrays())

    @variables.setter
    def variables(self, new: Mapping[str, Any]) -> None:
        self.write(flatten(new, self.graph.params))

    def write(self, flat: Mapping[str, Any]) -> None:
        """Copy arrays, by param name, into the cells: all of them or none."""
        with x64_scope(self.graph):
            checked = {p.name: _checked(p, flat[p.name]) for p in self.graph.params}
        for name, array in checked.items():
            self.cells[name].write(array)

    def _fill(self) -> None:
        """Give a first value to the cells that have none."""
        empty = [p for p in self.graph.params if self.cells[p.name].is_empty]
        with x64_scope(self.graph):
            for param in empty:
                self.cells[param.name].write(_drawn(param, 0))

    def get_weights(self) -> list[np.ndarray[Any, Any]]:
        """Copies of all variables, layer by layer."""
        self._fill()
        return [np.array(self.cells[p.name].array) for p in self.graph.params]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Copy arrays into the variables, in the order of `get_weights`.

        Raises:
            DataError: The count or a shape differs; nothing is changed then.
        """
        params = self.graph.params
        if len(weights) != len(params):
            raise DataError(
                f"set_weights: expected {len(params)} arrays, received {len(weights)}"
            )
        self.write({p.name: w for p, w in zip(params, weights, strict=True)})

    def executable(self) -> Executable:
        """The inference executable, bound to the current variables."""
        self._fill()
        version = sum(cell.version for cell in self.cells.values())
        if self._executable is None:
            exe = compile_graph(self.graph).rebind(self.variables)
        elif self._executable[0] != version:
            exe = self._executable[1].rebind(self.variables)
        else:
            return self._executable[1]
        self._executable = (version, exe)
        return exe

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:
        """On tensors: the model as a layer. On arrays: its outputs for them."""
        items = sequence_of(inputs) or [inputs]
        if any(isinstance(item, Tensor) for item in items):
            return self._call_on_tensors(items)
        return self.executable()(inputs)

    def predict(self, x: Any, batch_size: int = 32) -> Any:
        """The outputs for `x` as NumPy arrays, computed batch by batch.

        Raises:
            DataError: The data does not fit the inputs.
        """
        with x64_scope(self.graph):
            return batched_call(self.executable(), self.graph.inputs, x, batch_size)

    def _call_on_tensors(self, tensors: Sequence[Any]) -> Any:
        wanted = self.graph.inputs
        if len(tensors) != len(wanted):
            raise CaptureError(
                f"{layer_name(self)}: expected {len(wanted)} tensors, received "
                f"{len(tensors)}"
            )
        for entry, tensor in zip(wanted, tensors, strict=True):
            if not isinstance(tensor, Tensor):
                raise CaptureError(
                    f"{layer_name(self)}: expected tensors, received "
                    f"{type(tensor).__name__}"
                )
            if tensor.mask_type is not None:
                raise CaptureError(
                    f"{layer_name(self)}: input {entry.name!r} has a mask, and the "
                    "model was built without one"
                )
            try:
                unify_shapes(entry.type.shape, tensor.type.shape)
            except ShapeError as error:
                raise ShapeError(
                    f"{layer_name(self)}: input {entry.name!r}: expected "
                    f"{entry.type}, received {tensor.type}: {error.message}"
                ) from None
        types = [tensor.type for tensor in tensors]
        outputs = add_call(self, tensors, retyped(self.graph, types))
        return _one_or_list(outputs)

    def arrays(self) -> dict[str, Any]:
        """The variables the model carries, flat by param name."""
        self._fill()
        return {name: cell.array for name, cell in self.cells.items()}

    def save(self, path: str | PathLike[str]) -> None:
        """Write graph and weights into one `.gjit` file, atomically.

        Raises:
            FormatError: The graph holds a function no file can name; nothing is
                written then.
        """
        from graphjit import saving

        saving.save(self, path)

    def _nested(self, flat: Mapping[str, Any]) -> dict[str, Any]:
        params = [p for p in self.graph.params if not p.is_state]
        state = [p for p in self.graph.params if p.is_state]
        return {
            "params": nest({p.name: flat[p.name] for p in params}),
            "state": nest({p.name: flat[p.name] for p in state}),
        }


def jit(
    model: Model | Graph,
    target: str | None = None,
    passes: Sequence[Pass] | None = None,
) -> Executable:
    """Compile a model for inference and bind its weights.

    Args:
        model: A model; or a graph, whose executable has no weights until `rebind`.
        target: The platform: "cpu", "gpu", "tpu"; None for the one JAX runs on.
        passes: What to run; None for `graphjit.passes.INFERENCE`.

    Returns:
        An `Executable`: ``exe(x)``, ``exe.step(state, x)``, ``exe.explain()``.
    """
    if isinstance(model, Graph):
        return compile_graph(model, target, passes)
    return compile_graph(model.graph, target, passes).rebind(model.variables)


def weight_penalties(graph: Graph, arrays: Mapping[str, Any]) -> dict[str, jax.Array]:
    """The regularizers' penalties on the weights, by param name."""
    return {
        param.name: param.regularizer.penalty(arrays[param.name])
        for param in graph.params
        if param.regularizer is not None and param.trainable
    }


def _dims(type_: TensorType) -> tuple[Dim, ...]:
    return tuple(None if dim == BATCH else dim for dim in type_.shape)


def _covers(paths: Sequence[str], name: str) -> bool:
    return any(name == path or name.startswith(f"{path}/") for path in paths)


def _shape(param: Param) -> tuple[int, ...]:
    return tuple(dim for dim in param.type.shape if isinstance(dim, int))


def _drawn(param: Param, seed: int) -> jax.Array:
    """The first value of a param."""
    if param.initializer is None:
        raise CaptureError(f"param {param.name!r} has no initializer")
    drawn = param.initializer.draw(_shape(param), param.type.dtype, seed, param.name)
    # Not `jnp.asarray`, which compiles a program for every shape.
    return jax.device_put(drawn)


def _checked(param: Param, given: Any) -> jax.Array:
    """A copy of `given` as the param's type.

    Raises:
        DataError: Its shape is another, or it is not numeric.
    """
    array = given if isinstance(given, jax.Array) else np.asarray(given)
    if tuple(array.shape) != param.type.shape:
        raise DataError(
            f"variable {param.name!r}: expected shape {param.type.shape}, received "
            f"{tuple(array.shape)}"
        )
    if isinstance(array, jax.Array) and array.dtype.name == param.type.dtype:
        return array  # what training writes after every epoch: no dispatch
    if not jnp.issubdtype(array.dtype, jnp.number) and array.dtype != np.bool_:
        raise DataError(
            f"variable {param.name!r}: expected numbers, received {array.dtype}"
        )
    if isinstance(array, jax.Array):
        return array.astype(param.type.dtype)
    return device_copy(array, param.type.dtype)


def _one_or_list(items: Sequence[Any]) -> Any:
    return items[0] if len(items) == 1 else list(items)
