"""Core layers: dense ones, dropout, changes of shape, Lambda, masks."""

from __future__ import annotations

from graphjit import layers as native
from graphjit.keras1.dense_settings import (
    BIAS,
    INPUT_DIM,
    PENALTIES,
    before_penalties,
)
from graphjit.keras1.settings import DIM_ORDERING, any_shape, sequence_input
from graphjit.keras1.spelling import Spelling, spelled

__all__ = [
    "Activation",
    "ActivityRegularization",
    "Dense",
    "Dropout",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "Highway",
    "Lambda",
    "Masking",
    "MaxoutDense",
    "Permute",
    "RepeatVector",
    "Reshape",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "TimeDistributedDense",
]

_OUTPUT_DIM = spelled("output_dim", "units")
_P = spelled("p", "rate")

Dense = Spelling(
    "Dense",
    native.Dense,
    (_OUTPUT_DIM, *before_penalties(), *PENALTIES, BIAS, INPUT_DIM),
)

_sequence_arguments, _sequence_rule = sequence_input

TimeDistributedDense = Spelling(
    "TimeDistributedDense",
    native.Dense,
    (_OUTPUT_DIM, *before_penalties(), *PENALTIES, BIAS, *_sequence_arguments),
    rules=(_sequence_rule,),
    doc="a Dense for every step of a sequence.",
)

Highway = Spelling(
    "Highway",
    native.Highway,
    (*before_penalties(), *PENALTIES, BIAS, INPUT_DIM),
)

MaxoutDense = Spelling(
    "MaxoutDense",
    native.MaxoutDense,
    (
        _OUTPUT_DIM,
        spelled("nb_feature", "", 4),
        *before_penalties(any_shape, activation=False),
        *PENALTIES,
        BIAS,
        INPUT_DIM,
    ),
)

Activation = Spelling("Activation", native.Activation, (spelled("activation", ""),))

# --- dropout and noise ------------------------------------------------------------

Dropout = Spelling("Dropout", native.Dropout, (_P,))

SpatialDropout1D = Spelling("SpatialDropout1D", native.SpatialDropout1D, (_P,))

SpatialDropout2D = Spelling(
    "SpatialDropout2D", native.SpatialDropout2D, (_P, DIM_ORDERING)
)

SpatialDropout3D = Spelling(
    "SpatialDropout3D", native.SpatialDropout3D, (_P, DIM_ORDERING)
)

GaussianNoise = Spelling(
    "GaussianNoise", native.GaussianNoise, (spelled("sigma", "stddev"),)
)

GaussianDropout = Spelling("GaussianDropout", native.GaussianDropout, (_P,))

# --- shapes -----------------------------------------------------------------------

Flatten = Spelling(
    "Flatten",
    native.Flatten,
    (),
    # In the order the elements are stored in, whatever the data format.
    fixed={"data_format": "channels_last"},
)

Reshape = Spelling("Reshape", native.Reshape, (spelled("target_shape", ""),))

Permute = Spelling("Permute", native.Permute, (spelled("dims", ""),))

RepeatVector = Spelling("RepeatVector", native.RepeatVector, (spelled("n", ""),))

# --- functions, penalties, masks --------------------------------------------------


Lambda = Spelling(
    "Lambda",
    native.Lambda,
    (
        spelled("function", ""),
        spelled("output_shape", "", None),
        spelled("arguments", "", None),
    ),
)

ActivityRegularization = Spelling(
    "ActivityRegularization",
    native.ActivityRegularization,
    (spelled("l1", "", 0.0), spelled("l2", "", 0.0)),
)

Masking = Spelling("Masking", native.Masking, (spelled("mask_value", "", 0.0),))
