"""What a configuration asks for and nobody has: named all at once, before reading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphjit.capture.keras_origin import Origin
from graphjit.capture.layer import LAYERS
from graphjit.errors import FormatError, nearest
from graphjit.keras.entries import entries_in, modern, name_of
from graphjit.keras.keras1_entries import Keras1Entries
from graphjit.keras.lambdas import holds_code

__all__ = ["check_supplied"]


def check_supplied(
    root: Any, custom: Mapping[str, Any], origin: Origin, keras1: Keras1Entries
) -> None:
    """Refuse a configuration with layers that are not known, or held as code.

    Raises:
        FormatError: It names every such layer, and says how to supply it.
    """
    unknown: dict[str, list[str]] = {}
    code: dict[str, str] = {}
    for entry in entries_in(root):
        class_name, name = str(entry["class_name"]), name_of(entry) or "?"
        if name in custom or _is_supplied(entry, custom):
            continue
        if holds_code(entry):
            code[name] = class_name
        elif not _is_known(entry, origin, keras1):
            unknown.setdefault(class_name, []).append(name)
    if not unknown and not code:
        return
    details = [
        *(_unknown(class_name, names) for class_name, names in unknown.items()),
        *(f"{cls} {name!r}: a function held as code" for name, cls in code.items()),
    ]
    wanted = [*(f'"{cls}": layer_class' for cls in unknown)]
    wanted += [f'"{name}": function' for name in code]
    many = len(unknown) + len(code)
    raise FormatError(
        "the model has layers that graphjit cannot make from the file: nothing is "
        "imported by name, and no code is run",
        details=details,
        hint=f"supply {'them' if many > 1 else 'it'}: "
        f"custom_layers={{{', '.join(wanted)}}}",
    )


def _is_supplied(entry: Mapping[str, Any], custom: Mapping[str, Any]) -> bool:
    for key in ("registered_name", "class_name"):
        name = entry.get(key)
        if isinstance(name, str) and {name, name.rpartition(">")[2]} & set(custom):
            return not holds_code(entry)
    return False


def _is_known(entry: Mapping[str, Any], origin: Origin, keras1: Keras1Entries) -> bool:
    name = str(modern(entry)["class_name"])
    if origin.generation == 1 and keras1.spelling(name) is not None:
        return True
    return name in LAYERS


def _unknown(class_name: str, names: list[str]) -> str:
    guess = nearest(class_name, list(LAYERS))
    meant = f" (the nearest known class is {guess!r})" if guess else ""
    return f"{class_name}: {', '.join(map(repr, names[:8]))}{meant}"
