"""Gradients of the whole digits net, as it trains, against numeric ones in float64."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import graphjit as gj
from graphjit.losses import sparse_categorical_crossentropy
from tests.running import variables_for
from tests.test_examples import example

STEP = 1e-6


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_gradients_equal_numeric_ones(data_format: str) -> None:
    gj.config.set_floatx("float64")
    model = example("digits").network(data_format)
    variables = variables_for(model.graph)
    rng = np.random.default_rng(0)
    images = rng.random((4, *model.input_shape[1:]))
    labels = rng.integers(0, 10, 4)

    with jax.enable_x64(True):

        @jax.jit
        def loss(params: Any) -> jax.Array:
            step = model.step({**variables, "params": params}, images, True, rng=3)
            return sparse_categorical_crossentropy(labels, step.outputs).mean()

        gradient = jax.jit(jax.grad(loss))(variables["params"])
        names = [param.name for param in model.graph.params if not param.is_state]
        for name in names:
            layer, slot = name.split("/")
            direction = rng.normal(size=gradient[layer][slot].shape)

            def moved(
                by: float, at: tuple[str, str, Any] = (layer, slot, direction)
            ) -> Any:
                own, which, way = at
                params = {**variables["params"], own: dict(variables["params"][own])}
                params[own][which] = params[own][which] + by * way
                return params

            numeric = (loss(moved(STEP)) - loss(moved(-STEP))) / (2 * STEP)
            exact = (gradient[layer][slot] * direction).sum()
            np.testing.assert_allclose(
                exact, numeric, rtol=2e-6, atol=2e-8, err_msg=name
            )
    assert len(names) == 12
