"""Texts of models, JSON and YAML, as plain data: read strictly, written plainly.

Text from elsewhere is data and nothing more: no tags that name code, no key twice, no
NaN, nothing nested without end, no alias that stands for more than the limits allow.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NoReturn, cast

from graphjit.errors import FormatError
from graphjit.formats import extras
from graphjit.formats.limits import Limits
from graphjit.formats.plain import shown
from graphjit.narrow import mapping_of, sequence_of

__all__ = ["json_text", "read_json", "read_yaml", "yaml_text"]

#: What Keras 1 wrote for a tuple; any other tag of Python's names code.
_TUPLE_TAG: Final = "tag:yaml.org,2002:python/tuple"
_MERGE_TAG: Final = "tag:yaml.org,2002:merge"
_INT_TAG: Final = "tag:yaml.org,2002:int"
_FLOAT_TAG: Final = "tag:yaml.org,2002:float"
_MOST_DIGITS: Final = 100
#: Integers are those of 64 bits, with a sign or without.
_LEAST_INT: Final = -(2**63)
_MOST_INT: Final = 2**64 - 1
#: Half of a character that UTF-16 writes in two.
_HALF: Final = re.compile("[\ud800-\udfff]")


def read_json(text: str | bytes, limits: Limits) -> Any:
    """The data of a JSON text.

    A text whose value is a string is JSON again: some programs stored models so.

    Raises:
        FormatError: It is no JSON, has a key twice or a number that is not finite, or
            is over the limits.
    """
    data = _parsed(_checked(text, "JSON", limits))
    if isinstance(data, str):
        data = _parsed(_checked(data, "JSON", limits))
    return _Plain("JSON", limits).copy(data)


def json_text(data: Mapping[str, Any], **options: Any) -> str:
    """`data` as JSON; `options` are those of `json.dumps`."""
    settings: dict[str, Any] = {"allow_nan": False, **options}
    return json.dumps(data, **settings)


def read_yaml(text: str | bytes, limits: Limits) -> Any:
    """The data of a YAML text, with plain tags and ``!!python/tuple``, a list here.

    Raises:
        FormatError: As `read_json`, or it has another tag.
        ImportError: PyYAML is not installed.
    """
    yaml = extras.yaml()
    if len(text) > limits.yaml_bytes:
        found = f"a text of {len(text)} characters"
        limits.refuse("yaml_bytes", "YAML", found)
    checked = _checked(text, "YAML", limits)
    try:
        data = yaml.load(checked, Loader=_yaml_loader())
    except yaml.constructor.ConstructorError as error:
        raise FormatError(f"YAML: {_one_line(error.problem)}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise FormatError(f"not valid YAML: {_one_line(error)}") from None
    plain = _Plain("YAML", limits)
    plain.count(data, {})
    return plain.copy(data)


def yaml_text(data: Mapping[str, Any], **options: Any) -> str:
    """`data` as YAML with plain tags; `options` are those of `yaml.safe_dump`."""
    yaml = extras.yaml()
    # A copy of every list and dictionary: one that stood twice would get an alias.
    fresh = json.loads(json_text(data))
    settings: dict[str, Any] = {"sort_keys": False, **options}
    return cast("str", yaml.safe_dump(fresh, **settings))


# --- checks ---------------------------------------------------------------------


def _checked(text: str | bytes, kind: str, limits: Limits) -> str:
    if not isinstance(text, (str, bytes)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise FormatError(f"{kind}: expected a text, received {type(text).__name__}")
    size = len(text)
    if size > limits.header_bytes:
        limits.refuse("header_bytes", kind, f"a text of {size} characters")
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"{kind}: expected UTF-8: {error.reason}") from None


class _Plain:
    """Copies parsed data, as long as it is plain and within the limits.

    A YAML alias is one object in many places: each place counts, and gets a copy.
    """

    def __init__(self, kind: str, limits: Limits) -> None:
        self._kind = kind
        self._limits = limits
        self._count = 0

    def count(self, data: Any, known: dict[int, int], depth: int = 0) -> int:
        """Refuse too many values before they are copied, each object counted once.

        Args:
            data: What may be in many places.
            known: What was counted, by identity.
            depth: Of `data` in the whole.
        """
        if depth > self._limits.depth:
            self._limits.refuse("depth", self._kind, "nested deeper")
        entries = mapping_of(data)
        items = sequence_of(data) if entries is None else list(entries.values())
        if items is None:
            return 1
        if id(data) not in known:
            counts = [self.count(item, known, depth + 1) for item in items]
            known[id(data)] = 1 + sum(counts)
        if known[id(data)] > self._limits.values:
            found = f"{known[id(data)]} values, aliases written out"
            self._limits.refuse("values", self._kind, found)
        return known[id(data)]

    def copy(self, data: Any, depth: int = 0) -> Any:
        self._count += 1
        if self._count > self._limits.values:
            self._limits.refuse("values", self._kind, f"more than {self._count - 1}")
        if depth > self._limits.depth:
            self._limits.refuse("depth", self._kind, "nested deeper")
        entries = mapping_of(data)
        if entries is not None:
            for key in entries:
                if type(key) is not str:
                    self._refuse("strings as keys", key)
                self._check_text(key)
            return {key: self.copy(item, depth + 1) for key, item in entries.items()}
        items = sequence_of(data)
        if items is not None:
            return [self.copy(item, depth + 1) for item in items]
        if isinstance(data, float) and not math.isfinite(data):
            self._refuse("finite numbers", data)
        if isinstance(data, str):
            self._check_text(data)
        elif isinstance(data, int) and not _LEAST_INT <= data <= _MOST_INT:
            self._refuse("integers of 64 bits", data)
        elif data is not None and type(data) not in (bool, int, float):
            self._refuse("numbers, strings, lists and objects", data)
        return data

    def _check_text(self, text: str) -> None:
        """JSON and YAML can write half a character, which nothing can print."""
        if not text.isascii() and _HALF.search(text):
            self._refuse("whole characters", text)

    def _refuse(self, wanted: str, received: object) -> NoReturn:
        message = f"expected {wanted}, received {shown(received)}"
        raise FormatError(f"{self._kind}: {message}")


# --- JSON -----------------------------------------------------------------------


def _parsed(text: str) -> Any:
    try:
        return json.loads(
            text, object_pairs_hook=_without_repeats, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not valid JSON: {_one_line(error)}") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        repeated = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"key {shown(repeated)} stands twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:300]


# --- YAML -----------------------------------------------------------------------


def _yaml_loader() -> type[Any]:
    """A safe loader that knows tuples, and neither a key twice nor merge keys."""
    yaml = extras.yaml()
    base: type[Any] = yaml.SafeLoader

    class Loader(base):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [getattr(key, "value", None) for key, _ in node.value]
            texts = [key for key in keys if isinstance(key, str)]
            if len(set(texts)) < len(texts):
                counts = Counter(texts)
                repeated = next(key for key in counts if counts[key] > 1)
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {shown(repeated)} stands twice", node.start_mark
                )
            if any(key.tag == _MERGE_TAG for key, _ in node.value):
                # What is merged is copied, again and again where it is nested.
                raise yaml.constructor.ConstructorError(
                    None, None, "merge keys (<<) are not read", node.start_mark
                )
            return cast("dict[Any, Any]", super().construct_mapping(node, deep))

    def tuple_as_list(loader: Any, node: Any) -> Any:
        return loader.construct_sequence(node, deep=True)

    def refused(loader: Any, node: Any) -> NoReturn:
        raise yaml.constructor.ConstructorError(
            None,
            None,
            f"the tag {shown(node.tag)} is never read: it could name code",
            node.start_mark,
        )

    def number(make: Any) -> Any:
        def construct(loader: Any, node: Any) -> Any:
            # Numbers to the base 60, with colons, take the square of their length.
            if len(str(node.value)) > _MOST_DIGITS:
                raise yaml.constructor.ConstructorError(
                    None, None, f"a number of {len(node.value)} digits", node.start_mark
                )
            return make(loader, node)

        return construct

    Loader.add_constructor(_INT_TAG, number(base.construct_yaml_int))
    Loader.add_constructor(_FLOAT_TAG, number(base.construct_yaml_float))
    Loader.add_constructor(_TUPLE_TAG, tuple_as_list)
    Loader.add_constructor(None, refused)  # for every other tag
    return Loader
