"""The base of every layer: a frozen configuration, a variable cell, a list of calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from graphjit import config as settings
from graphjit.capture.arguments import (
    REQUIRED,
    Argument,
    arg,
    boolean,
    dtype_name,
    optional,
    text,
)
from graphjit.capture.declarative import Declarative
from graphjit.capture.tensor import Call, Tensor
from graphjit.configurable import Configurable, serialize
from graphjit.errors import CaptureError
from graphjit.ir import Param, Value
from graphjit.narrow import sequence_of
from graphjit.registry import Registry
from graphjit.regularizers import Regularizer

if TYPE_CHECKING:
    from graphjit.capture.emitter import Emitter

__all__ = ["LAYERS", "Cell", "Layer", "Named", "layer_name"]

#: Every layer class a configuration may name. Closed: filled by the package itself
#: and by what the user registers.
LAYERS: Registry[type[Layer]] = Registry("layer")


class Named:
    """Something a configuration stores by its registered name alone."""

    __slots__ = ()

    name: str


@dataclass(eq=False, slots=True)
class Cell:
    """Where a layer keeps one variable; models built from the layer share it.

    Attributes:
        param: The param as the layer declares it, named by its slot.
        array: The current value; None until a model or the layer initialises it.
        version: Raised on every write, so that executables know to rebind.
    """

    param: Param
    version: int = 0
    _array: Any = None
    _read: Callable[[], Any] | None = None

    @property
    def array(self) -> Any:
        if self._read is not None:
            self._array, self._read = self._read(), None
        return self._array

    @property
    def is_empty(self) -> bool:
        """Whether there is no value yet."""
        return self._array is None and self._read is None

    def write(self, array: Any) -> None:
        self._array, self._read = array, None
        self.version += 1

    def defer(self, read: Callable[[], Any]) -> None:
        """Take the value from `read` when it is first asked for."""
        self._array, self._read = None, read
        self.version += 1


class _Record:
    """What a layer gathers apart from its configuration."""

    _cells: dict[str, Cell]
    _calls: list[Call]


class Layer(Declarative, _Record):
    """Base of every layer.

    A subclass declares its arguments with `arg` in the documents' order, and `emit`s
    its ops. The configuration is frozen; only `trainable` may change later.

    Args:
        name: Unique in a model; a model names its unnamed layers.
        trainable: Whether training changes the weights.
        dtype: Of the weights and of the computation; None for the configured floatx.
    """

    #: Whether a mask on the input passes on to the output.
    carries_mask: ClassVar[bool] = False
    #: Whether integer inputs are cast to the layer's dtype.
    casts_integers: ClassVar[bool] = False

    name: str | None = arg(default=None, converter=optional(text), kw_only=True)
    trainable: bool = arg(default=True, converter=boolean, kw_only=True)
    dtype: str | None = arg(default=None, converter=optional(dtype_name), kw_only=True)

    def __post_init__(self) -> None:
        if self.dtype is None:
            object.__setattr__(self, "dtype", settings.floatx())
        object.__setattr__(self, "_cells", {})
        object.__setattr__(self, "_calls", [])
        self.check()

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

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:
        """Apply the layer to a tensor, or to a list of tensors."""
        from graphjit.capture.emitter import call_layer

        return call_layer(self, inputs, **kwargs)

    @property
    def calls(self) -> tuple[Call, ...]:
        """The layer's calls so far, oldest first."""
        return tuple(self._calls)

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
            cells.update({f"{prefix}/{slot}": c for slot, c in part.cells.items()})
        return cells

    @property
    def input(self) -> Any:
        """What the layer's only call was applied to."""
        return _one_or_list(self._only_call("input").inputs)

    @property
    def output(self) -> Any:
        """What the layer's only call returned."""
        return _one_or_list(self._only_call("output").outputs)

    def _only_call(self, what: str) -> Call:
        if len(self._calls) != 1:
            times = (
                f"called {len(self._calls)} times" if self._calls else "never called"
            )
            raise CaptureError(
                f"{layer_name(self)}: it was {times}, so it has no one {what}",
                hint=f"use get_{what}_at(index)" if self._calls else "call it first",
            )
        return self._calls[0]

    def get_input_at(self, index: int) -> Any:
        """What call `index` was applied to."""
        return _one_or_list(self._call_at(index).inputs)

    def get_output_at(self, index: int) -> Any:
        """What call `index` returned."""
        return _one_or_list(self._call_at(index).outputs)

    def _call_at(self, index: int) -> Call:
        if not 0 <= index < len(self._calls):
            count = len(self._calls)
            message = f"expected a call from 0 to {count - 1}, received {index}"
            raise CaptureError(f"{layer_name(self)}: {message}")
        return self._calls[index]

    # --- configuration ------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The configuration as plain data, as Keras writes it."""
        config: dict[str, Any] = {}
        for name in _config_order(type(self).arguments):
            argument, value = type(self).arguments[name], getattr(self, name)
            if not argument.ours or value != argument.default:
                config[name] = plain(value, f"{layer_name(self)}: {name}")
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Layer:
        """A new layer of this configuration."""
        return cls(**dict(config))

    def __repr__(self) -> str:
        shown = [
            f"{name}={value!r}"
            for name, argument in type(self).arguments.items()
            if argument.default is REQUIRED or name == "name"
            if (value := getattr(self, name)) is not None
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


def layer_name(layer: Layer) -> str:
    """How messages name a layer: its class, and its name where it has one."""
    title = type(layer).__name__
    name = getattr(layer, "name", None)
    return f"{title} {name!r}" if name else title


def plain(value: Any, where: str) -> Any:
    """An argument as JSON data: settings objects by class and config."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Configurable):
        return serialize(value)
    if isinstance(value, Named):
        return value.name
    items = sequence_of(value)
    if items is not None:
        return [plain(item, where) for item in items]
    raise CaptureError(f"{where}: a {type(value).__name__} cannot go into a config")


def _config_order(arguments: Mapping[str, Argument]) -> list[str]:
    first = ["name", "trainable", "dtype"]
    return [*first, *(name for name in arguments if name not in first)]


def _one_or_list(tensors: Sequence[Tensor]) -> Any:
    return tensors[0] if len(tensors) == 1 else list(tensors)
