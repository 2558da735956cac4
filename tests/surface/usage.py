"""Which tests use which argument of which layer, read from the tests themselves."""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.conformance.layer_table import LAYER_ROWS
from tests.conformance.test_weight_settings import FIRST_CASES

TESTS = Path(__file__).parent.parent

#: For (layer, argument) the tests that give it, by file.
Usage = dict[tuple[str, str], set[str]]


def used(layers: Mapping[str, Any], keras1: bool) -> Usage:
    """The uses of the arguments of some layers.

    Args:
        layers: By the name tests call them by.
        keras1: Whether to read the tests of the Keras 1 spellings, or all others.
    """
    found: Usage = defaultdict(set)
    for path in sorted(TESTS.rglob("test_*.py")):
        file = path.relative_to(TESTS).as_posix()
        if file.startswith("keras1/") == keras1:
            for call in _calls(path):
                _record(found, call, layers, file)
    if not keras1:
        for row in LAYER_ROWS:
            for case in row.cases:
                for name in case.settings:
                    where = "conformance/layer_table.py"
                    found[row.layer.__name__, name].add(where)
        for layer, name in FIRST_CASES:
            found[layer.__name__, name].add("conformance/test_weight_settings.py")
    return found


def _calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield node


def _record(found: Usage, call: ast.Call, layers: Mapping[str, Any], file: str) -> None:
    name = _name(call.func)
    if name not in layers:
        return
    names = list(inspect.signature(layers[name]).parameters)
    for argument, _ in zip(names, call.args, strict=False):
        found[name, argument].add(file)
    for keyword in call.keywords:
        if keyword.arg is not None:
            found[name, keyword.arg].add(file)


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Name):
        return function.id
    return function.attr if isinstance(function, ast.Attribute) else ""
