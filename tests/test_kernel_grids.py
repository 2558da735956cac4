"""The grids of `benchmarks.kernels`: every kernel is measured somewhere."""

from __future__ import annotations

import importlib

from benchmarks.kernels import FAMILIES
from graphjit.ops.base import OPS, result_types
from tests.conformance.test_complete import load_every_op


def test_every_kernel_is_measured() -> None:
    load_every_op()
    reached: set[tuple[str, str]] = set()
    for family in FAMILIES:
        for spot in importlib.import_module(f"benchmarks.grids.{family}").SPOTS:
            types = [None if d is None else d.type for d in spot.data]
            assert result_types(spot.op, types), spot.name
            reached |= {
                (spot.op.kind, kernel.name)
                for kernel in spot.op.kernels
                if kernel.can(spot.op, types)
            }
    missing = [
        (kind, kernel.name)
        for kind, op in OPS.items()
        for kernel in op.kernels
        if (kind, kernel.name) not in reached
    ]
    assert not missing, f"no spot in benchmarks/grids for {missing}"
