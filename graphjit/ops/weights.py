"""The weights that many layers have: argument readers, and their params.

Each layer still declares the arguments one by one, since their order is the documents'.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphjit import constraints, initializers, regularizers
from graphjit.capture.arguments import optional
from graphjit.capture.emitter import Emitter
from graphjit.capture.layer import Layer
from graphjit.constraints import Constraint
from graphjit.initializers import Initializer
from graphjit.ir import Value
from graphjit.regularizers import Regularizer

__all__ = [
    "bias_of",
    "constraint",
    "gamma_and_beta",
    "initializer",
    "kernel_of",
    "regularizer",
]


def initializer(value: Any) -> Initializer:
    """Reader of an initializer argument."""
    return initializers.get(value, "initializer")


def regularizer(value: Any) -> Regularizer | None:
    """Reader of a regularizer argument."""
    return optional(lambda given: regularizers.get(given, "regularizer"))(value)


def constraint(value: Any) -> Constraint | None:
    """Reader of a constraint argument."""
    return optional(lambda given: constraints.get(given, "constraint"))(value)


def kernel_of(emitter: Emitter, layer: Layer, shape: Sequence[int]) -> Value:
    """The kernel of a layer that declares kernel_initializer and its like."""
    # A protocol would say so, but checkers do not see converted arguments in one.
    settings: Any = layer
    return emitter.param(
        "kernel",
        shape,
        settings.kernel_initializer,
        settings.kernel_regularizer,
        settings.kernel_constraint,
    )


def bias_of(emitter: Emitter, layer: Layer, channels: int) -> Value | None:
    """The bias of a layer that declares use_bias, bias_initializer and its like.

    One number a channel; None for a layer without.
    """
    settings: Any = layer
    if not settings.use_bias:
        return None
    return emitter.param(
        "bias",
        (channels,),
        settings.bias_initializer,
        settings.bias_regularizer,
        settings.bias_constraint,
    )


def gamma_and_beta(
    emitter: Emitter,
    layer: Layer,
    shape: Sequence[int],
    scale: bool = True,
    center: bool = True,
) -> tuple[Value | None, Value | None]:
    """The scale and the shift of a norm, which declares gamma_initializer and its like.

    Args:
        emitter: Of the call.
        layer: The norm.
        shape: Of both.
        scale: Whether there is a gamma; None in its place otherwise.
        center: Whether there is a beta.
    """
    settings: Any = layer
    gamma = beta = None
    if scale:
        gamma = emitter.param(
            "gamma",
            shape,
            settings.gamma_initializer,
            settings.gamma_regularizer,
            settings.gamma_constraint,
        )
    if center:
        beta = emitter.param(
            "beta",
            shape,
            settings.beta_initializer,
            settings.beta_regularizer,
            settings.beta_constraint,
        )
    return gamma, beta
