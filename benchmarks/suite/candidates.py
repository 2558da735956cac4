"""What runs in this process on JAX: graphjit, its plain lowering, Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import graphjit as gj
from benchmarks.suite.nets import Built
from graphjit.training.state import Batch, copied
from graphjit.training.step import make_train_step

__all__ = [
    "keras_apply",
    "keras_call",
    "keras_model",
    "keras_step",
    "loaded",
    "plain_call",
    "train_step",
]

#: Of Adam, in every training step.
RATE = 1e-3


def loaded(built: Built, text: str = "") -> gj.Model:
    """graphjit's model of Keras's text, with the weights.

    Args:
        text: Another text, for the same weights.
    """
    model = gj.model_from_json(text or built.text)
    model.set_weights(built.weights)
    return model


def plain_call(model: gj.Model) -> Callable[[Any], Any]:
    """Inference by the graph as captured: no pass but the change of mode."""
    graph, _ = gj.passes.run(model.graph, (gj.passes.ToInference(),))
    lowered = gj.lower(graph)
    variables = model.variables
    call: Any = jax.jit(lambda p, s, x: lowered(p, s, x).outputs)
    return lambda x: call(variables["params"], variables["state"], x)


def keras_call(keras: Any, built: Built) -> Callable[[Any], Any]:
    """``jit(stateless_call)`` of Keras's model."""
    apply, weights = keras_apply(keras, built)
    call: Any = jax.jit(apply)
    return lambda x: call(*weights, x)


def keras_apply(
    keras: Any, built: Built
) -> tuple[Callable[..., Any], tuple[list[Any], list[Any]]]:
    """A function of (trainable, rest, x) that gives the outputs, and the first two."""
    model = keras_model(keras, built)
    trainable = [variable.value for variable in model.trainable_variables]
    rest = [variable.value for variable in model.non_trainable_variables]

    def apply(trainable: Any, rest: Any, x: Any) -> Any:
        return model.stateless_call(trainable, rest, x, training=False)[0]

    return apply, (trainable, rest)


def keras_model(keras: Any, built: Built) -> Any:
    """Keras's model with the weights."""
    from benchmarks.mobilenet_v2 import undrawn

    keras.utils.clear_session()
    with undrawn(keras):
        model = keras.models.model_from_json(built.text)
    model.set_weights(built.weights)
    return model


def train_step(
    model: gj.Model, loss: str, x: Any, y: Any, plain: bool = False
) -> tuple[Callable[[], Any], Callable[[Any], float]]:
    """Adam's next step on one batch, over a state that is given away each time.

    Args:
        plain: By the graph as captured, without the passes.

    Returns:
        A function that makes a step and gives its sums, and one that reads the loss.
    """
    graph = model.graph if plain else model.training_graph()
    step = make_train_step(graph, gj.optimizers.Adam(RATE), loss)
    fast: Any = jax.jit(step, donate_argnums=0)
    state: Any = copied(step.init(model.variables, rng=0))
    batch = Batch((jnp.asarray(x),), (jnp.asarray(y),), (None,))

    def call() -> Any:
        nonlocal state
        state, sums = fast(state, batch)
        return sums

    return call, lambda sums: step.read(sums)["loss"]


def keras_step(
    keras: Any, built: Built, loss: str, x: Any, y: Any
) -> Callable[[], Any]:
    """What Keras's `train_on_batch` on JAX jits: its stateless train step.

    Without the copies to and from the model's variables that surround it there.
    """
    model = keras_model(keras, built)
    optimizer = keras.optimizers.Adam(RATE)
    model.compile(optimizer, loss)
    data = jnp.asarray(x), jnp.asarray(y)
    model._symbolic_build(data_batch=data)
    state: Any = tuple(
        [jnp.copy(variable.value) for variable in variables]
        for variables in (
            model.trainable_variables,
            model.non_trainable_variables,
            optimizer.variables,
            model.metrics_variables,
        )
    )
    fast: Any = jax.jit(model.train_step, donate_argnums=0)

    def call() -> Any:
        nonlocal state
        logs, state = fast(state, data)
        return logs["loss"]

    return call
