"""The trait of ops whose results can be computed side by side, as one wider op."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphjit.types import TensorType

__all__ = ["JoinsOutputs", "Joint"]


@dataclass(frozen=True, slots=True)
class Joint:
    """Along which axes two ops on one input are joined to one.

    Attributes:
        weights: The axis of every operand behind operand 0.
        result: The axis of the result.
    """

    weights: tuple[int, ...]
    result: int


class JoinsOutputs:
    """Trait: with the weights of two ops joined, it gives both results, joined.

    ``op(x, join(k, k')) = join(op(x, k), op(x, k'))`` for equal attributes: what makes
    a part of the result is a part of the weights, as with convolutions and products.
    """

    __slots__ = ()

    def joint(self, types: Sequence[TensorType | None]) -> Joint | None:
        """Where to join; None where these operands cannot be.

        The bias may be left out in `types`: its axis is said all the same.
        """
        raise NotImplementedError
