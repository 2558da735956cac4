"""Native layers that check what Keras 1 checks, and are called as the native ones."""

from __future__ import annotations

__all__ = ["StandIn"]


class StandIn:
    """A mixin for subclasses that bear the name of their native class.

    Messages, names, configurations and files call them so, and what is rebuilt from
    those is the native layer. It stands before the native class among the bases, and is
    no layer itself: those gather declared arguments.
    """

    __slots__ = ()

    @classmethod
    def is_registered(cls) -> bool:
        """The native class is, under the same name."""
        return True
