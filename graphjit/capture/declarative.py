"""Classes whose arguments are declared once, in the body, with `arg`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, dataclass_transform

from graphjit.capture.arguments import (
    REQUIRED,
    Argument,
    Unfit,
    arg,
    declared_arguments,
)
from graphjit.errors import CaptureError, nearest

__all__ = ["Declarative"]


@dataclass_transform(eq_default=False, field_specifiers=(arg,))
class Declarative:
    """Base of classes with declared, converted, frozen arguments."""

    arguments: ClassVar[Mapping[str, Argument]] = {}
    #: Names of arguments in other generations of Keras, for hints.
    renamed: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = declared_arguments(vars(cls), list(vars(cls).get("__annotations__", {})))
        for name in own:
            delattr(cls, name)
        cls.arguments = {**cls.arguments, **own}
        if cls.__init__ is Declarative.__init__:
            cls.__signature__ = _signature(cls.arguments)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        bound = _bind(type(self), args, self._take(kwargs))
        object.__setattr__(self, "_bound", bound)
        for name, value in bound.items():
            # `output_shape` is an argument of some layers and a property of all.
            if not isinstance(getattr(type(self), name, None), property):
                object.__setattr__(self, name, value)
        self.__post_init__()

    def argument(self, name: str) -> Any:
        """The value of an argument, also of one whose name a property has."""
        if isinstance(getattr(type(self), name, None), property):
            return self.__dict__["_bound"][name]
        return getattr(self, name)

    def _take(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Keep what is no declared argument, and return the rest."""
        return given

    def __post_init__(self) -> None:
        """What is left to do once the arguments are bound."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in type(self).arguments:
            title = type(self).__name__
            message = f"{title}: {name!r} cannot change, a configuration is frozen"
            raise CaptureError(message, hint="make a new layer")
        object.__setattr__(self, name, value)


def _bind(
    cls: type[Declarative], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Match what the user wrote to the declared arguments and convert it."""
    arguments = cls.arguments
    positional = [name for name, a in arguments.items() if not a.kw_only]
    title = cls.__name__
    if len(args) > len(positional):
        raise CaptureError(
            f"{title}: expected at most {len(positional)} positional arguments, "
            f"received {len(args)}"
        )
    given = dict(zip(positional, args, strict=False))
    for name, value in kwargs.items():
        if name not in arguments:
            raise CaptureError(
                f"{title}: unknown argument {name!r}", hint=_keyword_hint(cls, name)
            )
        if name in given:
            raise CaptureError(f"{title}: argument {name!r} is given twice")
        given[name] = value
    bound: dict[str, Any] = {}
    for name, argument in arguments.items():
        value = given.get(name, argument.default)
        if value is REQUIRED:
            raise CaptureError(f"{title}: argument {name!r} is missing")
        try:
            bound[name] = argument.converter(value)
        except Unfit as unfit:
            message = f"expected {unfit.expected}, received {value!r}"
            raise CaptureError(f"{title}: {name}: {message}") from None
        except CaptureError as error:
            told = error.message.removeprefix(f"{name}: ")
            raise error.reworded(f"{title}: {name}: {told}") from None
    return bound


def _keyword_hint(cls: type[Declarative], name: str) -> str | None:
    modern = cls.renamed.get(name)
    if modern is not None:
        return f"it is called {modern!r} here; graphjit.keras1 has the old spelling"
    guess = nearest(name, cls.arguments)
    return f"did you mean {guess!r}?" if guess is not None else None


def _signature(arguments: Mapping[str, Argument]) -> inspect.Signature:
    ordered = sorted(arguments.values(), key=lambda a: a.kw_only)
    kinds = inspect.Parameter
    return inspect.Signature(
        [
            kinds(
                argument.name,
                kinds.KEYWORD_ONLY if argument.kw_only else kinds.POSITIONAL_OR_KEYWORD,
                default=kinds.empty
                if argument.default is REQUIRED
                else argument.default,
            )
            for argument in ordered
        ]
    )
