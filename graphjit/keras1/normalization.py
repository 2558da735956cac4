"""BatchNormalization, in three modes."""

from __future__ import annotations

from typing import Any

from graphjit import layers as native
from graphjit.keras1.settings import any_shape
from graphjit.keras1.spelling import Given, Spelling, spelled
from graphjit.keras1.weights import norm_arrays

__all__ = ["BatchNormalization"]


def _weights(given: Given) -> dict[str, Any]:
    arrays = given["weights"]
    return {} if arrays is None else {"weights": norm_arrays(arrays)}


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
