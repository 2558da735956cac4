"""Regularizers, under Keras 1's names."""

from __future__ import annotations

from graphjit.regularizers import L1L2, Regularizer, get, l1, l2
from graphjit.regularizers import l1_l2 as l1l2

__all__ = [
    "ActivityRegularizer",
    "L1L2Regularizer",
    "Regularizer",
    "WeightRegularizer",
    "activity_l1",
    "activity_l1l2",
    "activity_l2",
    "get",
    "l1",
    "l1l2",
    "l2",
]

#: Of a weight, of an output: what it is given to decides.
WeightRegularizer = ActivityRegularizer = L1L2Regularizer = L1L2
activity_l1 = l1
activity_l2 = l2
activity_l1l2 = l1l2
