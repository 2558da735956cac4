"""Activations with settings or weights of their own."""

from __future__ import annotations

from typing import Final

from graphjit import layers as native
from graphjit.keras1.settings import any_shape
from graphjit.keras1.spelling import Spelling, spelled

__all__ = [
    "ELU",
    "LeakyReLU",
    "PReLU",
    "ParametricSoftplus",
    "SReLU",
    "ThresholdedReLU",
]

_WEIGHTS: Final = spelled("weights", "", None)
_SHARED_AXES: Final = spelled("shared_axes", "", None)

LeakyReLU = Spelling("LeakyReLU", native.LeakyReLU, (spelled("alpha", "", 0.3),))

PReLU = Spelling(
    "PReLU",
    native.PReLU,
    (
        spelled("init", "alpha_initializer", "zero", any_shape),
        _WEIGHTS,
        _SHARED_AXES,
    ),
)

ELU = Spelling("ELU", native.ELU, (spelled("alpha", "", 1.0),))

ParametricSoftplus = Spelling(
    "ParametricSoftplus",
    native.ParametricSoftplus,
    (
        spelled("alpha_init", "alpha_initializer", 0.2),
        spelled("beta_init", "beta_initializer", 5.0),
        _WEIGHTS,
        _SHARED_AXES,
    ),
)

ThresholdedReLU = Spelling(
    "ThresholdedReLU", native.ThresholdedReLU, (spelled("theta", "", 1.0),)
)

SReLU = Spelling(
    "SReLU",
    native.SReLU,
    (
        spelled("t_left_init", "t_left_initializer", "zero", any_shape),
        spelled("a_left_init", "a_left_initializer", "glorot_uniform", any_shape),
        spelled("t_right_init", "t_right_initializer", "glorot_uniform", any_shape),
        spelled("a_right_init", "a_right_initializer", "one", any_shape),
        _SHARED_AXES,
    ),
    keywords=(_WEIGHTS,),
)
