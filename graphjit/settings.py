"""The settings a user may choose, and which values each may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from graphjit.errors import GraphJitError, expected, nearest

__all__ = ["DIM_ORDERINGS", "Settings", "settings_from"]

_FLOATS: Final = ("bfloat16", "float16", "float32", "float64")
_FORMATS: Final = ("channels_last", "channels_first")
_BACKENDS: Final = ("tensorflow", "theano", "cntk", "jax")
#: Keras 1's names of the data formats.
DIM_ORDERINGS: Final = {"tf": "channels_last", "th": "channels_first"}

#: From a value, the error class and where it stands, to the value as it is kept.
_Reader = Callable[[Any, type[GraphJitError], str], Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """One value of every setting; the defaults are Keras's.

    Attributes:
        image_data_format: "channels_last" or "channels_first".
        floatx: The element type of inputs and layers.
        epsilon: The small number that keeps divisions finite.
        backend: A name that the documents' files hold; without effect.
    """

    image_data_format: str = "channels_last"
    floatx: str = "float32"
    epsilon: float = 1e-7
    backend: str = "jax"


def settings_from(
    given: Mapping[str, Any], error: type[GraphJitError], where: str = ""
) -> dict[str, Any]:
    """The fields of `Settings` that `given` sets, checked.

    `image_dim_ordering` is Keras 1's name of `image_data_format`.

    Args:
        given: Values by the documents' names.
        error: What is raised.
        where: What messages begin with.

    Raises:
        GraphJitError: Of class `error`: a name or a value is not known, or the two
            names of the data format disagree.

    >>> settings_from({"image_dim_ordering": "th"}, GraphJitError)
    {'image_data_format': 'channels_first'}
    """
    for name in given:
        if name not in _READERS:
            guess = nearest(name, _READERS)
            known = ", ".join(_READERS)
            hint = f"did you mean {guess!r}?" if guess else f"known are {known}"
            raise error(f"{where}unknown setting {name!r}", hint=hint)
    found = {
        name: _READERS[name](value, error, f"{where}{name}")
        for name, value in given.items()
    }
    ordering = found.pop("image_dim_ordering", None)
    if ordering is None:
        return found
    data_format = found.setdefault("image_data_format", DIM_ORDERINGS[ordering])
    if data_format != DIM_ORDERINGS[ordering]:
        raise error(
            f"{where}image_data_format and image_dim_ordering are two names of one "
            f"setting: expected the same format, received {data_format!r} and "
            f"{ordering!r} ({DIM_ORDERINGS[ordering]})"
        )
    return found


def _one_of(*names: str) -> _Reader:
    wanted = " or ".join(map(repr, names)) if len(names) == 2 else f"one of {names}"

    def read(value: Any, error: type[GraphJitError], where: str) -> str:
        if not isinstance(value, str) or value not in names:
            expected(error, where, wanted, value, known=names)
        return value

    return read


def _between_0_and_1(value: Any, error: type[GraphJitError], where: str) -> float:
    try:
        number = None if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or not 0 < number < 1:
        expected(error, where, "a number between 0 and 1", value)
    return number


_READERS: Final[Mapping[str, _Reader]] = {
    "image_data_format": _one_of(*_FORMATS),
    "image_dim_ordering": _one_of(*DIM_ORDERINGS),
    "floatx": _one_of(*_FLOATS),
    "epsilon": _between_0_and_1,
    "backend": _one_of(*_BACKENDS),
}
