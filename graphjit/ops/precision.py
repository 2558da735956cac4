"""The trait of ops that a narrow float type would spoil."""

from __future__ import annotations

__all__ = ["KeepsPrecision"]


class KeepsPrecision:
    """Trait: the op runs in the type it was captured in, whatever is cast around it.

    Norms, softmax and penalties, where small differences of sums count; loops that feed
    their results back; casts and functions of the user's, whose types are a promise.
    """

    __slots__ = ()
