"""Functions as users register them, for the rows and steps of `Lambda`.

They stand in a folder without an ``__init__``: pytest gives modules of other folders a
second name, and imports them a second time.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

import graphjit as gj

__all__ = ["gated_power", "halved_shape", "halves", "product", "softened"]


@gj.register("tests>gated_power")
def gated_power(x: Any, power: float = 1.0) -> Any:
    return jnp.tanh(x) * x**power


@gj.register("tests>halves")
def halves(x: Any) -> Any:
    return x[..., ::2] - x[..., 1::2]


@gj.register("tests>halved_shape")
def halved_shape(shape: Any) -> Any:
    return (*shape[:-1], shape[-1] // 2)


@gj.register("tests>product")
def product(xs: Any) -> Any:
    return xs[0] * xs[1]


@gj.register("tests>softened")
def softened(x: Any, by: float) -> Any:
    return x / (by + jnp.abs(x))
