"""The layer table of a model with `trainable` as it is now.

A graph is captured once; which layers are frozen may change after that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from graphjit.capture.tracer import ROOT, SubModel
from graphjit.ir import Config, Graph, LayerCall

__all__ = ["with_flags"]


def with_flags(model: SubModel) -> Graph:
    """The model's graph, each layer's `trainable` in the table as it is now."""
    captured = model.captured
    flags = {ROOT: model.trainable, **dict(_flags(model, ""))}
    rows: list[LayerCall] = []
    for row in captured.graph.layers:
        config = row.config.thaw()
        trainable = flags.get(row.layer, True)
        if config.get("trainable", True) != trainable:
            config["trainable"] = trainable
            row = replace(row, config=Config.freeze(config))
        rows.append(row)
    return captured.graph.replace(layers=tuple(rows))


def _flags(model: SubModel, scope: str) -> Iterator[tuple[str, bool]]:
    """The `trainable` of every layer by its path."""
    captured = model.captured
    for name, layer in zip(captured.names, captured.layers, strict=True):
        yield f"{scope}{name}", layer.trainable
        if isinstance(layer, SubModel):
            yield from _flags(layer, f"{scope}{name}/")
