"""`Model`: a captured graph with variables, in its two faces.

Pure: `init`, `apply`, `step` take and return variables. Handy: the model carries
variables (its layers' cells), so that calling, `fit`, `predict` and `save` work as a
Keras user expects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Self, cast

import jax
import numpy as np

from graphjit.becoming import trains_always
from graphjit.builder import retyped
from graphjit.capture.call_arguments import Given
from graphjit.capture.calling import add_call
from graphjit.capture.cell import (
    Cell,
    as_variable,
    first_value,
    read_weights,
    size_of,
    write_weights,
)
from graphjit.capture.input_layer import InputLayer
from graphjit.capture.keras_config import ConfigReader
from graphjit.capture.layer import LAYERS, Layer, layer_name
from graphjit.capture.layer_config import LayerConfig
from graphjit.capture.model_config import config_of
from graphjit.capture.rebuild import Make, call_layers
from graphjit.capture.replay import masked_graph
from graphjit.capture.tensor import Tensor
from graphjit.capture.tracer import Captured, SubModel, capture
from graphjit.capture.trainable_flags import with_flags
from graphjit.compiling import compile_graph
from graphjit.errors import CaptureError, ShapeError, expected
from graphjit.executable import Executable
from graphjit.ir import Graph
from graphjit.lower import Lowered, Step, lower, rng_key, x64_scope
from graphjit.model_text import WithText
from graphjit.narrow import sequence_of
from graphjit.passes.base import Pass
from graphjit.passes.freeze import Freeze
from graphjit.passes.pipeline import TRAINING, run
from graphjit.passes.to_inference import ToInference
from graphjit.provenance import Provenance
from graphjit.training.methods import Trained
from graphjit.tuning import Tuning
from graphjit.types import BATCH, Dim, TensorType, unify_shapes
from graphjit.variables import flatten, leaf, nest
from graphjit.weight_files import WithWeightFiles

__all__ = ["Model", "jit"]


@LAYERS.register("Functional", "Model")
class Model(SubModel, Trained, WithText, WithWeightFiles):
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

    #: What wrote the file that the model was read from; see `graphjit.keras`.
    provenance: Provenance | None = None

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None) -> None:
        super().__init__(name=name)
        given: list[Tensor] = sequence_of(inputs) or [inputs]
        made: list[Tensor] = sequence_of(outputs) or [outputs]
        self._assemble(given, made, None)
        self._captured = self._capture()

    @property
    def tuning(self) -> Tuning | None:
        """Which kernels `jit` with ``autotune=True`` found fastest; None: not asked.

        Set it to an executable's: `predict` and `jit` then use it, `save` keeps it.
        """
        return self._tuning

    @tuning.setter
    def tuning(self, given: Tuning | None) -> None:
        self._tuning = given
        self._executable = None

    def _assemble(
        self, inputs: list[Tensor], outputs: list[Tensor], captured: Captured | None
    ) -> None:
        self._inputs = inputs
        self._outputs = outputs
        self._forget()
        self._captured = captured

    def _forget(self) -> None:
        """Nothing is captured, tuned, lowered or compiled yet."""
        self._tuning: Tuning | None = None
        self._captured: Captured | None = None
        self._executable: tuple[int, tuple[str, ...], Executable] | None = None
        self._weight_cells: list[Cell] | None = None
        self._inference: tuple[tuple[str, ...], Lowered] | None = None
        self._always: bool | None = None
        self._draws = 0
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
        model._outputs = add_call(model, Given(tuple(inputs), len(inputs)), graph)
        return model

    @classmethod
    def from_config(
        cls, config: Any, custom_objects: Mapping[str, Any] | None = None
    ) -> Self:
        """A new model of the configuration that `get_config` gave; fresh weights.

        Args:
            config: Ours, or one that Keras gave.
            custom_objects: The user's own classes and functions, by the names the
                configuration calls them.

        Raises:
            CaptureError: A layer class is not known, or the configuration is broken.
        """
        return cast("Self", ConfigReader(custom_objects).model(cls, config))

    @classmethod
    def rebuilt(cls, config: Any, make: Make) -> Model:
        model = cls(*call_layers(config, make))
        model.trainable = bool(config.get("trainable", True))
        return model

    def get_config(self) -> dict[str, Any]:
        """The configuration as plain data, in Keras 2's form."""
        return LayerConfig(type(self), config_of(with_flags(self)))

    # --- structure ------------------------------------------------------------------

    @property
    def captured(self) -> Captured:
        """What the model is made of."""
        if self._captured is None:
            self._captured = self._capture()
        return self._captured

    def _capture(self) -> Captured:
        name = self.name or self.default_name()
        return capture(self._inputs, self._outputs, name, self.written_class)

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
        return _one_or_list(self.inputs)

    @property
    def output(self) -> Any:
        return _one_or_list(self.outputs)

    @property
    def input_names(self) -> list[str]:
        return [entry.name for entry in self.graph.inputs]

    @property
    def output_names(self) -> list[str]:
        return [entry.name for entry in self.graph.outputs]

    @property
    def input_shape(self) -> Any:
        """The shape of the input, or a list; None for free dims."""
        return _one_or_list([tensor.shape for tensor in self.inputs])

    @property
    def output_shape(self) -> Any:
        """The shape of the output, or a list; None for free dims."""
        return _one_or_list([tensor.shape for tensor in self.outputs])

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer called `name`, or the one at `index`."""
        names = self.captured.names
        if (name is None) == (index is None):
            raise CaptureError("get_layer: expected either a name or an index")
        if index is not None:
            layers = self.layers
            if not -len(layers) <= index < len(layers):
                wanted = f"an index below {len(layers)}"
                expected(CaptureError, "get_layer", wanted, index)
            return layers[index]
        if name not in names:
            expected(CaptureError, "get_layer", "a layer's name", name, known=names)
        return self.captured.layers[names.index(name)]

    def count_params(self) -> int:
        """How many numbers the variables hold."""
        return sum(size_of(p) for p in self.graph.params if not p.recurrent)

    def summary(
        self,
        line_length: int | None = None,
        print_fn: Callable[[str], Any] | None = None,
    ) -> None:
        """Print a table of layers, shapes, params and connections."""
        from graphjit.summary import render

        render(self.graph, self.frozen_layers(), line_length, print_fn)

    def _repr_html_(self) -> str:
        """The model drawn, for notebooks."""
        from graphjit import plot

        return plot.html(self)

    # --- the pure face ----------------------------------------------------------------

    def init(self, seed: int = 0) -> dict[str, Any]:
        """Fresh variables ``{"params": …, "state": …}``, nested by layer name.

        The same seed gives the same numbers on every machine; each param's depend
        on the seed and its name alone.
        """
        with x64_scope(self.graph):
            arrays = {p.name: first_value(p, seed) for p in self.graph.params}
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
            lowered = self._inference_fn()
            return lowered(variables["params"], variables["state"], x, rng)
        graph, lowered = self._training_fn()
        step = lowered(variables["params"], variables["state"], x, rng)
        penalties = weight_penalties(graph, flatten(variables, graph.params))
        return step._replace(losses={**step.losses, **penalties})

    def _inference_fn(self) -> Lowered:
        frozen = self._frozen_in_inference()
        if self._inference is None or self._inference[0] != frozen:
            graph, _ = run(self.inference_source(), (ToInference(),))
            self._inference = (frozen, lower(graph))
        return self._inference[1]

    def inference_source(self) -> Graph:
        """The captured graph; frozen norms called with `training=True` infer in it."""
        frozen = self._frozen_in_inference()
        return run(self.graph, [Freeze(frozen)])[0] if frozen else self.graph

    def _frozen_in_inference(self) -> tuple[str, ...]:
        """The frozen layers, where inference asks for them at all."""
        if self._always is None:
            self._always = trains_always(self.graph)
        return self.frozen_layers() if self._always else ()

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
            checked = {p.name: as_variable(p, flat[p.name]) for p in self.graph.params}
        for name, array in checked.items():
            self.cells[name].write(array)

    def _fill(self) -> None:
        """Give a first value to the cells that have none."""
        empty = [p for p in self.graph.params if self.cells[p.name].is_empty]
        with x64_scope(self.graph):
            for param in empty:
                self.cells[param.name].write(first_value(param, 0))

    def get_weights(self) -> list[np.ndarray[Any, Any]]:
        """Copies of all weights, layer by layer."""
        self._fill()
        return read_weights(self.cells, "")

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Copy arrays into the variables, in the order of `get_weights`.

        Raises:
            DataError: The count or a shape differs; nothing is changed then.
        """
        self._fill()
        write_weights(self.cells, weights, "set_weights")

    def reset_states(self) -> None:
        """Put the state of stateful layers back to its first values."""
        for cell in self.cells.values():
            if cell.param.recurrent:
                cell.clear()

    def executable(self) -> Executable:
        """The inference executable, bound to the current variables."""
        frozen = self._frozen_in_inference()
        if self._executable is None or self._executable[1] != frozen:
            self._fill()
            exe = compile_graph(self.inference_source(), tuning=self.tuning)
        elif self._executable[0] != self.weights_version():
            self._fill()
            exe = self._executable[2]
        else:
            return self._executable[2]
        self._executable = (self.weights_version(), frozen, exe.rebind(self.variables))
        return exe

    def next_key(self, exe: Executable) -> Any:
        """The key of an executable's next call, another each time; None: none draws."""
        if not exe.draws:
            return None
        self._draws += 1
        return rng_key(self._draws - 1)

    def weights_version(self) -> int:
        """Another number whenever weights were written.

        Recurrent state is handed over at every call: it needs no new binding.
        """
        if self._weight_cells is None:
            cells = self.cells.values()
            self._weight_cells = [c for c in cells if not c.param.recurrent]
        return sum([cell.version for cell in self._weight_cells])

    def build_on(self, x: Any) -> None:
        """Get ready for data; a model that knows its inputs is."""

    def __call__(self, inputs: Any, *more: Any, **kwargs: Any) -> Any:
        """On tensors: the model as a layer. On arrays: its outputs for them.

        A stateful model goes on from the state it has, and keeps the new one. What
        draws in inference too draws anew at every call.
        """
        items = sequence_of(inputs) or [inputs]
        if any(isinstance(item, Tensor) for item in items):
            return super().__call__(inputs, *more, **kwargs)
        if more or kwargs:
            raise CaptureError(
                f"{layer_name(self)}: on arrays it takes one argument: an array, or a "
                "list, tuple or dict of them",
                hint="model.apply(variables, x, training=…, rng=…) runs it in training",
            )
        self.build_on(inputs)
        exe = self.executable()
        steps = exe.graph.updates or exe.draws
        return self.advance(exe, inputs).outputs if steps else exe(inputs)

    def advance(self, exe: Executable, x: Any) -> Step:
        """Run an executable of this model; what it updates is written back."""
        held = dict(zip(exe.state_names, self.held_state(exe), strict=True))
        step = exe.step(nest(held), x, self.next_key(exe))
        new = [leaf(step.state, name, "state") for name in exe.state_names]
        self.keep_state(exe, new)
        return step

    def held_state(self, exe: Executable) -> list[Any]:
        """The state that an executable of this model updates, as it is now."""
        cells = [self.cells[name] for name in exe.state_names]
        if any(cell.is_empty for cell in cells):
            self._fill()
        return [cell.array for cell in cells]

    def keep_state(self, exe: Executable, new: Sequence[Any]) -> None:
        """Write back what an executable of this model updated."""
        for name, array in zip(exe.state_names, new, strict=True):
            self.cells[name].write(array)

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = 0) -> Any:
        """The outputs for `x` as NumPy arrays, computed batch by batch.

        Args:
            x: As for `__call__`.
            batch_size: Rows per call; None for 32, or the model's fixed batch.
            verbose: Accepted, as Keras has it; nothing is printed.

        Raises:
            DataError: The data does not fit the inputs.
        """
        del verbose
        self.build_on(x)
        exe = self.executable()
        held, key = self.held_state(exe), self.next_key(exe)
        outputs, new = exe.in_batches(x, batch_size, held, key)
        self.keep_state(exe, new)
        return _one_or_list(outputs)

    def fragment(self, given: Given) -> Graph:
        """The model's graph for the types and masks of the tensors it is called on."""
        tensors, wanted = given.inputs, self.graph.inputs
        if len(tensors) != len(wanted):
            raise CaptureError(
                f"{layer_name(self)}: expected {len(wanted)} tensors, received "
                f"{len(tensors)}"
            )
        for entry, tensor in zip(wanted, tensors, strict=True):
            try:
                unify_shapes(entry.type.shape, tensor.type.shape)
            except ShapeError as error:
                raise ShapeError(
                    f"{layer_name(self)}: input {entry.name!r}: expected "
                    f"{entry.type}, received {tensor.type}: {error.message}"
                ) from None
        if any(tensor.mask_type is not None for tensor in tensors):
            if not self.captured.layers:
                raise CaptureError(
                    f"{layer_name(self)}: its input has a mask, but the model has no "
                    "layers that could say what becomes of it"
                )
            return masked_graph(self, self.inputs, self.outputs, tensors)
        return retyped(self.graph, [tensor.type for tensor in tensors])

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
    *,
    autotune: bool = False,
    batch_size: int = 1,
    tuning: Tuning | None = None,
    buckets: bool | Sequence[int] = True,
) -> Executable:
    """Compile a model for inference and bind its weights.

    Args:
        model: A model; or a graph, whose executable has no weights until `rebind`.
        target: The platform: "cpu", "gpu", "tpu"; None for the one JAX runs on.
        passes: What to run; None for `graphjit.passes.INFERENCE`.
        autotune: Measure, on this device, every lowering of this model's own ops
            (about a second for each kind and shape), and the compiler options that may
            pay for the whole of it, and use the fastest. The result
            is `exe.tuning`; set ``model.tuning = exe.tuning`` to keep it with the
            model and in its file.
        batch_size: The batch size that `autotune` measures at.
        tuning: What was measured before; None for `model.tuning`.
        buckets: For which batch sizes programs are compiled: True for 1, 2, 4, … and
            the first size it is called with (other batches are cut and filled up,
            where no row of the results depends on another); the sizes, for these
            alone; False for a program for every size.

    Returns:
        An `Executable`: ``exe(x)``, ``exe.step(state, x)``, ``exe.explain()``.

    Raises:
        CaptureError: `autotune` is asked for another platform than JAX's, or a batch
            size is no count.
    """
    graph = model if isinstance(model, Graph) else model.inference_source()
    known = None if isinstance(model, Graph) else model.tuning
    executable = compile_graph(
        graph,
        target,
        passes,
        autotune=autotune,
        batch_size=batch_size,
        tuning=tuning or known,
        buckets=buckets,
    )
    if isinstance(model, Graph):
        return executable
    return executable.rebind(model.variables)


def weight_penalties(graph: Graph, arrays: Mapping[str, Any]) -> dict[str, jax.Array]:
    """The regularizers' penalties on the weights, by param name."""
    return {
        param.name: param.regularizer.penalty(arrays[param.name])
        for param in graph.params
        if param.regularizer is not None and param.trainable
    }


def _dims(type_: TensorType) -> tuple[Dim, ...]:
    return tuple(None if dim == BATCH else dim for dim in type_.shape)


def _one_or_list(items: Sequence[Any]) -> Any:
    return items[0] if len(items) == 1 else list(items)
