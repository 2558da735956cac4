"""Making arrays, and asking what one is. `dtype=None` is the configured float type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from graphjit import config
from graphjit.backend.arrays import array, wide_enough
from graphjit.capture.tensor import Tensor

__all__ = [
    "cast",
    "cast_to_floatx",
    "constant",
    "dtype",
    "eye",
    "int_shape",
    "ndim",
    "one_hot",
    "ones",
    "ones_like",
    "shape",
    "zeros",
    "zeros_like",
]


def cast(x: Any, dtype: str) -> jax.Array:
    """The same values in another element type."""
    with wide_enough(dtype):
        return array(x).astype(dtype)


def cast_to_floatx(x: Any) -> Any:
    """The same values in the configured float type; a NumPy array stays one.

    >>> cast_to_floatx(np.array([1, 2])).dtype
    dtype('float32')
    """
    if isinstance(x, jax.Array):
        return cast(x, config.floatx())
    return np.asarray(x).astype(jnp.dtype(config.floatx()))


def constant(
    value: Any, dtype: str | None = None, shape: Sequence[int] | None = None
) -> jax.Array:
    """An array of `value`, filled up to `shape`."""
    kind = dtype or config.floatx()
    with wide_enough(kind):
        found = jnp.asarray(value, kind)
        return found if shape is None else jnp.broadcast_to(found, tuple(shape))


def zeros(shape: Sequence[int], dtype: str | None = None) -> jax.Array:
    """Zeros."""
    return constant(0, dtype, shape)


def ones(shape: Sequence[int], dtype: str | None = None) -> jax.Array:
    """Ones."""
    return constant(1, dtype, shape)


def eye(size: int, dtype: str | None = None) -> jax.Array:
    """The identity matrix."""
    kind = dtype or config.floatx()
    with wide_enough(kind):
        return jnp.eye(size, dtype=kind)


def zeros_like(x: Any, dtype: str | None = None) -> jax.Array:
    """Zeros of the shape of x, and of its type where none is given."""
    found = array(x)
    return constant(0, dtype or found.dtype.name, found.shape)


def ones_like(x: Any, dtype: str | None = None) -> jax.Array:
    """Ones of the shape of x, and of its type where none is given."""
    found = array(x)
    return constant(1, dtype or found.dtype.name, found.shape)


def one_hot(indices: Any, num_classes: int) -> jax.Array:
    """1 at each index along a new last axis, 0 elsewhere and for other indices.

    >>> one_hot([0, 2], 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    with wide_enough(config.floatx()):
        return jax.nn.one_hot(array(indices), num_classes, dtype=config.floatx())


def shape(x: Any) -> tuple[int, ...]:
    """The shape, as a tuple: under jit it is known too."""
    return tuple(array(x).shape)


def int_shape(x: Any) -> tuple[int | None, ...]:
    """The shape as a tuple; of a symbolic tensor too, with None for free dims."""
    return x.shape if isinstance(x, Tensor) else shape(x)


def ndim(x: Any) -> int:
    """How many axes an array or a symbolic tensor has."""
    return len(int_shape(x))


def dtype(x: Any) -> str:
    """The name of the element type of an array or a symbolic tensor."""
    return x.dtype if isinstance(x, Tensor) else array(x).dtype.name
