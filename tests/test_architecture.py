"""Imports run one way, and the IR knows no arrays.

Every import statement is read from the source, those inside functions too; imports for
type checkers alone (``if TYPE_CHECKING``) do not count.
"""

from __future__ import annotations

import ast
import fnmatch
import graphlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "graphjit"

#: Layers of the package, the lowest first. A module imports from its own layer and from
#: those below. Patterns are tried from the first layer on.
TIERS: tuple[tuple[str, ...], ...] = (
    (
        "errors",
        "types",
        "registry",
        "narrow",
        "printable",
        "layout",
        "settings",
        "config_file",
        "runtime",
        "config",
    ),
    (
        "configurable",
        "host_random",
        "initializers",
        "keras1_initializers",
        "regularizers",
        "constraints",
        "functions",
    ),
    ("ops.base",),
    ("ir",),
    (
        "bodies",
        "printer",
        "verify",
        "builder",
        "variables",
        "cost",
        "becoming",
        "id_ranges",
    ),
    (
        "ops",
        "ops.elementwise",
        "ops.reduce",
        "ops.shape",
        "ops.penalty",
        "ops.function_op",
        "ops.lambda_op",
        "ops.abstract_call",
        "ops.scan",
        "ops.joining",
        "ops.precision",
        "ops.wide_sums",
        "ops.windows",
    ),
    ("capture", "capture.*"),
    ("activations", "ops.*"),
    ("layers",),
    ("tuning", "stopwatch", "provenance"),
    ("passes", "passes.*"),
    ("lower", "data"),
    ("program_options",),
    ("autotune", "report", "host_arithmetic"),
    ("executable", "buckets", "ready_inputs", "warming"),
    ("compiling",),
    (
        "training",
        "training.*",
        "formats",
        "formats.*",
        "crossentropy",
        "losses",
        "metrics",
        "optimizers",
        "callbacks",
        "summary",
        "plot",
        "plot.*",
    ),
    (
        "model",
        "saving",
        "model_text",
        "weight_files",
        "weight_loading",
        "weight_owners",
    ),
    ("*",),
)

#: The imports upwards that are wanted, with the reason.
UPWARDS = {
    ("ir", "printer"): "Graph.__str__ prints itself",
}

#: The imports in a circle inside one layer that are wanted.
CIRCLES = {
    ("capture.layer", "capture.calling"): "calling a layer emits it",
    ("model", "saving"): "Model.save hands itself over",
}

#: Modules of the IR: plain Python.
PLAIN = (
    "errors",
    "types",
    "registry",
    "narrow",
    "layout",
    "ir",
    "tuning",
    "bodies",
    "printer",
    "verify",
    "builder",
    "ops.base",
    "passes.*",
    "becoming",
    "id_ranges",
    "cost",
)
ARRAYS = ("jax", "jaxlib", "numpy", "flax", "optax", "ml_dtypes")
ARRAYS_WANTED = {
    ("passes.pipeline", "jax"): "asks on which platform it runs, nothing else",
}


@dataclass(frozen=True)
class Import:
    """One imported module, as it is written."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def module_name(path: Path) -> str:
    """``ops.conv.layers`` for that file; "" for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


class Reader(ast.NodeVisitor):
    """Collects the modules a file imports."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.found: list[Import] = []

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            self.generic_visit(node)
            return
        for child in node.orelse:
            self.visit(child)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name, node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, f"{self.module}:{node.lineno}: a relative import"
        base = node.module or ""
        for alias in node.names:
            # `from graphjit import activations` names a module, not a thing in one.
            inner = f"{base}.{alias.name}".removeprefix("graphjit.")
            named = base.split(".")[0] == "graphjit" and inner in FILES
            self._add(f"graphjit.{inner}" if named else base, node.lineno)

    def _add(self, name: str, line: int) -> None:
        self.found.append(Import(self.module, name, line))


def imports_of(module: str) -> list[Import]:
    reader = Reader(module)
    reader.visit(ast.parse(FILES[module].read_text()))
    return reader.found


def internal(module: str) -> Iterator[Import]:
    """The module's imports from the package, by the names of `FILES`."""
    for entry in imports_of(module):
        if entry.imported.split(".")[0] == "graphjit":
            name = entry.imported.removeprefix("graphjit").removeprefix(".")
            yield Import(module, name, entry.line)


def tier(module: str) -> int:
    for number, patterns in enumerate(TIERS):
        if any(fnmatch.fnmatchcase(module, pattern) for pattern in patterns):
            return number
    raise AssertionError(f"{module!r} has no place in TIERS")


@pytest.mark.parametrize("module", FILES)
def test_imports_run_one_way(module: str) -> None:
    upwards = [
        str(entry)
        for entry in internal(module)
        if tier(entry.imported) > tier(module)
        and (module, entry.imported) not in UPWARDS
    ]
    assert not upwards


def test_there_are_no_circles() -> None:
    wanted = UPWARDS | CIRCLES
    graph = {
        module: {
            entry.imported
            for entry in internal(module)
            if (module, entry.imported) not in wanted and entry.imported != module
        }
        for module in FILES
    }
    try:
        list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        pytest.fail(f"modules import each other: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("pair", [*UPWARDS, *CIRCLES], ids="-".join)
def test_exceptions_are_needed(pair: tuple[str, str]) -> None:
    importer, imported = pair
    assert any(entry.imported == imported for entry in internal(importer))


@pytest.mark.parametrize(
    "module",
    [m for m in FILES if any(fnmatch.fnmatchcase(m, pattern) for pattern in PLAIN)],
)
def test_the_ir_imports_no_arrays(module: str) -> None:
    arrays = [
        str(entry)
        for entry in imports_of(module)
        if entry.imported.split(".")[0] in ARRAYS
        and (module, entry.imported) not in ARRAYS_WANTED
    ]
    assert not arrays


def test_every_import_of_ours_is_a_module() -> None:
    unknown = [
        str(entry)
        for module in FILES
        for entry in internal(module)
        if entry.imported not in FILES
    ]
    assert not unknown


@pytest.mark.parametrize("module", FILES)
def test_no_module_hides_a_missing_idea(module: str) -> None:
    last = module.split(".")[-1]
    assert last not in {"utils", "util", "common", "helpers", "helper", "misc"}
