"""Small frozen settings objects that a user may write in several ways.

An initializer, a regularizer, a constraint is a frozen dataclass whose fields are its
settings. A user writes one as an instance, a class, a name, or a dict as some Keras
generation saved it; `resolve` turns all of these into the instance. Nothing is ever
imported by name: a name means an entry of a closed table, or it is an error.

Fields are brought to one form at construction, so that equal settings compare equal,
hash equal and save as the same bytes::

    L2(np.float32(0.5)) == L2(0.5)    MaxNorm(2, axis=[0, 1]) == MaxNorm(2.0, (0, 1))
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import (
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    NoReturn,
    Self,
    TypeGuard,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from graphjit.errors import CaptureError, expected
from graphjit.registry import Registry

__all__ = [
    "CallableSettings",
    "Configurable",
    "Family",
    "is_plain_callable",
    "resolve",
    "serialize",
]


@dataclass(frozen=True, slots=True)
class Configurable:
    """Base of frozen settings objects; a subclass is a frozen, slotted dataclass.

    Fields may be annotated float, int, bool, str, None, Literal, a tuple of these, a
    Callable, or a union of these. A float field takes ints, any field takes the
    scalars of NumPy; a bool is never a number, and NaN and infinities are refused.

    Example:
        >>> @dataclass(frozen=True, slots=True)
        ... class Noise(Configurable):
        ...     std: float = 1.0
        ...     axis: int | tuple[int, ...] = 0
        >>> Noise(2, axis=[0, 1])
        Noise(std=2.0, axis=(0, 1))
        >>> Noise.from_config({"stf": 2})
        Traceback (most recent call last):
        graphjit.errors.CaptureError: Noise: expected 'std' or 'axis', received 'stf'
          hint: did you mean 'std'?

    Raises:
        CaptureError: A field's value does not fit its type, or fails `check`.
    """

    #: Other spellings of a field in configs, such as Keras 1's {"m": "max_value"}.
    config_aliases: ClassVar[Mapping[str, str]] = {}
    #: Keys of configs that some Keras wrote and that have no meaning here.
    config_ignored: ClassVar[frozenset[str]] = frozenset()
    #: Fields that `get_config` leaves out while they are None.
    config_optional: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        for name, hint in _field_hints(type(self)).items():
            value: object = getattr(self, name)
            fitted = _fit(hint, value)
            if fitted is _MISFIT:
                where = f"{type(self).__name__}: {name}"
                expected(CaptureError, where, _describe(hint), value)
            object.__setattr__(self, name, fitted)
        self.check()

    def check(self) -> None:
        """Refuse values that fit their types but make no sense; call `refuse`."""

    def refuse(self, field: str, wanted: str) -> NoReturn:
        """Raise the CaptureError that says what `field` should have been."""
        where = f"{type(self).__name__}: {field}"
        expected(CaptureError, where, wanted, getattr(self, field))

    def get_config(self) -> dict[str, Any]:
        """The settings as plain JSON data, in the order of the fields."""
        config = {
            field.name: _plain(getattr(self, field.name))
            for field in dataclasses.fields(self)
        }
        absent = [key for key in self.config_optional if config[key] is None]
        return {key: value for key, value in config.items() if key not in absent}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The inverse of `get_config`; absent keys take the class's defaults.

        Raises:
            CaptureError: An unknown key, a key given twice under two names, a missing
                one without a default, or a value that does not fit its field.
        """
        where = cls.__name__
        known = [field.name for field in dataclasses.fields(cls)]
        given: dict[str, Any] = {}
        for key, value in config.items():
            if key in cls.config_ignored:
                continue
            name = cls.config_aliases.get(key, key)
            if name not in known:
                wanted = _one_of(known) if known else "no settings"
                expected(CaptureError, where, wanted, key, known=known)
            if name in given:
                raise CaptureError(f"{where}: expected {name!r} once, received twice")
            given[name] = value
        for field in dataclasses.fields(cls):
            defaults = (field.default, field.default_factory)
            if field.name not in given and defaults == (dataclasses.MISSING,) * 2:
                expected(CaptureError, where, repr(field.name), dict(config))
        return cls(**given)

    @classmethod
    def named(cls) -> Self:
        """What the bare name of this class means; its defaults, unless overridden."""
        return cls.from_config({})


