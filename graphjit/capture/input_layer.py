"""Where a model's data comes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphjit import config as settings
from graphjit.capture.arguments import arg, input_dims, optional, size
from graphjit.capture.calling import input_tensor
from graphjit.capture.layer import LAYERS, Layer
from graphjit.capture.layer_config import LayerConfig
from graphjit.capture.tensor import Tensor
from graphjit.errors import CaptureError
from graphjit.ir import Value
from graphjit.types import BATCH, Dim, TensorType

__all__ = ["Input", "InputLayer"]


@LAYERS.register("InputLayer")
class InputLayer(Layer):
    """The layer behind `Input`: it has no weights and computes nothing.

    Args:
        shape: Without the batch axis.
        batch_size: Fixed batch size; None leaves it free.
        batch_shape: The shape with the batch axis, in place of the other two.
    """

    stem = "input"

    shape: tuple[Dim, ...] | None = arg(default=None, converter=optional(input_dims))
    batch_size: int | None = arg(default=None, converter=optional(size))
    batch_shape: tuple[Dim, ...] | None = arg(
        default=None, converter=optional(input_dims), kw_only=True
    )

    def check(self) -> None:
        if (self.shape is None) == (self.batch_shape is None):
            self.refuse("shape", "either shape or batch_shape", self.shape)
        if self.batch_shape is not None and not self.batch_shape:
            self.refuse("batch_shape", "at least the batch axis", self.batch_shape)

    def get_config(self) -> dict[str, Any]:
        """The configuration as Keras 2 writes it."""
        shape = [None if dim == BATCH else dim for dim in self.type.shape]
        config = {
            "name": self.name,
            "batch_input_shape": shape,
            "dtype": self.dtype,
            "sparse": False,
            "ragged": False,
        }
        return LayerConfig(type(self), config)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> InputLayer:
        """A new input layer of a configuration of Keras 2 or 3."""
        given = dict(config)
        for name in ("sparse", "ragged", "optional"):
            if given.pop(name, None):
                raise CaptureError(f"InputLayer: {name} inputs are not supported")
        shape = given.pop("batch_input_shape", None)
        if shape is not None:
            given["batch_shape"] = shape
        return cls(**given)

    @property
    def type(self) -> TensorType:
        """The type of the input, with its batch axis."""
        if self.batch_shape is not None:
            first, *rest = self.batch_shape
        else:
            first, rest = self.batch_size, list(self.shape or ())
        batch = BATCH if first is None else first
        return TensorType((batch, *rest), self.dtype or settings.floatx())

    def tensor(self) -> Tensor:
        """The tensor that stands for the data to come."""
        return self.calls[0].outputs[0] if self.calls else input_tensor(self, self.type)

    def emit(self, emitter: Any, *inputs: Value) -> Value:
        raise CaptureError("an InputLayer is not called on tensors", hint="use Input()")


def Input(  # noqa: N802 (the documents' name)
    shape: Sequence[Dim] | None = None,
    batch_size: int | None = None,
    dtype: Any = None,
    name: str | None = None,
    batch_shape: Sequence[Dim] | None = None,
) -> Tensor:
    """A tensor that stands for data to come.

    Args:
        shape: Without the batch axis; None for a free dim, a string for a named one.
        batch_size: Fixed batch size; None leaves it free.
        dtype: Element type; None for the configured floatx.
        name: The input's name; a model names its unnamed inputs.
        batch_shape: The shape with the batch axis, in place of `shape`.

    Returns:
        A symbolic tensor of type (batch, *shape).

    Raises:
        CaptureError: Neither or both of shape and batch_shape; a bad dim or dtype.

    >>> Input((28, 28, 1)).shape
    (None, 28, 28, 1)
    """
    layer = InputLayer(
        shape, batch_size, batch_shape=batch_shape, name=name, dtype=dtype
    )
    return layer.tensor()
