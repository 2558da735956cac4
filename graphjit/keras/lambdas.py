"""`Lambda` layers of files: functions are supplied by the user, never read as code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from graphjit.capture.layer import Layer
from graphjit.keras.entries import name_of
from graphjit.keras.notes import Notes
from graphjit.narrow import mapping_of

__all__ = ["holds_code", "named_function", "named_mode", "with_function"]

_FUNCTIONS: Final = ("function", "output_shape", "mask")
#: Beside a function Keras 1 and 2 say what it is, and where it was defined.
_BESIDE: Final = (
    "function_type",
    "module",
    "output_shape_type",
    "output_shape_module",
    "mask_type",
    "mask_module",
)


def holds_code(entry: Mapping[str, Any]) -> bool:
    """Whether an entry has a function as code, of a Lambda or of a Keras 1 Merge."""
    config = mapping_of(entry.get("config")) or {}
    if any(config.get(f"{key}_type") == "lambda" for key in (*_FUNCTIONS, "mode")):
        return True
    values = [mapping_of(config.get(key)) for key in _FUNCTIONS]
    return any(v is not None and v.get("class_name") == "__lambda__" for v in values)


def named_function(entry: Mapping[str, Any]) -> str | None:
    """The name of a Lambda's function; None for other layers, and for code."""
    config = mapping_of(entry.get("config")) or {}
    if entry.get("class_name") != "Lambda":
        return None
    value = config.get("function")
    found = mapping_of(value)
    if found is not None:
        plain = found.get("class_name") == "function"
        value = found.get("config" if plain else "registered_name")
    return value if isinstance(value, str) else None


def named_mode(entry: Mapping[str, Any]) -> str | None:
    """The name of the function that a Keras 1 Merge merges by; None for other modes."""
    config = mapping_of(entry.get("config")) or {}
    if entry.get("class_name") != "Merge" or config.get("mode_type") != "function":
        return None
    mode = config.get("mode")
    return mode if isinstance(mode, str) else None


def with_function(
    entry: Mapping[str, Any], custom: Mapping[str, Any], notes: Notes
) -> Mapping[str, Any]:
    """A Lambda's entry with the function that the user supplied for that layer.

    The code of its output shape goes: the function's own result tells it.
    """
    name = name_of(entry)
    config = mapping_of(entry.get("config"))
    supplied = custom.get(name or "")
    if entry.get("class_name") != "Lambda" or config is None or supplied is None:
        return entry
    if isinstance(supplied, Layer):
        return entry
    kept = {key: value for key, value in config.items() if key not in _BESIDE}
    for key in _FUNCTIONS[1:]:
        code = config.get(f"{key}_type") == "lambda" or mapping_of(kept.get(key))
        if code and kept.get(key) is not None:
            kept[key] = None
            notes.add(
                f"Lambda {name!r}: the file holds its {key} as code, which is left out"
            )
    notes.add(f"Lambda {name!r}: its function is the one in custom_layers")
    return {**entry, "config": {**kept, "function": supplied}}
