"""What a train step takes and gives back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from flax import struct

__all__ = ["Batch", "TrainState", "copied"]

T = TypeVar("T")


@struct.dataclass
class TrainState:
    """Everything that changes from step to step, and what a step only reads.

    A pytree; arrays are flat dictionaries by param name.

    Attributes:
        params: The weights being trained.
        state: The state that steps update (running statistics).
        frozen: All other variables.
        opt_state: The state of the optax transformation.
        step: How many steps were done: int32.
        rng: Raw key data (uint32): step t draws from it folded with t.
    """

    params: dict[str, jax.Array]
    state: dict[str, jax.Array]
    frozen: dict[str, jax.Array]
    opt_state: Any
    step: jax.Array
    rng: jax.Array

    def arrays(self) -> dict[str, jax.Array]:
        """All variables by param name."""
        return {**self.params, **self.state, **self.frozen}


class Batch(NamedTuple):
    """One batch of data, a pytree.

    Shapes:
        inputs: (n, …) each, in input order
        targets: (n, …) each, in output order; None for an output without a loss
        weights: (n,) or (n, t) each, in output order; None for weights of 1
        row_mask: bool (n,); None where every row is valid
    """

    inputs: tuple[Any, ...]
    targets: tuple[Any, ...]
    weights: tuple[Any, ...]
    row_mask: Any = None


def copied(tree: T) -> T:
    """The same arrays in buffers of their own, in one dispatch."""
    return _copy(tree)


def _copies(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)


_copy: Callable[..., Any] = jax.jit(_copies)
