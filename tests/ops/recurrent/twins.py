"""Models of one layer, and the same layer in Keras with the same weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import pytest

import graphjit as gj
from tests.graphs import variables_for

__all__ = ["Pair", "data", "keras_layers", "step_mask"]


def data(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(0.2, 1.1, shape).astype(np.float32)


def step_mask(rows: int, steps: int) -> Any:
    """Rows masked in front, in the middle, behind, wholly, and not at all."""
    mask = np.ones((rows, steps), bool)
    mask[0, :2] = False
    mask[1 % rows, 1:3] = False
    mask[2 % rows, -2:] = False
    mask[3 % rows] = False
    return mask


def keras_layers() -> Any:
    return pytest.importorskip("keras").layers


class Pair:
    """Our layer in a model, and Keras's with its weights.

    Args:
        ours: The layer.
        theirs: From Keras's `layers` module to its layer.
        shape: Of the input, without the batch.
        masked: Whether the model has a second input, the mask.
        states: Shapes of further inputs, the first states.
        batch: A fixed batch size, or None.
    """

    def __init__(
        self,
        ours: Any,
        theirs: Callable[[Any], Any],
        shape: Sequence[int | None],
        masked: bool = False,
        states: Sequence[Sequence[int]] = (),
        batch: int | None = None,
    ) -> None:
        self.masked, self.states = masked, states
        x = gj.Input(shape, name="x", batch_size=batch)
        inputs, named = [x], {}
        if masked:
            steps = shape[0]
            inputs.append(gj.Input((steps,), dtype="bool", name="m", batch_size=batch))
            named["mask"] = inputs[-1]
        firsts = [gj.Input(s, name=f"s{at}") for at, s in enumerate(states)]
        if firsts:
            named["initial_state"] = firsts
        outputs = ours(x, **named)
        self.model = gj.Model([*inputs, *firsts], outputs)
        self.variables = variables_for(self.model.graph, seed=3)
        zeros = jax.tree.map(np.zeros_like, self.variables["state"])
        self.variables["state"] = zeros
        self.model.variables = self.variables
        self.keras = theirs(keras_layers())

    def results(self, x: Any, mask: Any = None, states: Sequence[Any] = ()) -> Any:
        """Our results and Keras's, as lists."""
        given = [x, *([mask] if self.masked else []), *states]
        ours = self.model(given if len(given) > 1 else x)
        named: dict[str, Any] = {}
        if self.masked:
            named["mask"] = mask
        if states:
            named["initial_state"] = list(states)
        if not self.keras.built:
            self.keras(x, **named)
            if hasattr(self.keras, "reset_state") and getattr(
                self.keras, "stateful", False
            ):
                self.keras.reset_state()
            self.keras.set_weights(self.model.get_weights())
        theirs = self.keras(x, **named)
        return _listed(ours), _listed(theirs)

    def agree(
        self,
        x: Any,
        mask: Any = None,
        states: Sequence[Any] = (),
        tolerance: float = 1e-5,
    ) -> None:
        ours, theirs = self.results(x, mask, states)
        assert len(ours) == len(theirs)
        for at, (found, wanted) in enumerate(zip(ours, theirs, strict=True)):
            np.testing.assert_allclose(
                found, wanted, rtol=tolerance, atol=tolerance, err_msg=f"output {at}"
            )


def _listed(results: Any) -> list[Any]:
    flat: list[Any] = []
    for item in results if isinstance(results, (list, tuple)) else [results]:
        flat += _listed(item) if isinstance(item, (list, tuple)) else [np.asarray(item)]
    return flat
