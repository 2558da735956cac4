"""What `Model.compile` was given, as plain data: names and settings, never code.

A setting is ``{"class_name": …, "config": …}``, a registered function ``{"function":
name}``, what is said for each output by its name ``{"outputs": {…}}``; names, numbers
and lists are themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from graphjit import losses, metrics, optimizers
from graphjit.configurable import CallableSettings, Configurable, Family, resolve
from graphjit.errors import CaptureError, FormatError
from graphjit.functions import FUNCTIONS, function_of
from graphjit.narrow import mapping_of, sequence_of
from graphjit.training.decaying import Decaying

__all__ = ["ARGUMENTS", "arguments_of", "written_arguments"]

#: Of `compile`, in the order in which a file has them.
ARGUMENTS: Final = ("loss", "loss_weights", "metrics", "optimizer", "weighted_metrics")

#: How one thing is read that is no list and is not said by output.
_Read = Callable[[Any], Configurable | None]


def written_arguments(
    arguments: Mapping[str, Any], outputs: Sequence[str]
) -> dict[str, Any]:
    """The arguments as plain data.

    Args:
        arguments: Of `compile`, by name.
        outputs: The names of the model's outputs.

    Raises:
        CaptureError: One of them is code that no file can name.
    """
    found: dict[str, Any] = {}
    for name in ARGUMENTS:
        given = arguments[name]
        if name == "optimizer":
            found[name] = _optimizer(given)
        elif name == "loss_weights":
            found[name] = _each(given, outputs, float)
        else:
            tables = (losses.LOSSES,) if name == "loss" else _METRICS
            get = losses.get if name == "loss" else metrics.get
            found[name] = _each(given, outputs, _setting(name, get, tables))
    return found


_METRICS: Final = (metrics.METRICS, losses.LOSSES)


def _each(given: Any, outputs: Sequence[str], write: Callable[[Any], Any]) -> Any:
    """Every single thing in lists and dictionaries by output, written."""
    items, found = sequence_of(given), mapping_of(given)
    if items is not None:
        return [_each(item, outputs, write) for item in items]
    if found is not None and set(found) <= set(outputs):
        named = {key: _each(item, outputs, write) for key, item in found.items()}
        return {"outputs": named}
    return given if given is None or isinstance(given, str) else write(given)


def _setting(
    what: str, get: _Read, tables: Sequence[Family[Any]]
) -> Callable[[Any], Any]:
    def write(given: Any) -> Any:
        found = get(given)
        if isinstance(found, CallableSettings):
            return _function(what, found.fn)
        return _written(what, cast("Configurable", found), tables)

    return write


def _written(what: str, found: Configurable, tables: Sequence[Family[Any]]) -> Any:
    name = type(found).__name__
    if not any(name in table and table.get(name) is type(found) for table in tables):
        raise CaptureError(f"{what}: the class {name} is in no table of graphjit's")
    return {"class_name": name, "config": found.get_config()}


def _function(what: str, fn: Callable[..., Any]) -> dict[str, Any]:
    function = function_of(fn)
    if not function.registered:
        raise CaptureError(
            f"{what}: {function.name!r} is a function that no file can name",
            hint='put @graphjit.register("mypackage>name") above it, here and where '
            "the file is loaded",
        )
    return {"function": function.name}


# --- optimizers -------------------------------------------------------------------


def _optimizer(given: Any) -> Any:
    if callable(getattr(given, "update", None)):
        raise CaptureError("optimizer: a transformation of optax's own is code")
    if isinstance(given, str):
        return given
    found = resolve(optimizers.OPTIMIZERS, given, "optimizer")
    rate = found.learning_rate
    if not callable(rate):
        return _written("optimizer", found, [optimizers.OPTIMIZERS])
    plain = dataclasses.replace(found, learning_rate=0.0)
    written = _written("optimizer", plain, [optimizers.OPTIMIZERS])
    if isinstance(rate, Decaying):
        said: Any = {"decay": rate.decay, "rate": rate.rate}
    else:
        said = _function("the optimizer's learning rate", rate)
    return {**written, "config": {**written["config"], "learning_rate": said}}


# --- reading ----------------------------------------------------------------------


def arguments_of(written: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `compile` that `written_arguments` made the data from.

    Raises:
        FormatError: It is no such data.
        CaptureError: A function is not registered here.
    """
    found = {name: _read(written[name], name) for name in ARGUMENTS}
    optimizer = mapping_of(found["optimizer"])
    if optimizer is not None:
        config = dict(mapping_of(optimizer.get("config")) or {})
        if "learning_rate" in config:
            config["learning_rate"] = _rate(config["learning_rate"])
        found["optimizer"] = {**optimizer, "config": config}
    return found


def _read(value: Any, where: str) -> Any:
    items, found = sequence_of(value), mapping_of(value)
    if items is not None:
        return [_read(item, where) for item in items]
    if found is None:
        return value
    keys = set(found)
    if keys == {"outputs"}:
        by_name = mapping_of(found["outputs"])
        if by_name is not None:
            return {key: _read(item, where) for key, item in by_name.items()}
    elif keys == {"function"}:
        return FUNCTIONS.get(str(found["function"]))
    elif keys == {"class_name", "config"}:
        return dict(found)
    raise FormatError(
        f"optional.compiled.{where}: expected a setting, a function or settings by "
        f"output, received a map with {', '.join(sorted(map(repr, keys))[:4]) or '{}'}"
    )


def _rate(value: Any) -> Any:
    found = mapping_of(value)
    if found is None or set(found) != {"decay", "rate"}:
        return value if found is None else _read(found, "optimizer.learning_rate")
    rate, decay = found["rate"], found["decay"]
    if type(rate) is not float or type(decay) is not float:
        raise FormatError(
            "optional.compiled.optimizer.learning_rate: expected floats, received "
            f"{rate!r} and {decay!r}"
        )
    return Decaying(rate, decay)
