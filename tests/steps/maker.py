"""What random models are made with: the maker, and what a step is."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import graphjit.layers as L  # noqa: N812
from graphjit.capture.layer import Layer
from graphjit.capture.tensor import Tensor

__all__ = [
    "ACTIVATIONS",
    "FORMATS",
    "MOST_ELEMENTS",
    "Maker",
    "Step",
    "Steps",
    "elements",
    "rank_of",
]

T = TypeVar("T")

#: Elements per row that a tensor may have before layers that enlarge it stop.
MOST_ELEMENTS = 300
# fmt: off
ACTIVATIONS = (
    "linear", "relu", "relu", "relu", "relu6", "leaky_relu", "sigmoid", "tanh", "elu",
    "selu", "softplus", "softsign", "silu", "gelu", "mish", "hard_sigmoid", "hard_silu",
)
# fmt: on
FORMATS = ("channels_last", "channels_first")


@dataclass
class Maker:
    """A model in the making.

    Attributes:
        pool: The tensors made so far, oldest first.
        formats: For images where their channels are.
        calls: Layers called so far, with the shapes they were called on.
        made: How many layers were made.
    """

    rng: random.Random
    dtype: str
    pool: list[Tensor] = field(default_factory=list)
    formats: dict[Tensor, str] = field(default_factory=dict)
    calls: list[tuple[Layer, tuple[Any, ...]]] = field(default_factory=list)
    named: int = 0
    made: int = 0

    def one_of(self, *choices: T) -> T:
        return self.rng.choice(choices)

    def number(self, least: int, most: int) -> int:
        return self.rng.randint(least, most)

    def chance(self, percent: int) -> bool:
        return self.rng.random() * 100 < percent

    def shuffled(self, items: Iterable[T]) -> list[T]:
        found = list(items)
        self.rng.shuffle(found)
        return found

    def some_tensor(self) -> Tensor:
        """Often the newest, so that models become deep."""
        return self.pool[-1] if self.chance(60) else self.one_of(*self.pool)

    def format_of(self, x: Tensor) -> str:
        return self.formats.get(x, "channels_last")

    def image(self, x: Tensor) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        dims = x.type.shape[1:]
        if self.format_of(x) == "channels_first":
            dims = (*dims[1:], dims[0])
        height, width, channels = (int(dim or 0) for dim in dims)
        return height, width, channels

    def input(self, shape: Sequence[int], data_format: str | None = None) -> Tensor:
        tensor = L.Input(tuple(shape), dtype=self.dtype)
        self.pool.append(tensor)
        if data_format is not None:
            self.formats[tensor] = data_format
        return tensor

    def call(self, layer: Layer, *inputs: Tensor, keep: bool = True) -> Tensor:
        """Call a layer; an image keeps its data format unless the rank changes."""
        output = layer(inputs[0] if len(inputs) == 1 else list(inputs))
        self.calls.append((layer, tuple(x.shape for x in inputs)))
        self.pool.append(output)
        if len(output.shape) == 4 and keep:
            self.formats[output] = self.format_of(inputs[0])
        return output

    def make(self, cls: type[Layer], *args: Any, **settings: Any) -> Layer:
        self.made += 1
        if self.chance(15):
            settings["name"] = f"named_{self.made}"
        return cls(*args, dtype=self.dtype, **settings)

    def weights(self, *slots: str) -> dict[str, Any]:
        """Now and then a penalty or a constraint."""
        found: dict[str, Any] = {}
        if self.chance(10):
            found[f"{self.one_of(*slots)}_regularizer"] = self.one_of("l1", "l2")
        if self.chance(5):
            found[f"{slots[0]}_constraint"] = "max_norm"
        if self.chance(8):
            found["activity_regularizer"] = "l2"
        return found


#: A step: extends the model from a tensor; None where it does not apply.
Step = Callable[[Maker, Tensor], "Tensor | None"]


def rank_of(x: Tensor) -> int:
    return len(x.shape)


def elements(x: Tensor) -> int:
    return math.prod(dim for dim in x.shape[1:] if dim is not None)


#: How often each step is tried, and on tensors of which rank.
Steps = dict[Step, tuple[int, tuple[int, ...]]]
