"""The table `Model.summary` prints."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from graphjit.capture.model_config import MODELS
from graphjit.ir import NO_CALL, Graph, LayerCall
from graphjit.printable import printable

__all__ = ["counts_of", "render", "rows_of"]

Row = tuple[str, str, str, str]


def rows_of(graph: Graph) -> list[Row]:
    """One row per layer call: layer, output shape, params, connected to."""
    sizes = _sizes(graph)
    rows: list[Row] = []
    counted: set[str] = set()
    for call in graph.layers[:-1]:
        if call.parent != NO_CALL:
            continue
        owned = [name for name in _params_of(graph, call) if name not in counted]
        counted.update(owned)
        sources = ", ".join(graph.layers[ref.call].path for ref in call.inputs)
        shapes = ", ".join(str(type_.user_shape()) for type_ in call.types)
        count = sum(sizes.get(name, 0) for name in owned)
        rows.append((f"{call.path} ({call.cls})", shapes, f"{count:,}", sources))
    return rows


def _known(shape: Sequence[object]) -> list[int]:
    return [dim for dim in shape if isinstance(dim, int)]


def _sizes(graph: Graph) -> dict[str, int]:
    """How many numbers each weight holds; recurrent state is no weight."""
    weights = [param for param in graph.params if not param.recurrent]
    return {param.name: math.prod(_known(param.type.shape)) for param in weights}


def _params_of(graph: Graph, call: LayerCall) -> list[str]:
    """The params of a call, and of all calls inside it."""
    names = list(call.params)
    if call.cls in MODELS:
        inside = f"{call.path}/"
        for inner in graph.layers:
            if inner.path.startswith(inside):
                names += inner.params
    return list(dict.fromkeys(names))


def render(
    graph: Graph,
    frozen: Sequence[str],
    line_length: int | None,
    print_fn: Callable[[str], Any] | None,
) -> None:
    """Print the table with rich, or give its lines to `print_fn`.

    Names may come from a file: they are neither markup nor escape sequences.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    title = Text(printable(f'Model: "{graph.name}"'))
    table = Table(title=title, title_justify="left")
    table.add_column("Layer (type)")
    table.add_column("Output shape")
    table.add_column("Params", justify="right")
    table.add_column("Connected to")
    for row in rows_of(graph):
        table.add_row(*(Text(printable(cell)) for cell in row))
    if print_fn is None:
        console = Console(width=line_length)
        console.print(table)
        console.print(_totals(graph, frozen), highlight=False)
        return
    console = Console(width=line_length or 100, color_system=None)
    with console.capture() as captured:
        console.print(table)
    for line in (captured.get() + _totals(graph, frozen)).splitlines():
        print_fn(line)


def _totals(graph: Graph, frozen: Sequence[str]) -> str:
    total, trainable = counts_of(graph, frozen)
    return (
        f"Total params: {total:,}\n"
        f"Trainable params: {trainable:,}\n"
        f"Non-trainable params: {total - trainable:,}"
    )


def counts_of(graph: Graph, frozen: Sequence[str]) -> tuple[int, int]:
    """How many numbers the weights hold: all of them, and those that train.

    Args:
        graph: Of a model.
        frozen: Paths of the layers that are not trained.
    """
    sizes = _sizes(graph)
    trainable = sum(
        sizes[p.name]
        for p in graph.params
        if p.name in sizes and p.trainable and not _covers(frozen, p.name)
    )
    return sum(sizes.values()), trainable


def _covers(paths: Sequence[str], name: str) -> bool:
    return any(name == path or name.startswith(f"{path}/") for path in paths)
