"""Activations, under Keras 1's names."""

from graphjit.activations import (
    elu,
    get,
    hard_sigmoid,
    linear,
    relu,
    sigmoid,
    softmax,
    softplus,
    softsign,
    tanh,
)

__all__ = [
    "elu",
    "get",
    "hard_sigmoid",
    "linear",
    "relu",
    "sigmoid",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
]
