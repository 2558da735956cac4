"""`graphjit diff`: what two models differ in, with the exit codes of diff(1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from graphjit.capture.trainable_flags import with_flags
from graphjit.command_line.graph_differences import (
    comparable,
    layer_differences,
    text_differences,
)
from graphjit.command_line.output import say, say_json
from graphjit.command_line.source import Source
from graphjit.command_line.weight_differences import Apart, weights_apart

__all__ = ["diff"]

DIFFER = 1


def diff(first: Source, second: Source, tolerance: float, as_json: bool) -> int:
    """Print what two models differ in.

    Args:
        first: A model, A in what is printed.
        second: Another, B.
        tolerance: How far two numbers may lie apart and count as equal.
        as_json: Whether to print JSON.

    Returns:
        0 where they are equal, 1 where they differ.
    """
    a, b = first.read(), second.read()
    graphs = comparable(with_flags(a)), comparable(with_flags(b))
    layers = layer_differences(*graphs)
    text = text_differences(*graphs) if layers else []
    weights = list(weights_apart(a.arrays(), b.arrays()).values())
    equal = not layers and all(apart.most <= tolerance for apart in weights)
    if as_json:
        found = {"equal": not layers, "differences": layers, "text": text}
        compared = [_data(apart, tolerance) for apart in weights]
        say_json(
            {
                "first": str(first.path),
                "second": str(second.path),
                "equal": equal,
                "graph": found,
                "tolerance": tolerance,
                "weights": compared,
            }
        )
    else:
        say(f"A: {first.path}\nB: {second.path}")
        say(f"graphs: {'they differ' if layers else 'equal'}")
        for line in (*layers, *text):
            say(f"  {line}")
        _say_weights(weights, tolerance)
    return 0 if equal else DIFFER


def _say_weights(weights: Sequence[Apart], tolerance: float) -> None:
    differ = [apart for apart in weights if apart.most > tolerance]
    if differ:
        say(f"weights: {len(differ)} of {len(weights)} differ")
        for apart in differ:
            say(f"  {apart}")
        return
    worst = max(weights, key=lambda apart: apart.most, default=None)
    if worst is None or worst.most == 0.0:
        say(f"weights: equal ({len(weights)})")
        return
    say(f"weights: equal within {tolerance:g} ({len(weights)})")
    say(f"  {worst}")


def _data(apart: Apart, tolerance: float) -> dict[str, Any]:
    return {
        "name": apart.name,
        "first": apart.types[0],
        "second": apart.types[1],
        "equal": apart.most <= tolerance,
        # JSON has no infinity: null where no number says how far.
        "max_abs_difference": apart.most if math.isfinite(apart.most) else None,
        "numbers_that_differ": apart.count,
    }
