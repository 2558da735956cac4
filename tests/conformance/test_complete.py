"""Every op and every layer has a row."""

from __future__ import annotations

import importlib
import pkgutil

import graphjit.layers
import graphjit.ops
from graphjit.capture.layer import LAYERS, Layer
from graphjit.capture.tracer import SubModel
from graphjit.ops.base import OPS
from tests.conformance.layer_table import LAYER_ROWS, NOT_LAYERS
from tests.conformance.table import ROWS


def load_every_op() -> None:
    """Import all of `graphjit.ops`, so that `OPS` holds what no layer uses yet."""
    for module in pkgutil.walk_packages(graphjit.ops.__path__, "graphjit.ops."):
        importlib.import_module(module.name)


def test_every_op_has_a_row() -> None:
    load_every_op()
    rows = {row.op for row in ROWS}
    missing = [kind for kind, op in OPS.items() if op not in rows]
    assert not missing, f"no row in tests/conformance/table.py for {missing}"


def test_no_op_has_two_rows() -> None:
    kinds = [row.kind for row in ROWS]
    assert len(kinds) == len(set(kinds))


def test_every_row_has_cases_and_a_statement() -> None:
    for row in ROWS:
        assert row.cases, row.kind
        assert (row.numpy is None) != (row.check is None), row.kind


def test_cases_have_names_of_their_own() -> None:
    names = [case.id for row in ROWS for case in row.cases]
    assert len(names) == len(set(names))


def test_every_layer_has_a_row() -> None:
    rows = {row.layer for row in LAYER_ROWS}
    public = {
        name: getattr(graphjit.layers, name)
        for name in graphjit.layers.__all__
        if name not in NOT_LAYERS
    }
    missing = [name for name, layer in public.items() if layer not in rows]
    assert not missing, f"no row in tests/conformance/layer_table.py for {missing}"


def test_every_registered_layer_is_public() -> None:
    public = {getattr(graphjit.layers, name) for name in graphjit.layers.__all__}
    hidden = [
        name
        for name, layer in LAYERS.items()
        if not issubclass(layer, SubModel) and ">" not in name  # users' own
        if layer.__module__.startswith("graphjit.") and layer not in public
    ]
    assert not hidden
    assert all(
        issubclass(row.layer, Layer) and row.layer in public for row in LAYER_ROWS
    )
