"""What Keras 1's initializers do that the native ones cannot say.

They are entered in `INITIALIZERS`, so that models made with the Keras 1 spellings go
into files like any other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from graphjit.configurable import serialize
from graphjit.errors import CaptureError, expected
from graphjit.host_random import HostRandom
from graphjit.initializers import (
    INITIALIZERS,
    GlorotUniform,
    Initializer,
    VarianceScaling,
    get,
)

__all__ = ["Keras1Scaling", "PerBlock", "keras1_fans"]


def keras1_fans(shape: Sequence[int]) -> tuple[float, float]:
    """How many units feed into one, and how many it feeds, as Keras 1 counts them.

    Shapes:
        (in, out): in and out.  4 and 5 axes are read as (out, in, *window): both times
        the window's size.  Any other shape: the square root of its size, for both.

    >>> keras1_fans((9,)), keras1_fans((3, 2)), keras1_fans((8, 4, 3, 3))
    ((3.0, 3.0), (3, 2), (36, 72))
    """
    if len(shape) == 2:
        return shape[0], shape[1]
    if len(shape) in (4, 5):
        window = math.prod(shape[2:])
        return shape[1] * window, shape[0] * window
    root = math.sqrt(math.prod(shape))
    return root, root


@dataclass(frozen=True, slots=True)
class Keras1Scaling(Initializer):
    """`VarianceScaling` whose n counts units as `keras1_fans` does.

    Args:
        scale: A positive factor.
        mode: n = "fan_in", "fan_out", or "fan_avg", their mean.
        distribution: "uniform" or "untruncated_normal".
        seed: Replaces the model's seed.
    """

    scale: float = 1.0
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_avg"
    distribution: Literal["uniform", "untruncated_normal"] = "uniform"
    seed: int | None = None

    def check(self) -> None:
        if self.scale <= 0:
            self.refuse("scale", "a number > 0")

    def sample(
        self, shape: Sequence[int], dtype: str, random: HostRandom
    ) -> NDArray[Any]:
        fan_in, fan_out = keras1_fans(shape)
        counts = {"fan_in": fan_in, "fan_out": fan_out}
        n = counts.get(self.mode, (fan_in + fan_out) / 2)
        # Dividing the scale leaves n = 1 to the native rule.
        rule = VarianceScaling(
            self.scale / n, "fan_in", self.distribution, None, (), ()
        )
        return rule.sample(shape, dtype, random)


@dataclass(frozen=True, slots=True)
class PerBlock(Initializer):
    """Equal parts of the last axis, each drawn by itself.

    Keras 1 has an array for every gate of an LSTM or GRU (unless `consume_less` is
    "gpu"), and draws each alone; here they lie side by side.

    Shapes:
        -> (…, blocks * u); each part is drawn as (…, u)

    Args:
        initializer: Of each part.
        blocks: How many there are.
    """

    config_ignored: ClassVar[frozenset[str]] = frozenset()

    initializer: Initializer = field(default_factory=GlorotUniform)
    blocks: int = 1

    def __post_init__(self) -> None:
        # The field holds settings itself, which the base has no rule for.
        inner = get(self.initializer, f"{type(self).__name__}: initializer")
        object.__setattr__(self, "initializer", inner)
        if type(self.blocks) is not int or self.blocks < 1:
            self.refuse("blocks", "an int >= 1")

    @property
    def seed(self) -> int | None:
        """That of the parts."""
        return getattr(self.initializer, "seed", None)

    def sample(
        self, shape: Sequence[int], dtype: str, random: HostRandom
    ) -> NDArray[Any]:
        if not shape or shape[-1] % self.blocks:
            wanted = f"a last axis of {self.blocks} equal parts"
            expected(CaptureError, type(self).__name__, wanted, tuple(shape))
        part = (*shape[:-1], shape[-1] // self.blocks)
        parts = [
            self.initializer.sample(
                part, dtype, HostRandom(random.seed, f"{random.name}/{block}")
            )
            for block in range(self.blocks)
        ]
        return np.concatenate(parts, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {"initializer": serialize(self.initializer), "blocks": self.blocks}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        for key in config:
            if key not in ("initializer", "blocks"):
                wanted = "'initializer' or 'blocks'"
                expected(CaptureError, cls.__name__, wanted, key)
        return cls(**config)


INITIALIZERS.add("Keras1Scaling", Keras1Scaling)
INITIALIZERS.add("PerBlock", PerBlock)
