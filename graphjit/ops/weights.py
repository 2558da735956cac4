"""The weight arguments that many layers have: their readers, as keyword sets.

Each layer still declares them one by one, since their order is the documents'.
"""

from __future__ import annotations

from typing import Any

from graphjit import constraints, initializers, regularizers
from graphjit.capture.arguments import optional
from graphjit.constraints import Constraint
from graphjit.initializers import Initializer
from graphjit.regularizers import Regularizer

__all__ = ["constraint", "initializer", "regularizer"]


def initializer(value: Any) -> Initializer:
    return initializers.get(value, "initializer")


def regularizer(value: Any) -> Regularizer | None:
    return optional(lambda given: regularizers.get(given, "regularizer"))(value)


def constraint(value: Any) -> Constraint | None:
    return optional(lambda given: constraints.get(given, "constraint"))(value)
