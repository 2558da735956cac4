"""`Sequential`: a model written as a list of layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NoReturn, cast

import numpy as np

from graphjit.capture.input_layer import InputLayer
from graphjit.capture.layer import LAYERS, Layer, layer_name
from graphjit.capture.layer_config import LayerConfig
from graphjit.capture.naming import layer_names
from graphjit.capture.rebuild import Make
from graphjit.capture.tensor import Tensor
from graphjit.capture.tracer import Captured, capture
from graphjit.errors import CaptureError
from graphjit.model import Model
from graphjit.narrow import mapping_of, sequence_of
from graphjit.types import Dim

__all__ = ["Sequential"]


@LAYERS.register("Sequential")
class Sequential(Model):
    """A chain of layers; each is called on what the one before returns.

    The first layer says what the input is (`input_shape` and its like), or an `Input`
    stands before it, or it is itself a model. Otherwise the chain is built when it
    first meets data or a tensor, or by `build`. In all else it is a `Model`.

    Args:
        layers: The layers to begin with.
        name: The model's name; "sequential" by default.

    Raises:
        CaptureError: Something is not a layer, or has more than one output.

    >>> from graphjit.layers import Dense
    >>> model = Sequential([Dense(4, input_dim=3), Dense(2)])
    >>> model.output_shape
    (None, 2)
    """

    stem = "sequential"
    written_class: ClassVar[str] = "Sequential"

    def __init__(self, layers: Any = None, name: str | None = None) -> None:
        Layer.__init__(self, name=name)
        self._stack: list[Layer] = []
        #: What each layer of the stack returned; empty until the input is known.
        self._made: list[Tensor] = []
        #: Whether the input was there before any layer.
        self._begun = False
        self._compile_arguments: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self._clear([])
        for layer in sequence_of(layers) or []:
            self.add(layer)

    # --- the chain ------------------------------------------------------------------

    def add(self, layer: Any) -> None:
        """Put a layer at the end.

        Raises:
            CaptureError: It is not a layer, or its name is taken; the chain is then as
                it was.
        """
        if isinstance(layer, Tensor):
            layer = layer.call.layer
        if isinstance(layer, InputLayer):
            self._begin_with(layer)
            return
        if not isinstance(layer, Layer):
            raise CaptureError(
                f"{layer_name(self)}: add: expected a layer, received "
                f"{type(layer).__name__}"
            )
        layer_names([*self._stack, layer] if layer not in self._stack else self._stack)
        if not self._stack and not self._begun:
            starts = _starts_of(layer)
            if starts:
                made = self._applied(layer, starts)
                self._clear(starts)
                self._made.append(made)
        elif self._inputs:
            made = self._applied(layer, self._ends())
            self._clear(self._inputs)
            self._made.append(made)
        self._stack.append(layer)

    def pop(self) -> Layer:
        """Take the last layer away, and return it.

        Raises:
            CaptureError: There is none.
        """
        if not self._stack:
            raise CaptureError(f"{layer_name(self)}: pop: there are no layers")
        if self._made:
            self._made.pop()
        layer = self._stack.pop()
        self._clear(self._inputs if self._stack or self._begun else [])
        return layer

    def build(self, input_shape: Sequence[Dim] | None = None) -> None:
        """Build the chain for an input of this shape, the batch axis included.

        Raises:
            CaptureError: The chain has another input already, or there are no layers.
        """
        if self._inputs:
            given = None if input_shape is None else tuple(input_shape)
            if given is not None and given != self.input_shape:
                raise CaptureError(
                    f"{layer_name(self)}: build: the input has the shape "
                    f"{self.input_shape} already, received {given}"
                )
            return
        if input_shape is None or not self._stack:
            self._refuse_unbuilt()
        dtype = self._stack[0].first_input.dtype or self._stack[0].dtype
        self._start([_input_of(self._stack[0], tuple(input_shape), dtype)])

    def _begin_with(self, layer: InputLayer) -> None:
        if self._inputs or self._stack:
            raise CaptureError(
                f"{layer_name(self)}: add: an Input stands before all layers"
            )
        self._begun = True
        self._clear([layer.tensor()])

    def _start(self, inputs: list[Tensor]) -> None:
        """Call the layers that have waited for an input: all of them or none."""
        ends, made = inputs, list[Tensor]()
        for layer in self._stack:
            made.append(self._applied(layer, ends))
            ends = made[-1:]
        self._clear(inputs)
        self._made = made

    def _applied(self, layer: Layer, ends: Sequence[Tensor]) -> Tensor:
        result = layer(ends[0] if len(ends) == 1 else list(ends))
        if not isinstance(result, Tensor):
            raise CaptureError(
                f"{layer_name(self)}: a layer in a chain has one output, "
                f"{layer_name(layer)} has {len(result)}",
                hint="use Model(inputs, outputs)",
            )
        return result

    def _ends(self) -> list[Tensor]:
        return self._made[-1:] or self._inputs

    def _clear(self, inputs: list[Tensor]) -> None:
        """What was derived from the chain is out of date."""
        self._forget()
        self._trainer = self._written = None
        self._inputs = inputs

    def _refuse_unbuilt(self) -> NoReturn:
        raise CaptureError(
            f"{layer_name(self)}: the shape of its input is not known yet",
            hint="give the first layer input_shape=(…), or call build((None, …)), or "
            "call the model on data",
        )

    # --- what a Model has -----------------------------------------------------------

    @property
    def built(self) -> bool:
        """Whether the input is known."""
        return bool(self._inputs)

    def _capture(self) -> Captured:
        if not self._inputs or not self._stack:
            self._refuse_unbuilt()
        name = self.name or self.default_name()
        return capture(self._inputs, self._ends(), name, self.written_class)

    @property
    def layers(self) -> list[Layer]:
        """The layers of the chain; the input layer is not among them."""
        return list(self._stack)

    @property
    def inputs(self) -> list[Tensor]:
        return list(self._inputs or self._refuse_unbuilt())

    @property
    def outputs(self) -> list[Tensor]:
        return self._ends() or self._refuse_unbuilt()

    def fragment(self, given: Any) -> Any:
        if not self._inputs:
            self.build(given.inputs[0].shape)
        return super().fragment(given)

    def build_for(self, shape: Sequence[Any]) -> None:
        """Build the chain for an input of this shape, if it is not known yet."""
        if not self._inputs and self._stack:
            self.build((None, *shape[1:]))

    def get_config(self) -> dict[str, Any]:
        """The configuration as plain data, in Keras 2's form."""
        if self._inputs and self._stack:
            return super().get_config()
        names = layer_names(self._stack)
        entries = [
            {
                "class_name": layer.class_name(),
                "config": {**layer.get_config(), "name": names[layer]},
            }
            for layer in self._stack
        ]
        config = {"name": self.name or self.default_name(), "layers": entries}
        return LayerConfig(type(self), config)

    @classmethod
    def rebuilt(cls, config: Any, make: Make) -> Sequential:
        entries = sequence_of(config)
        settings: Mapping[str, Any] = mapping_of(config) or {}
        if entries is None:
            entries = sequence_of(settings.get("layers"))
        if entries is None:
            raise CaptureError("Sequential: its config has no list of layers")
        model = cls(name=settings.get("name"))
        for entry in entries:
            model.add(make(entry))
        shape = settings.get("build_input_shape")
        if not model.built and shape is not None:
            model.build(cast("Sequence[Dim]", shape))
        model.trainable = bool(settings.get("trainable", True))
        return model

    # --- data before the input is known ---------------------------------------------

    def build_on(self, x: Any) -> None:
        """Build the chain for data, where its input is not known yet."""
        if self._inputs or not self._stack:
            return
        items = sequence_of(x)
        if items is not None and len(items) == 1 and hasattr(items[0], "shape"):
            x = items[0]
        self.build((None, *np.shape(x)[1:]))

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """See `Model.compile`; a chain not built yet is compiled when it is."""
        if self._inputs:
            super().compile(*args, **kwargs)
        else:
            self._compile_arguments = (args, kwargs)

    def _compiled(self, method: str) -> Any:
        if self._trainer is None and self._compile_arguments and self._inputs:
            args, kwargs = self._compile_arguments
            super().compile(*args, **kwargs)
        return super()._compiled(method)


def _starts_of(layer: Layer) -> list[Tensor]:
    """The inputs a chain has by its first layer; none where it does not say."""
    if isinstance(layer, Model):
        if isinstance(layer, Sequential) and not layer.built:
            return []
        return [
            _input_of(layer, tensor.shape, tensor.dtype, at)
            for at, tensor in enumerate(layer.inputs)
        ]
    first = layer.first_input
    if first.shape is None:
        return []
    return [_input_of(layer, first.shape, first.dtype or layer.dtype)]


def _input_of(
    layer: Layer, shape: Sequence[Dim], dtype: str | None, index: int = 0
) -> Tensor:
    """An input that is called after the first layer, as Keras calls it."""
    number = f"_{index}" if index else ""
    name = f"{layer.name or layer.default_name()}_input{number}"
    made = InputLayer(batch_shape=shape, dtype=dtype, name=layer.name and name)
    # Of an unnamed layer it has no name of its own either: a model of the inputs of
    # several chains numbers them.
    object.__setattr__(made, "stem", name)
    return made.tensor()
