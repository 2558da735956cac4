"""What the first layer of a `Sequential` may say of the model's input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from graphjit.capture.arguments import Unfit, dtype_name, input_dims, size
from graphjit.errors import CaptureError
from graphjit.types import Dim

if TYPE_CHECKING:
    from graphjit.capture.layer import Layer

__all__ = ["FirstInput"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FirstInput:
    """A shape with the batch axis, and an element type; None where not told.

    `batch` is the batch size where a layer tells the rest of the shape otherwise.

    >>> from graphjit.layers import Dense
    >>> Dense(2, input_dim=3).first_input.shape
    (None, 3)
    """

    shape: tuple[Dim, ...] | None = None
    dtype: str | None = None
    batch: int | None = None

    @classmethod
    def taken(cls, layer: Layer, given: dict[str, Any]) -> FirstInput:
        """Take the arguments that describe the input out of `given`.

        An argument that the layer declares itself stays.

        Raises:
            CaptureError: One does not fit, or two of them say different things.
        """
        title = type(layer).__name__

        def take(name: str, reader: Callable[[Any], T]) -> T | None:
            if name in layer.arguments or given.get(name) is None:
                if name not in layer.arguments:
                    given.pop(name, None)
                return None
            value = given.pop(name)
            try:
                return reader(value)
            except Unfit as unfit:
                message = f"expected {unfit.expected}, received {value!r}"
                raise CaptureError(f"{title}: {name}: {message}") from None

        batch = take("batch_size", size)
        whole = take("batch_input_shape", input_dims)
        shape = take("input_shape", input_dims)
        dim = take("input_dim", size)
        length = take("input_length", size)
        dtype = take("input_dtype", dtype_name)
        if sum(found is not None for found in (whole, shape, dim)) > 1:
            raise CaptureError(
                f"{title}: expected one of input_shape, batch_input_shape and "
                "input_dim, received several"
            )
        if whole is not None:
            if not whole:
                raise CaptureError(
                    f"{title}: batch_input_shape: expected at least the batch axis, "
                    "received ()"
                )
            if batch is not None and whole[0] != batch:
                raise CaptureError(
                    f"{title}: batch_input_shape begins with {whole[0]}, but "
                    f"batch_size is {batch}"
                )
            return cls(whole, dtype)
        if shape is None and dim is not None:
            sequences = layer.reads_sequences or length is not None
            shape = (length, dim) if sequences else (dim,)
        if shape is None:
            told = {"input_dim", "input_length"} <= set(layer.arguments)
            if batch is not None and told:
                return cls(None, dtype, batch)
            if batch is not None or length is not None:
                raise CaptureError(
                    f"{title}: {'batch_size' if length is None else 'input_length'} "
                    "alone does not give the input's shape",
                    hint="give input_shape, batch_input_shape or input_dim with it",
                )
            return cls(None, dtype)
        return cls((batch, *shape), dtype)
