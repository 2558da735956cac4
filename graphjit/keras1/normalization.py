"""BatchNormalization, in three modes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphjit import layers as native
from graphjit.keras1.settings import any_shape
from graphjit.keras1.spelling import Given, Spelling, spelled

__all__ = ["BatchNormalization"]


def _norm_arrays(arrays: Sequence[Any]) -> list[Any]:
    """Gamma and beta, with running statistics of 0 and 1 where there are none."""
    if len(arrays) != 2:
        return list(arrays)
    shape = np.shape(arrays[0])
    return [*arrays, np.zeros(shape), np.ones(shape)]


def _weights(given: Given) -> dict[str, Any]:
    arrays = given["weights"]
    return {} if arrays is None else {"weights": _norm_arrays(arrays)}


BatchNormalization = Spelling(
    "BatchNormalization",
    native.BatchNormalization,
    (
        spelled("epsilon", "", 0.001),
        spelled("mode", "", 0),
        spelled("axis", "", -1),
        spelled("momentum", "", 0.99),
        spelled("weights", None, None),
        spelled("beta_init", "beta_initializer", "zero", any_shape),
        spelled("gamma_init", "gamma_initializer", "one", any_shape),
        spelled("gamma_regularizer", "", None),
        spelled("beta_regularizer", "", None),
    ),
    rules=(_weights,),
    # Keras 1 goes on updating a frozen layer's statistics, and counts masked steps.
    fixed={"frozen": "update", "masked": False},
)
