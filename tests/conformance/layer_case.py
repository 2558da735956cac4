"""What a row of the table of layers consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphjit.capture.layer import Layer

__all__ = ["FIRST", "LayerCase", "LayerRow", "Shape", "case", "row"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerCase:
    """Settings of a layer, and what it is called on.

    Attributes:
        settings: Keyword arguments.
        inputs: Shapes without the batch; several make a list.
        keras: Keras's keyword arguments where they differ; None: no such layer there.
        random: Whether training draws random numbers.
        twin: Whether the layer in the other data format computes the same, moved.
    """

    settings: dict[str, Any]
    inputs: tuple[Shape, ...]
    keras: dict[str, Any] | None
    random: bool = False
    twin: bool = True

    def __str__(self) -> str:
        settings = ",".join(f"{k}={v}" for k, v in self.settings.items())
        shapes = ",".join("x".join(map(str, shape)) for shape in self.inputs)
        return f"({settings})[{shapes}]".replace(" ", "")


@dataclass(frozen=True)
class LayerRow:
    layer: type[Layer]
    cases: tuple[LayerCase, ...]


def case(
    *inputs: Shape,
    keras: dict[str, Any] | None = {},  # noqa: B006 (never written to)
    random: bool = False,
    twin: bool = True,
    **settings: Any,
) -> LayerCase:
    merged = None if keras is None else {**settings, **keras}
    return LayerCase(settings, inputs, merged, random, twin)


def row(layer: type[Layer], *cases: LayerCase) -> LayerRow:
    return LayerRow(layer, cases)


FIRST = {"data_format": "channels_first"}
