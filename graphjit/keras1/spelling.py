"""How a Keras 1 spelling is written down, and how it makes a native layer.

A `Spelling` is a table: the arguments in the documents' order, each with its default,
its native name and its reader, and rules for native arguments that several of them
decide together. Calling it gives an object of the native layer class.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, NoReturn, TypeVar

from graphjit.capture.arguments import REQUIRED, Unfit
from graphjit.capture.layer import Layer
from graphjit.errors import CaptureError, nearest

__all__ = ["Given", "Rule", "Spelled", "Spelling", "as_given", "spelled"]

L = TypeVar("L", bound=Layer)

#: The values of all Keras 1 arguments of one call, by their Keras 1 names.
Given = Mapping[str, Any]
#: Native arguments that depend on several Keras 1 ones.
Rule = Callable[[Given], Mapping[str, Any]]

#: What every layer takes besides: handed on to the native layer under the same names.
_EVERYWHERE: Final = (
    "name",
    "trainable",
    "dtype",
    "input_shape",
    "batch_input_shape",
    "input_dtype",
    "input_dim",
    "input_length",
)


@dataclass(frozen=True, slots=True)
class Spelled:
    """One Keras 1 argument.

    Attributes:
        name: In Keras 1.
        native: What it is called natively; None for one that only rules read.
        default: As the documents have it.
        read: From what the user wrote to what the native layer takes.
    """

    name: str
    native: str | None
    default: Any
    read: Callable[[Any], Any]


def as_given(value: Any) -> Any:
    """The reader of what the native layer reads itself."""
    return value


def spelled(
    name: str,
    native: str | None = None,
    default: Any = REQUIRED,
    read: Callable[[Any], Any] = as_given,
) -> Spelled:
    """An argument; a `native` of "" says that it has the same name natively."""
    return Spelled(name, name if native == "" else native, default, read)


@dataclass(frozen=True, eq=False, repr=False)
class Spelling(Generic[L]):
    """A layer as Keras 1 spells it: called like a class, it makes a native layer.

    ``isinstance(layer, spelling)`` asks for the native class.

    Attributes:
        name: In Keras 1.
        native: The class of what it makes.
        arguments: In the documents' order.
        rules: For native arguments that several Keras 1 ones decide.
        fixed: Native arguments that Keras 1 knows one value of.
        doc: What it is, in a line.
        keywords: Arguments that are given by name alone, such as those Keras 1 passes
            on to a base class.
    """

    name: str
    native: type[L]
    arguments: Sequence[Spelled]
    rules: Sequence[Rule] = ()
    fixed: Mapping[str, Any] | None = None
    doc: str = ""
    keywords: Sequence[Spelled] = ()

    def __post_init__(self) -> None:
        made = self.doc or f"made as a {self._title}."
        summary = f"Keras 1's {self.name}: {made}"
        for attribute, value in (
            ("__name__", self.name),
            ("__qualname__", self.name),
            ("__doc__", summary),
            ("__signature__", self._signature()),
        ):
            object.__setattr__(self, attribute, value)

    @property
    def _title(self) -> str:
        return self.native.__name__

    @property
    def _declared(self) -> tuple[Spelled, ...]:
        return (*self.arguments, *self.keywords)

    def __repr__(self) -> str:
        return f"<graphjit.keras1.{self.name}, makes {self._title}>"

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self.native)

    def __call__(self, *args: Any, **kwargs: Any) -> L:
        """A native layer.

        Raises:
            CaptureError: An argument is unknown, missing, or does not fit.
        """
        given, others = self._bind(args, kwargs)
        native: dict[str, Any] = {**others, **(self.fixed or {})}
        for argument in self._declared:
            if argument.native is not None:
                native[argument.native] = given[argument.name]
        for rule in self.rules:
            native.update(rule(given))
        try:
            return self.native(**native)
        except CaptureError as error:
            raise self._renamed(error) from None

    def _bind(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The Keras 1 arguments, read; and those that every layer takes."""
        if len(args) > len(self.arguments):
            count = len(self.arguments)
            message = f"expected at most {count} positional arguments"
            raise CaptureError(f"{self.name}: {message}, received {len(args)}")
        declared = {argument.name: argument for argument in self._declared}
        positional = [argument.name for argument in self.arguments]
        written = dict(zip(positional, args, strict=False))
        others: dict[str, Any] = {}
        for name, value in kwargs.items():
            if name in written:
                raise CaptureError(f"{self.name}: argument {name!r} is given twice")
            if name in declared:
                written[name] = value
            elif name in _EVERYWHERE:
                others[name] = value
            else:
                self._refuse_unknown(name)
        given: dict[str, Any] = {}
        for name, argument in declared.items():
            value = written.get(name, argument.default)
            if value is REQUIRED:
                raise CaptureError(f"{self.name}: argument {name!r} is missing")
            try:
                given[name] = argument.read(value)
            except Unfit as unfit:
                message = f"{name}: expected {unfit.expected}, received {value!r}"
                raise CaptureError(f"{self.name}: {message}") from None
        return given, others

    def _refuse_unknown(self, name: str) -> NoReturn:
        """Raise for an argument that Keras 1 has not."""
        own = [argument.name for argument in self._declared]
        modern = {a.native: a.name for a in self._declared if a.native is not None}
        renamed = self.native.renamed.items()
        several = (old for old, new in renamed if new == name and old in own)
        old = modern.get(name) or next(several, None)
        hint = None
        if old is not None:
            hint = (
                f"it is called {old!r} in Keras 1; graphjit.layers has the Keras 2 "
                "spelling"
            )
        elif name in self.native.arguments:
            hint = f"graphjit.layers.{self._title} has it, Keras 1 had not"
        else:
            guess = nearest(name, [*own, *_EVERYWHERE])
            hint = f"did you mean {guess!r}?" if guess is not None else None
        raise CaptureError(f"{self.name}: unknown argument {name!r}", hint=hint)

    def _renamed(self, error: CaptureError) -> CaptureError:
        """An error of the native layer, in the words the user wrote."""
        title, _, told = error.message.partition(": ")
        if title != self._title:
            return error
        name, _, rest = told.partition(": ")
        for argument in self._declared:
            if argument.native == name and rest:
                told = f"{argument.name}: {rest}"
        return error.reworded(f"{self.name}: {told}")

    def _signature(self) -> inspect.Signature:
        kinds = inspect.Parameter
        names = {argument.name for argument in self._declared}

        def parameter(argument: Spelled, kind: Any) -> inspect.Parameter:
            default = kinds.empty if argument.default is REQUIRED else argument.default
            return kinds(argument.name, kind, default=default)

        listed = [parameter(a, kinds.POSITIONAL_OR_KEYWORD) for a in self.arguments]
        listed += [parameter(a, kinds.KEYWORD_ONLY) for a in self.keywords]
        listed += [
            kinds(name, kinds.KEYWORD_ONLY, default=name == "trainable" or None)
            for name in _EVERYWHERE
            if name not in names
        ]
        return inspect.Signature(listed, return_annotation=self.native)
