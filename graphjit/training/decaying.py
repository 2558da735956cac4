"""The decay of learning rates that Keras 1 and 2 had in their optimizers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Decaying"]


@dataclass(frozen=True, slots=True)
class Decaying:
    """Keras 1 and 2's `decay`: rate / (1 + decay * step).

    >>> Decaying(0.5, 0.25)(4)
    0.25
    """

    rate: float
    decay: float

    def __call__(self, step: Any) -> Any:
        return self.rate / (1.0 + self.decay * step)
