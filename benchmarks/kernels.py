"""Every kernel against the plain lowering, over a grid of shapes.

``python -m benchmarks.kernels [FAMILY …] [--json FILE] [--only KERNEL]`` prints, for
every spot of `benchmarks/grids/`, the time of a call, of a call with its gradients and
of compiling them, and how many times faster than the plain lowering each kernel is. The
rules beside the kernels are derived from its tables: a rule needs 1.3 x over a family
of shapes in two runs.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.grids.spot import Spot
from benchmarks.measure import environment
from graphjit.ops.base import Op
from graphjit.stopwatch import medians_ms

__all__ = ["Row", "measured"]

#: Modules of `benchmarks.grids`, each with a list `SPOTS`.
FAMILIES = (
    "conv1d",
    "conv2d",
    "conv3d",
    "depthwise",
    "grouped",
    "local",
    "pool",
    "recurrent",
    "transposed",
)

#: Most seconds that one spot may take, compiling left out.
BUDGET_S = 6.0


@dataclass(frozen=True, slots=True)
class Row:
    """One candidate at one spot; a gain is the plain lowering's time over its own."""

    family: str
    spot: str
    kernel: str
    forward_ms: float
    training_ms: float
    compile_s: float
    forward_gain: float
    training_gain: float

    def __str__(self) -> str:
        return (
            f"{self.spot:42} {self.kernel or 'plain':24} "
            f"{self.forward_ms:9.3f} {self.forward_gain:7.2f}x "
            f"{self.training_ms:9.3f} {self.training_gain:7.2f}x "
            f"{self.compile_s:6.2f}"
        )


def measured(family: str, spot: Spot, only: Sequence[str] = ()) -> list[Row]:
    """The plain lowering and every kernel that can compute the spot's op."""
    types = [None if d is None else d.type for d in spot.data]
    lowerings: dict[str, Callable[..., Any]] = {"": spot.op.lower}
    for kernel in spot.op.kernels:
        if kernel.can(spot.op, types) and (not only or kernel.name in only):
            lowerings[kernel.name] = _bound(kernel.lower, spot.op)
    rng = np.random.default_rng(0)
    arrays = [None if d is None else jax.device_put(d.array(rng)) for d in spot.data]
    forward: dict[str, Any] = {}
    training: dict[str, Any] = {}
    compile_s: dict[str, float] = {}
    for name, lowering in lowerings.items():
        call, moving = _of_floats(lowering, arrays)
        start = time.perf_counter()
        forward[name] = _compiled(call, moving)
        training[name] = _compiled(_with_gradients(call), moving)
        compile_s[name] = time.perf_counter() - start
    forward_ms, training_ms = (
        medians_ms(programs, BUDGET_S / 2) for programs in (forward, training)
    )
    return [
        Row(
            family,
            spot.name,
            name,
            forward_ms[name],
            training_ms[name],
            compile_s[name],
            forward_ms[""] / forward_ms[name],
            training_ms[""] / training_ms[name],
        )
        for name in lowerings
    ]


def _bound(lower: Callable[..., Any], op: Op) -> Callable[..., Any]:
    return lambda *arrays: lower(op, *arrays)


def _of_floats(
    lowering: Callable[..., Any], arrays: Sequence[Any]
) -> tuple[Callable[..., Any], list[Any]]:
    """The lowering as a function of its floating-point operands, and those."""
    at = [
        place
        for place, array in enumerate(arrays)
        if array is not None and jax.numpy.issubdtype(array.dtype, jax.numpy.floating)
    ]

    def call(*floats: Any) -> Any:
        full = list(arrays)
        for place, array in zip(at, floats, strict=True):
            full[place] = array
        return lowering(*full)

    return call, [arrays[place] for place in at]


def _with_gradients(call: Callable[..., Any]) -> Callable[..., Any]:
    """The results and, for slopes that are the results, the gradients."""

    def run(*floats: Any) -> Any:
        results, pull = jax.vjp(call, *floats)
        return results, pull(results)

    return run


def _compiled(call: Callable[..., Any], arrays: Sequence[Any]) -> Callable[[], Any]:
    program = jax.jit(call).lower(*arrays).compile()
    return lambda: program(*arrays)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels")
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=str(FAMILIES))
    parser.add_argument("--only", nargs="*", default=(), metavar="KERNEL")
    parser.add_argument("--spots", default="", help="only spots with this in the name")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table")
    given = parser.parse_args(arguments)
    before = environment()
    rows: list[Row] = []
    print(f"{'spot':42} {'kernel':24} {'forward ms':>17} {'+ gradients':>17} compile")
    for family in given.families or FAMILIES:
        module = importlib.import_module(f"benchmarks.grids.{family}")
        for spot in module.SPOTS:
            if given.spots not in spot.name:
                continue
            for row in measured(family, spot, given.only):
                rows.append(row)
                print(row, flush=True)
    if given.json is not None:
        document = {"environment": before, "rows": [asdict(row) for row in rows]}
        given.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
