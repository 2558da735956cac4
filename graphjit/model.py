"""`Model`: a captured graph with variables, in its two faces.

Pure: `init`, `apply`, `step` take and return variables. Handy: the model carries
variables (its layers' cells), so that calling, `fit`, `predict` and `save` work as a
Keras user expects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

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
from graphjit.types import BATCH, Dim, TensorType, unify_shapes
from graphjit.variables import flatten, nest

if TYPE_CHECKING:
    from graphjit.callbacks import History
    from graphjit.training.trainer import Trainer

__all__ = ["Model", "jit"]


class Model(SubModel):
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
            return self._inference_fn(variables["params"], variables["state"], x)
        graph, lowered = self._training_fn()
        step = lowered(variables["params"], variables["state"], x, rng)
        penalties = weight_penalties(graph, flatten(variables, graph.params))
        return step._replace(losses={**step.losses, **penalties})

    @property
    def _inference_fn(self) -> Lowered:
        return lower(self._inference_graph())

    def _inference_graph(self) -> Graph:
        from graphjit.passes.to_inference import ToInference

        return run(self.graph, (ToInference(),))[0]

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
        return batched_call(self.executable(), self.graph.inputs, x, batch_size)

    # --- training ---------------------------------------------------------------------

    #: Set to True by a callback to end `fit` after the epoch.
    stop_training = False

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
    ) -> None:
        """Say how to train. Which layers are frozen (`trainable`) is read here.

        Args:
            optimizer: A name, an object of `gj.optimizers`, or any
                `optax.GradientTransformation`.
            loss: A name, an object or function of `gj.losses`, or a function of
                (y_true, y_pred). For several outputs one for all, a list, or a dict by
                output name; None trains an output on nothing.
            metrics: A list of names, objects or functions of `gj.metrics` or
                `gj.losses`, for every output; a list of lists, or a dict by output
                name. "accuracy" is the one that fits the loss and the output.
            loss_weights: Factors of the outputs' losses: a list or a dict.
            weighted_metrics: Like `metrics`, counted with the sample weights.

        Raises:
            CaptureError: A name is unknown (the message has the nearest one), or
                there is one too few or too many.
        """
        from graphjit.training.trainer import Trainer

        self._trainer = Trainer(
            self, optimizer, loss, metrics, loss_weights, weighted_metrics
        )

    def _compiled(self, method: str) -> Trainer:
        trainer: Trainer | None = getattr(self, "_trainer", None)
        if trainer is None:
            raise CaptureError(
                f"{method}: {layer_name(self)} is not compiled",
                hint="call model.compile(optimizer, loss) first",
            )
        return trainer

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = 1,
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        seed: int | None = None,
    ) -> History:
        """Train on all the data, `epochs` times.

        The last batch of an epoch has the rows that are left; its loss, gradient and
        batch statistics are exactly theirs. If training is interrupted, the model has
        the values of the last epoch that ended.

        Args:
            x: An array; a list, tuple or dict by input name for several.
            y: The targets: the same for the outputs.
            batch_size: Rows per step; None for 32, or the model's fixed batch.
            epochs: The number of the last epoch.
            verbose: 0 for silence, 1 for a bar, 2 for a line per epoch.
            callbacks: Objects of `gj.callbacks`.
            validation_split: This fraction of the rows, the last ones, is held out.
            validation_data: ``(x, y)`` or ``(x, y, sample_weight)``, to evaluate after
                every epoch.
            shuffle: Whether rows go in another order in every epoch.
            class_weight: The weight of every class, for one output.
            sample_weight: (n,), or (n, t) for one per time step; as `y` for several
                outputs.
            initial_epoch: The number of the first epoch.
            seed: Of shuffling and dropout. None: 0 at the first call, then 1, 2, …;
                the same calls give the same numbers.

        Returns:
            A `History`: ``history.history["loss"]`` has a float per epoch.

        Raises:
            CaptureError: The model is not compiled.
            DataError: The data does not fit; says what, expected and received.
        """
        return self._compiled("fit").fit(
            x,
            y,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            validation_data=validation_data,
            shuffle=shuffle,
            class_weight=class_weight,
            sample_weight=sample_weight,
            initial_epoch=initial_epoch,
            seed=seed,
        )

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = 1,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss (penalties included) and metrics on data, nothing trained.

        Returns:
            The loss, or ``[loss, *metrics]`` if there are any; a dict by name with
            `return_dict`.
        """
        return self._compiled("evaluate").evaluate(
            x,
            y,
            batch_size=batch_size,
            verbose=verbose,
            sample_weight=sample_weight,
            return_dict=return_dict,
        )

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One step on exactly these rows; what it returns is like `evaluate`'s."""
        trainer = self._compiled("train_on_batch")
        return trainer.train_on_batch(x, y, sample_weight, class_weight, return_dict)

    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss and metrics of these rows in one batch, nothing trained."""
        trainer = self._compiled("test_on_batch")
        return trainer.test_on_batch(x, y, sample_weight, return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for `x` in one batch, as NumPy arrays."""
        outputs = self.executable()(x)
        items = sequence_of(outputs)
        if items is None:
            return np.asarray(outputs)
        return [np.asarray(item) for item in items]

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
    if not jnp.issubdtype(array.dtype, jnp.number) and array.dtype != np.bool_:
        raise DataError(
            f"variable {param.name!r}: expected numbers, received {array.dtype}"
        )
    if isinstance(array, jax.Array):
        return array.astype(param.type.dtype)
    return device_copy(array, param.type.dtype)


def _one_or_list(items: Sequence[Any]) -> Any:
    return items[0] if len(items) == 1 else list(items)
