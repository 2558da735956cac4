"""Symbolic tensors, and the calls of layers that make them."""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graphjit.errors import CaptureError
from graphjit.ir import Graph, Loc, Value
from graphjit.types import TensorType

if TYPE_CHECKING:
    from graphjit.capture.call_arguments import Given
    from graphjit.capture.layer import Layer

__all__ = ["Call", "Tensor", "user_location"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """One application of a layer to tensors; immutable, compared by identity.

    Attributes:
        layer: The layer called.
        index: 0 for the layer's first call, 1 for its second, …
        given: The tensors it was called on, and its other arguments.
        fragment: What it computes, as a graph of its own. Its inputs are ``x0``,
            ``x1``, … and ``mask0``, … for those inputs that have a mask.
        loc: The user's line.
    """

    layer: Layer
    index: int
    given: Given
    fragment: Graph
    loc: Loc | None = None
    outputs: list[Tensor] = field(default_factory=list["Tensor"])

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Every tensor the call reads, those among its arguments last."""
        return self.given.inputs


@dataclass(frozen=True, eq=False, slots=True)
class Tensor:
    """A value that a model will compute: a type, and the call that makes it."""

    type: TensorType
    call: Call
    index: int = 0
    mask_type: TensorType | None = None

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape as Keras shows it, None for the batch and free dims."""
        return self.type.user_shape()

    @property
    def dtype(self) -> str:
        return self.type.dtype

    @property
    def value(self) -> Value:
        """The value inside the call's own fragment."""
        return self.call.fragment.outputs[self.index].value

    def __repr__(self) -> str:
        layer = self.call.layer
        made_by = layer.name or type(layer).__name__
        return f"<Tensor {self.type} of {made_by!r}>"

    def __bool__(self) -> bool:
        raise CaptureError(
            f"{self!r} has no truth value: its elements are not known at capture"
        )

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise CaptureError(
            f"{self!r} cannot become an array: its elements are not known at capture",
            hint="build a Model and call it on data",
        )


def user_location() -> Loc | None:
    """The file and line of the nearest caller outside this package."""
    frame = inspect.currentframe()
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_PACKAGE):
            return Loc(_shown(file), frame.f_lineno)
        frame = frame.f_back
    return None


def _shown(file: str) -> str:
    """`file` relative to the working directory where that is shorter."""
    try:
        relative = os.path.relpath(file)
    except ValueError:  # another drive
        return file
    return relative if len(relative) < len(file) else file
