"""Code of the user's that a model may hold, and the names it is saved under.

A function, or a layer or op of a class of the user's, works as it is. To be saved in a
file it needs a name that the reader of the file registers too: a file never holds code.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from graphjit.registry import Registry

__all__ = ["FUNCTIONS", "Function", "function_of", "register"]

C = TypeVar("C", bound=Callable[..., Any])

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


def register(name: str) -> Callable[[C], C]:
    """A decorator that lets models with this code be saved, under `name`.

    It takes a function, a subclass of `graphjit.layers.Layer`, or one of
    `graphjit.ops.base.Op` (which it makes a frozen dataclass). Who loads the model
    registers the same name first.

    Args:
        name: Unique; ``package>name`` keeps out of the way of other people's.

    Raises:
        CaptureError: The name is taken.

    >>> @register("docs>double")
    ... def double(x):
    ...     return 2 * x
    >>> function_of(double)
    docs>double
    """

    def decorate(code: C) -> C:
        # Classes that are entered elsewhere say how.
        enter: Any = getattr(code, "registered_as", None)
        if enter is not None and inspect.isclass(code):
            return cast("C", enter(name))
        FUNCTIONS.add(name, code)
        return code

    return decorate


def function_of(fn: Callable[..., Any]) -> Function:
    """The attribute that stands for `fn`."""
    for name, known in FUNCTIONS.items():
        if known is fn:
            return Function(fn, name, registered=True)
    return Function(fn, getattr(fn, "__name__", type(fn).__name__))
