"""What the backend functions take: anything that becomes a JAX array."""

from __future__ import annotations

import contextlib
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from graphjit import config
from graphjit.capture.tensor import Tensor
from graphjit.errors import CaptureError

__all__ = ["Axis", "array", "arrays", "floating", "wide_enough"]

#: Which axes are reduced: one, several, or None for all.
Axis: TypeAlias = "int | tuple[int, ...] | list[int] | None"


def array(x: Any) -> jax.Array:
    """`x` as a JAX array.

    Raises:
        CaptureError: It is a symbolic tensor.
    """
    if isinstance(x, Tensor):
        raise CaptureError(
            f"backend functions work on arrays, received {x!r}",
            hint="put the function into a Lambda layer, which is given arrays",
        )
    return jnp.asarray(x)


def arrays(xs: Any) -> list[jax.Array]:
    """A list of tensors as JAX arrays."""
    return [array(x) for x in xs]


def floating(x: Any) -> jax.Array:
    """`x` as an array of floats: booleans and ints become the configured type."""
    found = array(x)
    if jnp.issubdtype(found.dtype, jnp.floating):
        return found
    with wide_enough(config.floatx()):
        return found.astype(config.floatx())


def wide_enough(dtype: str) -> contextlib.AbstractContextManager[Any]:
    """Inside it an array of this type can be made, 64-bit ones too."""
    if dtype.endswith("64"):
        return jax.enable_x64(True)
    return contextlib.nullcontext()
