"""Make v1_digits.gjit and v1_digits.npz: python -m tests.formats.golden.make_v1

A committed file of a released version is never made again: it is what users have on
their disks. This script says how it came about.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import graphjit as gj
from graphjit.formats import container
from graphjit.lower import lower
from graphjit.variables import flatten, nest

FOLDER = Path(__file__).resolve().parent
STEPS = 60


def model() -> gj.Model:
    """A small residual network with a shared layer, a nested model and penalties."""
    layers = gj.layers
    x = gj.Input((8, 8, 1), name="image")
    inner = gj.Input((8, 8, 4), name="maps")
    h = layers.Conv2D(
        4, 3, padding="same", kernel_constraint=gj.constraints.MaxNorm(3.0, (0, 1, 2))
    )(inner)
    h = layers.BatchNormalization(momentum=0.9, epsilon=1e-4)(h)
    block = gj.Model(
        inner, layers.Add()([inner, layers.Activation("relu")(h)]), name="block"
    )
    regularizer = gj.regularizers.L1L2(1e-4, 1e-3)
    h = layers.Conv2D(
        4, (3, 2), padding="same", kernel_regularizer=regularizer, name="stem"
    )(x)
    h = block(block(h))
    h = layers.MaxPooling2D(name="pool")(h)
    h = layers.Flatten(name="flatten")(h)
    h = layers.Dense(16, activation="tanh", activity_regularizer="l2", name="code")(h)
    y = layers.Dense(10, activation="softmax", name="digit")(h)
    return gj.Model(x, y, name="digits")


def trained(graph: gj.Graph, x: Any, labels: Any) -> dict[str, Any]:
    """Variables after a few steps of gradient descent."""
    step = lower(graph)
    draws = {
        p.name: p.initializer.draw(p.type.user_shape(), p.type.dtype, 0, p.name)
        for p in graph.params
        if p.initializer is not None
    }
    variables = nested(graph, draws)

    def loss(params: Any, state: Any) -> Any:
        done = step(params, state, x)
        likely = jnp.take_along_axis(done.outputs, labels[:, None], 1)
        return -jnp.mean(jnp.log(likely + 1e-6)), done.state

    gradient = jax.jit(jax.grad(loss, has_aux=True))
    for _ in range(STEPS):
        slopes, state = gradient(variables["params"], variables["state"])
        params = jax.tree.map(lambda w, g: w - 0.3 * g, variables["params"], slopes)
        variables = {"params": params, "state": state}
    return flatten(variables, graph.params)


def nested(graph: gj.Graph, tensors: dict[str, Any]) -> dict[str, Any]:
    """The variables as `lower` takes them."""
    flat: dict[str, dict[str, Any]] = {"params": {}, "state": {}}
    for param in graph.params:
        flat[param.collection][param.name] = tensors[param.name]
    return {collection: nest(entries) for collection, entries in flat.items()}


def main() -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = (digits.images[:512, :, :, None] / 16).astype(np.float32)
    graph = model().graph
    tensors = trained(graph, x, digits.target[:512])
    optional = {"note": {"made by": "tests/formats/golden/make_v1.py"}}
    container.save(FOLDER / "v1_digits.gjit", graph, tensors, optional)

    images = x[:16]
    done = lower(graph)(**nested(graph, tensors), x=images)
    right = np.mean(np.argmax(done.outputs, 1) == digits.target[:16])
    print(f"right: {right:.0%}")
    arrays = {
        "images": images,
        "outputs": np.asarray(done.outputs),
        **{f"loss {name}": np.asarray(value) for name, value in done.losses.items()},
    }
    new_state = [p for p in graph.params if p.is_state]
    for name, value in flatten({"state": done.state}, new_state).items():
        arrays[f"state {name}"] = np.asarray(value)
    np.savez_compressed(FOLDER / "v1_digits.npz", **arrays)


if __name__ == "__main__":
    main()
