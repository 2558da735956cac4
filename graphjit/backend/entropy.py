"""Cross-entropies as the backend has them: not averaged, the output second."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from graphjit import config
from graphjit.backend.arrays import array, floating

__all__ = [
    "binary_crossentropy",
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
]


def _log_probabilities(output: jax.Array, from_logits: bool, axis: int) -> jax.Array:
    if from_logits:
        return jax.nn.log_softmax(output, axis)
    output = output / jnp.sum(output, axis, keepdims=True)
    small = config.epsilon()
    return jnp.log(jnp.clip(output, small, 1 - small))


def categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> jax.Array:
    """−sum(target · log output) along `axis`.

    Probabilities are divided by their sum and clipped by `epsilon` first.

    Shapes:
        target, output: (…, c)  ->  (…)
    """
    found = floating(output)
    logs = _log_probabilities(found, from_logits, axis)
    return -jnp.sum(array(target).astype(found.dtype) * logs, axis)


def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> jax.Array:
    """−log output[target], of class indices.

    Shapes:
        target: int (…) or (…, 1)   output: (…, c)  ->  (…)
    """
    logs = _log_probabilities(floating(output), from_logits, axis)
    labels = array(target).astype(jnp.int32)
    if labels.ndim == logs.ndim:
        labels = jnp.squeeze(labels, axis)
    # A comparison rather than a gather: its gradient is a select, not a scatter.
    chosen = jax.nn.one_hot(labels, logs.shape[axis], dtype=bool, axis=axis)
    return -jnp.sum(jnp.where(chosen, logs, 0), axis)


def binary_crossentropy(
    target: Any, output: Any, from_logits: bool = False
) -> jax.Array:
    """−(target · log output + (1 − target) · log(1 − output)), for every element.

    Shapes:
        target, output: (…)  ->  (…)
    """
    x = floating(output)
    y = array(target).astype(x.dtype)
    if from_logits:
        return jnp.maximum(x, 0) - x * y + jnp.log1p(jnp.exp(-jnp.abs(x)))
    small = config.epsilon()
    p = jnp.clip(x, small, 1 - small)
    return -(y * jnp.log(p) + (1 - y) * jnp.log(1 - p))
