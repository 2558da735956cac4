"""Functions of the user's that a model may call, and the names they are saved under.

A function given to a layer works as it is. To be saved in a file it needs a name that
the reader of the file registers too: a file never holds code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from graphjit.registry import Registry

__all__ = ["FUNCTIONS", "Function", "function_of", "register"]

F = TypeVar("F", bound=Callable[..., Any])

#: Functions by the name files know them under.
FUNCTIONS: Registry[Callable[..., Any]] = Registry("function")


@dataclass(frozen=True, slots=True)
class Function:
    """A user's function as an attribute of an op, compared by identity.

    Attributes:
        fn: The function.
        name: What it is called in texts; the registered name where it has one.
        registered: Whether a file can refer to it by that name.
    """

    fn: Callable[..., Any]
    name: str
    registered: bool = field(default=False, compare=False)

    def __repr__(self) -> str:
        return self.name


def register(name: str) -> Callable[[F], F]:
    """A decorator that lets models with this function be saved under `name`.

    >>> @register("docs>double")
    ... def double(x):
    ...     return 2 * x
    >>> function_of(double)
    docs>double
    """

    def decorate(fn: F) -> F:
        FUNCTIONS.add(name, fn)
        return fn

    return decorate


def function_of(fn: Callable[..., Any]) -> Function:
    """The attribute that stands for `fn`."""
    for name, known in FUNCTIONS.items():
        if known is fn:
            return Function(fn, name, registered=True)
    return Function(fn, getattr(fn, "__name__", type(fn).__name__))
