"""What a configuration asks for and nobody has: named all at once, before reading."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from graphjit.activations import ACTIVATIONS
from graphjit.capture.layer import LAYERS
from graphjit.constraints import CONSTRAINTS
from graphjit.errors import FormatError, nearest
from graphjit.functions import FUNCTIONS
from graphjit.keras.entries import entries_in, modern, name_of
from graphjit.keras.keras1_entries import Keras1Entries
from graphjit.keras.lambdas import holds_code, named_function, named_mode
from graphjit.narrow import mapping_of
from graphjit.regularizers import REGULARIZERS

__all__ = ["check_supplied"]

#: Unknown classes that an error names.
_MOST_NAMED: Final = 50


def check_supplied(root: Any, custom: Mapping[str, Any], keras1: Keras1Entries) -> None:
    """Refuse a configuration with layers that are not known, or held as code.

    Raises:
        FormatError: It names every such layer, and says how to supply it.
    """
    unknown: dict[str, list[str]] = {}
    code: dict[str, str] = {}
    functions: dict[str, tuple[str, list[str]]] = {}
    for entry in entries_in(root):
        class_name, name = str(entry["class_name"]), name_of(entry) or "?"
        if name in custom or _is_supplied(entry, custom):
            continue
        if holds_code(entry):
            code[name] = class_name
        elif not _is_known(entry, keras1):
            unknown.setdefault(class_name, []).append(name)
        else:
            for kind, found in _unknown_functions(entry, custom):
                functions.setdefault(found, (kind, []))[1].append(name)
    if not unknown and not code and not functions:
        return
    # Of a file with thousands of them the first are enough, and each is looked up.
    some = itertools.islice(unknown.items(), _MOST_NAMED)
    details = [
        *(_unknown(class_name, names) for class_name, names in some),
        *(f"{cls} {name!r}: a function held as code" for name, cls in code.items()),
        *(
            f"{kind} {found!r}: of {', '.join(map(repr, names[:8]))}"
            for found, (kind, names) in itertools.islice(functions.items(), _MOST_NAMED)
        ),
    ]
    if len(unknown) > _MOST_NAMED:
        details.append(f"and {len(unknown) - _MOST_NAMED} more classes")
    wanted = [*(f'"{cls}": layer_class' for cls in unknown)]
    wanted += [f'"{name}": function' for name in (*code, *functions)]
    many = len(wanted)
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


def _is_known(entry: Mapping[str, Any], keras1: Keras1Entries) -> bool:
    found = modern(entry)
    return keras1.spelling(found) is not None or str(found["class_name"]) in LAYERS


#: What a layer is given by name, and where the names are known.
_SETTINGS: Final = {
    "activation": ACTIVATIONS,
    "constraint": CONSTRAINTS,
    "regularizer": REGULARIZERS,
}


def _unknown_functions(
    entry: Mapping[str, Any], custom: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """What is a function or a penalty, by names that nobody knows."""
    mode = named_mode(entry)
    if mode is not None and mode not in custom:
        yield "mode", mode
    function = named_function(entry)
    if function is not None and function not in custom and function not in FUNCTIONS:
        yield "function", function
    config = mapping_of(entry.get("config")) or {}
    for key, value in config.items():
        kind = key.rpartition("_")[2]
        if kind not in _SETTINGS:
            continue
        found = mapping_of(value)
        name = value if found is None else found.get("class_name")
        if found is not None and name == "function":
            name = found.get("config")
        if not isinstance(name, str) or name.rpartition(">")[2] in custom:
            continue
        known = name in LAYERS if kind == "activation" else False
        if not known and not _is_entered(name, _SETTINGS[kind]):
            yield kind, name


def _is_entered(name: str, table: Iterable[str]) -> bool:
    """Whether a table has the name, in whichever case and with brackets or not."""
    plain = name.partition("(")[0].replace("_", "").lower()
    return plain in {entry.replace("_", "").lower() for entry in table}


def _unknown(class_name: str, names: list[str]) -> str:
    guess = nearest(class_name, list(LAYERS))
    meant = f" (the nearest known class is {guess!r})" if guess else ""
    return f"{class_name}: {', '.join(map(repr, names[:8]))}{meant}"