C = TypeVar("C", bound=Configurable)


class Family(Registry[type[C]], Generic[C]):
    """The closed table of one kind of settings.

    Args:
        noun: What a member is called in errors: "initializer".
        base: The class of which every member is a subclass.
    """

    def __init__(self, noun: str, base: type[C]) -> None:
        super().__init__(noun)
        self.base = base


def resolve(family: Family[C], identifier: object, where: str) -> C:
    """The member of `family` that `identifier` means.

    Args:
        family: The table in which names are looked up.
        identifier: An instance (returned unchanged); a class of the family (built with
            its defaults); a registered name, exact or else in snake_case or CamelCase;
            ``{"class_name": ..., "config": {...}}`` as Keras 2 and 3 write it; or
            ``{"name": ..., **settings}`` as Keras 1 does.
        where: What the identifier was given for, to begin an error with.

    Raises:
        CaptureError: The identifier is none of these, or its settings do not fit.
    """
    if isinstance(identifier, family.base):
        _require_dataclass(type(identifier), where)
        return identifier
    if isinstance(identifier, str):
        return _build(_lookup(family, identifier, where), None, where)
    if isinstance(identifier, Mapping):
        written = cast("Mapping[str, Any]", identifier)
        return _from_dict(family, written, where)
    if isinstance(identifier, type) and issubclass(identifier, family.base):
        _require_dataclass(identifier, where)
        return _build(identifier, {}, where)
    wanted = f"{family.noun} as a name, a dict, a class or an instance"
    expected(CaptureError, where, wanted, cast("object", identifier))


def serialize(obj: Configurable) -> dict[str, Any]:
    """The dict from which `resolve` builds an equal object.

    Raises:
        CaptureError: The object holds a Python callable.
    """
    return {"class_name": type(obj).__name__, "config": obj.get_config()}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CallableSettings(Configurable):
    """A user's function in the place of settings; it can be used but not saved.

    Two are equal when they hold the same function (or the same method of the same
    object): what a function computes cannot be compared.
    """

    #: What the user can do instead, when saving is refused.
    saving_hint: ClassVar[str] = "use a member of the family with settings"

    fn: Callable[..., Any]

    def get_config(self) -> dict[str, Any]:
        """Refuse: code does not go into files.

        Raises:
            CaptureError: Always.
        """
        where = f"{type(self).__name__}({_function_name(self.fn)})"
        message = f"{where}: expected settings to save, received a Python callable"
        raise CaptureError(message, hint=self.saving_hint)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CallableSettings) or type(self) is not type(other):
            return NotImplemented
        return _identity(self.fn) == _identity(other.fn)

    def __hash__(self) -> int:
        return hash(_identity(self.fn))

    def __repr__(self) -> str:
        # Without the address that a function's own repr holds: a graph prints alike
        # in every process.
        return f"{type(self).__name__}({_function_name(self.fn)})"


def is_plain_callable(identifier: object) -> TypeGuard[Callable[..., Any]]:
    """Whether `identifier` is a user's function (or an object called like one)."""
    return callable(identifier) and not isinstance(identifier, (type, Configurable))


def _identity(fn: Callable[..., Any]) -> tuple[int, int]:
    # Each access to obj.method makes a new object; its two parts stay the same.
    if isinstance(fn, types.MethodType):
        return id(fn.__self__), id(fn.__func__)
    return id(fn), 0


def _function_name(fn: Callable[..., Any]) -> str:
    return getattr(fn, "__qualname__", type(fn).__qualname__)


_WRAPPING: Final = ("class_name", "config")
# Keras 3 says where its class lives, and tf.keras numbers shared objects; neither says
# anything about the settings, and nothing is ever imported.
_IGNORED: Final = ("module", "registered_name", "shared_object_id")


def _from_dict(family: Family[C], written: Mapping[str, Any], where: str) -> C:
    if "class_name" in written:
        for key in written:
            if key not in _WRAPPING and key not in _IGNORED:
                expected(CaptureError, where, _one_of(_WRAPPING), key, known=_WRAPPING)
        name, config = written["class_name"], written.get("config")
    elif "name" in written:
        name = written["name"]
        config = {key: value for key, value in written.items() if key != "name"}
    else:
        expected(CaptureError, where, "a dict with 'class_name'", dict(written))
    if not isinstance(name, str):
        expected(CaptureError, where, f"the name of {family.noun} in a dict", name)
    if config is not None and not isinstance(config, Mapping):
        expected(CaptureError, f"{where}: {name}", "a dict of settings", config)
    settings = cast("Mapping[str, Any]", config or {})
    return _build(_lookup(family, name, where), settings, where)


