"""The base of every layer: a frozen configuration, a variable cell, a list of calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from graphjit import config as settings
from graphjit.capture.arguments import (
    REQUIRED,
    Argument,
    Unfit,
    arg,
    boolean,
    dtype_name,
    optional,
    text,
)
from graphjit.capture.call_record import CallRecord, layer_name
from graphjit.capture.cell import Cell, read_weights, size_of, write_weights
from graphjit.capture.declarative import Declarative
from graphjit.capture.first_input import FirstInput
from graphjit.capture.layer_config import LayerConfig
from graphjit.capture.snake_case import snake_case
from graphjit.configurable import CallableSettings, Configurable, serialize
from graphjit.errors import CaptureError
from graphjit.functions import function_of
from graphjit.ir import Value
from graphjit.narrow import mapping_of, sequence_of
from graphjit.registry import Registry
from graphjit.regularizers import Regularizer

if TYPE_CHECKING:
    import numpy as np

    from graphjit.capture.call_arguments import Given
    from graphjit.capture.emitter import Emitter
    from graphjit.ir import Graph

__all__ = ["LAYERS", "Layer", "Named", "layer_name", "sublayer"]

#: Every layer class a configuration may name. Closed: filled by the package itself
#: and by what the user registers.
LAYERS: Registry[type[Layer]] = Registry("layer")


class Named:
    """Something a configuration stores by its registered name alone."""

    __slots__ = ()

    name: str


class _Record(CallRecord):
    """What a layer gathers apart from its configuration."""

    #: Whether `drop_mask` may come about by itself: a reader of tf.keras's and Keras
    #: 3's files allows it, and says where it did.
    may_drop_mask: bool = False
    _cells: dict[str, Cell]
    _first: FirstInput
    _given_weights: Sequence[Any] | None


class Layer(Declarative, _Record):
    """Base of every layer.

    A subclass declares its arguments with `arg` in the documents' order, and `emit`s
    its ops. The configuration is frozen; only `trainable` may change later.

    Args:
        name: Unique in a model; a model names its unnamed layers.
        trainable: Whether training changes the weights.
        dtype: Of the weights and of the computation; None for the configured floatx.
        input_shape: On the first layer of a `Sequential`: the input's shape without the
            batch. `batch_input_shape` has the batch, `batch_size` gives it apart;
            `input_dim` and `input_length` spell out shapes of one and two dims.
        weights: Arrays the weights start as, in the order of `get_weights`.
        drop_mask: Whether a mask on the input ends here where the layer cannot carry
            one, as in tf.keras and Keras 3; otherwise that is an error.
    """

    _registered_name: ClassVar[str | None] = None
    #: What an unnamed layer is called after; None for the class's name.
    stem: ClassVar[str | None] = None
    #: Whether `input_dim` alone means sequences of any length of that many features.
    reads_sequences: ClassVar[bool] = False

    #: Whether a mask on the input passes on to the output.
    carries_mask: ClassVar[bool] = False
    #: Whether floating inputs are cast to the layer's dtype.
    casts_floats: ClassVar[bool] = True
    #: Whether integer inputs are.
    casts_integers: ClassVar[bool] = False

    name: str | None = arg(default=None, converter=optional(text), kw_only=True)
    trainable: bool = arg(default=True, converter=boolean, kw_only=True)
    dtype: str | None = arg(default=None, converter=optional(dtype_name), kw_only=True)
    drop_mask: bool = arg(default=False, converter=boolean, kw_only=True, ours=True)

    def __post_init__(self) -> None:
        if self.dtype is None:
            object.__setattr__(self, "dtype", settings.floatx())
        object.__setattr__(self, "_cells", {})
        object.__setattr__(self, "_calls", [])
        self.check()

    def _take(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        rest = dict(given)
        weights = None if "weights" in self.arguments else rest.pop("weights", None)
        self._given_weights = weights
        self._first = FirstInput.taken(self, rest)
        return rest

    @property
    def first_input(self) -> FirstInput:
        """What the layer was told of its input, where it is the first of a model."""
        return self._first

    def check(self) -> None:
        """Check arguments against each other; raise with `self.refuse`."""

    def refuse(self, argument: str, wanted: str, received: object) -> NoReturn:
        """Raise the error for an argument that does not fit."""
        title = layer_name(self)
        message = f"{argument}: expected {wanted}, received {received!r}"
        raise CaptureError(f"{title}: {message}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "trainable":
            object.__setattr__(self, name, boolean(value))
            return
        super().__setattr__(name, value)

    # --- what a subclass defines --------------------------------------------------

    def emit(self, emitter: Emitter, *inputs: Value) -> Value | Sequence[Value]:
        """Emit the layer's ops on its inputs and return its outputs."""
        raise NotImplementedError

    def emit_masks(
        self,
        emitter: Emitter,
        inputs: Sequence[Value],
        masks: Sequence[Value | None],
        outputs: Sequence[Value],
    ) -> Sequence[Value | None]:
        """The mask of every output, given those of the inputs.

        Raises:
            CaptureError: An input has a mask and the layer cannot carry it.
        """
        del emitter, inputs
        if all(mask is None for mask in masks):
            return [None] * len(outputs)
        if not self.carries_mask and self.may_drop_mask:
            object.__setattr__(self, "drop_mask", True)
        if not self.carries_mask and self.drop_mask:
            return [None] * len(outputs)
        if not self.carries_mask:
            title = layer_name(self)
            raise CaptureError(
                f"{title} does not support masking, but its input has a mask",
                hint="put it before the layer that makes the mask, or drop the mask",
            )
        return [masks[0]] * len(outputs)

    @property
    def activity_regularizer_or_none(self) -> Regularizer | None:
        """The penalty on the layer's output, where it has that argument."""
        found = getattr(self, "activity_regularizer", None)
        return found if isinstance(found, Regularizer) else None

    # --- calling ------------------------------------------------------------------

    def __call__(self, inputs: Any, *more: Any, **kwargs: Any) -> Any:
        """Apply the layer to a tensor, or to several.

        Args:
            inputs: A tensor, or a list of them.
            more: Further tensors, for layers that name their inputs.
            kwargs: What the layer's `emit` takes by keyword; ``mask=`` in place of the
                inputs' own masks; ``training=`` True or False for a call that is in
                that mode for ever (where two say so, the inner one holds).

        Returns:
            A tensor, or a list of them.

        Raises:
            CaptureError: Something is not a tensor, or an argument is unknown.
            ShapeError: The tensors do not fit the layer.
        """
        from graphjit.capture.calling import call_layer

        return call_layer(self, inputs, more, **kwargs)

    def fragment(self, given: Given) -> Graph:
        """What a call computes, as a graph of its own."""
        from graphjit.capture.calling import emit_fragment

        return emit_fragment(self, given)

    def parts(self) -> Sequence[tuple[str, Layer]]:
        """The layers this one is made of, each with the prefix of its params."""
        return ()

    @property
    def own_cells(self) -> dict[str, Cell]:
        """The variables the layer itself declares, by slot."""
        return self._cells

    @property
    def cells(self) -> dict[str, Cell]:
        """All variables by slot, those of parts included, in `get_weights` order."""
        cells = dict(self._cells)
        for prefix, part in self.parts():
            before = f"{prefix}/" if prefix else ""
            cells.update({f"{before}{slot}": c for slot, c in part.cells.items()})
        return cells

    # --- weights ------------------------------------------------------------------

    def get_weights(self) -> list[np.ndarray[Any, Any]]:
        """Copies of the layer's weights; none before it is called."""
        return read_weights(self.cells, self.name or self.default_name())

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Copy arrays into the weights, in the order of `get_weights`.

        Raises:
            CaptureError: The layer was never called, so it has no weights yet.
            DataError: The count or a shape differs; nothing is changed then.
        """
        if not self.cells and not self._calls and len(weights):
            raise CaptureError(
                f"{layer_name(self)}: set_weights: it was never called, so it has no "
                "weights yet",
                hint="call it, or give weights=[…] when it is made",
            )
        write_weights(self.cells, weights, f"{layer_name(self)}: set_weights")

    def put_given_weights(self) -> None:
        """Write the arrays of ``weights=``, once the layer has its variables."""
        if self._given_weights is not None and self.cells:
            weights, self._given_weights = self._given_weights, None
            write_weights(self.cells, weights, f"{layer_name(self)}: weights")

    def reset_states(self) -> None:
        """Put recurrent state back to its first values."""
        for cell in self.cells.values():
            if cell.param.recurrent:
                cell.clear()

    def count_params(self) -> int:
        """How many numbers the weights hold."""
        cells = self.cells.values()
        return sum(size_of(c.param) for c in cells if not c.param.recurrent)

    def default_name(self) -> str:
        """What a model calls the layer where it has no name and no namesake."""
        return self.stem or snake_case(type(self).__name__)

    # --- configuration ------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The configuration as plain data, as Keras writes it.

        The dictionary remembers the class: `layer_from_config` takes it as it is.
        """
        config = LayerConfig(type(self))
        for name in _config_order(type(self).arguments):
            argument, value = type(self).arguments[name], self.argument(name)
            if not argument.ours or value != argument.default:
                config[name] = plain(value, f"{layer_name(self)}: {name}")
        if self._first.shape is not None:
            config["batch_input_shape"] = list(self._first.shape)
        if self._first.dtype is not None:
            config["input_dtype"] = self._first.dtype
        return config

    @classmethod
    def class_name(cls) -> str:
        """What configurations call the class."""
        return vars(cls).get("_registered_name") or cls.__name__

    @classmethod
    def registered_as(cls, name: str) -> type[Layer]:
        """Enter the class under a name of the user's (see `graphjit.register`)."""
        LAYERS.add(name, cls)
        cls._registered_name = name
        return cls

    @classmethod
    def is_registered(cls) -> bool:
        """Whether a configuration can name the class."""
        name = cls.class_name()
        return name in LAYERS and LAYERS.get(name) is cls

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Layer:
        """A new layer of this configuration."""
        return cls(**dict(config))

    def __repr__(self) -> str:
        shown = [
            f"{name}={value!r}"
            for name, argument in type(self).arguments.items()
            if argument.default is REQUIRED or name == "name"
            if (value := self.argument(name)) is not None
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


def plain(value: Any, where: str) -> Any:
    """An argument as JSON data: settings objects by class and config."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, CallableSettings):
        return function_of(value.fn).name
    if isinstance(value, Configurable):
        return serialize(value)
    if isinstance(value, Named):
        return value.name
    if isinstance(value, Layer):
        return {"class_name": value.class_name(), "config": value.get_config()}
    items = sequence_of(value)
    if items is not None:
        return [plain(item, where) for item in items]
    raise CaptureError(f"{where}: a {type(value).__name__} cannot go into a config")


def _config_order(arguments: Mapping[str, Argument]) -> list[str]:
    first = ["name", "trainable", "dtype"]
    return [*first, *(name for name in arguments if name not in first)]


def sublayer(value: Any) -> Layer:
    """Reader of an argument that is a layer: one, or its configuration."""
    if isinstance(value, Layer):
        return value
    entries = mapping_of(value)
    config = None if entries is None else mapping_of(entries.get("config"))
    if entries is None or config is None:
        raise Unfit("a layer, or a dictionary with class_name and config")
    return LAYERS.get(str(entries.get("class_name"))).from_config(config)
