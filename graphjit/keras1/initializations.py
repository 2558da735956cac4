"""Keras 1's initializations: functions of a shape that give an array.

Given to a layer (``init=he_normal``) they mean their name. A function of the user's may
call them, with settings of its own::

    def my_init(shape, name=None):
        return initializations.normal(shape, scale=0.01, name=name)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import numpy as np

from graphjit import config, initializers
from graphjit.initializers import Initializer, RandomNormal, RandomUniform
from graphjit.keras1.settings import any_shape

__all__ = [
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_uniform",
    "normal",
    "one",
    "orthogonal",
    "uniform",
    "zero",
]

Array = np.ndarray[Any, Any]


class Initialization(Protocol):
    """f(shape, name=…), known by a name to the readers of `init`."""

    keras1_name: str
    __name__: str

    def __call__(self, shape: Sequence[int], name: str | None = None) -> Array:
        """A new array of this shape."""
        ...


def _drawn(rule: Initializer, shape: Sequence[int], name: str | None) -> Array:
    # Only the name tells one weight from another here, as the function has no seed.
    return rule.draw(tuple(shape), config.floatx(), 0, name or "")


def uniform(
    shape: Sequence[int], scale: float = 0.05, name: str | None = None
) -> Array:
    """Uniform on ±scale."""
    return _drawn(RandomUniform(-scale, scale), shape, name)


def normal(shape: Sequence[int], scale: float = 0.05, name: str | None = None) -> Array:
    """Normal of standard deviation `scale`."""
    return _drawn(RandomNormal(0.0, scale), shape, name)


def _known(fn: Callable[..., Array]) -> None:
    vars(fn)["keras1_name"] = fn.__name__


def _named(keras1_name: str, does: str) -> Initialization:
    rule = initializers.get(any_shape(keras1_name), keras1_name)

    def draw(shape: Sequence[int], name: str | None = None) -> Array:
        return _drawn(rule, shape, name)

    draw.__name__ = draw.__qualname__ = keras1_name
    draw.__doc__ = does
    _known(draw)
    return cast("Initialization", draw)


_known(uniform)
_known(normal)
zero = _named("zero", "Zeros.")
one = _named("one", "Ones.")
identity = _named("identity", "1 on the diagonal of a square matrix, 0 elsewhere.")
orthogonal = _named("orthogonal", "1.1 times a random orthogonal matrix.")
lecun_uniform = _named("lecun_uniform", "Uniform on ±sqrt(3 / fan_in).")
glorot_uniform = _named("glorot_uniform", "Uniform on ±sqrt(6 / (fan_in + fan_out)).")
glorot_normal = _named("glorot_normal", "Normal of variance 2 / (fan_in + fan_out).")
he_uniform = _named("he_uniform", "Uniform on ±sqrt(6 / fan_in).")
he_normal = _named("he_normal", "Normal of variance 2 / fan_in.")


def get(identifier: Any) -> Initializer:
    """The initializer a name or a function means in Keras 1.

    >>> get("orthogonal")
    Orthogonal(gain=1.1, seed=None)
    """
    return initializers.get(any_shape(identifier), "init")
