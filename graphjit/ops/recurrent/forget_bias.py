"""The first value of an LSTM's bias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from graphjit.configurable import serialize
from graphjit.errors import CaptureError, expected
from graphjit.host_random import HostRandom
from graphjit.initializers import INITIALIZERS, Initializer, Ones, Zeros, get

__all__ = ["ForgetBias"]


@dataclass(frozen=True, slots=True)
class ForgetBias(Initializer):
    """The bias of the gates i f c o: that of f drawn by `forget`, the others by `rest`.

    Ones for the forget gate, as Jozefowicz et al. (2015) recommend.

    Shapes:
        -> (4 * u,)

    >>> ForgetBias().draw((8,), "float32", seed=0, name="lstm/bias").tolist()
    [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """

    forget: Initializer = field(default_factory=Ones)
    rest: Initializer = field(default_factory=Zeros)

    def __post_init__(self) -> None:
        # Its fields are settings themselves, which the base has no rule for.
        for name in ("forget", "rest"):
            value = get(getattr(self, name), f"{type(self).__name__}: {name}")
            object.__setattr__(self, name, value)

    @property
    def seed(self) -> int | None:
        """That of `rest`, which draws most."""
        return getattr(self.rest, "seed", None)

    def sample(
        self, shape: Sequence[int], dtype: str, random: HostRandom
    ) -> NDArray[Any]:
        if len(shape) != 1 or shape[0] % 4:
            wanted = "one axis of 4 gates"
            expected(CaptureError, type(self).__name__, wanted, tuple(shape))
        units = shape[0] // 4
        blocks = [
            self.rest.sample((units,), dtype, random),
            self.forget.sample((units,), dtype, random),
            self.rest.sample((2 * units,), dtype, random),
        ]
        return np.concatenate(blocks)

    def get_config(self) -> dict[str, Any]:
        return {"forget": serialize(self.forget), "rest": serialize(self.rest)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        for key in config:
            if key not in ("forget", "rest"):
                wanted = "'forget' or 'rest'"
                expected(CaptureError, cls.__name__, wanted, key)
        return cls(**config)


INITIALIZERS.add("ForgetBias", ForgetBias)