def _build(cls: type[C], config: Mapping[str, Any] | None, where: str) -> C:
    """From `config`, or as `cls` is meant by its bare name; errors say `where`."""
    if getattr(cls, "__abstractmethods__", None):
        expected(CaptureError, where, "a class that is not abstract", cls)
    try:
        return cls.named() if config is None else cls.from_config(config)
    except CaptureError as error:
        raise error.reworded(f"{where}: {error.message}") from error


def _lookup(family: Family[C], name: str, where: str) -> type[C]:
    for spelling in (name, _snake_case(name), _camel_case(name)):
        if spelling in family:
            return family.get(spelling)
    return family.get(name, None if where == family.noun else where)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _camel_case(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def _require_dataclass(cls: type[Configurable], where: str) -> None:
    # A plain subclass with an __init__ of its own would compare equal to every other
    # of its class: the fields are all that equality, hash and configs see.
    if "__dataclass_fields__" not in vars(cls):
        wanted = f"{cls.__name__} to be a @dataclass(frozen=True, slots=True)"
        expected(CaptureError, where, wanted, cls)


_MISFIT: Final = object()


@functools.cache
def _field_hints(cls: type[Configurable]) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _fit(hint: Any, value: object) -> Any:
    """`value` in the one form that `hint` allows it, or `_MISFIT`."""
    if getattr(value, "ndim", None) == 0:  # a scalar of NumPy or JAX
        value = cast("Any", value).item()
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        fits = (_fit(member, value) for member in get_args(hint))
        return next((fitted for fitted in fits if fitted is not _MISFIT), _MISFIT)
    if origin is Literal:
        return value if isinstance(value, str) and value in get_args(hint) else _MISFIT
    if origin is tuple:
        return _fit_tuple(get_args(hint), value)
    if origin is Callable:
        return value if callable(value) else _MISFIT
    if hint in _SCALARS:
        return _SCALARS[hint](value)
    raise TypeError(f"no rule for a field annotated {hint!r}")


def _fit_tuple(members: tuple[Any, ...], value: object) -> Any:
    if not isinstance(value, tuple | list):
        return _MISFIT
    items = cast("Sequence[object]", value)
    if members[-1] is Ellipsis:
        members = members[:1] * len(items)
    if len(members) != len(items):
        return _MISFIT
    fitted = tuple(map(_fit, members, items))
    return _MISFIT if any(item is _MISFIT for item in fitted) else fitted


def _fit_float(value: object) -> Any:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return _MISFIT
    try:
        number = float(value)
    except OverflowError:  # an int beyond every float
        return _MISFIT
    # + 0.0 makes -0.0 into 0.0: the two are equal, so they must save as equal bytes.
    return number + 0.0 if math.isfinite(number) else _MISFIT


def _fit_int(value: object) -> Any:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        return _MISFIT
    return int(value)


_SCALARS: Final[dict[Any, Callable[[object], Any]]] = {
    float: _fit_float,
    int: _fit_int,
    bool: lambda value: value if isinstance(value, bool) else _MISFIT,
    str: lambda value: str(value) if isinstance(value, str) else _MISFIT,
    types.NoneType: lambda value: None if value is None else _MISFIT,
}
_NOUNS: Final[dict[Any, str]] = {
    float: "a finite number",
    int: "an int",
    bool: "a bool",
    str: "a string",
    types.NoneType: "None",
}


def _describe(hint: Any) -> str:
    members = get_args(hint)
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(member) for member in members)
    if origin is Literal:
        return _one_of(members)
    if origin is tuple and members[-1] is Ellipsis:
        return f"a tuple, each {_describe(members[0])}"
    if origin is tuple:
        return f"a tuple ({', '.join(_describe(member) for member in members)})"
    return _NOUNS.get(hint, "a callable")


def _one_of(names: Sequence[str]) -> str:
    quoted = [repr(name) for name in names]
    if len(quoted) == 1:
        return quoted[0]
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _plain(value: object) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in cast("tuple[object, ...]", value)]
    return value
